#include <algorithm>
#include <future>

#include "base/thread_name.h"
#include "node/replica_impl.h"
#include "node/tick_pacer.h"

namespace cairn::node {

// ---- The core thread

void ReplicaImpl::Start(transport::Transport* transport) {
  transport_ = transport;
  log_worker_.Start();
  apply_worker_.Start();
  snapshot_worker_.Start();
  scrub_worker_.Start();
  core_thread_ = std::thread([this] { RunCore(); });
}

void ReplicaImpl::RunCore() {
  NameThread("cairn-core");
  core_->Start();
  if (core_->compares_results()) compares_results_ = true;
  core_->Flush();
  Publish(true);
  TickPacer pacer(options_.tick, clock_->SteadyNow());
  std::vector<Event> events;
  const auto until_due = [&] {
    const SteadyTime due = std::min(pacer.next(), core_->NextFlush());
    return std::max(SteadyTime(0), due - clock_->SteadyNow());
  };
  while (events_->PopAll(&events, until_due())) {
    for (Event& event : events) event(*core_);
    events.clear();
    const SteadyTime now = clock_->SteadyNow();
    last_turn_ = now;
    const uint64_t ticks = pacer.Take(now);
    if (ticks > 0) core_->OnTick(ticks);
    // Set before anything is applied whose results wait: a view that holds it waits, too.
    if (core_->compares_results()) compares_results_ = true;
    core_->Flush();
    Publish(/*with_status=*/ticks > 0);
  }
}

void ReplicaImpl::Publish(bool with_status) {
  awaits_applied_ = core_->awaits_applied();
  awaits_persisted_ = core_->awaits_persisted();
  applied_ = core_->applied().value();
  snapshot_min_ = core_->snapshot_min().value();
  *writes_under_way_ = core_->writes_under_way();
  installing_ = core_->installing();
  serves_local_reads_ = core_->serves_local_reads();
  compares_results_ = core_->compares_results();
  const bool changed = core_->version() != published_version_;
  if (!with_status && !changed) return;
  ReplicaStatus status = core_->status();
  // At each tick, not after each event, because this takes a lock that the apply thread takes.
  if (with_status) busy_apply_ = busy_watch_.Look(state_->Applying(), clock_->SteadyNow());
  status.busy_apply = busy_apply_;
  bool leader_changed = false;
  {
    MutexLock lock(published_mutex_);
    published_status_ = std::move(status);
    if (!changed) return;
    published_version_ = core_->version();
    const std::optional<LeaderHint> hint = core_->leader_hint();
    leader_changed = is_leader_ != core_->is_leader() || published_hint_ != hint;
    is_leader_ = core_->is_leader();
    published_hint_ = hint;
    published_probe_ = core_->probe_reply();
  }
  if (leader_changed && watcher_) watcher_();
}

std::optional<LeaderHint> ReplicaImpl::leader_hint() const {
  MutexLock lock(published_mutex_);
  return published_hint_;
}

ReplicaStatus ReplicaImpl::status() const {
  MutexLock lock(published_mutex_);
  return published_status_;
}

// ---- Requests

void ReplicaImpl::Propose(const state_machine::Command& command, SteadyTime deadline,
                          CommandDone done, CallerGone gone) {
  // The caller's thread encodes the command, because there is only one core thread.
  auto pending =
      std::make_shared<PendingCommand>(state_machine::EncodeCommand(command), deadline,
                                       std::move(done), TraitsOf(command), std::move(gone));
  const size_t bytes = pending->bytes();
  if (bytes > state_machine::kCommandBytesMax) {
    return pending->Finish(InvalidArgument("the command is larger than " +
                                           std::to_string(state_machine::kCommandBytesMax) +
                                           " bytes")
                               .With(Outcome::kNotApplied));
  }
  const bool many = proposals_.fetch_add(1) >= options_.proposal_queue_commands_max;
  if (proposal_bytes_.fetch_add(bytes) + bytes > options_.proposal_queue_bytes_max || many) {
    --proposals_;
    proposal_bytes_ -= bytes;
    options_.counts->Refuse(WriteRefusal::kQueueFull);
    return pending->Finish(
        ResourceExhausted("too many writes are waiting on this node").With(Outcome::kNotApplied));
  }
  const bool taken = Post([this, pending, bytes](ReplicaCore& core) {
    --proposals_;
    proposal_bytes_ -= bytes;
    core.Propose(pending);
  });
  if (!taken) {
    pending->Finish(Unavailable("the node is shutting down").With(Outcome::kNotApplied));
  }
}

void ReplicaImpl::OnCallersGone() {
  if (callers_gone_.exchange(true)) return;
  Post([this](ReplicaCore& core) {
    callers_gone_ = false;
    core.OnCallersGone();
  });
}

void ReplicaImpl::ReadBarrier(const ReadOptions& options, SteadyTime deadline, ReadDone done) {
  const LogIndex applied(applied_.load());
  // While results are compared, what is applied must not be shown yet to the reader.
  const bool reached =
      options.index_min.is_none() || (options.index_min <= applied && !compares_results_);
  if (options.level == ReadLevel::kStale && !options.staleness_max && reached && !shut_down_ &&
      serves_local_reads_) {
    return done(applied);  // nothing to wait for
  }
  if (!Post([=](ReplicaCore& core) { core.ReadBarrier(options, deadline, done); })) {
    done(Unavailable("the node is shutting down"));
  }
}

void ReplicaImpl::AwaitLeader(SteadyTime deadline, std::function<void(Result<LeaderHint>)> done) {
  if (auto hint = leader_hint()) return done(*std::move(hint));
  // A caller that hears that there is a leader asks next where it is, and whether it is this node.
  const auto published = [this, done](Result<LeaderHint> hint) {
    if (hint.ok()) Publish(/*with_status=*/false);
    done(std::move(hint));
  };
  if (!Post([=](ReplicaCore& core) { core.AwaitLeader(deadline, published); })) {
    done(Unavailable("the node is shutting down"));
  }
}

void ReplicaImpl::ChangeMembership(MembershipChange change, SteadyTime deadline,
                                   std::function<void(const std::string&)> progress,
                                   std::function<void(Status)> done) {
  const bool taken =
      Post([=](ReplicaCore& core) { core.ChangeMembership(change, deadline, progress, done); });
  if (!taken) done(Unavailable("the node is shutting down"));
}

void ReplicaImpl::TransferLeadership(uint64_t node_id, SteadyTime deadline,
                                     std::function<void(Status)> done) {
  // A caller that hears that leadership has moved asks next where to.
  const auto published = [this, done](Status status) {
    if (status.ok()) Publish(/*with_status=*/false);
    done(std::move(status));
  };
  if (!Post([=](ReplicaCore& core) { core.TransferLeadership(node_id, deadline, published); })) {
    done(Unavailable("the node is shutting down"));
  }
}

void ReplicaImpl::RaiseLevel(SteadyTime deadline, std::function<void(Result<uint64_t>)> done) {
  if (!Post([=](ReplicaCore& core) { core.RaiseLevel(deadline, done); })) {
    done(Unavailable("the node is shutting down"));
  }
}

void ReplicaImpl::Shutdown(SteadyTime timeout) {
  if (shut_down_.exchange(true)) return;
  if (core_thread_.joinable()) {
    auto settled = std::make_shared<std::promise<void>>();
    std::future<void> done = settled->get_future();
    const SteadyTime deadline = clock_->SteadyNow() + timeout;
    Post([settled, deadline](ReplicaCore& core) {
      core.BeginShutdown(deadline, [settled] { settled->set_value(); });
    });
    done.wait_for(timeout);
  }
  StopThreads(/*checkpoint=*/true);
}

void ReplicaImpl::StopThreads(bool checkpoint) {
  // The core stops first. Then the workers get nothing new, and finish what they were given.
  events_->Close();
  if (core_thread_.joinable()) core_thread_.join();
  snapshot_worker_.Stop();
  scrub_worker_.Stop();
  log_worker_.Stop();
  apply_worker_.Stop(checkpoint);
  core_.reset();
}

Result<std::unique_ptr<Replica>> Replica::Open(const ReplicaOptions& options, FileSystem* fs,
                                               log_store::LogStore* log,
                                               state_machine::StateMachine* state, Clock* clock) {
  // The nonce tells this data directory from any other, so it is never drawn from the seed.
  uint64_t nonce = 0;
  while (nonce == 0) nonce = SystemEntropy();
  ASSIGN_OR_RETURN(StartState start, LoadStartState(options, nonce, *fs, *log, *state));
  return std::unique_ptr<Replica>(
      new ReplicaImpl(options, std::move(start), fs, log, state, clock));
}

}  // namespace cairn::node
