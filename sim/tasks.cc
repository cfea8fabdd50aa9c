#include "sim/tasks.h"

#include <utility>

namespace cairn::sim {
namespace {

using history::Datum;
using history::DatumList;
using history::DatumMap;
using history::EventType;
using state_machine::CommandResult;
using state_machine::Statement;

constexpr int64_t kAccounts = 6;
constexpr int64_t kVersionedTables = 2;
constexpr int64_t kGroupItems = 24;  // of one set
constexpr int kListAppends = 16;     // about so many to one list
constexpr const char* kReadCounter = "SELECT n FROM counters WHERE k = ?1";
constexpr const char* kReadRegister = "SELECT v FROM registers WHERE k = ?1";

Datum DatumOf(const state_machine::Value& value) {
  if (const auto* number = std::get_if<int64_t>(&value)) return *number;
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  return {};
}

// Returns the only value of the only row; null if there is no row.
Datum OnlyValue(const state_machine::StatementResult& result) {
  return result.rows.size() == 1 ? DatumOf(result.rows[0].at(0)) : Datum();
}

// Parses "1,2,3".
Datum ListOf(const Datum& text) {
  if (text.text() == nullptr) return {};
  DatumList list;
  int64_t element = 0;
  for (const char c : *text.text() + ",") {
    if (c == ',') {
      list.emplace_back(std::exchange(element, 0));
    } else {
      element = element * 10 + (c - '0');
    }
  }
  return list;
}

std::string ListTable(int64_t key, int tables) { return "lists_" + std::to_string(key % tables); }

Request Write(std::vector<Statement> statements, bool may_fail = false) {
  Request request;
  request.write = state_machine::Execute{std::move(statements)};
  request.may_fail = may_fail;
  return request;
}

Request Read(Statement statement) {
  Request request;
  request.queries.push_back(std::move(statement));
  return request;
}

// A task of one request. `answer` makes the task's value.
Task One(Family family, std::string f, Datum asked, Request request,
         std::function<Datum(const CommandResult&)> answer) {
  Task task;
  task.family = family;
  task.of_session = request.of_session;
  task.f = std::move(f);
  task.asked = asked;
  task.first = std::move(request);
  task.next = [asked = std::move(asked),
               answer = std::move(answer)](const Answer& a) -> std::variant<Request, End> {
    if (a.type != EventType::kOk) return End{a.type, asked, ""};
    return End{EventType::kOk, answer(*a.result), ""};
  };
  return task;
}

Datum KeyAnd(int64_t key, Datum value) { return DatumList{key, std::move(value)}; }

}  // namespace

// ---- The tables

Task Tasks::MakeTables() {
  std::vector<Statement> statements;
  const auto add = [&](const std::string& sql) { statements.push_back({sql, {}, {}}); };
  add("CREATE TABLE counters(k INTEGER PRIMARY KEY, n INTEGER NOT NULL)");
  add("CREATE TABLE registers(k INTEGER PRIMARY KEY, v INTEGER)");
  add("CREATE TABLE items(id INTEGER PRIMARY KEY AUTOINCREMENT, grp INTEGER NOT NULL, "
      "item INTEGER NOT NULL)");
  add("CREATE INDEX items_grp ON items(grp)");
  add("CREATE TABLE accounts(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL, note)");
  add("CREATE TABLE mixed(a, b, c, d DEFAULT CURRENT_TIMESTAMP)");
  add("CREATE INDEX mixed_a ON mixed(a)");
  for (int t = 0; t < kListTables; ++t) {
    add("CREATE TABLE " + ListTable(t, kListTables) +
        "(k INTEGER PRIMARY KEY, items TEXT NOT NULL)");
  }
  for (int64_t t = 0; t < kVersionedTables; ++t) {
    add("CREATE TABLE versioned_" + std::to_string(t) + "(n INTEGER NOT NULL)");
  }
  for (int64_t k = 0; k < options_.keys; ++k) {
    add("INSERT INTO counters VALUES(" + std::to_string(k) + ", 0)");
    add("INSERT INTO registers VALUES(" + std::to_string(k) + ", NULL)");
  }
  for (int64_t id = 0; id < kAccounts; ++id) {
    add("INSERT INTO accounts VALUES(" + std::to_string(id) + ", " +
        std::to_string(kBankTotal / kAccounts) + ", 0)");
  }
  if (options_.cold_rows > 0) add("CREATE TABLE cold(id INTEGER PRIMARY KEY, v TEXT NOT NULL)");
  for (int i = 0; i < options_.cold_rows; ++i) {
    add("INSERT INTO cold(v) VALUES('" + std::string(kColdText) + "')");
  }
  Task task;
  task.f = "make tables";
  task.first = Write(std::move(statements));
  task.next = [](const Answer& a) { return End{a.type, {}, ""}; };
  return task;
}

Task Tasks::Draw() {
  if (std::optional<Task> other = DrawOther()) return *std::move(other);
  int total = 1;
  for (const int weight : options_.weights) total += weight;
  auto draw = static_cast<int>(rng_.Below(static_cast<uint64_t>(total)));
  for (size_t i = 0; i < kFamilies; ++i) {
    draw -= options_.weights[i];
    if (draw >= 0) continue;
    switch (static_cast<Family>(i)) {
      case Family::kCounters: return DrawCounter();
      case Family::kRegisters: return DrawRegister();
      case Family::kSets: return DrawSet();
      case Family::kLists: return DrawList();
      case Family::kSessions: return DrawListRead(/*of_session=*/true);
      case Family::kBank: return DrawTransfer();
      default: return DrawVersion();
    }
  }
  return DrawMixed();
}

std::vector<Task> Tasks::FinalReads() {
  std::vector<Task> reads;
  for (int64_t k = 0; k < options_.keys; ++k) {
    reads.push_back(ReadCounter(k));
    reads.push_back(ReadRegister(k));
  }
  for (int64_t group = 0; group * kGroupItems < next_item_; ++group) {
    reads.push_back(ReadSet(group));
  }
  for (int64_t slot = 0; slot < kListSlots; ++slot) {
    for (int64_t g = 0; g <= list_generations_[static_cast<size_t>(slot)]; ++g) {
      reads.push_back(ReadLists({slot + g * kListSlots}, /*of_session=*/false));
    }
  }
  reads.push_back(ReadBank());
  if (has_series_) reads.push_back(ReadSeries());
  for (int64_t t = 0; t < kVersionedTables; ++t) reads.push_back(ReadVersion(t));
  return reads;
}

// ---- Counters and registers

Task Tasks::ReadCounter(int64_t key) {
  return One(Family::kCounters, "read", KeyAnd(key, {}), Read({kReadCounter, {key}, {}}),
             [key](const CommandResult& r) { return KeyAnd(key, OnlyValue(r.statements.at(0))); });
}

Task Tasks::DrawCounter() {
  const auto key = static_cast<int64_t>(rng_.Below(static_cast<uint64_t>(options_.keys)));
  if (Chance(options_.read_share)) return ReadCounter(key);
  return One(Family::kCounters, "add-and-get", KeyAnd(key, 1),
             Write({{"UPDATE counters SET n = n + 1 WHERE k = ?1 RETURNING n", {key}, {}}}),
             [key](const CommandResult& r) {
               return KeyAnd(key, DatumList{1, OnlyValue(r.statements.at(0))});
             });
}

Task Tasks::ReadRegister(int64_t key) {
  return One(Family::kRegisters, "read", KeyAnd(key, {}), Read({kReadRegister, {key}, {}}),
             [this, key](const CommandResult& r) {
               const Datum value = OnlyValue(r.statements.at(0));
               if (value.number() != nullptr) register_values_[key] = *value.number();
               return KeyAnd(key, value);
             });
}

Task Tasks::DrawRegister() {
  const auto key = static_cast<int64_t>(rng_.Below(static_cast<uint64_t>(options_.keys)));
  if (Chance(options_.read_share)) return ReadRegister(key);
  const int64_t value = next_value_++;
  const auto known = register_values_.find(key);
  if (known == register_values_.end() || Chance(0.5)) {
    register_values_[key] = value;
    return One(Family::kRegisters, "write", KeyAnd(key, value),
               Write({{"UPDATE registers SET v = ?2 WHERE k = ?1", {key, value}, {}}}),
               [key, value](const CommandResult&) { return KeyAnd(key, value); });
  }
  const int64_t old = known->second;
  const Datum asked = KeyAnd(key, DatumList{old, value});
  Task task = One(
      Family::kRegisters, "cas", asked,
      Write({{"UPDATE registers SET v = ?3 WHERE k = ?1 AND v = ?2", {key, old, value}, {}}}), {});
  task.next = [this, asked, key, value](const Answer& a) -> std::variant<Request, End> {
    if (a.type != EventType::kOk) return End{a.type, asked, ""};
    if (a.result->statements.at(0).rows_affected == 0) return End{EventType::kFail, asked, ""};
    register_values_[key] = value;
    return End{EventType::kOk, asked, ""};
  };
  return task;
}

// ---- Sets

Task Tasks::ReadSet(int64_t group) {
  return One(Family::kSets, "read", KeyAnd(group, {}),
             Read({"SELECT item FROM items WHERE grp = ?1", {group}, {}}),
             [group](const CommandResult& r) {
               DatumList items;
               for (const auto& row : r.statements.at(0).rows) items.push_back(DatumOf(row.at(0)));
               return KeyAnd(group, items);
             });
}

Task Tasks::DrawSet() {
  const int64_t now = next_item_ / kGroupItems;
  if (Chance(options_.read_share)) {
    return ReadSet(std::max<int64_t>(0, now - static_cast<int64_t>(rng_.Below(2))));
  }
  const int64_t item = next_item_++;
  return One(Family::kSets, "add", KeyAnd(now, item),
             Write({{"INSERT INTO items(grp, item) VALUES(?1, ?2)", {now, item}, {}}}),
             [now, item](const CommandResult&) { return KeyAnd(now, item); });
}

// ---- Lists

// One of the lists that still grow. A long list is replaced by a new one.
int64_t Tasks::ListKey() {
  const size_t slot = rng_.Below(kListSlots);
  if (++list_appends_[slot] % kListAppends == 0) ++list_generations_[slot];
  return static_cast<int64_t>(slot) + kListSlots * list_generations_[slot];
}

Task Tasks::ReadLists(std::vector<int64_t> keys, bool of_session) {
  Request request;
  request.of_session = of_session;
  DatumList asked;
  for (const int64_t key : keys) {
    asked.push_back(DatumList{"r", key, {}});
    request.queries.push_back(
        {"SELECT items FROM " + ListTable(key, kListTables) + " WHERE k = ?1", {key}, {}});
  }
  return One(Family::kLists, "txn", asked, std::move(request),
             [keys = std::move(keys)](const CommandResult& r) {
               DatumList value;
               for (size_t i = 0; i < keys.size(); ++i) {
                 value.push_back(DatumList{"r", keys[i], ListOf(OnlyValue(r.statements.at(i)))});
               }
               return value;
             });
}

Task Tasks::DrawListRead(bool of_session) {
  std::vector<int64_t> keys;
  for (uint64_t n = rng_.Between(1, 3); n > 0; --n) {
    const size_t slot = rng_.Below(kListSlots);
    keys.push_back(static_cast<int64_t>(slot) + kListSlots * list_generations_[slot]);
  }
  return ReadLists(std::move(keys), of_session);
}

// Appends to lists and reads others, in the order of the statements. RETURNING reads each append at
// once. A statement that only reads writes the old value back, so that the statement, too, stands
// in the log and holds its table in a two-phase transaction.
Task Tasks::DrawList() {
  if (Chance(options_.read_share)) return DrawListRead(/*of_session=*/false);
  std::vector<Append> steps;
  std::vector<Statement> statements;
  DatumList asked;
  const uint64_t wanted = Chance(0.5) ? 1 : rng_.Between(2, 3);
  while (steps.size() < wanted) {
    const Append step{ListKey(), next_value_++, !steps.empty() && Chance(0.3)};
    const std::string table = ListTable(step.key, kListTables);
    if (step.reads_only) {
      statements.push_back(
          {"UPDATE " + table + " SET items = items WHERE k = ?1 RETURNING items", {step.key}, {}});
    } else {
      statements.push_back({"INSERT INTO " + table +
                                " VALUES(?1, CAST(?2 AS TEXT)) ON CONFLICT(k) DO UPDATE SET "
                                "items = items || ',' || ?2 RETURNING items",
                            {step.key, step.value},
                            {}});
      asked.push_back(DatumList{"append", step.key, step.value});
    }
    asked.push_back(DatumList{"r", step.key, {}});
    steps.push_back(step);
  }
  const auto answer = [steps](const CommandResult& r) -> Datum {
    DatumList value;
    for (size_t i = 0; i < steps.size(); ++i) {
      const Append& step = steps[i];
      if (!step.reads_only) value.push_back(DatumList{"append", step.key, step.value});
      value.push_back(DatumList{"r", step.key, ListOf(OnlyValue(r.statements.at(i)))});
    }
    return value;
  };
  Task task = One(Family::kLists, "txn", asked, {}, answer);
  if (Chance(0.3)) return TwoPhases(std::move(task), std::move(statements), answer);
  task.first = Write(std::move(statements), /*may_fail=*/true);
  return task;
}

// ---- Two phases

namespace {

struct TwoPhaseState {
  std::string tx_id;
  std::vector<Statement> statements;
  uint64_t timeout_ms = 0;
  uint64_t conclusion = 0;  // how it ends, once prepared
  bool numbered = false;    // the steps say their place
  size_t prepared = 0;
  std::vector<std::vector<state_machine::Row>> rows;  // of each statement, when it was prepared
  enum { kPreparing, kCommitting, kRollingBack } phase = kPreparing;
};

Request NextPrepare(const TwoPhaseState& state) {
  Request request;
  request.write =
      state_machine::Prepare{state.tx_id, state.statements[state.prepared], state.timeout_ms,
                             /*number=*/state.numbered ? state.prepared + 1 : 0};
  request.may_fail = true;
  return request;
}

Request Conclude(TwoPhaseState* state, bool commit) {
  Request request;
  request.may_fail = true;
  if (commit) {
    state->phase = TwoPhaseState::kCommitting;
    request.write =
        state_machine::Commit{state->tx_id, state->numbered ? state->statements.size() : 0};
  } else {
    state->phase = TwoPhaseState::kRollingBack;
    request.write = state_machine::Rollback{state->tx_id};
  }
  return request;
}

// The commit must give what its prepares gave. Returns an empty string if it did.
std::string CompareWithPrepared(const TwoPhaseState& state, const CommandResult& result) {
  bool same = result.statements.size() == state.rows.size();
  for (size_t i = 0; same && i < state.rows.size(); ++i) {
    same = result.statements[i].rows == state.rows[i];
  }
  return same ? "" : "the commit of " + state.tx_id + " did something else than its prepare";
}

}  // namespace

Task Tasks::TwoPhases(Task task, std::vector<Statement> statements,
                      std::function<Datum(const CommandResult&)> answer) {
  auto state = std::make_shared<TwoPhaseState>();
  state->tx_id = "tx" + std::to_string(next_tx_++);
  state->statements = std::move(statements);
  state->timeout_ms = rng_.Between(500, 8000);
  state->conclusion = rng_.Below(10);
  state->numbered = rng_.Below(4) > 0;
  task.first = NextPrepare(*state);
  task.next = [state, asked = task.asked,
               answer = std::move(answer)](const Answer& a) -> std::variant<Request, End> {
    const End nothing{EventType::kFail, asked, ""};
    if (state->phase == TwoPhaseState::kRollingBack) return nothing;
    if (state->phase == TwoPhaseState::kCommitting) {
      if (a.type != EventType::kOk) return End{a.type, asked, ""};
      if (!a.result->result_gone) {
        return End{EventType::kOk, answer(*a.result), CompareWithPrepared(*state, *a.result)};
      }
      CommandResult as_prepared;
      for (auto& rows : state->rows) {
        as_prepared.statements.emplace_back();
        as_prepared.statements.back().rows = rows;
      }
      return End{EventType::kOk, answer(as_prepared), ""};
    }
    if (a.type != EventType::kOk) {
      return state->conclusion == 0 ? std::variant<Request, End>(nothing)
                                    : Conclude(state.get(), /*commit=*/false);
    }
    // A statement that was staged before, whose rows are not known here.
    if (a.result->statements.empty()) return Conclude(state.get(), /*commit=*/false);
    state->rows.push_back(a.result->statements.at(0).rows);
    if (++state->prepared < state->statements.size()) return NextPrepare(*state);
    if (state->conclusion == 0) return nothing;  // left to expire
    return Conclude(state.get(), state->conclusion < 9);
  };
  return task;
}

// ---- Bank

Task Tasks::ReadBank() {
  return One(Family::kBank, "read", {}, Read({"SELECT id, balance FROM accounts", {}, {}}),
             [](const CommandResult& r) {
               DatumMap balances;
               for (const auto& row : r.statements.at(0).rows) {
                 balances[std::to_string(*DatumOf(row.at(0)).number())] = DatumOf(row.at(1));
               }
               return balances;
             });
}

Task Tasks::DrawTransfer() {
  if (Chance(options_.read_share)) return ReadBank();
  const auto from = static_cast<int64_t>(rng_.Below(kAccounts));
  const auto to = static_cast<int64_t>(
      (from + 1 + static_cast<int64_t>(rng_.Below(kAccounts - 1))) % kAccounts);
  const auto amount = static_cast<int64_t>(rng_.Between(1, 20));
  Datum asked = DatumMap{{"from", from}, {"to", to}, {"amount", amount}};
  const auto answer = [asked](const CommandResult&) { return asked; };
  Task task = One(Family::kBank, "transfer", asked, {}, answer);
  const uint64_t how = rng_.Below(4);
  if (how == 3) return DrawBatch(std::move(task), from, to, amount);
  if (how == 0) {
    task.first = Write({{"UPDATE accounts SET balance = balance + "
                         "CASE id WHEN ?1 THEN -?3 ELSE ?3 END WHERE id IN (?1, ?2)",
                         {from, to, amount},
                         {}}},
                       /*may_fail=*/true);
    return task;
  }
  // The value of random() stays the same from the prepare to the commit.
  const std::string sql =
      "UPDATE accounts SET balance = balance + ?2, note = random() WHERE id = ?1 "
      "RETURNING id, balance, note";
  std::vector<Statement> both{{sql, {from, -amount}, {}}, {sql, {to, amount}, {}}};
  if (how == 1) return TwoPhases(std::move(task), std::move(both), answer);
  task.first = Write(std::move(both), /*may_fail=*/true);
  return task;
}

// ---- Versions, and data in no history

Task Tasks::ReadVersion(int64_t table) {
  Request request;
  request.version_of = "versioned_" + std::to_string(table);
  return One(Family::kVersions, "read", KeyAnd(table, {}), std::move(request),
             [table](const CommandResult& r) {
               // The creation of the table is its first change.
               const Datum version = OnlyValue(r.statements.at(0));
               return KeyAnd(table, version.number() == nullptr ? Datum() : *version.number() - 1);
             });
}

Task Tasks::DrawVersion() {
  const auto table = static_cast<int64_t>(rng_.Below(kVersionedTables));
  if (Chance(options_.read_share)) return ReadVersion(table);
  return One(Family::kVersions, "add", KeyAnd(table, 1),
             Write({{"DELETE FROM versioned_" + std::to_string(table), {}, {}}}),
             [table](const CommandResult&) { return KeyAnd(table, 1); });
}

}  // namespace cairn::sim
