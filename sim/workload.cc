#include "sim/workload.h"

#include <algorithm>
#include <utility>

#include "sim/process.h"

namespace cairn::sim {
namespace {

using state_machine::Command;
using state_machine::CommandResult;
using state_machine::Statement;

constexpr uint64_t kClientNode = 0;
constexpr int64_t kAccounts = 6;
constexpr int64_t kBalance = 100;
// Left to the clock of a node to answer by itself.
constexpr SteadyTime kServerTimeout = seconds(5);

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

int64_t Int(const state_machine::Value& value) {
  const auto* number = std::get_if<int64_t>(&value);
  return number == nullptr ? -1 : *number;
}

}  // namespace

Workload::Workload(World* world, Network* network, const Nodes* nodes, WorkloadOptions options)
    : world_(world),
      network_(network),
      nodes_(nodes),
      options_(options),
      rng_(world->Fork("workload")) {
  for (int i = 0; i < options_.clients; ++i) {
    clients_.push_back(std::make_unique<Client>());
    clients_.back()->number = i;
  }
}

bool Workload::writes(Kind kind) const {
  return kind != Kind::kRead && kind != Kind::kLocalRead && kind != Kind::kSum &&
         kind != Kind::kEscrowSum;
}

// ---- Clients

void Workload::Start() {
  std::vector<Statement> statements;
  const auto add = [&](const std::string& sql) { statements.push_back({sql, {}, {}}); };
  add("CREATE TABLE registers(k INTEGER PRIMARY KEY, n INTEGER NOT NULL, v INTEGER NOT NULL)");
  add("CREATE TABLE items(id INTEGER PRIMARY KEY AUTOINCREMENT, item INTEGER NOT NULL)");
  add("CREATE TABLE accounts(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL)");
  add("CREATE TABLE escrow(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL, note)");
  add("CREATE TABLE mixed(a, b, c, d DEFAULT CURRENT_TIMESTAMP)");
  add("CREATE INDEX mixed_a ON mixed(a)");
  for (int64_t k = 0; k < options_.registers; ++k) {
    add("INSERT INTO registers VALUES(" + std::to_string(k) + ", 0, 0)");
  }
  for (int64_t id = 0; id < kAccounts; ++id) {
    add("INSERT INTO accounts VALUES(" + std::to_string(id) + ", " + std::to_string(kBalance) +
        ")");
    add("INSERT INTO escrow VALUES(" + std::to_string(id) + ", " + std::to_string(kBalance) +
        ", 0)");
  }
  Client* first = clients_.front().get();
  first->session = "schema";
  auto op = MakeWrite(first, Kind::kSchema, std::move(statements));
  op->deadline = world_->now() + std::chrono::hours(1);
  Begin(op);
}

void Workload::ScheduleClient(Client* client, SteadyTime after) {
  world_->After(after, Label(sim::Kind::kClient, static_cast<uint64_t>(client->number)),
                [this, client] { RunClient(client); });
}

void Workload::RunClient(Client* client) {
  if (stopped_) return;
  if (client->session.empty()) return OpenSession(client);
  if (client->open && client->under_way < options_.depth) Begin(Make(client));
  ScheduleClient(client, Exponential(rng_, options_.think_mean));
}

void Workload::OpenSession(Client* client) {
  client->session =
      "c" + std::to_string(client->number) + "." + std::to_string(++client->generation);
  client->open = false;
  client->next_sequence = 1;
  client->outstanding.clear();
  auto op = MakeWrite(client, Kind::kOpen, {});
  op->command.operation = state_machine::OpenSession{};
  Begin(op);
}

Workload::OperationPtr Workload::MakeWrite(Client* client, Kind kind,
                                           std::vector<Statement> statements) {
  auto op = std::make_shared<Operation>();
  op->kind = kind;
  op->client = client;
  op->command.id = {client->session, client->next_sequence++};
  op->command.operation = state_machine::Execute{std::move(statements)};
  client->outstanding.insert(op->command.id.sequence);
  return op;
}

Workload::OperationPtr Workload::Make(Client* client) {
  const uint64_t draw = rng_.Below(100);
  const auto key = static_cast<int64_t>(rng_.Below(static_cast<uint64_t>(options_.registers)));
  if (draw < 40) {
    const int64_t value = next_value_++;
    auto op = MakeWrite(
        client, Kind::kWrite,
        {{"UPDATE registers SET n = n + 1, v = ?2 WHERE k = ?1 RETURNING n", {key, value}, {}}});
    op->key = key;
    op->value = value;
    return op;
  }
  if (draw < 55) {
    const int64_t value = next_value_++;
    auto op = MakeWrite(client, Kind::kItem, {{"INSERT INTO items(item) VALUES(?1)", {value}, {}}});
    op->value = value;
    return op;
  }
  if (draw < 62) {
    const auto amount = static_cast<int64_t>(rng_.Between(1, 20));
    const auto from = static_cast<int64_t>(rng_.Below(kAccounts));
    const auto to = static_cast<int64_t>(rng_.Below(kAccounts));
    const std::string sql = "UPDATE accounts SET balance = balance + ?2 WHERE id = ?1";
    return MakeWrite(client, Kind::kTransfer,
                     {{sql, {from, -amount}, {}}, {sql, {to, amount}, {}}});
  }
  if (draw < 64) return MakePrepare(client);
  if (draw < 65) {
    return MakeWrite(client, Kind::kEscrow,
                     {{"UPDATE escrow SET balance = balance + id * 2 - 5", {}, {}}});
  }
  if (draw < 68) {
    return MakeWrite(
        client, Kind::kMixed,
        {{"INSERT INTO mixed(a, b, c) VALUES(random(), datetime('now'), "
          "last_insert_rowid())",
          {},
          {}},
         {"DELETE FROM mixed WHERE rowid < (SELECT max(rowid) FROM mixed) - 50", {}, {}}});
  }
  auto op = std::make_shared<Operation>();
  op->client = client;
  op->kind = draw < 90   ? Kind::kRead
             : draw < 95 ? Kind::kLocalRead
             : draw < 98 ? Kind::kSum
                         : Kind::kEscrowSum;
  op->key = key;
  if (op->kind == Kind::kLocalRead) op->index_min = client->last_index;
  return op;
}

Workload::OperationPtr Workload::MakePrepare(Client* client) {
  auto op = MakeWrite(client, Kind::kPrepare, {});
  op->tx_id = "tx" + std::to_string(next_tx_++);
  state_machine::Prepare prepare;
  prepare.tx_id = op->tx_id;
  prepare.timeout_ms = rng_.Between(500, 8000);
  prepare.statement = {
      "UPDATE escrow SET balance = balance + ?1 * (id * 2 - 5), note = random() "
      "RETURNING id, balance, note",
      {static_cast<int64_t>(rng_.Between(1, 9))},
      {}};
  op->command.operation = std::move(prepare);
  return op;
}

void Workload::Conclude(const OperationPtr& prepare, std::vector<state_machine::Row> rows) {
  const uint64_t draw = rng_.Below(10);
  if (draw == 0 || !prepare->client->open) return;
  const bool commit = draw < 8;
  auto op = MakeWrite(prepare->client, commit ? Kind::kCommit : Kind::kRollback, {});
  op->tx_id = prepare->tx_id;
  op->prepared = std::move(rows);
  if (commit) {
    op->command.operation = state_machine::Commit{op->tx_id};
  } else {
    op->command.operation = state_machine::Rollback{op->tx_id};
  }
  Begin(op);
}

void Workload::Begin(const OperationPtr& op) {
  ++under_way_;
  ++op->client->under_way;
  op->begun = world_->now();
  if (op->deadline == SteadyTime(0)) op->deadline = world_->now() + options_.operation_timeout;
  if (op->kind == Kind::kWrite || op->kind == Kind::kRead) op->floor = registers_[op->key].floor;
  if (op->kind == Kind::kLocalRead) op->floor = op->client->written[op->key];
  Attempt(op);
}

// ---- Attempts

uint64_t Workload::ChooseNode(const Operation& op) {
  const uint64_t leader = op.client->leader;
  if (leader != 0 && nodes_->contains(leader) && op.kind != Kind::kLocalRead &&
      !Chance(rng_, options_.stray)) {
    return leader;
  }
  auto it = nodes_->begin();
  std::advance(it, static_cast<int64_t>(rng_.Below(nodes_->size())));
  return it->first;
}

void Workload::Attempt(const OperationPtr& op) {
  if (op->done) return;
  ++counts_.attempts;
  const int attempt = ++op->attempt;
  const auto number = static_cast<uint64_t>(op->client->number);
  const uint64_t node = ChooseNode(*op);
  world_->After(options_.attempt_timeout, Label(sim::Kind::kClient, number),
                [this, op, attempt] { OnTimeout(op, attempt); });
  Process* process = nodes_->at(node)->process();
  if (!network_->Passes(kClientNode, node)) return;
  ++op->undecided;
  const uint64_t incarnation = process == nullptr ? 0 : process->incarnation();
  world_->After(network_->Delay(kClientNode, node), Label(sim::Kind::kClient, number),
                [=, this] { Arrive(op, attempt, node, incarnation); });
}

void Workload::Arrive(const OperationPtr& op, int attempt, uint64_t node, uint64_t incarnation) {
  Node& target = *nodes_->at(node);
  Process* process = target.process();
  if (process == nullptr || process->dead() || process->incarnation() != incarnation) {
    return Answer(op, attempt, node, Unavailable("connection refused").With(Outcome::kNotApplied));
  }
  if (target.paused_until() > world_->now()) {
    world_->At(std::min<SteadyTime>(target.paused_until(), world_->now() + seconds(1)),
               Label(sim::Kind::kClient, static_cast<uint64_t>(op->client->number)),
               [=, this] { Arrive(op, attempt, node, incarnation); });
    return;
  }
  if (writes(op->kind)) {
    Execute(op, attempt, node);
  } else {
    Read(op, attempt, node);
  }
}

void Workload::Execute(const OperationPtr& op, int attempt, uint64_t node) {
  Command command = op->command;
  const Client& client = *op->client;
  if (command.id.session == client.session && !client.outstanding.empty()) {
    command.acknowledged_below = *client.outstanding.begin();
  }
  nodes_->at(node)->process()->Propose(
      std::move(command), kServerTimeout,
      [=, this](Result<CommandResult> result) { Answer(op, attempt, node, std::move(result)); });
}

void Workload::Read(const OperationPtr& op, int attempt, uint64_t node) {
  node::ReadOptions options;
  if (op->kind == Kind::kLocalRead) {
    options.level = node::ReadLevel::kStale;
    options.index_min = op->index_min;
  }
  Process* process = nodes_->at(node)->process();
  process->ReadBarrier(
      options, kServerTimeout,
      [=, this, incarnation = process->incarnation()](const Result<LogIndex>& index) {
        if (!index.ok()) return Answer(op, attempt, node, index.status());
        // The read pool's thread takes its time.
        world_->After(Exponential(rng_, microseconds(100)),
                      Label(sim::Kind::kClient, static_cast<uint64_t>(op->client->number)),
                      [=, this] { RunQuery(op, attempt, node, incarnation); });
      });
}

void Workload::RunQuery(const OperationPtr& op, int attempt, uint64_t node, uint64_t incarnation) {
  Process* process = nodes_->at(node)->process(incarnation);
  if (process == nullptr || process->dead()) return;
  auto view = process->state().OpenReadView(SteadyTime(0));
  if (!view.ok()) return Answer(op, attempt, node, view.status());
  const Statement statement =
      op->kind == Kind::kSum ? Statement{"SELECT sum(balance), count(*) FROM accounts", {}, {}}
      : op->kind == Kind::kEscrowSum
          ? Statement{"SELECT sum(balance), count(*) FROM escrow", {}, {}}
          : Statement{"SELECT n, v FROM registers WHERE k = ?1", {op->key}, {}};
  Rows rows;
  const Status status = (*view)->Query(statement, {}, &rows);
  if (!status.ok()) return Answer(op, attempt, node, status);
  CommandResult result;
  result.statements.emplace_back();
  result.statements.back().rows = std::move(rows.rows);
  Answer(op, attempt, node, std::move(result));
}

// On the node's side: the answer sets out.
void Workload::Answer(const OperationPtr& op, int attempt, uint64_t node,
                      Result<CommandResult> result) {
  if (!network_->Passes(node, kClientNode)) return;
  world_->After(network_->Delay(node, kClientNode),
                Label(sim::Kind::kClient, static_cast<uint64_t>(op->client->number)),
                [=, this, result = std::move(result)] { OnAnswer(op, attempt, node, result); });
}

void Workload::OnAnswer(const OperationPtr& op, int attempt, uint64_t node,
                        const Result<CommandResult>& result) {
  if (op->done) return;
  world_->Trace(static_cast<uint64_t>(result.status().code()));
  if (result.ok()) {
    op->client->leader = node;
    Judge(op, *result);
    return Finish(op);
  }
  const Status& status = result.status();
  if (status.outcome() == Outcome::kNotApplied) --op->undecided;
  if (op->attempt != attempt) return;  // another attempt is under way
  if (op->client->leader == node) op->client->leader = 0;
  if (const auto& hint = status.leader_hint()) op->client->leader = hint->node_id;
  Retry(op);
}

void Workload::OnTimeout(const OperationPtr& op, int attempt) {
  if (op->done || op->attempt != attempt) return;
  op->client->leader = 0;
  Retry(op);
}

void Workload::Retry(const OperationPtr& op) {
  if (world_->now() >= op->deadline) return GiveUp(op);
  ++op->attempt;  // so that the timer of the last one finds that it is over
  world_->After(Exponential(rng_, milliseconds(50)),
                Label(sim::Kind::kClient, static_cast<uint64_t>(op->client->number)),
                [this, op] { Attempt(op); });
}

void Workload::GiveUp(const OperationPtr& op) {
  const bool may_be_applied = writes(op->kind) && op->undecided > 0;
  if (may_be_applied) {
    ++counts_.unknown;
  } else {
    ++counts_.refused;
  }
  if (op->kind == Kind::kItem) {
    (may_be_applied ? items_unknown_ : items_refused_).insert(op->value);
  }
  if (op->kind == Kind::kWrite && may_be_applied) ++registers_[op->key].writes_unknown;
  if (op->kind == Kind::kSchema) return world_->Fail("the tables were not made within an hour");
  // The name of the session may or may not be known.
  if (op->kind == Kind::kOpen) op->client->session.clear();
  Finish(op);
}

void Workload::Finish(const OperationPtr& op) {
  op->done = true;
  --under_way_;
  Client* client = op->client;
  --client->under_way;
  if (op->command.id.session == client->session) {
    client->outstanding.erase(op->command.id.sequence);
  }
  if (op->kind == Kind::kSchema) {
    begun_ = true;
    client->session.clear();
    for (auto& each : clients_) ScheduleClient(each.get(), Exponential(rng_, options_.think_mean));
  } else if (op->kind == Kind::kOpen) {
    ScheduleClient(client, SteadyTime(0));
  }
}

// ---- Judgement

void Workload::Fail(const Operation& op, const std::string& what) {
  world_->Fail("client " + std::to_string(op.client->number) + ": " + what);
}

void Workload::Judge(const OperationPtr& op, const CommandResult& result) {
  ++counts_.acknowledged;
  if (writes(op->kind)) writes_acknowledged_.push_back(op->begun);
  // Another transaction holds the table, or this one has expired.
  const bool may_fail = op->kind == Kind::kPrepare || op->kind == Kind::kCommit ||
                        op->kind == Kind::kRollback || op->kind == Kind::kEscrow;
  if (!result.status.ok()) {
    if (may_fail && (result.status.code() == StatusCode::kAborted ||
                     result.status.code() == StatusCode::kFailedPrecondition)) {
      return;
    }
    return Fail(*op, "a write failed: " + result.status.ToString());
  }
  if (writes(op->kind)) {
    op->client->last_index = std::max(op->client->last_index, result.index);
    world_->Trace(result.index.value());
    if (result.result_gone && op->kind != Kind::kCommit)
      return Fail(*op, "the result of a request under way was dropped");
  } else {
    ++counts_.reads;
  }
  switch (op->kind) {
    case Kind::kOpen: op->client->open = true; break;
    case Kind::kItem: items_acknowledged_.insert(op->value); break;
    case Kind::kWrite:
      ++registers_[op->key].writes_acknowledged;
      if (result.statements.size() != 1 || result.statements[0].rows.size() != 1) {
        return Fail(*op, "an update of a register gave no row");
      }
      return JudgeRegister(op, Int(result.statements[0].rows[0].at(0)), op->value);
    case Kind::kRead:
    case Kind::kLocalRead: {
      const auto& rows = result.statements.at(0).rows;
      if (rows.size() != 1) return Fail(*op, "a register is not there");
      return JudgeRegister(op, Int(rows[0].at(0)), Int(rows[0].at(1)));
    }
    case Kind::kPrepare: return Conclude(op, result.statements.at(0).rows);
    case Kind::kCommit:
      ++counts_.committed;
      if (!result.result_gone && result.statements.at(0).rows != op->prepared) {
        return Fail(*op, "the commit of " + op->tx_id + " did something else than its prepare");
      }
      break;
    case Kind::kSum:
    case Kind::kEscrowSum: {
      const auto& row = result.statements.at(0).rows.at(0);
      if (Int(row.at(0)) != kAccounts * kBalance || Int(row.at(1)) != kAccounts) {
        return Fail(*op, "transfers changed the sum of all balances");
      }
      break;
    }
    default: break;
  }
}

// `count`: how many writes the register had had, its own included; `value`: what the last of them
// wrote.
void Workload::JudgeRegister(const OperationPtr& op, int64_t count, int64_t value) {
  Register& known = registers_[op->key];
  world_->Trace(static_cast<uint64_t>(count));
  const std::string which = "register " + std::to_string(op->key) + ": ";
  if (op->kind == Kind::kWrite && count <= op->floor) {
    return Fail(*op, which + "a write came before one that had been seen, " +
                         std::to_string(count) + " after " + std::to_string(op->floor));
  }
  if (op->kind == Kind::kWrite) {
    int64_t& written = op->client->written[op->key];
    written = std::max(written, count);
  }
  if (op->kind != Kind::kWrite && count < op->floor) {
    return Fail(*op, which + "stale read, " + std::to_string(count) + " after " +
                         std::to_string(op->floor));
  }
  const auto [it, is_new] = known.values.emplace(count, value);
  if (!is_new && it->second != value) {
    return Fail(*op, which + "write " + std::to_string(count) + " has two values, " +
                         std::to_string(it->second) + " and " + std::to_string(value));
  }
  known.floor = std::max(known.floor, count);
}

bool Workload::WroteSince(SteadyTime since) const {
  return std::any_of(writes_acknowledged_.begin(), writes_acknowledged_.end(),
                     [&](SteadyTime begun) { return begun >= since; });
}

void Workload::CheckFinal(uint64_t node) {
  auto view = nodes_->at(node)->process()->state().OpenReadView(SteadyTime(0));
  if (!view.ok()) return world_->Fail("final read: " + view.status().ToString());
  Rows items;
  Status status = (*view)->Query({"SELECT item FROM items", {}, {}}, {}, &items);
  if (!status.ok()) return world_->Fail("final read: " + status.ToString());
  std::set<int64_t> found;
  for (const auto& row : items.rows) {
    const int64_t item = Int(row.at(0));
    const std::string name = "item " + std::to_string(item);
    if (!found.insert(item).second) return world_->Fail(name + " was inserted twice");
    if (items_refused_.contains(item)) return world_->Fail(name + " was refused, and is there");
  }
  for (const int64_t item : items_acknowledged_) {
    if (found.contains(item)) continue;
    return world_->Fail("item " + std::to_string(item) + " was acknowledged, and is lost");
  }
  Rows counts;
  status = (*view)->Query({"SELECT k, n FROM registers", {}, {}}, {}, &counts);
  if (!status.ok()) return world_->Fail("final read: " + status.ToString());
  for (const auto& row : counts.rows) {
    const Register& known = registers_[Int(row.at(0))];
    const auto n = static_cast<uint64_t>(Int(row.at(1)));
    if (Int(row.at(1)) < known.floor || n < known.writes_acknowledged ||
        n > known.writes_acknowledged + known.writes_unknown) {
      return world_->Fail("register " + std::to_string(Int(row.at(0))) + " has had " +
                          std::to_string(n) + " writes; " +
                          std::to_string(known.writes_acknowledged) + " were acknowledged, " +
                          std::to_string(known.writes_unknown) + " are of unknown outcome");
    }
  }
}

}  // namespace cairn::sim
