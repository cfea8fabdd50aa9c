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

// Who waits for a read index: a local barrier (`from` is none, `id` is the owner's number) or a
// follower's request (`id` is the request's context).
struct Reader {
  MemberId from;
  uint64_t id = 0;
};

struct ReadRound {
  ReadId id;
  LogIndex index;  // the commit index when the round began
  std::vector<Reader> readers;
};

// What a leader keeps about one other member.
struct Peer {
  explicit Peer(LogIndex next) : progress(next) {}

  Progress progress;
  uint64_t silent_ticks = 0;  // since the leader last heard from the peer, or since it became a
                              // peer
  bool nudge = false;         // the next heartbeat reply makes the leader check for lost appends
  LogIndex commit_sent;       // the commit index that the leader last sent; the peer knows it
                              // unless a message was lost
  ReadId read_acked;          // the highest read round that the peer confirmed
  uint64_t fetch_id = 0;      // the fetch in progress for the peer; 0: none
  Fitness fitness;            // as the peer last reported
};

// Data that exists only in one role. A follower cannot touch a leader's data by mistake, and no
// data outlives its role.
struct Follower {};
struct PreCandidate {
  std::map<MemberId, bool> votes;
};
struct Candidate {
  std::map<MemberId, bool> votes;
  // The candidate's own vote counts once the batch with this sequence, which holds the vote, is
  // durable.
  uint64_t vote_sequence = 0;
};
struct Leader {
  LogIndex term_start;  // index of this leader's first entry
  // The last configuration whose commitment the leader announced to the followers by appending an
  // entry, and the index of that entry.
  LogIndex told_config;
  LogIndex told_by;
  std::map<MemberId, Peer> peers;
  ByteWindow uncommitted;
  uint64_t heartbeat_elapsed = 0;
  // Reads that wait for a round, and rounds in progress, oldest first.
  std::deque<Reader> read_queue;
  std::deque<ReadRound> read_rounds;
  size_t readers = 0;  // readers in both queues
  ReadId last_read_id;
  // The voter that first confirmed a round since the last heartbeat to all members; none: no voter
  // has yet.
  MemberId read_witness;
  // The target of a leadership transfer; none: no transfer is in progress.
  MemberId transfer_target;
  uint64_t transfer_elapsed = 0;
  bool timeout_now_sent = false;  // since the last heartbeat
};

// Read barriers of a node that is not the leader. A barrier joins one request and stays with that
// request. The node sends an unanswered request again under the same context. Contexts begin at a
// random number, so that a reply to a request from before a restart matches no request.
struct FollowerReads {
  std::vector<uint64_t> unsent;
  std::map<uint64_t, std::vector<uint64_t>> asked;  // by context
  uint64_t last_context = 0;
  MemberId asked_leader;
  Term asked_term;
  uint64_t elapsed = 0;  // ticks since the node last sent a request again
  size_t count = 0;      // barriers in `unsent` and `asked`
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
  // Sends the message with the persist of the next output.
  void SendAfter(MemberId to, MessageBody body);
  void Drop(uint64_t id, DropReason reason, std::string detail);
  std::string WhereIsTheLeader() const;
  void HandOutCommitted();
  void BuildPersist();
  void LeaderWork(Leader& leader);

  // ---- core_election.cc
  // False if the term alone decides what happens to the message; PassesTermCheck has then handled
  // it.
  bool PassesTermCheck(const Message& message);
  void AnswerOldTerm(const Message& message);
  void BecomeFollower(Term term, MemberId leader);
  void BecomeLeader();
  void ResetElectionTimer();
  // Forgets the leader if its process is gone and a heartbeat from it is missing too.
  void ForgetLostLeader();
  bool MayCampaign() const;
  // True if this node heard from a leader less than the shortest election timeout ago.
  bool HoldsToLeader() const;
  // True if a log that ends at `last` with `last_term` is complete enough for this node's vote.
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
  // False if no entries can be sent now (they must be fetched first, or a snapshot is needed).
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
  // Commits the configuration that the order of configurations in the log proves to be committed.
  void CommitEarlierConfig();
  void EnterConfigAsLeader(Leader& leader);
  void TellConfig(Leader& leader);
  void LeaveJointIfCommitted(Leader& leader);
  bool ConfigInProgress() const;

  // ---- core_snapshot.cc
  void SendSnapshotTo(MemberId id, Peer& peer);
  // True if the log already holds what the snapshot holds. Commits up to the snapshot's index if
  // that index is past the commit index.
  bool CoveredByLog(const SnapshotMeta& meta);
  void ResetToSnapshot(const SnapshotMeta& meta);
  // Forgets the entries that are on their way to the state machine.
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
  Term commit_heard_in_;  // a term no earlier than this node's term when `commit_` last advanced
  LogIndex handed_;       // last index handed out in `committed`
  LogIndex applied_;
  RaftLog log_;
  ConfigurationLog configs_;
  std::variant<Follower, PreCandidate, Candidate, Leader> role_;  // in the order of Role

  uint64_t election_elapsed_ = 0;
  uint64_t election_timeout_ = 0;
  uint64_t quiet_ticks_ = 0;
  // Short election timeouts that this node may still use after its leader's process ended. The
  // number is bounded, so that a node whose pre-votes all others refuse, because only its own link
  // is broken, returns to long timeouts.
  int hasty_timeouts_ = 0;

  FollowerReads reads_;
  Fitness fitness_;
  // The snapshot that this node is receiving, and the leader that offered it.
  std::optional<InstallSnapshot> installing_;

  // Committed entries on their way to the state machine: being applied, being fetched, and fetched.
  ByteWindow applying_;
  uint64_t apply_fetch_id_ = 0;
  std::vector<Entry> fetched_;
  uint64_t last_fetch_id_ = 0;

  // The next output, under construction.
  bool dirty_ = true;
  Output out_;
  std::vector<Message> send_after_;
  std::optional<SnapshotMeta> reset_to_;
  HardState written_hard_state_;
  LogIndex durable_commit_;  // the commit index that a restart would find on disk
  struct CommitWrite {
    uint64_t sequence;
    LogIndex commit;
  };
  std::deque<CommitWrite> commit_writes_;  // hard states being written
  uint64_t next_sequence_ = 1;
  struct SoftState {
    Role role = Role::kFollower;
    Term term;
    MemberId leader;
    bool operator==(const SoftState&) const = default;
  } reported_;
};

}  // namespace cairn::raft
