// RaftCore::Impl: the state of the core. Its functions are split over files by conversation:
//   core.cc              dispatch of inputs, making of outputs, status
//   core_election.cc     terms, roles, pre-votes, votes, ticks, check-quorum
//   core_replication.cc  appends, acknowledgements, heartbeats, commitment
//   core_reads.cc        read barriers on leader and follower
//   core_membership.cc   changes of configuration
//   core_snapshot.cc     snapshots and compaction
//   core_transfer.cc     handing leadership over
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/rng.h"
#include "raft/byte_window.h"
#include "raft/configuration.h"
#include "raft/core.h"
#include "raft/progress.h"
#include "raft/quorum.h"
#include "raft/raft_log.h"
#include "raft/types.h"

namespace cairn::raft {

// Who waits for a read index: a local barrier (`from` none, `id` the owner's) or a follower's
// request
// (`id` is its context).
struct Reader {
  MemberId from;
  uint64_t id = 0;
};

struct ReadRound {
  ReadId id;
  LogIndex index;  // the commit index when the round began
  std::vector<Reader> readers;
};

// What a leader keeps of one other member.
struct Peer {
  explicit Peer(LogIndex next) : progress(next) {}

  Progress progress;
  uint64_t silent_ticks = 0;  // since it was last heard from, or since it became a peer
  bool nudge = false;         // the next heartbeat reply should look for lost appends
  LogIndex commit_sent;       // commit index it was told, as far as nothing was lost
  ReadId read_acked;          // highest read round it confirmed
  uint64_t fetch_id = 0;      // the fetch under way for it; 0: none
  Fitness fitness;            // as it told last
};

// Data that exists only in a role. A follower cannot touch a leader's data by mistake, and none of
// it survives the role.
struct Follower {};
struct PreCandidate {
  std::map<MemberId, bool> votes;
};
struct Candidate {
  std::map<MemberId, bool> votes;
  // Its own vote counts once the batch with this sequence, which holds it, is durable.
  uint64_t vote_sequence = 0;
};
struct Leader {
  LogIndex term_start;  // index of its first entry
  // The last configuration of whose commitment the followers were told by an entry, and that entry.
  LogIndex told_config;
  LogIndex told_by;
  std::map<MemberId, Peer> peers;
  ByteWindow uncommitted;
  uint64_t heartbeat_elapsed = 0;
  // Reads: waiting for a round, and rounds under way, oldest first.
  std::deque<Reader> read_queue;
  std::deque<ReadRound> read_rounds;
  size_t readers = 0;  // in both
  ReadId last_read_id;
  // The voter that confirmed a round first since the last heartbeat to all; none: nobody yet.
  MemberId read_witness;
  // Transfer of leadership; none: none under way.
  MemberId transfer_target;
  uint64_t transfer_elapsed = 0;
  bool timeout_now_sent = false;  // since the last heartbeat
};

// Read barriers of a node that is not the leader. A barrier joins one request and stays with it; a
// request that is not answered is sent again under the same context. Contexts begin at a random
// number, so that an answer to a request from before a restart matches nothing.
struct FollowerReads {
  std::vector<uint64_t> unsent;
  std::map<uint64_t, std::vector<uint64_t>> asked;  // by context
  uint64_t last_context = 0;
  MemberId asked_leader;
  Term asked_term;
  uint64_t elapsed = 0;  // ticks since a request was last sent again
  size_t count = 0;      // barriers in both
};

class RaftCore::Impl {
 public:
  Impl(Options options, InitialState initial, Rng* rng);

  void Step(Input input);
  bool HasOutput() const { return dirty_; }
  Output TakeOutput();
  CoreStatus Status() const;
  Role role() const { return static_cast<Role>(role_.index()); }
  Term term() const { return term_; }
  MemberId leader() const { return leader_; }
  LogIndex last() const { return log_.last(); }
  LogIndex commit() const { return commit_; }
  const Configuration& config() const { return configs_.InForce(commit_).config; }
  bool leader_ready() const { return leader_role() != nullptr && IsReady(*leader_role()); }
  bool HoldsBackCommitted() const { return handed_ < commit_; }
  bool CommitUntold() const;  // core_replication.cc

 private:
  // ---- core.cc
  void On(Tick);
  void On(Received received);
  void On(Propose propose);
  void On(const ProposeConfig& propose);
  void On(ReadBarrier barrier);
  void On(Persisted persisted);
  void On(Applied applied);
  void On(Fetched fetched);
  void On(TransferLeader transfer);
  void On(const SnapshotReady& ready);
  void On(SnapshotFailed);
  void On(SnapshotSent sent);
  void On(Unreachable unreachable);
  void On(PeerGone gone);
  void On(Compact compact);
  void On(TellCommit);
  void On(const Restored& restored);
  void On(Fitness fitness) { fitness_ = fitness; }
  void On(StepDown step_down);

  Leader* leader_role() { return std::get_if<Leader>(&role_); }
  const Leader* leader_role() const { return std::get_if<Leader>(&role_); }
  bool IsSelf(MemberId id) const { return id == options_.self; }
  void SendNow(MemberId to, MessageBody body) { SendNowAt(term_, to, std::move(body)); }
  void SendNowAt(Term term, MemberId to, MessageBody body);
  // With the persist that the next output holds.
  void SendAfter(MemberId to, MessageBody body);
  void Drop(uint64_t id, DropReason reason, std::string detail);
  std::string WhereIsTheLeader() const;
  void HandOutCommitted();
  void BuildPersist();
  void LeaderWork(Leader& leader);

  // ---- core_election.cc
  // False: the message was dealt with because of its term alone.
  bool PassesTermCheck(const Message& message);
  void AnswerOldTerm(const Message& message);
  void BecomeFollower(Term term, MemberId leader);
  void BecomeLeader();
  void ResetElectionTimer();
  // A leader whose process is gone, and that misses a heartbeat, is none any more.
  void ForgetLostLeader();
  bool MayCampaign() const;
  // A leader was heard of less than the shortest election timeout ago.
  bool HoldsToLeader() const;
  // Is a log that ends so good enough for this node's vote?
  bool MayElect(LogIndex last, Term last_term) const;
  void StartPreVote();
  void Campaign(bool transfer);
  void TickLeader(Leader& leader);
  void TickOthers();
  bool QuorumIsActive(const Leader& leader) const;
  void OnLeaderHeard(MemberId from);
  void Handle(const Message& m, const PreVoteRequest& request);
  void Handle(const Message& m, const PreVoteReply& reply);
  void Handle(const Message& m, const VoteRequest& request);
  void Handle(const Message& m, const VoteReply& reply);
  void CountOwnVote(uint64_t durable_sequence);
  void CountElection(Candidate& candidate);

  // ---- core_replication.cc
  void AppendAsLeader(EntryType type, Payload payload);
  void SendAppends(MemberId id, Peer& peer);
  // False: no entries can go now (fetched first, or a snapshot is needed).
  bool SendOneAppend(MemberId id, Peer& peer);
  void SendAppendOf(MemberId id, Peer& peer, std::vector<Entry> entries);
  void FetchFor(MemberId id, Peer& peer);
  void SendHeartbeat(const Leader& leader, MemberId id, Peer& peer);
  bool CommitUntold(const Peer& peer) const;
  void Handle(const Message& m, AppendRequest& request);
  void AcceptEntries(AppendRequest& request);
  void Handle(const Message& m, const AppendReply& reply);
  void Handle(const Message& m, const Heartbeat& heartbeat);
  void Handle(const Message& m, const HeartbeatReply& reply);
  void CommitAsLeader();
  void CommitTo(LogIndex index);
  bool IsReady(const Leader& leader) const { return commit_ >= leader.term_start; }

  // ---- core_reads.cc
  void AddReader(Leader& leader, Reader reader);
  void StartReadRounds(Leader& leader);
  void AskForRound(Leader& leader);
  void GrantTo(Leader& leader, MemberId to, uint64_t context, LogIndex index);
  bool IsQuorumWith(MemberId other) const;
  void FinishReadRounds(Leader& leader);
  void FailReads(Leader& leader);
  void AdoptOwnReads(Leader& leader);
  void AskForReads();
  void SendReadRequest(uint64_t context);
  void TickReads();
  void Handle(const Message& m, const ReadIndexRequest& request);
  void Handle(const Message& m, const ReadIndexReply& reply);
  void Handle(const Message& /*m*/, const DigestReport& /*report*/) {}
  void Handle(const Message& /*m*/, const DigestVerdict& /*verdict*/) {}
  void Handle(const Message& /*m*/, const ResultReport& /*report*/) {}
  void Handle(const Message& /*m*/, const ResultVerdict& /*verdict*/) {}

  // ---- core_membership.cc
  void NoteConfigEntry(const Entry& entry);
  // Commits what the order of configurations in the log proves to be committed.
  void CommitEarlierConfig();
  void EnterConfigAsLeader(Leader& leader);
  void TellConfig(Leader& leader);
  void LeaveJointIfCommitted(Leader& leader);
  bool ConfigInProgress() const;

  // ---- core_snapshot.cc
  void SendSnapshotTo(MemberId id, Peer& peer);
  // True if the log makes the snapshot needless; commits up to it if that is news.
  bool CoveredByLog(const SnapshotMeta& meta);
  void ResetToSnapshot(const SnapshotMeta& meta);
  // Forgets what is on its way to the state machine.
  void DropApplying();
  void Handle(const Message& m, const SnapshotOffer& offer);

  // ---- core_transfer.cc
  void SendTimeoutNow(Leader& leader);
  MemberId BestVoter(const Leader& leader) const;
  void TickTransfer(Leader& leader, bool heartbeat);
  void ResignAsRemoved(Leader& leader);
  void AskToTakeOver(const Leader& leader);
  void Handle(const Message& m, const TimeoutNow& timeout);

  const Options options_;
  Rng* const rng_;

  Term term_;
  MemberId vote_;
  MemberId leader_;
  LogIndex commit_;
  Term commit_heard_in_;  // the term of this node when `commit_` last advanced; or it is later
  LogIndex handed_;       // handed out in `committed`
  LogIndex applied_;
  RaftLog log_;
  ConfigurationLog configs_;
  std::variant<Follower, PreCandidate, Candidate, Leader> role_;  // in the order of Role

  uint64_t election_elapsed_ = 0;
  uint64_t election_timeout_ = 0;
  uint64_t quiet_ticks_ = 0;
  // Short election timeouts that this node may still take since its leader's process is gone.
  // Bounded: one that is refused by all, because its own link alone is broken, returns to the long
  // ones.
  int hasty_timeouts_ = 0;

  FollowerReads reads_;
  Fitness fitness_;
  // The snapshot being received, and who offered it.
  std::optional<InstallSnapshot> installing_;

  // Committed entries on their way: under apply, being fetched, and fetched.
  ByteWindow applying_;
  uint64_t apply_fetch_id_ = 0;
  std::vector<Entry> fetched_;
  uint64_t last_fetch_id_ = 0;

  // The output in the making.
  bool dirty_ = true;
  Output out_;
  std::vector<Message> send_after_;
  std::optional<SnapshotMeta> reset_to_;
  HardState written_hard_state_;
  LogIndex durable_commit_;  // the commit index that a restart would find
  struct CommitWrite {
    uint64_t sequence;
    LogIndex commit;
  };
  std::deque<CommitWrite> commit_writes_;  // hard states under way
  uint64_t next_sequence_ = 1;
  struct SoftState {
    Role role = Role::kFollower;
    Term term;
    MemberId leader;
    bool operator==(const SoftState&) const = default;
  } reported_;
};

}  // namespace cairn::raft
