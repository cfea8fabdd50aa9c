// Planted bugs: known mistakes that are compiled in only to check that the simulator catches them.
//
//   if (CAIRN_PLANTED("ack_before_sync")) return OkStatus();
//
// In every ordinary build CAIRN_PLANTED is `false` and costs nothing. In a build with
// -DCAIRN_PLANTS=ON, the environment variable CAIRN_PLANT names the planted bug in force.
// docs/internals/simulator.md lists the planted bugs.
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
