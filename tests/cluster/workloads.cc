#include "workloads.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <set>
#include <sstream>
#include <thread>
#include <utility>

#include "rpc/cluster_client.h"

namespace cairn::cluster_test {
namespace {

using history::Datum;
using history::DatumList;
using history::DatumMap;
using history::EventType;
using SteadyClock = std::chrono::steady_clock;

// A failed read that must be answered in the end is asked again after this.
constexpr std::chrono::milliseconds kAskAgainAfter(100);
// Keys in use at a time, and operations that each gets before it is left.
constexpr int64_t kKeysInUse = 3;
constexpr int64_t kStepsPerKey = 120;

Statement Sql(std::string sql, std::vector<Value> values = {}) {
  return {.sql = std::move(sql), .positional = std::move(values), .named = {}};
}

// What an answer to a write says of it; see docs/internals/histories.md.
EventType TypeOf(const cairn::Status& status) {
  if (status.ok()) return EventType::kOk;
  const bool surely_not =
      status.outcome() == Outcome::kNotApplied || status.outcome() == Outcome::kApplied;
  return surely_not ? EventType::kFail : EventType::kInfo;
}

Datum Pair(int64_t key, Datum value) { return DatumList{key, std::move(value)}; }

// The keys that a workload has used so far.
class Keys {
 public:
  // One of those in use.
  int64_t Draw(Rng* rng) {
    const int64_t oldest = steps_++ / kStepsPerKey;
    return oldest + static_cast<int64_t>(rng->Below(kKeysInUse));
  }
  int64_t end() const { return steps_ / kStepsPerKey + kKeysInUse; }

 private:
  std::atomic<int64_t> steps_{0};
};

// Calls `read` until it says that it was answered.
bool Insist(const std::function<bool()>& read, SteadyClock::time_point until) {
  while (!read()) {
    if (SteadyClock::now() > until) return false;
    std::this_thread::sleep_for(kAskAgainAfter);
  }
  return true;
}

// Base of those whose operations have a key and are read by it.
class Keyed : public Workload {
 public:
  explicit Keyed(Recorder* recorder) : recorder_(*recorder) {}

  bool ReadAll(Client* client, int64_t process, SteadyClock::time_point until) override {
    for (int64_t key = 0; key < keys_.end(); ++key) {
      if (!Insist([&] { return Read(client, process, key); }, until)) return false;
    }
    return true;
  }

 protected:
  // The value of a key out of the rows of its query.
  using Decode = std::function<Datum(const std::vector<Row>&)>;

  virtual bool Read(Client* client, int64_t process, int64_t key) = 0;

  bool ReadWith(Client* client, int64_t process, int64_t key, const std::string& sql,
                const Decode& decode) {
    recorder_.Invoke(process, "read", Pair(key, Datum()));
    const Result<QueryResult> result = client->Query(Sql(sql, {key}));
    recorder_.Complete(process, result.ok() ? EventType::kOk : EventType::kFail, "read",
                       Pair(key, result.ok() ? decode(result->rows) : Datum()));
    return result.ok();
  }

  int64_t Unique() { return ++last_; }

  Recorder& recorder_;
  Keys keys_;

 private:
  std::atomic<int64_t> last_{0};
};

class Register final : public Keyed {
 public:
  using Keyed::Keyed;
  std::vector<std::string> Tables() const override {
    return {"CREATE TABLE registers (k INTEGER PRIMARY KEY, v INTEGER)"};
  }
  void Step(Client* client, Rng* rng, int64_t process) override {
    const int64_t key = keys_.Draw(rng);
    switch (rng->Below(3)) {
      case 0: Read(client, process, key); return;
      case 1: return Write(client, process, key, static_cast<int64_t>(rng->Below(5)));
      default:
        return Cas(client, process, key, static_cast<int64_t>(rng->Below(5)),
                   static_cast<int64_t>(rng->Below(5)));
    }
  }

 private:
  bool Read(Client* client, int64_t process, int64_t key) override {
    return ReadWith(client, process, key, "SELECT v FROM registers WHERE k = ?1",
                    [](const std::vector<Row>& rows) {
                      return rows.empty() ? Datum()
                                          : Datum(std::get<int64_t>(rows.front().front()));
                    });
  }
  void Write(Client* client, int64_t process, int64_t key, int64_t value) {
    recorder_.Invoke(process, "write", Pair(key, value));
    const Result<ExecuteResult> result =
        client->Execute({Sql("INSERT INTO registers VALUES (?1, ?2) ON CONFLICT (k) DO UPDATE SET "
                             "v = excluded.v",
                             {key, value})});
    recorder_.Complete(process, TypeOf(result.status()), "write", Pair(key, value));
  }
  void Cas(Client* client, int64_t process, int64_t key, int64_t from, int64_t to) {
    const Datum value = Pair(key, DatumList{from, to});
    recorder_.Invoke(process, "cas", value);
    const Result<ExecuteResult> result = client->Execute(
        {Sql("UPDATE registers SET v = ?3 WHERE k = ?1 AND v = ?2", {key, from, to})});
    EventType type = TypeOf(result.status());
    if (result.ok() && result->result_gone) {
      type = EventType::kInfo;  // it ran, but nobody can tell any more whether it found `from`
    } else if (result.ok() && result->results.at(0).rows_affected == 0) {
      type = EventType::kFail;
    }
    recorder_.Complete(process, type, "cas", value);
  }
};

class Counter final : public Keyed {
 public:
  using Keyed::Keyed;
  std::vector<std::string> Tables() const override {
    return {"CREATE TABLE counters (k INTEGER PRIMARY KEY, n INTEGER)"};
  }
  void Step(Client* client, Rng* rng, int64_t process) override {
    const int64_t key = keys_.Draw(rng);
    if (rng->Below(3) == 0) {
      Read(client, process, key);
    } else {
      Add(client, process, key, static_cast<int64_t>(rng->Between(1, 5)));
    }
  }

 private:
  bool Read(Client* client, int64_t process, int64_t key) override {
    return ReadWith(client, process, key, "SELECT n FROM counters WHERE k = ?1",
                    [](const std::vector<Row>& rows) {
                      return rows.empty() ? Datum()
                                          : Datum(std::get<int64_t>(rows.front().front()));
                    });
  }
  void Add(Client* client, int64_t process, int64_t key, int64_t n) {
    recorder_.Invoke(process, "add-and-get", Pair(key, n));
    const Result<ExecuteResult> result =
        client->Execute({Sql("INSERT INTO counters VALUES (?1, ?2) ON CONFLICT (k) DO UPDATE SET "
                             "n = n + excluded.n RETURNING n",
                             {key, n})});
    EventType type = TypeOf(result.status());
    if (result.ok() && result->result_gone) type = EventType::kInfo;
    Datum value = Pair(key, n);
    if (type == EventType::kOk) {
      const int64_t sum = std::get<int64_t>(result->results.at(0).rows.at(0).at(0));
      value = Pair(key, DatumList{n, sum});
    }
    recorder_.Complete(process, type, "add-and-get", value);
  }
};

// Rows without any key of their own, so that one that is there twice shows.
class Set final : public Keyed {
 public:
  using Keyed::Keyed;
  std::vector<std::string> Tables() const override {
    return {"CREATE TABLE members (k INTEGER, x INTEGER)", "CREATE INDEX members_k ON members (k)"};
  }
  void Step(Client* client, Rng* rng, int64_t process) override {
    const int64_t key = keys_.Draw(rng);
    if (rng->Below(5) == 0) {
      Read(client, process, key);
      return;
    }
    const int64_t x = Unique();
    recorder_.Invoke(process, "add", Pair(key, x));
    const Result<ExecuteResult> result =
        client->Execute({Sql("INSERT INTO members VALUES (?1, ?2)", {key, x})});
    recorder_.Complete(process, TypeOf(result.status()), "add", Pair(key, x));
  }

 private:
  bool Read(Client* client, int64_t process, int64_t key) override {
    return ReadWith(client, process, key, "SELECT x FROM members WHERE k = ?1",
                    [](const std::vector<Row>& rows) {
                      DatumList list;
                      for (const Row& row : rows) list.emplace_back(std::get<int64_t>(row.front()));
                      return Datum(std::move(list));
                    });
  }
};

// Transactions over lists: several statements in one command, reads of several keys at once, and
// two-phase commits. A list is a text, "1,2,3"; those of two-phase commits have a table of their
// own, which a prepared one holds against the others.
class ListAppend final : public Workload {
 public:
  explicit ListAppend(Recorder* recorder) : recorder_(*recorder) {}

  std::vector<std::string> Tables() const override {
    return {"CREATE TABLE lists (k INTEGER PRIMARY KEY, v TEXT)",
            "CREATE TABLE held_lists (k INTEGER PRIMARY KEY, v TEXT)"};
  }

  void Step(Client* client, Rng* rng, int64_t process) override {
    const std::vector<int64_t> drawn = {keys_.Draw(rng), keys_.Draw(rng)};
    const std::set<int64_t> keys(drawn.begin(), drawn.end());
    switch (rng->Below(8)) {
      case 0:
      case 1:
      case 2: Read(client, process, "lists", keys); return;
      case 3: Read(client, process, "held_lists", keys); return;
      case 4: return TwoPhase(client, process, keys);
      default: return Write(client, process, rng, keys);
    }
  }

  bool ReadAll(Client* client, int64_t process, SteadyClock::time_point until) override {
    for (const std::string& table : Tables_()) {
      for (int64_t key = 0; key < keys_.end(); ++key) {
        if (!Insist([&] { return Read(client, process, table, {key}); }, until)) return false;
      }
    }
    return true;
  }

 private:
  static std::vector<std::string> Tables_() { return {"lists", "held_lists"}; }
  static Datum KeyOf(const std::string& table, int64_t key) {
    return Datum((table == "lists" ? "a" : "b") + std::to_string(key));
  }
  static Datum Append(const std::string& table, int64_t key, int64_t x) {
    return DatumList{"append", KeyOf(table, key), x};
  }
  static Datum ListOf(const std::string& text) {
    DatumList list;
    std::istringstream in(text);
    for (std::string x; std::getline(in, x, ',');) list.emplace_back(int64_t{std::stoll(x)});
    return list;
  }
  static Statement AppendSql(const std::string& table, int64_t key, int64_t x) {
    return Sql("INSERT INTO " + table +
                   " VALUES (?1, ?2) ON CONFLICT (k) DO UPDATE SET v = v || ',' || excluded.v "
                   "RETURNING v",
               {key, std::to_string(x)});
  }

  bool Read(Client* client, int64_t process, const std::string& table,
            const std::set<int64_t>& keys) {
    DatumList asked;
    std::string in;
    for (const int64_t key : keys) {
      asked.emplace_back(DatumList{"r", KeyOf(table, key), Datum()});
      in += (in.empty() ? "" : ",") + std::to_string(key);
    }
    recorder_.Invoke(process, "txn", asked);
    const Result<QueryResult> result =
        client->Query(Sql("SELECT k, v FROM " + table + " WHERE k IN (" + in + ")"));
    DatumList answered;
    for (const int64_t key : keys) {
      Datum list;
      for (const Row& row : result.ok() ? result->rows : std::vector<Row>()) {
        if (std::get<int64_t>(row[0]) == key) list = ListOf(std::get<std::string>(row[1]));
      }
      answered.emplace_back(DatumList{"r", KeyOf(table, key), list});
    }
    recorder_.Complete(process, result.ok() ? EventType::kOk : EventType::kFail, "txn",
                       result.ok() ? answered : asked);
    return result.ok();
  }

  // One UPDATE ... RETURNING for each key, some of which change nothing: a read among writes.
  void Write(Client* client, int64_t process, Rng* rng, const std::set<int64_t>& keys) {
    DatumList asked;
    std::vector<Statement> statements;
    for (const int64_t key : keys) {
      if (!asked.empty() && rng->Below(2) == 0) {
        asked.emplace_back(DatumList{"r", KeyOf("lists", key), Datum()});
        statements.push_back(Sql("UPDATE lists SET v = v WHERE k = ?1 RETURNING v", {key}));
        continue;
      }
      const int64_t x = ++last_;
      asked.emplace_back(Append("lists", key, x));
      asked.emplace_back(DatumList{"r", KeyOf("lists", key), Datum()});
      statements.push_back(AppendSql("lists", key, x));
    }
    recorder_.Invoke(process, "txn", asked);
    const Result<ExecuteResult> result = client->Execute(std::move(statements));
    if (!result.ok() || result->result_gone) {
      const EventType type = result.ok() ? EventType::kInfo : TypeOf(result.status());
      return recorder_.Complete(process, type, "txn", asked);
    }
    size_t place = 0;
    for (Datum& step : asked) {
      DatumList& parts = std::get<DatumList>(step.any);
      if (*parts[0].text() != "r") continue;
      const std::vector<Row>& rows = result->results.at(place++).rows;
      if (!rows.empty()) parts[2] = ListOf(std::get<std::string>(rows.front().front()));
    }
    recorder_.Complete(process, EventType::kOk, "txn", asked);
  }

  void TwoPhase(Client* client, int64_t process, const std::set<int64_t>& keys) {
    DatumList asked;
    std::vector<Statement> statements;
    for (const int64_t key : keys) {
      const int64_t x = ++last_;
      asked.emplace_back(Append("held_lists", key, x));
      statements.push_back(AppendSql("held_lists", key, x));
    }
    const std::string id = "held-" + std::to_string(++last_);
    recorder_.Invoke(process, "txn", asked);
    for (const Statement& statement : statements) {
      if (client->Prepare(id, statement, std::chrono::seconds(3)).ok()) continue;
      // Nobody will ever commit it, whatever became of the Prepare. What can not be rolled back now
      // expires.
      static_cast<void>(client->Rollback(id).ok());
      return recorder_.Complete(process, EventType::kFail, "txn", asked);
    }
    recorder_.Complete(process, TypeOf(client->Commit(id).status()), "txn", asked);
  }

  Recorder& recorder_;
  Keys keys_;
  std::atomic<int64_t> last_{0};
};

// Transfers in one statement, or in two of which the second may break a constraint: then neither
// may remain.
class Bank final : public Workload {
 public:
  explicit Bank(Recorder* recorder) : recorder_(*recorder) {}

  std::vector<std::string> Tables() const override {
    return {"CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER CHECK (balance >= 0))",
            "INSERT INTO accounts SELECT value, " + std::to_string(kBankTotal / kAccounts) +
                " FROM (WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n "
                "WHERE value < " +
                std::to_string(kAccounts) + ") SELECT value FROM n)"};
  }

  void Step(Client* client, Rng* rng, int64_t process) override {
    if (rng->Below(3) == 0) {
      Read(client, process);
      return;
    }
    const auto from = static_cast<int64_t>(rng->Between(1, kAccounts));
    const int64_t to = from % kAccounts + 1;
    const auto amount = static_cast<int64_t>(rng->Between(1, 40));
    const Datum value = DatumMap{{"from", from}, {"to", to}, {"amount", amount}};
    recorder_.Invoke(process, "transfer", value);
    const bool one_statement = rng->Below(2) == 0;
    const Result<ExecuteResult> result =
        one_statement
            ? client->Execute({Sql("UPDATE accounts SET balance = balance + CASE id WHEN "
                                   "?1 THEN -?3 ELSE ?3 END WHERE id IN (?1, ?2) AND "
                                   "(SELECT balance FROM accounts WHERE id = ?1) >= ?3",
                                   {from, to, amount})})
            : client->Execute(
                  {Sql("UPDATE accounts SET balance = balance + ?2 WHERE id = ?1", {to, amount}),
                   Sql("UPDATE accounts SET balance = balance - ?2 WHERE id = ?1",
                       {from, amount})});
    EventType type = TypeOf(result.status());
    const bool told = result.ok() && !result->result_gone;
    if (told && result->results.at(0).rows_affected == 0) type = EventType::kFail;
    recorder_.Complete(process, type, "transfer", value);
  }

  bool ReadAll(Client* client, int64_t process, SteadyClock::time_point until) override {
    return Insist([&] { return Read(client, process); }, until);
  }

 private:
  static constexpr int64_t kAccounts = 5;

  bool Read(Client* client, int64_t process) {
    recorder_.Invoke(process, "read", Datum());
    const Result<QueryResult> result = client->Query(Sql("SELECT id, balance FROM accounts"));
    DatumMap balances;
    for (const Row& row : result.ok() ? result->rows : std::vector<Row>()) {
      balances[std::to_string(std::get<int64_t>(row[0]))] = std::get<int64_t>(row[1]);
    }
    recorder_.Complete(process, result.ok() ? EventType::kOk : EventType::kFail, "read",
                       result.ok() ? Datum(balances) : Datum());
    return result.ok();
  }

  Recorder& recorder_;
};

// The version of a table, asked of every node in turn: it never goes back, whoever answers.
class Version final : public Workload {
 public:
  Version(Recorder* recorder, const std::vector<std::string>& endpoints) : recorder_(*recorder) {
    for (const std::string& endpoint : endpoints) {
      nodes_.push_back(std::make_unique<rpc::ClusterClient>(endpoint, nullptr));
    }
  }

  std::vector<std::string> Tables() const override { return {}; }
  void Step(Client*, Rng* rng, int64_t process) override {
    Read(process, rng->Below(nodes_.size()), rng->Below(2) == 0 ? "members" : "lists");
  }
  bool ReadAll(Client*, int64_t process, SteadyClock::time_point until) override {
    for (size_t node = 0; node < nodes_.size(); ++node) {
      for (const char* table : {"members", "lists"}) {
        if (!Insist([&] { return Read(process, node, table); }, until)) return false;
      }
    }
    return true;
  }

 private:
  bool Read(int64_t process, size_t node, const std::string& table) {
    recorder_.Invoke(process, "version", DatumList{table, Datum()});
    v1::GetVersionRequest request;
    request.set_table(table);
    const Result<v1::GetVersionResponse> result =
        nodes_[node]->GetVersion(request, std::chrono::seconds(2));
    recorder_.Complete(process, result.ok() ? EventType::kOk : EventType::kFail, "version",
                       DatumList{table, result.ok() ? Datum(result->version()) : Datum()});
    return result.ok();
  }

  Recorder& recorder_;
  std::vector<std::unique_ptr<rpc::ClusterClient>> nodes_;
};

}  // namespace

std::vector<NamedWorkload> MakeWorkloads(const std::string& directory,
                                         const std::vector<std::string>& endpoints,
                                         Counts* counts) {
  std::vector<NamedWorkload> made;
  const auto recorder = [&](const std::string& name) {
    made.push_back(
        {name, std::make_unique<Recorder>(directory + "/" + name + ".jsonl", counts), nullptr});
    return made.back().recorder.get();
  };
  const auto add = [&](std::unique_ptr<Workload> workload) {
    made.back().workload = std::move(workload);
  };
  add(std::make_unique<Register>(recorder("register")));
  add(std::make_unique<Counter>(recorder("counter")));
  add(std::make_unique<Set>(recorder("set")));
  add(std::make_unique<ListAppend>(recorder("list-append")));
  add(std::make_unique<Bank>(recorder("bank")));
  add(std::make_unique<Version>(recorder("version"), endpoints));
  return made;
}

}  // namespace cairn::cluster_test
