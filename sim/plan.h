// Plan: everything that a seed draws before it begins: the cluster, its settings, load and faults.
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
  kClog,        // links that hold all messages back, then release them
  kTransfer,    // snapshots break off or lose a bit in transit
  kKill,        // of a process: what was not synced stays
  kPowerCut,    // what was not synced is lost, in any subset of sectors, or torn
  kCutInWrite,  // the same, in the middle of what the disk is doing
  kBlackout,    // power cut of all nodes at once
  kFailedSync,  // a write or sync fails, and its data are never stored
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
  kRot,           // a bit flips in data that has been on a disk for a while
  kFailedRead,    // a read of the disk fails
  kUpgrade,       // nodes get another version of messages or engine, one after the other
  kRowRot,        // a bit flips in a stored row of a database; only where there are digests
  kSuspend,       // the machine sleeps: a pause, and its steady clock stops
  kMove,          // a node, or all, come back at another address
  kCopy,          // a second process runs from a copy of a node's data
  kSetBack,       // a node's data are set back to what they were at an earlier start
  kCount,
};
inline constexpr size_t kFaults = static_cast<size_t>(Fault::kCount);
const char* FaultName(Fault fault);

// The schedule that a script aims at: see sim/script.h.
enum class Aim : uint8_t { kNone, kEcho, kOvertake, kHandOver, kJoint, kRelay };

struct Plan {
  uint64_t seed = 0;
  std::string profile;
  int voters = 3;
  int spares = 0;  // nodes that may be admitted
  NodeOptions node;
  NetworkOptions network;
  WorkloadOptions workload;
  Aim aim = Aim::kNone;
  bool faults_from_birth = false;  // faults begin before the cluster has founded itself
  // Leaves a minority broken when the majority is healed. The elections that this causes heal much
  // by themselves.
  bool leaves_out = true;
  // Operators hurry: they hand leadership to a wrong build, ask for a level before all nodes are
  // upgraded, and set a node back to the old version while the level rises.
  bool hasty_upgrades = false;
  // Only feature levels change, and the membership changes beside each raise.
  bool levels = false;
  // Mean time between two restores of the running cluster; 0: there are none. They undo what clients
  // did, so their histories are not judged.
  SteadyTime restore_every{0};
  SteadyTime fault_time = seconds(120);  // duration of the phase with faults
  // Mean time between two faults of a kind. An absent kind never comes.
  std::map<Fault, SteadyTime> faults;
};

// Returns INVALID_ARGUMENT, with the list of profiles, if there is no such profile.
Result<Plan> MakePlan(uint64_t seed, const std::string& profile);

}  // namespace cairn::sim
