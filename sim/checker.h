// Checker: checks the invariants of a whole cluster after every event that could break one.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "raft/invariants.h"
#include "sim/node.h"
#include "sim/observer.h"
#include "sim/world.h"

namespace cairn::sim {

using Nodes = std::map<uint64_t, std::unique_ptr<Node>>;

// These checks come in addition to those of raft::ClusterInvariants:
//   durability   a node finds on its disk what it was told is durable, and beyond that only what
//                was handed to the disk later; votes, vote requests and acknowledgements leave only
//                after what they vouch for is durable
//   majorities   a leader has the durable votes of a majority, of both halves while membership
//                changes; what it commits is durable on a majority; a change of membership follows
//                one whose commitment is durable
//   own news     what a core takes for durable in its log is durable, and still in its log
//   one voter    a leader is not elected by a copy of a member, and does not commit by a copy's log
//   reads        a read index is not below the commit index at the time of the request; a stale
//                read of bounded age sees what was committed so long before the request
//   time         the time that SQL takes for now goes back in no committed entry
//   equality     two nodes that have applied up to the same index hold the same rows, except a node
//                whose database has rotten; that node is fenced, and no other is; it serves no
//                read until its database was replaced
class Checker final : public Observer {
 public:
  Checker(World* world, const Nodes* nodes) : world_(world), nodes_(nodes) {}

  // Calls `on_died` for each process that ended itself.
  void SetOnDied(std::function<void(uint64_t node)> on_died) { on_died_ = std::move(on_died); }
  // The node's disk was emptied.
  void Forget(uint64_t node);
  // The node runs from a copy of a member's data, or from data that were set back, until Forget.
  // Nothing it does counts: neither its votes for a leader, nor its log for what is committed.
  void OnCopy(uint64_t node) { copies_.insert(node); }
  // A row of the node's database has rotten.
  void OnRowRotten(uint64_t node) { rotten_rows_.insert(node); }
  // The nodes with a rotten row whose database was not replaced since.
  const std::set<uint64_t>& rotten_rows() const { return rotten_rows_; }
  // The node served a stale read at `index`. The node was asked for the read at time `asked`.
  void OnStaleRead(uint64_t node, SteadyTime asked, SteadyTime bound, LogIndex index);
  // The node runs a build of the engine that computes wrongly. Its database may hold wrong rows
  // until it is replaced.
  void OnWrongBuild(uint64_t node) { mistaken_.insert(node); }
  const std::set<uint64_t>& mistaken() const { return mistaken_; }
  // The node has the right build, and has agreed with the others since.
  void OnAgreed(uint64_t node) { mistaken_.erase(node); }
  // All nodes have the right build and have agreed. From now on all must be equal.
  void ExpectNoneMistaken() { mistaken_.clear(); }
  // Compares the node's rows with those that any other node held at the same index.
  void Compare(uint64_t node);

  void OnRecovered(uint64_t node, const node::StartState& start) override;
  void OnCoreStarted(uint64_t node, const raft::RaftCore& core) override;
  void OnCoreOutput(uint64_t node, const raft::RaftCore& core, const raft::Output& output) override;
  void OnCoreRestored(uint64_t node, const raft::RaftCore& core, LogIndex index) override;
  void OnDurable(uint64_t node, const std::vector<raft::Message>& send,
                 const std::vector<raft::AppendTicket>& tickets) override;
  void OnReadIndex(uint64_t node, LogIndex committed_when_asked, LogIndex index) override;
  void OnApplied(uint64_t node, LogIndex applied) override;
  void OnFenced(uint64_t node, const std::string& why) override;
  void OnReplacing(uint64_t node, LogIndex index) override {
    if (!copies_.contains(node)) disks_[node].replacing = index;
  }
  void OnReplaced(uint64_t node) override;
  void OnDied(uint64_t node, const std::string& why, bool may_be) override;

  LogIndex committed_last() const override { return invariants_.committed_last(); }
  uint64_t digests_compared() const { return digests_compared_; }
  uint64_t elections() const { return elections_; }
  // The number of nodes that detected rot in their rows by themselves and were rebuilt.
  uint64_t rebuilt() const { return rebuilt_; }

 private:
  // The parts of a log and its hard state that the checks need.
  struct Image {
    LogIndex snapshot_index;
    std::vector<Term> terms;  // after snapshot_index
    raft::HardState hard_state;
    LogIndex last() const { return snapshot_index + terms.size(); }
    // True if the log holds the entry, or a snapshot in its place.
    bool Holds(LogIndex index, Term term) const;
    bool Matches(const raft::InitialState& found) const;
  };
  // One batch that was handed to the disk.
  struct Handed {
    uint64_t sequence = 0;
    std::optional<raft::HardState> hard_state;
    std::optional<raft::SnapshotMeta> reset_to;
    std::optional<LogIndex> truncate_from;
    std::vector<Term> terms;
  };
  struct Disk {
    Image durable;
    std::deque<Handed> handed;  // not known to be durable
    raft::InitialState found;   // at the last start
    LogIndex digested;
    LogIndex replacing;  // the last snapshot that was to replace the database
    MemberId member;
    // The values at the last output.
    Term led;
    LogIndex commit;
  };

  void NoteCommits();
  static void Apply(const Handed& handed, Image* image);
  bool CompletesInstall(const Disk& disk, const node::StartState& start) const;
  void CheckVouched(uint64_t node, const Image& durable, const raft::Message& message);
  std::string Dump(uint64_t node) const;
  void NoteVote(const Disk& disk);
  void CheckElected(uint64_t node, const raft::CoreStatus& status);
  void CheckCommitted(uint64_t node, const raft::CoreStatus& status);
  void CheckChange(uint64_t node, const raft::CoreStatus& status, const raft::Persist& persist);
  void CheckDurable(uint64_t node, const raft::CoreStatus& status);
  void CheckTime(uint64_t node, const std::vector<raft::Entry>& committed);
  // True if `has` is true for a majority of the voters and for a majority of the outgoing voters.
  static bool Majority(const raft::Configuration& config, const std::function<bool(MemberId)>& has);
  void Fail(uint64_t node, const std::string& what);

  World* const world_;
  const Nodes* const nodes_;
  std::function<void(uint64_t)> on_died_;
  raft::ClusterInvariants invariants_;
  LogIndex time_index_;  // the last committed entry whose time was looked at
  int64_t time_ms_ = 0;  // the latest time up to there
  std::map<uint64_t, Disk> disks_;
  std::map<MemberId, uint64_t> lives_on_;               // its disk, as long as it is not lost
  std::map<Term, std::map<MemberId, MemberId>> votes_;  // that became durable, by who gave them
  std::map<LogIndex, std::pair<uint64_t, uint64_t>> digests_;  // with the node that came first
  // For a person who debugs a difference: CAIRN_SIM_DUMPS is set in the environment.
  const bool keep_dumps_ = std::getenv("CAIRN_SIM_DUMPS") != nullptr;
  std::map<LogIndex, std::string> dumps_;
  // The commit index of the cluster over time: since when it had which value.
  std::deque<std::pair<SteadyTime, LogIndex>> commits_;
  std::set<uint64_t> copies_;
  std::set<uint64_t> rotten_rows_;
  std::set<uint64_t> mistaken_;
  std::set<uint64_t> fenced_;
  uint64_t rebuilt_ = 0;
  uint64_t digests_compared_ = 0;
  uint64_t elections_ = 0;
  Term last_leader_term_;
};

}  // namespace cairn::sim
