#include "sim/workload.h"

#include <algorithm>
#include <utility>

#include "sim/process.h"

namespace cairn::sim {
namespace {

using history::EventType;
using state_machine::CommandResult;
using state_machine::Statement;

constexpr uint64_t kClientNode = 0;

class Rows final : public state_machine::RowSink {
 public:
  Status OnColumns(const std::vector<state_machine::Column>& /*columns*/) override {
    return OkStatus();
  }
  Status OnRow(state_machine::Row row) override {
    rows.push_back(std::move(row));
    return OkStatus();
  }
  std::vector<state_machine::Row> rows;
};

}  // namespace

Workload::Client::Client(Workload* owner, int client_number)
    : workload(owner), number(client_number), retrier(this, this, this, [this] {
        rpc::Retrier::Options options;
        options.new_session_name = [this] {
          return "c" + std::to_string(number) + "." + std::to_string(++sessions);
        };
        return options;
      }()) {}

void Workload::Client::Send(const rpc::Retrier::CallPtr& call) {
  workload->Attempt(std::static_pointer_cast<Call>(call));
}

void Workload::Client::Answer(const rpc::Retrier::CallPtr& call, Status status) {
  workload->Finish(std::static_pointer_cast<Call>(call), status);
}

rpc::Retrier::CallPtr Workload::Client::NewOpening() {
  auto call = std::make_shared<Call>();
  call->client = this;
  call->request.write = state_machine::OpenSession{};
  call->command.operation = state_machine::OpenSession{};
  return call;
}

void Workload::Client::RunAt(SteadyTime when, std::function<void()> task) {
  workload->world_->At(when, workload->LabelOf(*this), std::move(task));
}

SteadyTime Workload::Client::SteadyNow() const { return workload->world_->now(); }

Workload::Workload(World* world, Network* network, const Nodes* nodes, WorkloadOptions options)
    : world_(world),
      network_(network),
      nodes_(nodes),
      options_(std::move(options)),
      rng_(world->Fork("workload")),
      tasks_(world->Fork("tasks"), options_.tasks),
      forwarding_(world, network, nodes) {
  for (int i = 0; i < options_.clients; ++i) {
    auto client = std::make_unique<Client>(this, i);
    for (int lane = 0; lane < options_.depth; ++lane) {
      client->lanes.push_back(std::make_unique<Lane>());
      client->lanes.back()->client = client.get();
      client->lanes.back()->process = processes_++;
    }
    clients_.push_back(std::move(client));
  }
}

uint32_t Workload::LabelOf(const Client& client) const {
  return Label(Kind::kClient, static_cast<uint64_t>(client.number));
}

// ---- Clients

void Workload::Start() {
  Client* first = clients_.front().get();
  Task task = tasks_.MakeTables();
  task.next = [this, first](const Answer& answer) {
    if (answer.type != EventType::kOk) world_->Fail("the tables were not made within an hour");
    tables_exist_ = true;
    for (auto& each : clients_) ScheduleClient(each.get(), Exponential(rng_, options_.think_mean));
    if (options_.greedy_every > SteadyTime(0)) RunGreedy();
    return sim::End{answer.type, {}, ""};
  };
  Begin(first->lanes.front().get(), std::move(task), std::chrono::hours(1));
}

void Workload::ScheduleClient(Client* client, SteadyTime after) {
  world_->After(after, LabelOf(*client), [this, client] { RunClient(client); });
}

void Workload::RunClient(Client* client) {
  if (stopped_) return;
  const auto idle = std::find_if(client->lanes.begin(), client->lanes.end(),
                                 [](const auto& lane) { return !lane->task.has_value(); });
  if (idle != client->lanes.end()) {
    Begin(idle->get(), tasks_.Draw(), options_.operation_timeout);
  }
  ScheduleClient(client, Exponential(rng_, options_.think_mean));
}

// ---- Tasks

void Workload::Begin(Lane* lane, Task task, SteadyTime patience) {
  ++under_way_;
  lane->task = std::move(task);
  Record(*lane->task, EventType::kInvoke, lane->process, 0, lane->task->asked);
  Ask(lane, lane->task->first, patience);
}

void Workload::Record(const Task& task, EventType type, int64_t process, uint64_t node,
                      history::Datum value) {
  if (!task.family) return;
  history::Event event;
  event.type = type;
  event.process = process;
  event.time_ns = world_->now().count();
  event.node = static_cast<int64_t>(node);
  event.f = task.f;
  event.value = std::move(value);
  if (*task.family == Family::kLists) histories_.Add(Family::kSessions, event);
  if (!task.of_session) histories_.Add(*task.family, std::move(event));
}

void Workload::Continue(Lane* lane, const Answer& answer, uint64_t node) {
  const auto next = lane->task->next(answer);
  if (const auto* request = std::get_if<Request>(&next)) {
    return Ask(lane, *request, options_.operation_timeout);
  }
  End(lane, std::get<sim::End>(next), node);
}

void Workload::End(Lane* lane, const sim::End& end, uint64_t node) {
  if (!end.broken.empty()) Fail(*lane, end.broken);
  Record(*lane->task, end.type, lane->process, node, end.value);
  lane->task.reset();
  --under_way_;
}

void Workload::Fail(const Lane& lane, const std::string& what) {
  world_->Fail("client " + std::to_string(lane.client->number) + ", " +
               (lane.task ? lane.task->f : "") + ": " + what);
}

// ---- Requests

void Workload::Ask(Lane* lane, Request request, SteadyTime patience) {
  auto call = std::make_shared<Call>();
  call->client = lane->client;
  call->lane = lane;
  call->request = std::move(request);
  call->begun = world_->now();
  call->deadline = call->begun + patience;
  call->session_by = call->deadline;
  // A wrong "not applied" shows when no other attempt hides it.
  call->impatient = lane->task->family.has_value() && Chance(rng_, options_.impatient);
  if (call->request.write) {
    call->write = true;
    call->command.operation = *call->request.write;
    Client& client = *lane->client;
    call->command.principal = "host:c" + std::to_string(client.number);
    if (lane->task->family && options_.bare > 0 && Chance(rng_, options_.bare)) {
      call->session =
          "bare" + std::to_string(client.number) + "." + std::to_string(++client.bare_ids);
    }
  } else if (call->request.of_session) {
    call->index_min = lane->seen;
  }
  lane->client->retrier.Start(call);
}

uint64_t Workload::ChooseNode(const Call& call) {
  const uint64_t leader = call.client->leader;
  if (leader != 0 && nodes_->contains(leader) && !call.request.of_session &&
      !Chance(rng_, options_.stray)) {
    return leader;
  }
  auto it = nodes_->begin();
  std::advance(it, static_cast<int64_t>(rng_.Below(nodes_->size())));
  return it->first;
}

void Workload::Attempt(const CallPtr& call) {
  ++counts_.attempts;
  const int attempt = ++call->attempt;
  call->waits = true;
  call->sent = false;
  call->result.reset();
  call->command.id = {call->session, call->sequence};
  call->command.acknowledged_below = call->acknowledged_below;
  const uint32_t label = LabelOf(*call->client);
  const uint64_t node = ChooseNode(*call);
  world_->After(options_.attempt_timeout, label,
                [this, call, attempt] { OnTimeout(call, attempt); });
  Process* process = nodes_->at(node)->process();
  if (!network_->Passes(kClientNode, node)) return;
  call->sent = true;
  const uint64_t incarnation = process == nullptr ? 0 : process->incarnation();
  world_->After(network_->Delay(kClientNode, node), label,
                [=, this] { Arrive(call, attempt, node, incarnation); });
}

void Workload::Arrive(const CallPtr& call, int attempt, uint64_t node, uint64_t incarnation) {
  Node& target = *nodes_->at(node);
  Process* process = target.process();
  if (process == nullptr || process->dead() || process->incarnation() != incarnation) {
    return Reply(call, attempt, node, Unavailable("connection refused").With(Outcome::kNotApplied));
  }
  if (target.paused_until() > world_->now()) {
    world_->At(std::min<SteadyTime>(target.paused_until(), world_->now() + seconds(1)),
               LabelOf(*call->client), [=, this] { Arrive(call, attempt, node, incarnation); });
    return;
  }
  if (call->write) {
    Execute(call, attempt, node);
  } else {
    Read(call, attempt, node);
  }
}

void Workload::Forward(const CallPtr& call, int attempt, uint64_t node) {
  const bool checked = tables_exist_ && options_.write_within > SteadyTime(0);
  forwarding_.Write(
      node, call->command, std::max<SteadyTime>(kNodeTimeout, options_.attempt_timeout),
      [=, this, begun = world_->now()](Result<CommandResult> result) {
        if (checked && (!result.ok() || world_->now() > begun + options_.write_within)) {
          world_->Fail("node " + std::to_string(node) + " answered a write after " +
                       std::to_string((world_->now() - begun) / milliseconds(1)) +
                       " ms: " + result.status().ToString());
        }
        Reply(call, attempt, node, std::move(result));
      });
  counts_.relayed = forwarding_.relayed();
}

void Workload::Execute(const CallPtr& call, int attempt, uint64_t node) {
  if (options_.forwards) return Forward(call, attempt, node);
  nodes_->at(node)->process()->Propose(
      call->command, kNodeTimeout,
      [=, this](Result<CommandResult> result) { Reply(call, attempt, node, std::move(result)); });
}

void Workload::Read(const CallPtr& call, int attempt, uint64_t node) {
  node::ReadOptions options;
  if (call->request.of_session) {
    options.level = node::ReadLevel::kStale;
    options.index_min = call->index_min;
  }
  Process* process = nodes_->at(node)->process();
  process->ReadBarrier(
      options, kNodeTimeout,
      [=, this, incarnation = process->incarnation()](const Result<LogIndex>& index) {
        if (!index.ok()) return Reply(call, attempt, node, index.status());
        // The delay of the read pool's thread.
        world_->After(Exponential(rng_, microseconds(100)), LabelOf(*call->client),
                      [=, this] { RunQueries(call, attempt, node, incarnation); });
      });
}

void Workload::RunQueries(const CallPtr& call, int attempt, uint64_t node, uint64_t incarnation) {
  Process* process = nodes_->at(node)->process(incarnation);
  if (process == nullptr || process->dead()) return;
  Result<CommandResult> result = Query(node, call->request);
  if (!result.ok() || !process->core().compares_results()) {
    return Reply(call, attempt, node, std::move(result));
  }
  // As in the server's read pool, the state that the view shows must be agreed.
  node::ReadOptions applied;
  applied.level = node::ReadLevel::kStale;
  applied.index_min = result->index;
  process->ReadBarrier(applied, kNodeTimeout,
                       [this, call, attempt, node, result](const Result<LogIndex>& index) {
                         if (!index.ok()) return Reply(call, attempt, node, index.status());
                         Reply(call, attempt, node, result);
                       });
}

// All statements see one point in the log.
Result<CommandResult> Workload::Query(uint64_t node, const Request& request) {
  ASSIGN_OR_RETURN(const auto view,
                   nodes_->at(node)->process()->state().OpenReadView(SteadyTime(0)));
  CommandResult result;
  result.index = view->applied();
  if (!request.version_of.empty()) {
    ASSIGN_OR_RETURN(const int64_t version, view->Version(request.version_of));
    result.statements.emplace_back();
    result.statements.back().rows.push_back({version});
  }
  for (const Statement& statement : request.queries) {
    Rows rows;
    RETURN_IF_ERROR(view->Query(statement, {}, &rows));
    result.statements.emplace_back();
    result.statements.back().rows = std::move(rows.rows);
  }
  return result;
}

// Runs on the node's side: sends the answer.
void Workload::Reply(const CallPtr& call, int attempt, uint64_t node,
                     Result<CommandResult> result) {
  if (!network_->Passes(node, kClientNode)) return;
  world_->After(network_->Delay(node, kClientNode), LabelOf(*call->client),
                [=, this, result = std::move(result)] { OnReply(call, attempt, node, result); });
}

void Workload::OnReply(const CallPtr& call, int attempt, uint64_t node,
                       Result<CommandResult> result) {
  // Otherwise the answer is too late: an abandoned connection delivers nothing.
  if (!call->waits || call->attempt != attempt) return;
  world_->Trace(static_cast<uint64_t>(result.status().code()));
  if (result.ok()) {
    call->client->leader = node;
    if (options_.tamper && call->lane != nullptr) options_.tamper(*call->lane->task, &*result);
    call->node = node;
    Status status = result->status;
    if (status.code() == StatusCode::kResourceExhausted && options_.greedy_every > SteadyTime(0)) {
      world_->Fail("client " + std::to_string(call->client->number) +
                   " is refused because of what another holds: " + status.ToString());
    }
    call->result = *std::move(result);
    return Settle(call, std::move(status));
  }
  const Status& status = result.status();
  if (call->client->leader == node) call->client->leader = 0;
  if (const auto& hint = status.leader_hint()) call->client->leader = hint->node_id;
  Settle(call, status);
}

void Workload::OnTimeout(const CallPtr& call, int attempt) {
  if (!call->waits || call->attempt != attempt) return;
  call->client->leader = 0;
  Settle(call,
         Unavailable("no answer").With(call->sent ? Outcome::kUnknown : Outcome::kNotApplied));
}

void Workload::Settle(const CallPtr& call, Status status) {
  call->waits = false;
  if (!status.ok() && status.outcome() != Outcome::kApplied) {
    // This client retries after any error, or never.
    const StatusCode code = call->impatient ? StatusCode::kAborted : StatusCode::kUnavailable;
    const Status said = std::move(status);
    status = Status(code, said.message()).With(said.outcome()).With(said.reason());
  }
  call->client->retrier.Settle(call, std::move(status));
}

void Workload::Finish(const CallPtr& call, const Status& status) {
  if (status.ok() || status.outcome() == Outcome::kApplied) {
    Repeat(*call);
    return Continue(call->lane, Take(call, *call->result), call->node);
  }
  const bool may_be_applied = call->write && status.outcome() != Outcome::kNotApplied;
  ++(may_be_applied ? counts_.unknown : counts_.refused);
  Continue(call->lane, {may_be_applied ? EventType::kInfo : EventType::kFail, nullptr}, 0);
}

Answer Workload::Take(const CallPtr& call, const CommandResult& result) {
  ++counts_.acknowledged;
  world_->Trace(result.index.value());
  for (const auto& statement : result.statements) {
    world_->Trace(static_cast<uint64_t>(statement.rows_affected));
    for (const auto& row : statement.rows) {
      const auto* number = row.empty() ? nullptr : std::get_if<int64_t>(&row.front());
      if (number != nullptr) world_->Trace(static_cast<uint64_t>(*number));
    }
  }
  if (!call->write) {
    ++counts_.reads;
    if (call->request.of_session) ++counts_.session_reads;
  } else {
    last_acknowledged_begun_ = std::max(last_acknowledged_begun_, call->begun);
  }
  if (!result.status.ok()) {
    // Another transaction holds the table, or this transaction has expired.
    const StatusCode code = result.status.code();
    const bool may_fail = call->request.may_fail &&
                          (code == StatusCode::kAborted || code == StatusCode::kFailedPrecondition);
    const bool may_exhaust = call->request.may_exhaust && code == StatusCode::kResourceExhausted;
    const bool missed = result.status.reason() == Reason::kUnexpectedRows;
    // A module, or a function, that is not known yet.
    const bool unknown =
        code == StatusCode::kPermissionDenied || code == StatusCode::kInvalidArgument;
    const bool lacks_level = call->request.may_lack_level && unknown;
    if ((!may_fail && !may_exhaust && !lacks_level) || (missed && !call->request.may_miss))
      Fail(*call->lane, "a request failed: " + result.status.ToString());
    return {EventType::kFail, nullptr};
  }
  LogIndex& seen = call->lane->seen;
  seen = std::max(seen, result.index);
  if (call->write) {
    const bool commits = std::holds_alternative<state_machine::Commit>(*call->request.write);
    if (commits) ++counts_.committed;
    if (result.result_gone && !commits) {
      Fail(*call->lane, "the result of a request under way was dropped");
      return {EventType::kInfo, nullptr};
    }
  }
  return {EventType::kOk, &result};
}

// ---- Judgement

void Workload::Judge(uint64_t node) {
  for (Task& task : tasks_.FinalReads()) {
    Record(task, EventType::kInvoke, processes_, node, task.asked);
    Result<CommandResult> result = Query(node, task.first);
    if (!result.ok()) return world_->Fail("final read: " + result.status().ToString());
    if (options_.tamper) options_.tamper(task, &*result);
    const auto end = task.next({EventType::kOk, &*result});
    Record(task, EventType::kOk, processes_, node, std::get<sim::End>(end).value);
  }
  if (auto wrong = histories_.Judge(Tasks::kBankTotal)) world_->Fail(*wrong);
}

}  // namespace cairn::sim
