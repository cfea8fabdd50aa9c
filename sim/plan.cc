#include "sim/plan.h"

#include <algorithm>

namespace cairn::sim {
namespace {

template <class T, size_t N>
T Pick(Rng& rng, const T (&choices)[N]) {
  return choices[rng.Below(N)];
}

// Draws which kinds of data there are, and the share of the load of each.
void DrawTasks(Rng& rng, TaskOptions* tasks) {
  tasks->read_share = Pick(rng, {0.2, 0.4, 0.6});
  int total = 0;
  for (int& weight : tasks->weights) total += weight = Pick(rng, {0, 0, 1, 2, 6});
  if (total == 0) tasks->weights[static_cast<size_t>(Family::kCounters)] = 1;
}

// Draws from a separate generator, so that the other draws of a seed do not depend on it.
void DrawIds(Plan* plan) {
  Rng rng = World(plan->seed).Fork("ids");
  plan->workload.bare = Pick(rng, {0.0, 0.1, 0.5});
  plan->workload.repeat_after_max = Pick(rng, {seconds(1), seconds(10), seconds(60)});
}

void DrawSettings(Rng& rng, Plan* plan) {
  node::ReplicaOptions& replica = plan->node.replica;
  replica.tick = Pick(rng, {milliseconds(10), milliseconds(20), milliseconds(50)});
  replica.election_ticks = Pick(rng, {10, 15, 15, 30});
  replica.heartbeat_ticks = Pick(rng, {2, 3, 3});
  replica.batch_commands_max = Pick(rng, {1, 8, 1024});
  replica.checkpoint_wal_bytes = Pick(rng, {64 << 10, 256 << 10, 1 << 20});
  replica.log_bytes_max = Pick(rng, {8 << 10, 64 << 10, 256 << 10, 1 << 20});
  plan->node.segment_bytes = Pick(rng, {16 << 10, 64 << 10, 256 << 10});
  plan->node.wake_mean = Pick(rng, {microseconds(5), microseconds(50), microseconds(500)});
  plan->node.sync_mean = Pick(rng, {microseconds(200), microseconds(2000), microseconds(10000)});
  plan->node.apply_mean = Pick(rng, {microseconds(100), microseconds(500), microseconds(5000)});
  plan->network.delay_min = Pick(rng, {microseconds(50), microseconds(500), microseconds(5000)});
  plan->network.delay_mean = Pick(rng, {microseconds(100), microseconds(1000), microseconds(5000)});
  plan->network.chunk_bytes = Pick(rng, {4 << 10, 16 << 10, 64 << 10});
  plan->workload.clients = static_cast<int>(rng.Between(2, 8));
  plan->workload.depth = Pick(rng, {1, 4, 8});
  plan->workload.tasks.keys = Pick(rng, {2, 8, 32});
  DrawTasks(rng, &plan->workload.tasks);
  plan->workload.think_mean =
      Pick(rng, {milliseconds(500), milliseconds(1000), milliseconds(2000)});
  plan->workload.stray = Pick(rng, {0.02, 0.1, 0.5});
  plan->workload.impatient = Pick(rng, {0.0, 0.1, 0.5});
  DrawIds(plan);
  replica.append_entries_max = Pick(rng, {1, 16, 4096});
}

// The mean interval of a fault that is on.
SteadyTime Interval(Rng& rng, Fault fault) {
  const SteadyTime often = Pick(rng, {seconds(4), seconds(15), seconds(40)});
  switch (fault) {
    case Fault::kBlackout:
    case Fault::kWipe:
    case Fault::kUpgrade:
    case Fault::kMembership: return 2 * often;
    default: return often;
  }
}

void DrawFaults(Rng& rng, double share, Plan* plan) {
  for (size_t i = 0; i < kFaults; ++i) {
    const auto fault = static_cast<Fault>(i);
    // These faults are drawn separately.
    if (fault >= Fault::kRowRot) continue;
    const bool on = Chance(rng, share);
    const SteadyTime interval = Interval(rng, fault);
    if (on) plan->faults[fault] = interval;
  }
}

// Draws from a separate generator, so that the other draws of a seed do not depend on it.
void DrawRowRot(Plan* plan) {
  Rng rng = World(plan->seed).Fork("row rot");
  const bool on = Chance(rng, 0.6);
  if (!on || plan->node.replica.digest_every == SteadyTime(0)) return;
  plan->faults[Fault::kRowRot] = Pick(rng, {seconds(2), seconds(8), seconds(20)});
  plan->workload.tasks.cold_rows = 20;
}

// Draws from a separate generator, for the same reason.
void DrawMoves(Plan* plan) {
  Rng rng = World(plan->seed).Fork("moves");
  for (const Fault fault : {Fault::kMove, Fault::kCopy, Fault::kSetBack}) {
    const bool on = Chance(rng, 0.2);
    const SteadyTime interval = Pick(rng, {seconds(8), seconds(20), seconds(40)});
    if (on) plan->faults[fault] = interval;
  }
}

// Requests are forgotten after a short time, and one client fills all the room that it gets.
void DrawForgetting(Rng& rng, Plan* plan) {
  plan->voters = Pick(rng, {1, 3, 3});
  plan->spares = 0;
  plan->fault_time = seconds(60);
  plan->workload.think_mean = milliseconds(200);
  plan->workload.bare = 0.3;
  plan->workload.remembered_for = seconds(20);
  // A bare id that is tried, or repeated, for longer than it is remembered would run again.
  plan->workload.operation_timeout = seconds(8);
  plan->workload.attempt_timeout = seconds(1);
  plan->workload.repeat_after_max = seconds(5);
  plan->workload.greedy_every = milliseconds(20);
  plan->node.replica.request_ttl_ms = 20'000;
  plan->node.request_room_divisor = 1024;
  plan->faults[Fault::kKill] = seconds(8);
  plan->faults[Fault::kTransferLead] = seconds(8);
  plan->faults[Fault::kLoss] = seconds(20);
}

// Commands near the budget, beyond it, and far below it, on nodes whose settings differ.
void SetHeavyWork(double share, Plan* plan) {
  plan->workload.tasks.heavy = share;
  plan->node.steps_max = {Tasks::kStepsMaxLow, (Tasks::kStepsMaxLow + Tasks::kStepsMaxHigh) / 2,
                          Tasks::kStepsMaxHigh};
}

// Draws from a separate generator, so that the other draws of a seed do not depend on it.
void DrawHeavyWork(Plan* plan) {
  Rng rng = World(plan->seed).Fork("heavy");
  if (Chance(rng, 0.1)) SetHeavyWork(0.02, plan);
}

// Draws from a separate generator, for the same reason.
void DrawSeries(Plan* plan) {
  Rng rng = World(plan->seed).Fork("series");
  if (Chance(rng, 0.2)) plan->workload.tasks.series = Pick(rng, {0.02, 0.05, 0.1});
  if (Chance(rng, 0.2)) plan->workload.tasks.vectors = Pick(rng, {0.02, 0.05, 0.1});
}

// Points, rollups and slices of retention, while leaders with other clocks come and go.
void SetSeries(Plan* plan) {
  plan->voters = 3;
  plan->spares = 0;
  plan->fault_time = seconds(150);
  plan->workload.think_mean = milliseconds(500);
  plan->workload.tasks.series = 0.5;
  plan->node.replica.digest_every = seconds(5);
  plan->faults[Fault::kTransferLead] = seconds(15);
  plan->faults[Fault::kJump] = seconds(20);
  plan->faults[Fault::kKill] = seconds(20);
  plan->faults[Fault::kWipe] = seconds(60);
}

// Time series and vectors while nodes lose power within a write, are rebuilt from snapshots, and find no
// room or a failing disk.
void SetPlatform(Rng& rng, Plan* plan) {
  plan->voters = Pick(rng, {1, 3, 3, 3});
  plan->spares = 0;
  plan->fault_time = seconds(120);
  plan->workload.think_mean = milliseconds(300);
  plan->workload.tasks.series = 0.4;
  plan->workload.tasks.vectors = 0.3;
  plan->node.replica.digest_every = seconds(5);
  plan->node.replica.log_bytes_max = Pick(rng, {16 << 10, 64 << 10, 1 << 20});
  plan->faults[Fault::kKill] = seconds(10);
  plan->faults[Fault::kPowerCut] = seconds(10);
  plan->faults[Fault::kCutInWrite] = seconds(3);
  plan->faults[Fault::kTransferLead] = seconds(20);
  plan->faults[Fault::kPartition] = seconds(20);
  plan->faults[Fault::kJump] = seconds(20);
  plan->faults[Fault::kFailedSync] = seconds(40);
  plan->faults[Fault::kFailedRead] = seconds(40);
  plan->faults[Fault::kDiskFull] = seconds(40);
  if (plan->voters > 1) plan->faults[Fault::kWipe] = seconds(40);
}

// The running cluster is set back to backups of it, while nodes end, lose power and get snapshots.
void SetRestores(Rng& rng, Plan* plan) {
  plan->restore_every = seconds(6);
  plan->workload.is_restored = plan->workload.tasks.is_restored = true;
  // Draws from a separate generator, so that the other draws of a seed do not depend on it.
  Rng data = World(plan->seed).Fork("series");
  plan->workload.tasks.series = Pick(data, {0.0, 0.1, 0.3});
  plan->workload.tasks.vectors = Pick(data, {0.0, 0.1, 0.3});
  plan->voters = Pick(rng, {1, 3, 3, 3});
  plan->spares = 0;
  plan->fault_time = seconds(120);
  plan->workload.think_mean = milliseconds(300);
  plan->workload.operation_timeout = seconds(8);
  // Restores break two-phase transactions and sessions in the middle, as they must.
  plan->workload.impatient = 0.5;
  plan->node.replica.digest_every = seconds(5);
  plan->node.replica.log_bytes_max = Pick(rng, {64 << 10, 1 << 20});
  plan->faults[Fault::kKill] = seconds(10);
  plan->faults[Fault::kPowerCut] = seconds(15);
  plan->faults[Fault::kCutInWrite] = seconds(3);
  plan->faults[Fault::kTransferLead] = seconds(20);
  plan->faults[Fault::kPartition] = seconds(30);
  plan->faults[Fault::kFailedSync] = seconds(40);
  plan->faults[Fault::kFailedRead] = seconds(40);
  plan->faults[Fault::kDiskFull] = seconds(40);
  if (plan->voters > 1) plan->faults[Fault::kWipe] = seconds(60);
}

void SetHeavy(Plan* plan) {
  plan->voters = 3;
  plan->spares = 0;
  plan->fault_time = seconds(40);
  plan->workload.think_mean = milliseconds(300);
  SetHeavyWork(0.1, plan);
  plan->node.replica.digest_every = seconds(5);
  plan->faults[Fault::kTransferLead] = seconds(4);
  plan->faults[Fault::kKill] = seconds(15);
}

// Machines pause or sleep while others write, to test reads of bounded staleness.
void SetPauses(Rng& rng, Plan* plan) {
  plan->voters = Pick(rng, {3, 3, 5});
  plan->spares = 0;
  plan->fault_time = seconds(60);
  plan->workload.think_mean = milliseconds(200);
  plan->faults[Fault::kPause] = seconds(4);
  plan->faults[Fault::kSuspend] = seconds(4);
  plan->faults[Fault::kPartition] = seconds(8);
  plan->faults[Fault::kPartial] = seconds(8);
  plan->faults[Fault::kDrift] = seconds(15);
}

// Versions come and go, and a node with a wrong version leads at times. With `levels`, only the feature
// level changes, and nodes are let in and removed beside each raise.
void SetUpgrades(bool levels, Plan* plan) {
  plan->hasty_upgrades = true;
  plan->voters = 3;
  plan->spares = 0;
  plan->fault_time = seconds(90);
  plan->workload.think_mean = milliseconds(100);
  plan->faults[Fault::kUpgrade] = seconds(5);
  plan->faults[Fault::kTransferLead] = seconds(3);
  plan->faults[Fault::kPartial] = seconds(20);
  if (!levels) return;
  plan->levels = true;
  plan->spares = 2;
}

bool SetLoad(const std::string& profile, Rng& rng, Plan* plan) {
  if (profile == "heavy") {
    SetHeavy(plan);
  } else if (profile == "series") {
    SetSeries(plan);
  } else if (profile == "platform") {
    SetPlatform(rng, plan);
  } else if (profile == "restores") {
    SetRestores(rng, plan);
  } else {
    return false;
  }
  return true;
}

// Draws few random faults, so that the schedule reaches its end, and short times between its steps.
bool DrawAim(const std::string& profile, Rng& rng, Plan* plan) {
  static const std::map<std::string, Aim> kAims = {{"echo", Aim::kEcho},
                                                   {"overtake", Aim::kOvertake},
                                                   {"handover", Aim::kHandOver},
                                                   {"joint", Aim::kJoint},
                                                   {"relay", Aim::kRelay}};
  const auto aim = kAims.find(profile);
  if (aim == kAims.end()) return false;
  plan->aim = aim->second;
  plan->voters = Pick(rng, {3, 3, 5});
  plan->spares = 0;
  plan->node.replica.tick = Pick(rng, {milliseconds(10), milliseconds(20)});
  plan->node.replica.election_ticks = Pick(rng, {10, 15});
  plan->network.delay_min = microseconds(100);
  plan->network.delay_mean = Pick(rng, {microseconds(200), microseconds(1000)});
  plan->fault_time = seconds(40);
  plan->workload.clients = 4;
  plan->workload.think_mean = milliseconds(100);
  plan->workload.depth = 16;
  plan->leaves_out = plan->aim != Aim::kHandOver;
  if (plan->aim == Aim::kOvertake) {
    plan->workload.clients = 8;
    plan->workload.think_mean = milliseconds(50);
    plan->node.replica.log_bytes_max = Pick(rng, {2 << 10, 1 << 20});
    plan->node.replica.checkpoint_wal_bytes = 4 << 10;
    plan->workload.impatient = 0.5;
  }
  if (plan->aim == Aim::kRelay) {
    // Nobody but the link fails. So nodes answer all writes within the wait for a leader.
    plan->workload.forwards = true;
    plan->workload.write_within = seconds(3);
    plan->workload.attempt_timeout = seconds(10);
    plan->workload.stray = 0.8;
    plan->leaves_out = false;
  }
  if (plan->aim == Aim::kJoint) {
    // From four voters to three: the only step in which the two majorities differ in size.
    plan->voters = 4;
    plan->node.sync_mean = milliseconds(10);  // so that the change takes some time
    plan->fault_time = seconds(120);
    plan->faults[Fault::kMembership] = seconds(2);
    plan->faults[Fault::kWipe] = seconds(15);
    plan->workload.think_mean = milliseconds(500);
  }
  return true;
}

}  // namespace

const char* FaultName(Fault fault) {
  static constexpr const char* kNames[kFaults] = {
      "loss",     "duplicate",   "reorder",       "slow",       "partition", "one_way",
      "partial",  "clog",        "transfer",      "kill",       "power_cut", "cut_in_write",
      "blackout", "failed_sync", "stall",         "slow_disk",  "disk_full", "pause",
      "wipe",     "stop",        "transfer_lead", "membership", "drift",     "jump",
      "rot",      "failed_read", "upgrade",       "row_rot",    "suspend",   "move",
      "copy",     "set_back"};
  return kNames[static_cast<size_t>(fault)];
}

Result<Plan> MakePlan(uint64_t seed, const std::string& profile) {
  Plan plan;
  plan.seed = seed;
  plan.profile = profile;
  Rng rng = World(seed).Fork("plan");
  plan.voters = Pick(rng, {1, 3, 3, 3, 5, 5});
  plan.spares = static_cast<int>(rng.Below(3));
  DrawSettings(rng, &plan);
  plan.node.replica.digest_every = seed % 4 == 0 ? seconds(5) : seconds(0);
  if (profile == "swarm") {
    plan.fault_time = Uniform(rng, seconds(150), seconds(480));
    DrawFaults(rng, 0.2, &plan);
  } else if (profile == "short") {
    plan.fault_time = seconds(40);
    plan.workload.think_mean = milliseconds(300);
    DrawFaults(rng, 0.25, &plan);
  } else if (profile == "crash") {
    plan.voters = 3;
    plan.spares = 0;
    plan.node.segment_bytes = 4 << 10;
    plan.node.replica.log_bytes_max = Pick(rng, {4 << 10, 64 << 10});
    plan.node.replica.checkpoint_wal_bytes = 16 << 10;
    plan.workload.think_mean = milliseconds(200);
    plan.faults[Fault::kKill] = seconds(8);
    plan.faults[Fault::kPowerCut] = seconds(8);
    plan.faults[Fault::kCutInWrite] = seconds(1);
  } else if (profile == "members") {
    DrawFaults(rng, 0.2, &plan);
    plan.voters = Pick(rng, {3, 3, 5});
    plan.spares = 2;
    plan.faults[Fault::kMembership] = seconds(6);
    plan.faults[Fault::kPartition] = seconds(8);
    plan.faults[Fault::kPartial] = seconds(8);
    plan.faults[Fault::kTransferLead] = seconds(15);
  } else if (profile == "lag") {
    // Nodes fall behind a short log, so that snapshots are sent all the time.
    DrawFaults(rng, 0.15, &plan);
    plan.voters = Pick(rng, {3, 3, 5});
    plan.node.replica.log_bytes_max = 4 << 10;
    plan.node.replica.checkpoint_wal_bytes = 16 << 10;
    plan.network.chunk_bytes = 4 << 10;
    plan.workload.think_mean = milliseconds(200);
    plan.faults[Fault::kTransfer] = seconds(4);
    plan.faults[Fault::kPartition] = seconds(8);
    plan.faults[Fault::kPowerCut] = seconds(15);
    plan.faults[Fault::kWipe] = seconds(30);
  } else if (profile == "pause") {
    SetPauses(rng, &plan);
  } else if (profile == "full") {
    // There is no reserve, so that it is the log that finds no room.
    plan.voters = 3;
    plan.node.segment_bytes = 4 << 10;
    plan.node.replica.free_bytes_min = 0;
    plan.workload.think_mean = milliseconds(200);
    plan.faults[Fault::kDiskFull] = seconds(2);
    plan.faults[Fault::kKill] = seconds(15);
  } else if (profile == "churn") {
    plan.voters = 3;
    plan.spares = 3;
    plan.node.sync_mean = milliseconds(10);
    plan.faults[Fault::kMembership] = milliseconds(300);
    plan.faults[Fault::kPartition] = seconds(15);
  } else if (profile == "sessions") {
    DrawForgetting(rng, &plan);
  } else if (profile == "upgrades" || profile == "levels") {
    SetUpgrades(profile == "levels", &plan);
  } else if (profile == "birth") {
    plan.voters = Pick(rng, {1, 3, 3});
    plan.spares = 0;
    plan.faults_from_birth = true;
    plan.fault_time = seconds(10);
    plan.faults[Fault::kFailedSync] = milliseconds(300);
    plan.faults[Fault::kPowerCut] = milliseconds(700);
  } else if (profile == "moves") {
    DrawFaults(rng, 0.1, &plan);
    plan.voters = Pick(rng, {3, 3, 5});
    plan.workload.think_mean = milliseconds(300);
    plan.faults[Fault::kMove] = seconds(10);
    plan.faults[Fault::kCopy] = seconds(10);
    plan.faults[Fault::kSetBack] = seconds(10);
    plan.faults[Fault::kPartition] = seconds(20);
    plan.faults[Fault::kKill] = seconds(15);
  } else if (profile == "storm") {
    plan.fault_time = seconds(240);
    DrawFaults(rng, 0.7, &plan);
  } else if (profile == "calm") {
    plan.fault_time = seconds(60);
    // Followers and a node that is left out at the end refuse a client that never asks twice.
    plan.workload.impatient = 0;
  } else if (!SetLoad(profile, rng, &plan) && !DrawAim(profile, rng, &plan)) {
    return InvalidArgument(
        "no profile " + profile +
        "; there are: swarm, short, crash, members, lag, storm, calm, birth, "
        "churn, full, pause, moves, upgrades, levels, sessions, heavy, series, platform, restores, "
        "echo, overtake, handover, joint, relay, mix");
  }
  if (profile == "swarm" || profile == "short" || profile == "members" || profile == "lag" ||
      profile == "storm") {
    DrawRowRot(&plan);
    DrawMoves(&plan);
    DrawHeavyWork(&plan);
    DrawSeries(&plan);
  }
  return plan;
}

}  // namespace cairn::sim
