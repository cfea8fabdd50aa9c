// How the sums of vectors are compiled: for the processors that most machines have, and for all. Only
// the sources that have such sums include this.
#pragma once

#if defined(__x86_64__)
#define CAIRN_WIDE __attribute__((target("avx2")))
#define CAIRN_HAS_WIDE 1
#else
#define CAIRN_HAS_WIDE 0
#endif
#define CAIRN_INLINE __attribute__((always_inline)) inline
