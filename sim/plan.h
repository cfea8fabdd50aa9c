// Plan: what one seed draws before it begins: the cluster, its settings, its load and its faults.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

#include "base/result.h"
#include "sim/network.h"
#include "sim/node.h"
#include "sim/workload.h"
#include "sim/world.h"

namespace cairn::sim {

enum class Fault : uint8_t {
  kLoss,        // of messages, on all links
  kDuplicate,   // of messages
  kReorder,     // of messages
  kSlow,        // some messages take 100 times as long
  kPartition,   // two halves, or one node alone
  kOneWay,      // one direction of some links
  kPartial,     // single links, so that a node reaches some and not others
  kClog,        // links that hold everything back, then let it go
  kTransfer,    // snapshots break off or lose a bit on their way
  kKill,        // of a process: what was not synced stays
  kPowerCut,    // what was not synced is lost, in any subset of sectors, or torn
  kCutInWrite,  // the same, in the middle of what the disk is doing
  kBlackout,    // power cut of all nodes at once
  kFailedSync,  // a write or sync fails, and what it should have stored never is
  kStall,       // the disk hangs
  kSlowDisk,
  kDiskFull,
  kPause,         // SIGSTOP
  kWipe,          // a node loses its disk and comes back
  kStop,          // SIGTERM: hands over, ends, comes back
  kTransferLead,  // leadership is handed over
  kMembership,    // nodes come and go
  kDrift,         // clocks run at different rates
  kJump,          // wall clocks jump
  kRot,           // a bit flips in what a disk has held for a while
  kFailedRead,    // a read of the disk fails
  kUpgrade,       // nodes get another version of messages or engine, one after the other
  kRowRot,        // a bit flips in a stored row of a database; only where there are digests
  kSuspend,       // the machine sleeps: as a pause, and its steady clock stands still
  kMove,          // a node, or all, come back at another address
  kCopy,          // a second process runs from a copy of a node's data
  kSetBack,       // a node's data are set back to what they were at an earlier start
  kCount,
};
inline constexpr size_t kFaults = static_cast<size_t>(Fault::kCount);
const char* FaultName(Fault fault);

// A schedule to aim at: see sim/script.h.
enum class Aim : uint8_t { kNone, kEcho, kOvertake, kHandOver, kJoint };

struct Plan {
  uint64_t seed = 0;
  std::string profile;
  int voters = 3;
  int spares = 0;  // nodes that may be let in
  NodeOptions node;
  NetworkOptions network;
  WorkloadOptions workload;
  Aim aim = Aim::kNone;
  bool faults_from_birth = false;  // before the cluster has founded itself
  // A minority, when the majority is healed. The elections which that brings heal much by
  // themselves.
  bool leaves_out = true;
  SteadyTime fault_time = seconds(120);  // of the phase in which faults come and go
  // Mean time between two of a kind; absent: none.
  std::map<Fault, SteadyTime> faults;
};

// INVALID_ARGUMENT, with the list, if there is no such profile.
Result<Plan> MakePlan(uint64_t seed, const std::string& profile);

}  // namespace cairn::sim
