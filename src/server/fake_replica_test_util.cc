#include "server/fake_replica_test_util.h"

#include <algorithm>
#include <future>
#include <thread>
#include <utility>

namespace cairn::server {
namespace {

using state_machine::Command;
using state_machine::CommandResult;

class FakeRun final : public state_machine::QueryRun {
 public:
  FakeRun(std::string sql, std::optional<std::vector<Row>> rows, std::atomic<int>* ended)
      : sql_(std::move(sql)), answer_(std::move(rows)), ended_(ended) {}
  ~FakeRun() override { ++*ended_; }

  Result<bool> Continue(const state_machine::QueryLimits& limits,
                        state_machine::RowSink* sink) override {
    if (next_ == 1) RETURN_IF_ERROR(sink->OnColumns({{"value", "INTEGER"}}));
    if (answer_) return Answer(sink);
    if (sql_ == "big") return Only(std::string(5 << 20, 'x'), sink);
    if (sql_ == "notutf8") return Only(std::string("\xff\xfe"), sink);
    if (sql_.empty() || (sql_ != "slow" && !std::isdigit(sql_[0])))
      return InvalidArgument("syntax");
    const int64_t rows = sql_ == "slow" ? INT64_MAX : std::stoll(sql_);
    while (next_ <= rows) {
      if (limits.cancelled && limits.cancelled()) return Cancelled("told to stop");
      if (limits.check) RETURN_IF_ERROR(limits.check(SystemClock().SteadyNow()));
      if (sql_ == "slow") {
        std::this_thread::yield();
        continue;
      }
      RETURN_IF_ERROR(sink->OnRow({next_++}));
      if (sink->Full()) return false;
    }
    return true;
  }

 private:
  Result<bool> Answer(state_machine::RowSink* sink) {
    while (static_cast<size_t>(next_) <= answer_->size()) {
      RETURN_IF_ERROR(sink->OnRow((*answer_)[static_cast<size_t>(next_++ - 1)]));
      if (sink->Full()) return false;
    }
    return true;
  }
  static Result<bool> Only(std::string text, state_machine::RowSink* sink) {
    RETURN_IF_ERROR(sink->OnRow({std::move(text)}));
    return true;
  }

  const std::string sql_;
  const std::optional<std::vector<Row>> answer_;
  std::atomic<int>* const ended_;
  int64_t next_ = 1;
};

class FakeView final : public state_machine::ReadView {
 public:
  FakeView(LogIndex applied, std::map<std::string, std::vector<Row>> answers,
           std::map<std::string, int64_t> versions, std::atomic<int>* queries_ended)
      : applied_(applied),
        answers_(std::move(answers)),
        versions_(std::move(versions)),
        queries_ended_(queries_ended) {}
  LogIndex applied() const override { return applied_; }

  Status Query(const Statement& statement, const state_machine::QueryLimits& limits,
               state_machine::RowSink* sink) override {
    const std::unique_ptr<state_machine::QueryRun> run = BeginQuery(statement);
    for (;;) {
      ASSIGN_OR_RETURN(const bool ended, run->Continue(limits, sink));
      if (ended) return OkStatus();
    }
  }
  std::unique_ptr<state_machine::QueryRun> BeginQuery(const Statement& statement) override {
    std::optional<std::vector<Row>> rows;
    for (const auto& [sql, answer] : answers_) {
      if (statement.sql.starts_with(sql)) rows = answer;
    }
    return std::make_unique<FakeRun>(statement.sql, std::move(rows), queries_ended_);
  }
  Result<int64_t> Version(const std::string& table) override {
    if (table.empty()) return static_cast<int64_t>(applied_.value());
    const auto found = versions_.find(table);
    return found == versions_.end() ? 0 : found->second;
  }
  Result<state_machine::QuerySources> SourcesOf(const std::string& sql,
                                                const state_machine::QueryLimits&) override {
    const size_t from = sql.find(" FROM ");
    if (from == std::string::npos) return InvalidArgument("syntax");
    state_machine::QuerySources sources;
    sources.tables = {sql.substr(from + 6)};
    return sources;
  }
  Result<state_machine::TxInfo> Transaction(const std::string& tx_id) override {
    state_machine::TxInfo info;
    if (tx_id == "known") info.state = state_machine::TxState::kCommitted;
    return info;
  }

 private:
  const LogIndex applied_;
  const std::map<std::string, std::vector<Row>> answers_;
  const std::map<std::string, int64_t> versions_;
  std::atomic<int>* const queries_ended_;
};

}  // namespace

state_machine::AppliedState FakeState::applied_state() const {
  state_machine::AppliedState state;
  state.index = applied_index();
  return state;
}

LogIndex FakeState::applied_index() const {
  std::lock_guard lock(mutex_);
  return LogIndex(index_);
}

void FakeState::GoBackTo(uint64_t index) {
  std::lock_guard lock(mutex_);
  index_ = index;
}

Status FakeState::CheckProposal(const Command& command) {
  const auto* execute = std::get_if<state_machine::Execute>(&command.operation);
  if (execute == nullptr) return OkStatus();
  for (const Statement& statement : execute->statements) {
    if (statement.sql.rfind("SELECT", 0) != 0) continue;
    return InvalidArgument("a read: use Query" + (echo_refusals_ ? ": " + statement.sql : ""));
  }
  return OkStatus();
}

Result<std::unique_ptr<state_machine::ReadView>> FakeState::OpenReadView(SteadyTime) {
  ++views_opened_;
  std::lock_guard lock(mutex_);
  return std::unique_ptr<state_machine::ReadView>(
      std::make_unique<FakeView>(LogIndex(index_), answers_, versions_, &queries_ended_));
}

void FakeState::Answer(const std::string& sql, std::vector<Row> rows) {
  std::lock_guard lock(mutex_);
  answers_[sql] = std::move(rows);
}

void FakeState::Commit(std::vector<std::vector<state_machine::Change>> commands) {
  LogIndex index;
  {
    std::lock_guard lock(mutex_);
    index = LogIndex(++index_);
    for (const auto& changes : commands) {
      for (const auto& change : changes) {
        if (change.table != nullptr) ++versions_[change.table->name];
      }
    }
  }
  std::vector<std::shared_ptr<const state_machine::CommandChanges>> committed;
  uint64_t ordinal = 0;
  for (auto& changes : commands) {
    if (changes.empty()) continue;
    changes.emplace_back();
    auto command = std::make_shared<state_machine::CommandChanges>();
    for (auto& change : changes) {
      change.position = {index, ++ordinal};
      command->bytes += 200;
      for (const Row* row : {&change.old_row, &change.new_row}) {
        for (const Value& value : *row) {
          if (const auto* text = std::get_if<std::string>(&value)) command->bytes += text->size();
        }
      }
    }
    command->changes = std::move(changes);
    committed.push_back(std::move(command));
  }
  ring_->BatchBegun(index - 1);
  ring_->BatchCommitted(index, std::move(committed), /*lost=*/std::nullopt);
}

CommandResult FakeState::ApplyOne(const Command& command) {
  std::lock_guard lock(mutex_);
  ++index_;
  commands_.push_back(command);
  if (const auto found = done_.find(command.id); found != done_.end()) {
    CommandResult again = found->second;
    if (drops_results_) again.statements.clear();
    again.result_gone = drops_results_;
    return again;
  }
  CommandResult result;
  result.index = LogIndex(index_);
  if (command.id.sequence == 1) sessions_[command.id.session] = true;
  if (!command.id.bare() && !sessions_.contains(command.id.session)) {
    result.status = FailedPrecondition("the session is not known")
                        .With(Outcome::kUnknown)
                        .With(Reason::kSessionExpired);
    return result;
  }
  if (const auto* execute = std::get_if<state_machine::Execute>(&command.operation)) {
    for (const Statement& statement : execute->statements) {
      if (statement.sql.rfind("FAIL", 0) == 0) {
        const bool says_why = statement.sql.size() > 5;
        result.status =
            (says_why ? FailedPrecondition(statement.sql.substr(5)) : Aborted("constraint failed"))
                .With(Outcome::kApplied);
        break;
      }
      const int64_t rows = ++executions_[statement.sql];
      result.statements.push_back({.rows_affected = rows});
    }
  }
  done_[command.id] = result;
  return result;
}

void FakeState::ForgetSessions() {
  std::lock_guard lock(mutex_);
  sessions_.clear();
  done_.clear();
}

int FakeState::executions(const std::string& sql) const {
  std::lock_guard lock(mutex_);
  const auto found = executions_.find(sql);
  return found == executions_.end() ? 0 : found->second;
}

std::vector<Command> FakeState::commands() const {
  std::lock_guard lock(mutex_);
  return commands_;
}

FakeReplica::FakeReplica(Clock* clock)
    : clock_(clock), hint_(LeaderHint{1, "self:1"}), thread_([this] { Run(); }) {}

FakeReplica::~FakeReplica() { Shutdown(SteadyTime(0)); }

void FakeReplica::SetLeader(bool leader, std::optional<LeaderHint> hint) {
  {
    std::lock_guard lock(mutex_);
    leader_ = leader;
    hint_ = std::move(hint);
    changed_.notify_all();
  }
  if (watcher_) watcher_();
}

void FakeReplica::Script(std::vector<Fate> fates) {
  std::lock_guard lock(mutex_);
  fates_ = std::move(fates);
}

void FakeReplica::HoldBarriers(bool hold) {
  std::vector<Barrier> held;
  {
    std::lock_guard lock(mutex_);
    hold_barriers_ = hold;
    if (!hold) held.swap(held_);
  }
  for (Barrier& barrier : held) {
    Post([done = std::move(barrier.done), index = state_.applied_index()] { done(index); });
  }
}

int FakeReplica::held_barriers() const {
  std::lock_guard lock(mutex_);
  return static_cast<int>(held_.size());
}

void FakeReplica::Propose(const Command& command, SteadyTime, node::CommandDone done,
                          node::CallerGone) {
  Post([this, command, done = std::move(done)] {
    if (!leader_) {
      Status status = Unavailable("not the leader").With(Outcome::kNotApplied);
      if (auto hint = leader_hint()) status = std::move(status).With(*hint);
      return done(std::move(status));
    }
    Fate fate = Fate::kApply;
    {
      std::lock_guard lock(mutex_);
      // The scripts are about statements, so the opening of a session always succeeds.
      const bool opens = std::holds_alternative<state_machine::OpenSession>(command.operation);
      if (!fates_.empty() && !opens) {
        fate = fates_.front();
        fates_.erase(fates_.begin());
      }
    }
    const bool apply = fate == Fate::kApply || fate == Fate::kAppliedUnknown;
    const CommandResult result = apply ? state_.ApplyOne(command) : CommandResult();
    if (fate == Fate::kApply) return done(result);
    done(Unavailable("leadership lost")
             .With(fate == Fate::kNotApplied ? Outcome::kNotApplied : Outcome::kUnknown));
  });
}

void FakeReplica::AwaitIdle() {
  std::promise<void> reached;
  Post([&reached] { reached.set_value(); });
  reached.get_future().wait();
}

void FakeReplica::ReadBarrier(const node::ReadOptions& options, SteadyTime deadline,
                              std::function<void(Result<LogIndex>)> done) {
  ++barriers_;
  std::lock_guard lock(mutex_);
  const bool linearizable = options.level == node::ReadLevel::kLinearizable;
  const bool disagreed = compares_ && !linearizable && !options.index_min.is_none();
  const bool reached = linearizable || options.index_min <= state_.applied_index();
  if (hold_barriers_ || disagreed || (linearizable && !hint_) || !reached) {
    held_.push_back({deadline, std::move(done)});
    changed_.notify_all();
  } else {
    tasks_.push_back([this, done = std::move(done)] { done(state_.applied_index()); });
    changed_.notify_all();
  }
}

void FakeReplica::AwaitLeader(SteadyTime deadline, std::function<void(Result<LeaderHint>)> done) {
  std::lock_guard lock(mutex_);
  waiters_.push_back({deadline, std::move(done)});
  changed_.notify_all();
}

std::optional<LeaderHint> FakeReplica::leader_hint() const {
  std::lock_guard lock(mutex_);
  return hint_;
}

void FakeReplica::SetMembers(std::vector<std::string> addresses) {
  std::lock_guard lock(mutex_);
  config_ = raft::Configuration();
  for (std::string& address : addresses) {
    const uint64_t id = config_.next_member_id++;
    config_.voters.insert(MemberId(id));
    config_.info[MemberId(id)] = {id, std::move(address), id};
  }
}

node::ReplicaStatus FakeReplica::status() const {
  node::ReplicaStatus status;
  status.stage = transport::LifeStage::kStarted;
  status.core.self = MemberId(1);
  status.core.role = leader_ ? raft::Role::kLeader : raft::Role::kFollower;
  std::lock_guard lock(mutex_);
  status.core.config = config_;
  status.age = age_;
  return status;
}

void FakeReplica::ChangeMembership(MembershipChange, SteadyTime,
                                   std::function<void(const std::string&)> progress,
                                   std::function<void(Status)> done) {
  Post([progress = std::move(progress), done = std::move(done)] {
    progress("learner added");
    progress("learner caught up");
    done(OkStatus());
  });
}

void FakeReplica::TransferLeadership(uint64_t, SteadyTime, std::function<void(Status)> done) {
  Post([done = std::move(done)] { done(FailedPrecondition("alone")); });
}

void FakeReplica::RaiseLevel(SteadyTime, std::function<void(Result<uint64_t>)> done) {
  Post([done = std::move(done)] {
    done(FailedPrecondition("not every member can follow to level 2: node 3 knows levels up to 1"));
  });
}

void FakeReplica::Shutdown(SteadyTime) {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void FakeReplica::Post(std::function<void()> task) {
  std::lock_guard lock(mutex_);
  tasks_.push_back(std::move(task));
  changed_.notify_all();
}

void FakeReplica::Run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    std::vector<std::function<void()>> tasks = std::exchange(tasks_, {});
    const SteadyTime now = clock_->SteadyNow();
    SteadyTime next = now + std::chrono::seconds(1);
    std::erase_if(waiters_, [&](Waiter& waiter) {
      next = std::min(next, waiter.deadline);
      const bool over = stopped_ || waiter.deadline <= now;
      if (!over && !hint_) return false;
      Result<LeaderHint> answer = Unavailable("no leader");
      if (hint_) answer = *hint_;
      tasks.push_back([done = std::move(waiter.done), answer] { done(answer); });
      return true;
    });
    std::erase_if(held_, [&](Barrier& barrier) {
      next = std::min(next, barrier.deadline);
      if (!stopped_ && barrier.deadline > now) return false;
      tasks.push_back(
          [done = std::move(barrier.done)] { done(DeadlineExceeded("no read index")); });
      return true;
    });
    if (tasks.empty()) {
      if (stopped_) return;
      changed_.wait_for(lock, std::max(SteadyTime(0), next - now));
      continue;
    }
    lock.unlock();
    for (auto& task : tasks) task();
    lock.lock();
  }
}

}  // namespace cairn::server
