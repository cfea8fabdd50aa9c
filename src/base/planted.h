// Planted bugs: known mistakes, compiled in only to see that the simulator catches them.
//
//   if (CAIRN_PLANTED("ack_before_sync")) return OkStatus();
//
// In every ordinary build this is `false` and costs nothing. In a build with -DCAIRN_PLANTS=ON the
// one that the environment variable CAIRN_PLANT names is in force. docs/internals/simulator.md
// lists them.
#pragma once

#ifdef CAIRN_PLANTS

namespace cairn {
bool IsPlanted(const char* name);
}  // namespace cairn

#define CAIRN_PLANTED(name)                               \
  ([] {                                                   \
    static const bool planted = ::cairn::IsPlanted(name); \
    return planted;                                       \
  }())

#else
#define CAIRN_PLANTED(name) false
#endif
