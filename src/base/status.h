// Status for Cairn's own code: the public type, and the macros that return it to the caller. A
// Status is for errors that can happen in operation; broken invariants use CHECK.
#pragma once

#include "cairn/status.h"

#define CAIRN_CONCAT_INNER(a, b) a##b
#define CAIRN_CONCAT(a, b) CAIRN_CONCAT_INNER(a, b)

// Returns from the enclosing function if `expr` (a Status) is not OK.
#define RETURN_IF_ERROR(expr)                    \
  do {                                           \
    if (::cairn::Status s_ = (expr); !s_.ok()) { \
      return s_;                                 \
    }                                            \
  } while (false)
