#include "node/proposals.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "state_machine/feature_level.h"

namespace cairn::node {
namespace {

// A deadline that is due is proposed again if it has not gone by then.
constexpr SteadyTime kExpiryRetry = std::chrono::seconds(1);
constexpr SteadyTime kOwnCommandTimeout = std::chrono::seconds(10);
// A command that is expected to take more than this part of a request's budget is heavy.
constexpr uint64_t kHeavyPart = 16;
// An entry is closed at this part of its budget, so that wrong estimates seldom use up the budget.
constexpr uint64_t kEntryPart = 2;

// What a step of work may take of a node's disk, in its write-ahead log (bench/work_bench.cc).
constexpr uint64_t kFileBytesPerStep = 10;
// Small writes go on, whatever the disk.
constexpr uint64_t kStepsOnFullDisk = 1'000'000;

bool IsGone(const PendingCommand& command) { return command.gone(); }

// What a command that needs the level asks for.
std::string Wish(uint64_t level) {
  return level == state_machine::kLevelExpectations
             ? "an expected number of rows"
             : "foreign keys that are off, a statement "
               "of more than 1 MiB of text, or a blob "
               "literal of more than 4 KiB, to retain changes, or "
               "to restore a backup into it,";
}

}  // namespace

Proposals::Proposals(ReplicaContext* context, const PeerDirectory* directory)
    : context_(*context),
      directory_(*directory),
      heavy_steps_min_(context->options.request_steps_max / kHeavyPart),
      batcher_({.batch_bytes_max = context->options.batch_bytes_max,
                .batch_commands_max = context->options.batch_commands_max,
                .entries_in_flight_max = context->options.batch_entries_in_flight_max,
                .delay_max = context->options.batch_delay_max,
                .batch_steps_max = context->options.request_steps_max / kEntryPart}),
      entry_time_(context->clock) {}

void Proposals::Add(PendingCommandPtr command) {
  const ReplicaOptions& options = context_.options;
  if (!context_.is_leader()) {
    options.counts->Refuse(WriteRefusal::kNotLeader);
    return command->Finish(directory_.NotLeader());
  }
  if (command->gone()) return RefuseGone(command.get());
  if (queued_commands() >= options.proposal_queue_commands_max ||
      queued_bytes() + command->bytes() > options.proposal_queue_bytes_max) {
    return Refuse(WriteRefusal::kQueueFull, command.get(),
                  ResourceExhausted("too many writes are waiting on this node"));
  }
  if (command->traits().maintenance && maintenance_taken()) {
    return Refuse(WriteRefusal::kMaintenance, command.get(),
                  ResourceExhausted(
                      "another request of maintenance is under way; send it when that has ended"));
  }
  Queue(std::move(command));
}

void Proposals::Refuse(WriteRefusal why, PendingCommand* command, Status status) {
  context_.options.counts->Refuse(why);
  command->Finish(std::move(status).With(Outcome::kNotApplied));
}

void Proposals::RefuseGone(PendingCommand* command) {
  Refuse(WriteRefusal::kCancelled, command, Cancelled("the client has gone"));
}

void Proposals::Queue(PendingCommandPtr command) {
  const CommandTraits& traits = command->traits();
  command->set_expected_steps(estimates_.Expect(traits));
  command->set_queued(context_.now());
  const bool heavy = traits.maintenance || command->expected_steps() >= heavy_steps_min_;
  if (heavy || heavy_.Holds(traits.client)) {
    heavy_.Add(std::move(command));
  } else {
    batcher_.Add(std::move(command));
  }
}

void Proposals::AddOwn(state_machine::Command command) {
  const SteadyTime now = context_.now();
  auto own = std::make_shared<PendingCommand>(state_machine::EncodeCommand(command),
                                              now + kOwnCommandTimeout, nullptr);
  own->set_queued(now);
  batcher_.Add(std::move(own));
}

void Proposals::ExpirePrepared(uint64_t next_deadline_lease_ms) {
  const SteadyTime now = context_.now();
  const std::optional<uint64_t> lease = LeaseNow(now);
  if (!lease || next_deadline_lease_ms > *lease) return;
  if (expiry_proposed_ && now - *expiry_proposed_ < kExpiryRetry) return;
  expiry_proposed_ = now;
  state_machine::Command command;
  command.operation = state_machine::AdvanceLease{};
  AddOwn(std::move(command));
}

std::optional<uint64_t> Proposals::LeaseNow(SteadyTime now) const {
  if (!lease_ || !context_.is_leader() || lease_->term != context_.raft->term()) {
    return std::nullopt;
  }
  const auto elapsed = std::chrono::duration_cast<std::chrono::milliseconds>(now - lease_->since);
  return lease_->base_ms + static_cast<uint64_t>(elapsed.count());
}

std::string Proposals::ClockDoubt() const {
  return LeaseNow(context_.now()) ? entry_time_.Doubt() : "";
}

void Proposals::Step() {
  ForgetCommitted(context_.now());
  if (batcher_.empty() && heavy_.empty()) return;
  if (!context_.is_leader()) return RefuseQueued(directory_.NotLeader());
  // The lease clock is known once an entry of this leader's own term has been applied. Until then
  // commands wait (with a new leader: for one round trip).
  const SteadyTime now = context_.now();
  if (!LeaseNow(now)) return;
  // An entry that has just been committed makes room before the core's output is taken, so the next
  // entry carries the news of the commit.
  while (batcher_.Ready(uncommitted_.size() + proposing_.size(), now)) {
    Batcher::Batch batch = batcher_.TakeBatch();
    for (const PendingCommandPtr& command : batch.left_out) RefuseGone(command.get());
    std::erase_if(batch.commands,
                  [this](const auto& command) { return RefuseByLevel(command.get()); });
    if (batch.commands.empty()) continue;
    context_.options.counts->batches[static_cast<size_t>(batch.end)].Add();
    ProposeBatch(std::move(batch.commands));
  }
  StepHeavy();
}

bool Proposals::RefuseByLevel(PendingCommand* command) {
  const uint64_t level = command->traits().level;
  if (level <= context_.level) return false;
  Refuse(WriteRefusal::kLevel, command,
         FailedPrecondition("the cluster is at feature level " + std::to_string(context_.level) +
                            ", and " + Wish(level) + " needs level " + std::to_string(level) +
                            ": run this version on all nodes, then `cairn member upgrade`"));
  return true;
}

void Proposals::StepHeavy() {
  if (heavy_entry_) return;
  PendingCommandPtr command;
  do {
    if (heavy_.empty()) return;
    command = heavy_.Take();
    if (command->gone()) RefuseGone(command.get());
  } while (command->finished() || RefuseByLevel(command.get()));
  std::vector<PendingCommandPtr> alone{std::move(command)};
  const CommandTraits traits = alone.front()->traits();
  heavy_entry_ = HeavyEntry{ProposeBatch(std::move(alone)), LogIndex(), traits.maintenance};
  // What the same client sent behind the heavy command, and is not heavy, need not wait any longer.
  const PendingCommand* next = nullptr;
  while ((next = heavy_.Next(traits.client)) != nullptr && !next->traits().maintenance &&
         next->expected_steps() < heavy_steps_min_) {
    batcher_.Add(heavy_.TakeNext(traits.client));
  }
}

SteadyTime Proposals::next_step() const {
  // While an entry is under way, its commit comes as an event. While the lease clock is not known,
  // nothing is proposed, and the lease clock becomes known by an event, too. To ask for a time that
  // is over would only spin until then.
  const bool gathering =
      uncommitted_.empty() && proposing_.empty() && LeaseNow(context_.now()).has_value();
  return gathering ? batcher_.gather_until() : SteadyTime::max();
}

void Proposals::ForgetCommitted(SteadyTime now) {
  const auto end = uncommitted_.upper_bound(context_.raft->commit());
  for (auto it = uncommitted_.begin(); it != end; ++it) {
    context_.options.counts->commit.Observe(now - it->second.proposed);
    batcher_.OnCommitted(it->second.commands, now - it->second.proposed, now);
  }
  uncommitted_.erase(uncommitted_.begin(), end);
}

uint64_t Proposals::StepsMax(uint64_t wanted) const {
  if (!free_bytes_) return wanted;
  const uint64_t borne = std::max(*free_bytes_ / kFileBytesPerStep, kStepsOnFullDisk);
  return wanted == 0 ? borne : std::min(wanted, borne);
}

uint64_t Proposals::ProposeBatch(std::vector<PendingCommandPtr> batch) {
  state_machine::BatchHeader header;
  header.wall_ms = entry_time_.Next();
  header.random_seed = context_.rng->Next();
  header.lease_ms = *LeaseNow(context_.now());
  header.command_steps_max = StepsMax(context_.options.request_steps_max);
  header.entry_steps_max = header.command_steps_max;
  header.maintenance_steps_max = StepsMax(context_.options.maintenance_steps_max);
  header.request_ttl_ms = context_.options.request_ttl_ms;
  std::vector<std::string> encoded;
  encoded.reserve(batch.size());
  SteadyTime queued = SteadyTime::max();
  for (PendingCommandPtr& command : batch) {
    queued = std::min(queued, command->queued());
    encoded.push_back(command->TakeEncoded());
  }
  std::string payload;
  state_machine::EncodeBatch(header, encoded, &payload);
  ReplicaCounts& counts = *context_.options.counts;
  counts.batch_commands.Observe(batch.size());
  counts.batch_bytes.Observe(payload.size());
  counts.queue_wait.Observe(context_.now() - queued);
  const uint64_t id = context_.next_id++;
  proposing_[id] = std::move(batch);
  raft::Propose propose;
  propose.proposals.push_back({id, std::make_shared<const std::string>(std::move(payload))});
  context_.raft->Step(std::move(propose));
  return id;
}

void Proposals::OnAccepted(const raft::Accepted& accepted) {
  const auto it = proposing_.find(accepted.id);
  // This is a change of configuration. The job that wanted it may be over.
  if (it == proposing_.end()) return;
  uncommitted_[accepted.index] = {it->second.size(), context_.now()};
  if (heavy_entry_ && heavy_entry_->proposal == accepted.id) heavy_entry_->index = accepted.index;
  tracker_.Add(accepted.index, accepted.term, std::move(it->second));
  proposing_.erase(it);
}

bool Proposals::OnDropped(const raft::Dropped& dropped) {
  const auto it = proposing_.find(dropped.id);
  if (it == proposing_.end()) return false;
  std::vector<PendingCommandPtr> commands = std::move(it->second);
  proposing_.erase(it);
  if (heavy_entry_ && heavy_entry_->proposal == dropped.id) heavy_entry_.reset();
  Status status;
  WriteRefusal why = WriteRefusal::kNotLeader;
  switch (dropped.reason) {
    case raft::DropReason::kUncommittedFull:
      why = WriteRefusal::kUncommitted;
      status = ResourceExhausted("too much is waiting for a majority to confirm it");
      break;
    case raft::DropReason::kTransferring:
      why = WriteRefusal::kStopping;
      status = Unavailable("leadership is being handed over");
      break;
    default: status = directory_.NotLeader(); break;
  }
  status = std::move(status).With(Outcome::kNotApplied);
  for (PendingCommandPtr& c : commands) {
    context_.options.counts->Refuse(why);
    c->Finish(status);
  }
  return true;
}

void Proposals::OnPersist(const raft::Persist& persist) {
  if (persist.reset_to) uncommitted_.clear();
  if (!persist.truncate_from) return;
  uncommitted_.erase(uncommitted_.lower_bound(*persist.truncate_from), uncommitted_.end());
}

std::vector<EntryWaiters> Proposals::TakeCommitted(const std::vector<raft::Entry>& entries) {
  std::vector<EntryWaiters> waiters;
  const Status lost = directory_.NotLeader();
  for (const raft::Entry& entry : entries) {
    auto commands = tracker_.TakeCommitted(entry.index, entry.term, lost);
    if (!commands.empty()) waiters.push_back({entry.index, std::move(commands)});
  }
  return waiters;
}

void Proposals::OnApplied(const AppliedReport& report) {
  for (const CommandCost& cost : report.costs) {
    estimates_.Learn(cost);
    batcher_.Charge(cost.traits.principal, cost.steps);
    heavy_.Charge(cost.traits.principal, cost.steps);
  }
  if (heavy_entry_ && !heavy_entry_->index.is_none() && heavy_entry_->index <= report.index) {
    heavy_entry_.reset();
  }
  if (!context_.is_leader() || report.term != context_.raft->term()) return;
  if (lease_ && lease_->term == report.term) return;
  // All entries before this leader's own term are applied. The lease clock stood here.
  lease_ = Lease{report.term, report.lease_ms, context_.now()};
  entry_time_.Begin(report.wall_ms);
}

void Proposals::OnFollowing() {
  lease_.reset();
  uncommitted_.clear();
  heavy_entry_.reset();
}

void Proposals::Expire(SteadyTime now) {
  const SteadyTime wait_max = context_.options.proposal_queue_wait_max;
  const auto late = [now](const PendingCommand& c) { return c.deadline() <= now; };
  for (const PendingCommandPtr& c : batcher_.TakeIf(late)) {
    Refuse(WriteRefusal::kExpired, c.get(), DeadlineExceeded("no leader took the write in time"));
  }
  for (const PendingCommandPtr& c :
       batcher_.TakeIf([=](const PendingCommand& c) { return now - c.queued() >= wait_max; })) {
    Refuse(WriteRefusal::kQueueWait, c.get(),
           ResourceExhausted("the write waited for as long as a write may wait on this node"));
  }
  for (const PendingCommandPtr& c : heavy_.TakeIf(late)) {
    Refuse(WriteRefusal::kExpired, c.get(),
           DeadlineExceeded("writes that take long go one at a time, and the turn of this one did "
                            "not come in time"));
  }
  tracker_.Expire(now);
}

void Proposals::DropGone() {
  for (const PendingCommandPtr& c : batcher_.TakeIf(&IsGone)) RefuseGone(c.get());
  for (const PendingCommandPtr& c : heavy_.TakeIf(&IsGone)) RefuseGone(c.get());
}

void Proposals::OnOvertaken(LogIndex index) {
  tracker_.FailUpTo(index, Unavailable("the node was overtaken by a snapshot that may or may not "
                                       "hold the write")
                               .With(Outcome::kUnknown));
}

void Proposals::RefuseQueued(const Status& not_applied) {
  for (PendingCommandPtr& c : batcher_.TakeAll()) c->Finish(not_applied);
  for (PendingCommandPtr& c : heavy_.TakeAll()) c->Finish(not_applied);
}

void Proposals::Stop() {
  const Status stopped = Unavailable("the node is shutting down");
  RefuseQueued(Status(stopped).With(Outcome::kNotApplied));
  for (auto& [id, commands] : proposing_) {
    for (PendingCommandPtr& c : commands) c->Finish(Status(stopped).With(Outcome::kUnknown));
  }
  tracker_.FailAll(Status(stopped).With(Outcome::kUnknown));
}

}  // namespace cairn::node
