// TestCluster: cores with modelled disks, state machines and network, all in one thread. Nothing
// moves by itself: the test (or the scenario runner) decides which message is delivered, which
// write becomes durable, and which batch is applied. TestCluster checks every output against the
// invariants of the cluster.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "raft/core.h"
#include "raft/invariants.h"

namespace cairn::raft {

// A configuration of voters (and learners) with made-up addresses.
Configuration MakeConfig(const std::set<uint64_t>& voters, const std::set<uint64_t>& learners = {});
inline Payload MakePayload(std::string bytes) {
  return std::make_shared<const std::string>(std::move(bytes));
}

class TestCluster {
 public:
  struct LogImage {
    HardState hard_state;
    LogIndex snapshot_index;
    Term snapshot_term;
    std::vector<Entry> entries;
    LogIndex last() const { return snapshot_index + entries.size(); }
  };
  struct MachineImage {
    LogIndex index;
    Term term;
    Configuration config;
    LogIndex config_index;
    uint64_t digest = 0;
  };
  struct Node {
    std::unique_ptr<Rng> rng;
    std::unique_ptr<RaftCore> core;  // null: crashed
    LogImage disk;
    std::deque<Persist> writes;  // handed out and not yet durable
    MachineImage machine;
    MachineImage machine_durable;
    std::deque<CommittedBatch> batches;
    std::deque<Fetch> fetches;
    std::optional<MachineImage> incoming;  // verified snapshot that waits for the reset to be
                                           // durable
    std::vector<SendSnapshot> snapshots_wanted;
    // The leader that offered a snapshot, and the image that the snapshot stream would bring.
    std::optional<std::pair<MemberId, MachineImage>> offered;
    std::map<uint64_t, LogIndex> reads_waiting;  // read id -> least index that may be granted
    std::map<uint64_t, LogIndex> reads_granted;
    std::map<uint64_t, DropReason> dropped;
    std::map<uint64_t, LogIndex> accepted;
  };

  TestCluster(Options base, uint64_t seed) : base_(base), rng_(seed) {}

  // Adds a node whose disk holds nothing but `founding` (empty: the node waits to be admitted).
  void AddNode(MemberId id, const Configuration& founding);
  // Adds a node whose log already holds `disk`.
  void AddNode(MemberId id, const Configuration& founding, LogImage disk);
  Node& node(MemberId id) { return nodes_.at(id); }
  std::map<MemberId, Node>& nodes() { return nodes_; }
  bool alive(MemberId id) { return nodes_.contains(id) && node(id).core != nullptr; }
  // The live leader of the highest term; none if no live node leads.
  MemberId leader();

  // Steps the core, takes the output and sorts the output into the queues.
  void Step(MemberId id, Input input);
  void Read(MemberId id, uint64_t read_id);
  void Propose(MemberId id, uint64_t proposal_id, std::string payload);

  // The network: messages in the order in which they were sent.
  std::deque<Message>& network() { return network_; }
  void Deliver(Message message);
  // Makes the oldest `count` writes durable and sends the messages that waited for them. With
  // `one_report`, the cluster reports only the last write, as one sync for all writes would.
  void SyncDisk(MemberId id, size_t count, bool one_report = true);
  void ApplyBatch(MemberId id);
  void AnswerFetch(MemberId id);
  void Checkpoint(MemberId id) { node(id).machine_durable = node(id).machine; }
  // Compacts the log and the core up to `index`, or up to what the state machine holds durably.
  void CompactTo(MemberId id, LogIndex index);

  // Snapshots: the snapshot that the leader wants to send is offered, then received or broken off.
  bool OfferSnapshot(MemberId from);
  void ReceiveSnapshot(MemberId id);
  void FailSnapshot(MemberId id);

  // The state machine failed and was reopened: entries that it did not hold durably must be applied
  // again.
  void ReopenMachine(MemberId id);
  // The state machine failed and was replaced by a copy of another node's state machine.
  void ReplaceMachine(MemberId id, MemberId donor);

  // Power cut: the oldest `writes_kept` writes reached the disk, though the core was not told so.
  void Crash(MemberId id, size_t writes_kept);
  void Restart(MemberId id);

  // Empties all queues and delivers messages in order, until nothing is left or `rounds` rounds are
  // over. Messages on the links in `blocked` are lost.
  void Stabilize(const std::set<std::pair<MemberId, MemberId>>& blocked = {}, int rounds = 10000);
  // True if every member of the leader's configuration holds, commits and has applied the whole
  // log.
  bool Converged();
  // Restarts all nodes, then ticks and stabilizes until the cluster has converged; false if it does
  // not converge.
  bool Heal(int ticks_max);

  // The first breach of an invariant; empty if there is none so far.
  const std::string& breach() const { return breach_; }
  ClusterInvariants& invariants() { return invariants_; }

 private:
  void Start(MemberId id);
  void CompleteInstall(Node* node);
  void Collect(MemberId id);
  void TakeOutputOf(MemberId id);
  void WriteToDisk(Node* node, const Persist& persist);
  void Check(const std::optional<std::string>& breach);

  const Options base_;
  Rng rng_;
  std::map<MemberId, Node> nodes_;
  std::deque<Message> network_;
  // Snapshot images in transit, by receiver and index: an offer finds its bytes here.
  std::map<std::pair<MemberId, LogIndex>, MachineImage> images_;
  std::map<LogIndex, uint64_t> digests_;
  ClusterInvariants invariants_;
  std::string breach_;
};

}  // namespace cairn::raft
