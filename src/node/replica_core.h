// ReplicaCore: everything one member of a Raft group decides, on one thread and without I/O.
//
// Events in (the On... methods and requests), effects out (ReplicaEffects); after any number of
// events the owner calls Flush, which steps the Raft core, takes its output and routes it. The
// threads of Replica are a thin shell around this class; a simulator can drive it without any.
// Time comes from the injected clock, randomness from the injected generator: the same events give
// the same effects.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/rng.h"
#include "node/batcher.h"
#include "node/digest_watch.h"
#include "node/first_boot.h"
#include "node/log_extent.h"
#include "node/membership.h"
#include "node/pending_command.h"
#include "node/proposal_tracker.h"
#include "node/read_barriers.h"
#include "node/replica.h"
#include "node/replica_effects.h"
#include "node/start_state.h"
#include "raft/core.h"

namespace cairn::node {

class ReplicaCore {
 public:
  // Everything passed in must outlive it.
  ReplicaCore(const ReplicaOptions& options, StartState start, Clock* clock, Rng* rng,
              ReplicaEffects* effects);
  // Answers everything that still waits: proposals unknown, reads unavailable.
  ~ReplicaCore();
  ReplicaCore(const ReplicaCore&) = delete;
  ReplicaCore& operator=(const ReplicaCore&) = delete;

  // First boot, or taking part. Call once, before any event.
  void Start();
  // Routes what the events since the last call led to.
  void Flush();
  // Whether OnApplied, or OnPersisted, would lead to anything before the next tick. If not, they
  // may come late, together with other events.
  bool awaits_applied() const;
  bool awaits_persisted() const;
  // When to call Flush though nothing has happened: a part of a tick from now, or max().
  SteadyTime NextFlush() const;

  // ---- Events
  void OnTick(uint64_t ticks);
  void OnMessages(std::vector<raft::Message> messages);
  // That member sends messages, and is to be answered there.
  void OnCaller(MemberId member, const std::string& address);
  void OnUnreachable(MemberId member);
  void OnPeerGone(MemberId member);
  // The persist with this ticket, and so all before it, are durable.
  void OnPersisted(const raft::AppendTicket& ticket);
  void OnFetched(raft::Fetched fetched);
  // The log's disk is full and nothing was written (it is tried again), or the trouble is over
  // (OK).
  void OnLogFull(const Status& status);
  void OnFreeBytes(uint64_t bytes);
  void OnApplied(const AppliedReport& report);
  // What the state machine could not apply it can not skip: this node is out of service until the
  // database was reopened, or replaced by a snapshot, and has caught up from there.
  void OnApplyStopped(const Status& status);
  // `state` is what is durable in the database.
  void OnReopened(const state_machine::AppliedState& state, const AppliedReport& report);
  void OnCheckpointed(LogIndex durable);
  void OnIdentitySaved();
  void OnSnapshotReceived(MemberId from, const raft::SnapshotMeta& meta, const std::string& path);
  void OnInstalled(const Status& status, const AppliedReport& report, LogIndex durable);
  // What the state machine holds at `index`, which a digest entry asked for.
  void OnDigest(LogIndex index, const state_machine::StateDigest& digest);
  // The state at `index` was read again: OK, or the file is damaged.
  void OnScrubbed(LogIndex index, const Status& found);
  // The copy for this peer is of `index`, and its bytes are on their way.
  void OnSnapshotProgress(MemberId to, LogIndex index, uint64_t snapshot_bytes);
  void OnSnapshotSent(MemberId to, const Status& status, LogIndex index);

  // ---- Requests
  void Propose(PendingCommandPtr command);
  void ReadBarrier(const ReadOptions& options, SteadyTime deadline, ReadDone done);
  void AwaitLeader(SteadyTime deadline, std::function<void(Result<LeaderHint>)> done);
  void ChangeMembership(Replica::MembershipChange change, SteadyTime deadline,
                        std::function<void(const std::string&)> progress,
                        std::function<void(Status)> done);
  void TransferLeadership(uint64_t node_id, SteadyTime deadline, std::function<void(Status)> done);
  void Join(const transport::JoinRequest& request,
            const std::function<void(Result<transport::JoinReply>)>& reply);
  // Refuses new work and hands leadership over; `done` when it is no longer leader and nothing of
  // its own is undecided, or at the deadline.
  void BeginShutdown(SteadyTime deadline, std::function<void()> done);

  // ---- What others may know
  ReplicaStatus status() const;
  std::optional<LeaderHint> leader_hint() const;
  bool is_leader() const { return raft_ && raft_->role() == raft::Role::kLeader; }
  transport::ProbeReply probe_reply() const;
  LogIndex applied() const { return applied_.index; }
  // Commands waiting in the batcher, in bytes.
  size_t queued_bytes() const { return batcher_.bytes(); }
  // It answers no read and takes no write.
  bool out_of_service() const { return !apply_trouble_.ok() || !removed_.ok(); }
  // The first index of a snapshot that would be of use now.
  LogIndex snapshot_min() const;
  bool installing() const { return installing_.has_value() || received_.has_value(); }
  // Changes whenever leader_hint(), is_leader() or probe_reply() may have.
  uint64_t version() const { return version_; }

 private:
  struct InFlightPersist {
    uint64_t sequence;
    SteadyTime submitted;
  };
  struct ReceivedSnapshot {
    MemberId from;
    raft::SnapshotMeta meta;
    std::string path;
  };
  struct Transfer {
    MemberId target;
    SteadyTime deadline;
    std::function<void(Status)> done;
  };
  struct LeavingMember {
    std::string address;
    uint64_t until_tick = 0;
  };
  struct LeaderWaiter {
    SteadyTime deadline;
    std::function<void(Result<LeaderHint>)> done;
  };

  // Life (replica_core.cc).
  void RunFirstBoot();
  void StartRaft();
  void CheckRemoved(const raft::Configuration& config, LogIndex index);
  void AskWhetherRemoved();
  void AdoptConfig(const raft::Configuration& config, LogIndex index);
  void PublishPeers();
  void ForgetLeaving();
  void WatchDisk(SteadyTime now);
  void ExpireRequests(SteadyTime now);
  void StepShutdown(SteadyTime now);
  transport::Identity identity() const;

  // Routing (replica_core_routing.cc).
  void Route(raft::Output output);
  void RoutePersists(std::vector<raft::Persist> persists);
  void RouteCommitted(raft::CommittedBatch batch);
  void Apply(ApplyJob job);
  void StepApply();
  bool apply_is_urgent() const;
  void RouteDropped(const raft::Dropped& dropped);
  void OnSoftStateChanged();
  void MaybeCompact();
  std::optional<LogIndex> PinnedBySnapshots();

  // Snapshots (replica_core_snapshots.cc).
  void StartSnapshot(MemberId peer, LogIndex index_min);
  void ReportFailedSends(SteadyTime now);
  void OnInstallWanted(const raft::SnapshotMeta& meta);
  void OfferReceived();
  void DiscardReceived();
  void BeginInstall();
  void CheckInstallAccepted(const raft::Output* output);
  void MaybeStartInstall();

  // Trouble of the state machine (replica_core_recovery.cc).
  void EnterApplyTrouble(const Status& status);
  bool NeedsSnapshot() const;
  bool WantsSnapshot() const;
  std::string TroubleInWords() const;
  LogIndex RecoverySnapshotMin() const;
  void BeginRecoveryInstall(ReceivedSnapshot snapshot);
  void Resume(const raft::SnapshotMeta& meta, const AppliedReport& report);
  void MaybeReturnToService();
  void TellFitness();

  // Digests, scrubs and fences (replica_core_digest.cc).
  void StepDigests();
  void ProposeDigest();
  void TellDigest();
  void OnDigestReport(MemberId from, const raft::DigestReport& report);
  void OnDigestVerdict(MemberId from, const raft::DigestVerdict& verdict);
  void SettleDigest(LogIndex index, const state_machine::StateDigest& right);
  bool MayLeaveService(MemberId member) const;
  void HandOverDamaged();
  bool AnotherCanLead() const;  // asked of a leader
  void WaitToLetMembersLeave() { next_leave_tick_ = ticks_ + 2 * options_.election_ticks; }
  void SendToMember(MemberId to, raft::MessageBody body);
  void Fence(Status why);  // by value: damage_, which is forgotten here, may be why
  void ForgetFindings();

  // Proposals and reads (replica_core_requests.cc).
  void StepProposals();
  void StepReads();
  void StepTellCommit();
  void ForgetCommitted(SteadyTime now);
  void ProposeBatch(std::vector<PendingCommandPtr> batch);
  void ProposeExpiry();
  std::optional<Status> Refusal() const;
  // RESOURCE_EXHAUSTED, with the reason, while this node's disk has no room for writes.
  std::optional<Status> DiskFull() const;
  // For who has waited for a leader: a full disk may be why there is none.
  Status NoLeader() const;
  Status NotLeader() const;
  std::optional<uint64_t> LeaseNow(SteadyTime now) const;
  std::optional<SteadyTime> LastContact(SteadyTime now) const;

  // Membership (replica_core_membership.cc).
  void StepMembership();
  Contacts contacts() const;
  void RunJob();
  void LetIn(const transport::JoinRequest& wiped, MembershipJob::Callbacks callbacks);
  void ResumeReplacement();
  void ReplicateFoundingConfig();

  const ReplicaOptions options_;
  Clock* const clock_;
  Rng* const rng_;
  ReplicaEffects* const effects_;

  FirstBoot boot_;
  raft::InitialState initial_;
  std::unique_ptr<raft::RaftCore> raft_;  // none until started
  raft::Configuration config_;            // committed
  LogIndex config_index_;
  std::map<MemberId, LeavingMember> leaving_;
  std::map<MemberId, std::string> callers_;  // with addresses; of later configurations only
  uint64_t ticks_ = 0;

  // The log.
  LogExtent extent_;
  std::deque<InFlightPersist> in_flight_persists_;
  std::map<uint64_t, SteadyTime> in_flight_fetches_;  // by id, which rises with time
  bool disk_stalled_ = false;
  Status log_full_;
  std::optional<uint64_t> free_bytes_low_;  // set while too little is free
  uint64_t next_handover_tick_ = 0;         // of a leader that is unfit

  // The state machine.
  AppliedReport applied_;
  std::optional<SteadyTime> wake_apply_at_;  // for jobs that were not urgent
  LogIndex durable_state_;
  Status apply_trouble_;      // not OK: out of service
  bool apply_down_ = false;   // ... and the apply thread waits for ResumeApply
  uint64_t apply_stops_ = 0;  // in the life of this process
  uint64_t failures_ = 0;     // in this trouble
  bool damaged_ = false;      // ... and only a snapshot can end it
  LogIndex back_in_service_at_;
  uint64_t snapshot_pause_ticks_ = 0;  // after the last snapshot that did not end the trouble
  uint64_t next_snapshot_tick_ = 0;
  MemberId snapshot_from_;  // who sent that one
  raft::Fitness fitness_;   // as the Raft core was told last
  bool checkpoint_wanted_ = false;

  // Digests.
  struct OwnDigest {
    LogIndex index;
    state_machine::StateDigest digest;
    bool settled = false;  // known to be right
  };
  DigestWatch digest_watch_;
  DigestStatus digest_status_;
  std::optional<OwnDigest> own_digest_;  // the last one
  Status damage_;                        // that the scrub has found; not OK: to leave service for
  Status fence_;                         // why it is fenced
  LogIndex replaced_at_;                 // by the last snapshot: findings below are of another file
  SteadyTime next_digest_{0};
  uint64_t next_report_tick_ = 0;
  int reports_left_ = 0;
  uint64_t next_leave_tick_ = 0;

  // Proposals.
  Batcher batcher_;
  ProposalTracker tracker_;
  uint64_t next_id_ = 1;  // of what is stepped into the core: proposals and rounds of reads
  std::map<uint64_t, std::vector<PendingCommandPtr>> proposing_;  // stepped, no answer yet
  struct InFlightEntry {
    size_t commands = 0;
    SteadyTime proposed{0};
  };
  // Our entries, as leader, that are not yet committed.
  std::map<LogIndex, InFlightEntry> uncommitted_;
  // The lease clock of this leader: where it stood when its first own entry was applied.
  struct Lease {
    Term term;
    uint64_t base_ms = 0;
    SteadyTime since{0};
  };
  std::optional<Lease> lease_;
  std::optional<SteadyTime> expiry_proposed_;
  // When to tell followers of a commit that no append has told them of.
  std::optional<SteadyTime> tell_commit_at_;

  // Reads.
  ReadBarriers reads_;
  std::map<MemberId, SteadyTime> last_heard_;
  std::vector<LeaderWaiter> leader_waiters_;

  // Snapshots.
  std::optional<raft::SnapshotMeta> install_wanted_;  // asked for by the core, not yet here
  std::optional<ReceivedSnapshot> received_;          // here, not yet asked for by the core
  bool offered_ = false;                              // ... and the core was told of it
  std::optional<ReceivedSnapshot> installing_;        // accepted by the core
  bool reset_expected_ = false;   // the core was told that it is ready, and has not answered
  bool install_started_ = false;  // handed to the apply thread
  std::vector<raft::Persist> held_persists_;  // behind the install
  struct FailedSend {
    SteadyTime pause{0};
    SteadyTime until{0};
    bool reported = false;
  };
  std::map<MemberId, FailedSend> failed_sends_;
  // A snapshot on its way, or arrived at a peer that has yet to catch up from there.
  struct SnapshotSend {
    LogIndex pinned;     // what follows is of use to the peer
    uint64_t bytes = 0;  // of the snapshot; 0 until the copy is made
    SteadyTime progress{0};
    // kBroken: it is sent again soon, and goes on where it broke off if the log still holds what
    // follows it.
    enum class Stage { kRunning, kBroken, kArrived } stage = Stage::kRunning;
  };
  std::map<MemberId, SnapshotSend> sending_;

  // Membership.
  Status removed_;  // not OK: this member was removed, in words for the operator
  uint64_t leaderless_ticks_ = 0;
  uint64_t next_question_tick_ = 0;
  MemberId last_asked_;
  std::unique_ptr<MembershipJob> job_;
  uint64_t job_number_ = 0;
  bool job_is_ours_ = false;              // not an operator's: it gives way to one
  std::optional<uint64_t> job_proposal_;  // id of its ProposeConfig
  std::optional<uint64_t> founding_proposal_;
  std::optional<Transfer> transfer_;

  // Shutdown.
  bool shutting_down_ = false;
  SteadyTime shutdown_deadline_{0};
  uint64_t shutdown_leaderless_tick_ = 0;  // when a leader was last known
  std::function<void()> shutdown_done_;

  uint64_t version_ = 1;
  raft::Role last_role_ = raft::Role::kFollower;
  Term last_term_;
  MemberId last_leader_;
  bool told_leaderless_ = false;
};

}  // namespace cairn::node
