// ReplicaCore: everything that one member of a Raft group decides, on one thread and without I/O.
//
// Events and requests come in (the On... methods and those under Requests), and effects go out
// (ReplicaEffects). After any number of events the owner calls Flush, which steps the Raft core,
// takes its output and routes it. The threads of Replica are a thin shell around this class, and a
// simulator can drive it without threads. Time comes from the injected clock and randomness from
// the injected generator, so the same events give the same effects.
//
// ReplicaCore is a router. Each subject is a part with a header of its own, which says what the
// part owns:
//
//   proposals.h            commands of clients until their entry is committed; the lease clock
//   read_barriers.h        reads that wait for a read index, and for the state to reach it
//   hearing.h              whom this node hears, and when it last did
//   freshness.h            how old what this node holds may be
//   leader_requests.h      who waits for a leader, and for leadership to move
//   membership_changes.h   changes of membership, by the leader
//   peer_directory.h       the configuration in force and the addresses of its members
//   removal_watch.h        whether this member was removed
//   callers.h              which process speaks for each other member
//   standing.h             whether this process speaks for this one
//   snapshot_sends.h       snapshots that go out
//   snapshot_install.h     the snapshot that comes in
//   recovery.h             trouble of the state machine
//   digests.h              whether this member holds what the majority holds
//   result_comparison.h    whether members with different engines give the same results
//   time_series_upkeep.h   what time series do by themselves
//   level_raise.h          raising the feature level of the cluster
//   disk_watch.h           whether the log's disk answers and has room
//   leadership_fitness.h   what this node can not do, and hand-over to who can
//   log_compaction.h       how much of the log is kept
//   shutdown_wait.h        the clean end
//
// The parts share a ReplicaContext, and know each other only where a constructor says so. What one
// part finds and another part must act on goes through ReplicaCore: that is all that its methods
// do.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/rng.h"
#include "node/callers.h"
#include "node/digests.h"
#include "node/disk_watch.h"
#include "node/first_boot.h"
#include "node/freshness.h"
#include "node/hearing.h"
#include "node/leader_requests.h"
#include "node/leadership_fitness.h"
#include "node/level_raise.h"
#include "node/log_compaction.h"
#include "node/membership_changes.h"
#include "node/new_cluster_level.h"
#include "node/peer_directory.h"
#include "node/pending_command.h"
#include "node/proposals.h"
#include "node/read_barriers.h"
#include "node/recovery.h"
#include "node/removal_watch.h"
#include "node/replica.h"
#include "node/replica_context.h"
#include "node/replica_effects.h"
#include "node/result_comparison.h"
#include "node/shutdown_wait.h"
#include "node/snapshot_install.h"
#include "node/snapshot_sends.h"
#include "node/standing.h"
#include "node/start_state.h"
#include "node/time_series_upkeep.h"
#include "raft/core.h"

namespace cairn::node {

class ReplicaCore final : private Digests::Host {
 public:
  // Everything passed in must outlive the core.
  ReplicaCore(const ReplicaOptions& options, StartState start, Clock* clock, Rng* rng,
              ReplicaEffects* effects);
  // Answers everything that still waits: proposals as unknown, reads as unavailable.
  ~ReplicaCore() override;
  ReplicaCore(const ReplicaCore&) = delete;
  ReplicaCore& operator=(const ReplicaCore&) = delete;

  // Begins the first boot, or takes part. Call once, before any event.
  void Start();
  // Routes what came of the events since the last call.
  void Flush();
  // Whether OnApplied, or OnPersisted, would lead to anything before the next tick. If not, the
  // events may come late, together with other events.
  bool awaits_applied() const;
  bool awaits_persisted() const;
  // When to call Flush if nothing happens before: less than a tick from now, or max().
  SteadyTime NextFlush() const;

  // ---- Events
  void OnTick(uint64_t ticks);
  // Messages of a process that callers() has let in.
  void OnMessages(const raft::Boot& sender, std::vector<raft::Message> messages);
  // callers() has let in a process of that member, with an engine of this build.
  void OnCaller(MemberId member, const std::string& engine_build);
  // See transport::Handler.
  void OnRefused(MemberId by, const Status& why);
  void OnUnreachable(MemberId member);
  void OnPeerGone(MemberId member);
  // The persist with this ticket and all persists before it are durable.
  void OnPersisted(const raft::AppendTicket& ticket);
  void OnFetched(raft::Fetched fetched);
  // The log's disk is full and nothing was written; the log thread goes on trying. OK: the trouble
  // is over.
  void OnLogFull(const Status& status);
  void OnFreeBytes(uint64_t bytes);
  void OnApplied(const AppliedReport& report);
  // The state machine could not apply an entry, and cannot skip it. This node is out of service
  // until its database was reopened, or replaced by a snapshot, and has caught up from there.
  void OnApplyStopped(const Status& status);
  // `state` is what the database durably holds.
  void OnReopened(const state_machine::AppliedState& state, const AppliedReport& report);
  void OnCheckpointed(LogIndex durable);
  void OnIdentitySaved();
  void OnSnapshotReceived(MemberId from, const raft::SnapshotMeta& meta, const std::string& path);
  void OnInstalled(const Status& status, const AppliedReport& report, LogIndex durable);
  // What the state machine holds at `index`, which a digest entry asked for.
  void OnDigest(LogIndex index, const state_machine::StateDigest& digest);
  // The scrub has read the state at `index` again. OK: all is right. Otherwise the file is damaged.
  void OnScrubbed(LogIndex index, const Status& found);
  // The copy for this peer is of `index`, and its bytes are on their way.
  void OnSnapshotProgress(MemberId to, LogIndex index, uint64_t snapshot_bytes);
  void OnSnapshotSent(MemberId to, const Status& status, LogIndex index);

  // ---- Requests
  void Propose(PendingCommandPtr command);
  void OnCallersGone() { proposals_.DropGone(); }
  void ReadBarrier(const ReadOptions& options, SteadyTime deadline, ReadDone done);
  void AwaitLeader(SteadyTime deadline, std::function<void(Result<LeaderHint>)> done);
  void ChangeMembership(Replica::MembershipChange change, SteadyTime deadline,
                        std::function<void(const std::string&)> progress,
                        std::function<void(Status)> done);
  void TransferLeadership(uint64_t node_id, SteadyTime deadline, std::function<void(Status)> done);
  void RaiseLevel(SteadyTime deadline, LevelRaise::Done done) {
    RaiseLevel(deadline, LevelRaise::Asker::kOperator, std::move(done));
  }
  void RaiseLevel(SteadyTime deadline, LevelRaise::Asker asker, LevelRaise::Done done);
  void Join(const transport::JoinRequest& request,
            const std::function<void(Result<transport::JoinReply>)>& reply);
  // Refuses new work and hands leadership over. Calls `done` when this node does not lead any more
  // and nothing of its own is undecided, or at the deadline.
  void BeginShutdown(SteadyTime deadline, std::function<void()> done);

  // ---- What others may know
  ReplicaStatus status() const;
  std::optional<LeaderHint> leader_hint() const { return directory_.leader_hint(); }
  bool is_leader() const { return context_.is_leader(); }
  transport::ProbeReply probe_reply() const;
  LogIndex applied() const { return applied_.index; }
  // The bytes of the commands that wait in the batcher.
  size_t queued_bytes() const { return proposals_.queued_bytes(); }
  // Whether reads of what this node holds are answered, whatever the age of what it holds.
  bool serves_local_reads() const { return !LocalReadRefusal(); }
  // Not OK: this process runs from a copy of its member's data, and has no part in anything.
  const Status& lost() const { return standing_.lost(); }
  // Thread-safe, and may outlive the core.
  const std::shared_ptr<Callers>& callers() const { return callers_; }
  // The first index of a snapshot that would be of use now.
  LogIndex snapshot_min() const;
  // Whether a write of this node waits for its fate.
  bool writes_under_way() const { return !proposals_.settled(); }
  // Whether a snapshot was received and is neither installed nor thrown away yet.
  bool installing() const { return install_.busy(); }
  // Whether what is applied must not be read or answered yet.
  bool compares_results() const { return results_.comparing(); }
  // Changes whenever leader_hint(), is_leader() or probe_reply() may have.
  uint64_t version() const { return context_.version; }

 private:
  // Life (replica_core.cc).
  void RunFirstBoot();
  void StartRaft();
  void TellCallers();
  // These entries are in the log from now on.
  void NoteLogged(const std::vector<raft::Entry>& entries);
  void ExpireRequests(SteadyTime now);
  transport::Identity identity() const;
  std::optional<Status> Refusal() const;
  std::optional<Status> LocalReadRefusal() const;
  void NoteAdmission();
  std::optional<Status> DiskFull() const;
  Status NoLeader() const;

  // Routing (replica_core_routing.cc).
  void StepOutput();
  void StepReads();
  void StepTellCommit();
  void Route(raft::Output output);
  void RoutePersists(std::vector<raft::Persist> persists);
  void RouteCommitted(raft::CommittedBatch batch);
  void Apply(ApplyJob job);
  void StepApply();
  bool apply_is_urgent() const;
  void RouteDropped(const raft::Dropped& dropped);
  void OnSoftStateChanged();
  void CountSoftState(raft::Role role, MemberId leader) const;
  void LogSoftState();
  void AdoptConfig(const raft::Configuration& config, LogIndex index);
  void ProposeOwn();

  // Trouble of the state machine (replica_core_recovery.cc).
  bool in_service() const override { return recovery_.in_service(); }
  bool replacing_database() const override { return install_.installing(); }
  std::string TroubleInWords() const { return recovery_.InWords(replacing_database()); }
  void OnFenced(const Status& why) override;
  void EnterTrouble(const Status& why);
  bool WantsSnapshot() const;
  LogIndex RecoverySnapshotMin() const;
  void Resume(const raft::SnapshotMeta& meta, const AppliedReport& report);
  void MaybeReturnToService();
  void SetApplied(const AppliedReport& report);
  LogIndex readable() const { return results_.readable(applied_.index); }
  void TellFitness();
  bool LacksAcknowledged(const raft::Message& message) const;

  ReplicaContext context_;
  FirstBoot boot_;
  raft::InitialState initial_;  // until the Raft core takes it

  const std::shared_ptr<Callers> callers_;
  PeerDirectory directory_{&context_, callers_.get()};
  Hearing hearing_{&context_};
  DiskWatch disk_{&context_};
  Recovery recovery_{&context_};
  LeadershipFitness fitness_{&context_};
  SnapshotSends sends_{&context_};
  SnapshotInstall install_{&context_};
  LogCompaction compaction_{&context_, &sends_};
  Digests digests_{&context_, &fitness_, this};
  Freshness freshness_;
  ResultComparison results_{&context_, &digests_, &hearing_};
  RemovalWatch removal_;
  Standing standing_;
  Proposals proposals_{&context_, &directory_};
  TimeSeriesUpkeep time_series_{&context_, &proposals_};
  LevelRaise level_raise_{&context_, &directory_, &proposals_};
  NewClusterLevel new_cluster_level_{&context_, [this](SteadyTime deadline, LevelRaise::Done done) {
                                       RaiseLevel(deadline, LevelRaise::Asker::kNode,
                                                  std::move(done));
                                     }};
  MembershipChanges changes_{&context_,      &directory_, &hearing_,
                             callers_.get(), &standing_,  &level_raise_};
  ReadBarriers reads_;
  LeaderRequests leader_requests_{&context_, &directory_};
  ShutdownWait shutdown_{&context_};

  AppliedReport applied_;
  // Whether this node has applied the configuration that names it, or has founded the cluster.
  bool admitted_ = false;
  std::optional<SteadyTime> wake_apply_at_;  // for jobs that were not urgent
  // When to tell followers of a commit of which no append has told them.
  std::optional<SteadyTime> tell_commit_at_;

  // The role, term and leader that were last seen and logged.
  raft::Role last_role_ = raft::Role::kFollower;
  Term last_term_;
  MemberId last_leader_;
  MemberId last_known_leader_;  // the last one that was not none
  bool told_leaderless_ = false;
};

}  // namespace cairn::node
