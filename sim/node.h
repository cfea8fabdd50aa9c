// Node: a machine of the simulated cluster. It has a disk, clocks, and a process while one runs.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/fault_file_system.h"
#include "base/result.h"
#include "node/replica.h"
#include "sim/network.h"
#include "sim/observer.h"
#include "sim/sim_clock.h"
#include "sim/world.h"
#include "state_machine/feature_level.h"

namespace cairn::sim {

class Process;

struct NodeOptions {
  node::ReplicaOptions replica;
  uint64_t segment_bytes = 256 << 10;
  uint64_t request_room_divisor = 1;  // see SqliteOptions
  // The request_steps_max of the nodes, in turn by their ids; all zero: the default. They differ,
  // so that a result shows which node's setting decided it.
  std::array<uint64_t, 3> steps_max{};
  // Delays of the core between an event and its effects, of the disk, and of SQLite.
  SteadyTime wake_mean = microseconds(20);
  SteadyTime sync_mean = milliseconds(1);
  SteadyTime apply_mean = microseconds(200);
};

// The version of the program. Nodes talk only to nodes with the same protocol. Builds of the engine
// may differ, and so may the highest feature level.
struct Version {
  uint32_t protocol = 1;
  uint32_t engine = 1;
  uint64_t level_max = state_machine::kLevelHighest;
  bool miscounts = false;  // its engine is a MiscountingEngine
  bool operator==(const Version&) const = default;
};

class Node {
 public:
  Node(World* world, Network* network, Observer* observer, uint64_t id, NodeOptions options);
  ~Node();

  uint64_t id() const { return id_; }
  const NodeOptions& options() const { return options_; }
  const std::string& address() const { return options_.replica.address; }
  Process* process() { return process_.get(); }
  // The process, if it still has this incarnation.
  Process* process(uint64_t incarnation);
  bool running() const { return process_ != nullptr; }
  SimClock& clock() { return clock_; }
  FaultFileSystem& disk() { return *disk_; }
  Rng& rng() { return rng_; }

  // The version that runs or ran last. An installed version runs from the next start on.
  const Version& version() const { return version_; }
  void Install(const Version& version) { installed_ = version; }

  // Starts a process. An error says why the process could not start; the node then stays down.
  Status Start();
  // The process ends at once. The disk chooses which of its unsynced writes stay.
  enum class End { kKill, kPowerCut, kPowerCutTorn, kPowerCutDropAll };
  void Stop(End end);
  // Empties the disk of a node that does not run. From now on the operator lists `listed_peers`.
  // (If the operator kept the list of the founding, a few founders that were removed and given back
  // empty could found another cluster under the names of the first.)
  void Wipe(const std::map<uint64_t, std::string>& listed_peers);
  // Moves a node that does not run. From its next start on it is reached at `address`.
  void MoveTo(const std::string& address) { options_.replica.address = address; }
  // Sets the peers that the operator of a node that does not run lists.
  void SetListedPeers(const std::map<uint64_t, std::string>& peers) {
    options_.replica.listed_peers = peers;
  }
  // For a node that does not run: copies all its files, or replaces them.
  std::unique_ptr<FaultFileSystem> CopyDisk() { return disk_->Copy(rng_.Next()); }
  void ReplaceDisk(std::unique_ptr<FaultFileSystem> disk) { disk_ = std::move(disk); }
  // The member id that the node last reported; none since its disk was emptied.
  MemberId member() const;
  // True if the log holds an uncommitted configuration, or, on a node that is down, may hold one.
  bool config_in_progress() const;
  void Pause(SteadyTime until) {
    paused_until_ = until;
    clock_.Suspend(world_->now());
  }
  // The whole machine sleeps, and its steady clock stops.
  void Suspend(SteadyTime until) {
    Pause(until);
    clock_.Suspend(until);
  }
  SteadyTime paused_until() const { return paused_until_; }
  // No write or sync ends before `until`.
  void StallDisk(SteadyTime until) { disk_stalled_until_ = until; }
  SteadyTime disk_stalled_until() const { return disk_stalled_until_; }
  double slow_disk = 1;  // factor on all durations of the disk

  std::string database_path() const { return data_directory() + "/master.db"; }
  std::string snapshot_directory() const { return data_directory() + "/snapshot"; }
  std::string data_directory() const { return options_.replica.data_directory; }

  uint64_t starts() const { return starts_; }

 private:
  World* const world_;
  Network* const network_;
  Observer* const observer_;
  const uint64_t id_;
  NodeOptions options_;
  Rng rng_;
  SimClock clock_;
  std::unique_ptr<FaultFileSystem> disk_;
  std::unique_ptr<Process> process_;
  uint64_t starts_ = 0;
  Version version_;
  Version installed_;
  MemberId last_member_;
  bool last_config_in_progress_ = false;  // of the previous process
  SteadyTime paused_until_{0};
  SteadyTime disk_stalled_until_{0};
};

}  // namespace cairn::sim
