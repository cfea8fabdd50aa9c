// The work of a command is bounded, whatever its SQL, at the same point on every replica. Other
// commands do not pay for what one loses. No test here looks at a clock: work is counted.

#include "state_machine/sqlite/work_budget.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "state_machine/sqlite/applier.h"
#include "state_machine/sqlite/replicas_test_util.h"
#include "state_machine/sqlite/write_functions.h"

namespace cairn::state_machine {
namespace {

// About 16 steps for each row.
Statement CountTo(int64_t rows) {
  return {
      "INSERT INTO t SELECT count(*) FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL"
      " SELECT i + 1 FROM n WHERE i < ?1) SELECT i FROM n)",
      {rows},
      {}};
}

Command PrepareCommand(const std::string& tx, Statement statement) {
  Command command;
  command.operation = Prepare{tx, std::move(statement), 0};
  return command;
}

Command CommitCommand(const std::string& tx) {
  Command command;
  command.operation = Commit{tx};
  return command;
}

TEST(WorkBudget, TheStatementsOfACommandShareOneBudget) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.header.command_steps_max = 1'000'000;
  EXPECT_TRUE(replicas.Execute({CountTo(30'000)}).status.ok());
  const CommandResult result = replicas.Execute({CountTo(30'000), CountTo(30'000), CountTo(3)});
  EXPECT_EQ(result.status.code(), StatusCode::kResourceExhausted) << result.status;
  EXPECT_EQ(replicas.Query("SELECT x FROM t"), "30000");
  // Many small statements add up.
  const CommandResult many = replicas.Execute(std::vector<Statement>(10'000, CountTo(1)));
  EXPECT_EQ(many.status.code(), StatusCode::kResourceExhausted) << many.status;
  replicas.Check();
}

TEST(WorkBudget, APrepareRunsTheStatementsBeforeItWithinItsOwnBudgetAndTheCommitFits) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.header.command_steps_max = 1'000'000;
  EXPECT_TRUE(replicas.Do(PrepareCommand("tx", CountTo(20'000))).status.ok());
  EXPECT_TRUE(replicas.Do(PrepareCommand("tx", CountTo(20'000))).status.ok());
  EXPECT_EQ(replicas.Do(PrepareCommand("tx", CountTo(25'000))).status.code(),
            StatusCode::kResourceExhausted);
  const CommandResult commit = replicas.Do(CommitCommand("tx"));
  EXPECT_TRUE(commit.status.ok()) << commit.status;
  EXPECT_GT(commit.steps, 500'000u);
  EXPECT_LE(commit.steps, 1'000'000u);
  EXPECT_EQ(replicas.Query("SELECT x FROM t"), "20000 20000");
  replicas.Check();
}

TEST(WorkBudget, CommandsBehindAUsedUpEntryAreNotAppliedAndMayBeSentAgain) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.header.command_steps_max = 1'000'000;
  replicas.header.entry_steps_max = 700'000;
  Command heavy;
  heavy.operation = Execute{{CountTo(30'000)}};
  Command too_heavy;
  too_heavy.operation = Execute{{CountTo(300'000)}};
  const Command light = ExecuteCommand("INSERT INTO t VALUES('light')");
  for (const Command& second : {heavy, too_heavy}) {
    replicas.Must("DELETE FROM t");
    const std::string session = second == heavy ? "a" : "b";
    const auto results = replicas.DoAll({light, heavy, second, WithId(light, session, 1), light});
    EXPECT_TRUE(results[0].status.ok()) << results[0].status;
    EXPECT_TRUE(results[1].status.ok()) << results[1].status;
    for (size_t i = 3; i < results.size(); ++i) {
      EXPECT_EQ(results[i].status.code(), StatusCode::kResourceExhausted) << results[i].status;
      EXPECT_EQ(results[i].status.outcome(), Outcome::kNotApplied);
      EXPECT_EQ(results[i].steps, 0u);
    }
    const CommandResult again = replicas.Do(WithId(light, session, 1));
    EXPECT_TRUE(again.status.ok()) << again.status;
  }
  replicas.Check();
}

TEST(WorkBudget, MaintenanceHasABudgetOfItsOwn) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.header.command_steps_max = 100'000;
  replicas.header.maintenance_steps_max = 10'000'000;
  Command command;
  command.operation = Execute{{CountTo(30'000)}};
  EXPECT_EQ(replicas.Do(command).status.code(), StatusCode::kResourceExhausted);
  std::get<Execute>(command.operation).maintenance = true;
  EXPECT_TRUE(replicas.Do(command).status.ok());
  replicas.Check();
}

// ---- What one step does not show ----------------------------------------------------------------

// A call of each function on a long value: `?1` is a text of 1 MiB, `?2` one of half that, of
// another kind. Functions that take next to no time have none.
struct Call {
  const char* name;
  const char* call;
  uint64_t steps_min;
};
constexpr uint64_t kLong = 1 << 20;
constexpr uint64_t kOnce = kLong / kBytesPerStep;
constexpr Call kCalls[] = {
    {"instr", "instr(?1, ?2)", kOnce},
    {"replace", "replace(?1, substr(?1, 1, 100000) || 'b', ?2)", kOnce},
    {"trim", "trim(?1, ?2 || 'a')", kOnce},
    {"ltrim", "ltrim(?1, ?2 || 'a')", kOnce},
    {"rtrim", "rtrim(?1, ?2 || 'a')", kOnce},
    {"like", "?1 LIKE '%' || substr(?1, 1, 90) || 'b%'", 90 * kOnce},
    {"glob", "?1 GLOB '*' || substr(?1, 1, 90) || 'b*'", 90 * kOnce},
    {"upper", "upper(?1)", kOnce},
    {"lower", "lower(?1)", kOnce},
    {"hex", "hex(?1)", kOnce},
    {"quote", "quote(?1)", kOnce},
    {"printf", "printf(?1)", 10 * kOnce},
    {"format", "format(?1)", 10 * kOnce},
    {"strftime", "strftime(?1)", 10 * kOnce},
    {"randomblob", "randomblob(1000000)", kOnce / 2},
    {"json", "json('\"' || ?1 || '\"')", 10 * kOnce},
    {"json_array", "json_array(?1)", 10 * kOnce},
    {"json_array_length", "json_array_length('[\"' || ?1 || '\"]')", 10 * kOnce},
    {"json_extract", "json_extract('[\"' || ?1 || '\"]', '$[0]')", 10 * kOnce},
    {"->", "('[\"' || ?1 || '\"]') -> 0", 10 * kOnce},
    {"->>", "('[\"' || ?1 || '\"]') ->> 0", 10 * kOnce},
    {"json_insert", "json_insert('[]', '$[0]', ?1)", 10 * kOnce},
    {"json_object", "json_object('a', ?1)", 10 * kOnce},
    {"json_patch", "json_patch('{\"a\":\"' || ?1 || '\"}', '{}')", 10 * kOnce},
    {"json_quote", "json_quote(?1)", 10 * kOnce},
    {"json_remove", "json_remove('[\"' || ?1 || '\"]', '$[0]')", 10 * kOnce},
    {"json_replace", "json_replace('[1]', '$[0]', ?1)", 10 * kOnce},
    {"json_set", "json_set('[1]', '$[0]', ?1)", 10 * kOnce},
    {"json_type", "json_type('[\"' || ?1 || '\"]')", 10 * kOnce},
    {"json_valid", "json_valid('[\"' || ?1 || '\"]')", 10 * kOnce},
};
// Those that take about as long as a step of another kind on the same value: value_bytes_max bounds
// them as it bounds those.
const std::set<std::string> kLikeACopy = {"char",
                                          "coalesce",
                                          "count",
                                          "first_value",
                                          "group_concat",
                                          "ifnull",
                                          "iif",
                                          "json_group_array",
                                          "json_group_object",
                                          "lag",
                                          "last_value",
                                          "lead",
                                          "length",
                                          "likelihood",
                                          "likely",
                                          "max",
                                          "min",
                                          "nth_value",
                                          "nullif",
                                          "soundex",
                                          "substr",
                                          "substring",
                                          "subtype",
                                          "typeof",
                                          "unicode",
                                          "unlikely",
                                          "zeroblob",
                                          "total",
                                          "sum",
                                          "avg",
                                          "abs",
                                          "round",
                                          "sign",
                                          "sqrt",
                                          "trunc",
                                          "ceil",
                                          "ceiling",
                                          "floor",
                                          "degrees",
                                          "radians",
                                          "mod",
                                          "pi"};
// Functions without arguments of any length.
const std::set<std::string> kShort = {"changes",
                                      "total_changes",
                                      "last_insert_rowid",
                                      "random",
                                      "cume_dist",
                                      "dense_rank",
                                      "percent_rank",
                                      "rank",
                                      "row_number",
                                      "ntile",
                                      "current_date",
                                      "current_time",
                                      "current_timestamp",
                                      "date",
                                      "time",
                                      "datetime",
                                      "julianday",
                                      "unixepoch"};
// Functions of full-text tables. In such statements the rows are counted.
const std::set<std::string> kOfFullText = {"match", "optimize"};

TEST(WorkBudget, TheCostOfEveryFunctionIsKnown) {
  std::set<std::string> known = kLikeACopy;
  known.insert(kShort.begin(), kShort.end());
  known.insert(kOfFullText.begin(), kOfFullText.end());
  for (const Call& call : kCalls) known.insert(call.name);
  TestReplica replica;
  TestDatabase db(replica.path(), "");
  sqlite3_stmt* stmt = nullptr;
  ASSERT_EQ(sqlite3_prepare_v2(db.handle(), "SELECT DISTINCT name FROM pragma_function_list", -1,
                               &stmt, nullptr),
            SQLITE_OK);
  while (sqlite3_step(stmt) == SQLITE_ROW) {
    const std::string name = reinterpret_cast<const char*>(sqlite3_column_text(stmt, 0));
    EXPECT_TRUE(!IsReplicableFunction(name) || known.contains(name)) << name;
  }
  sqlite3_finalize(stmt);
}

TEST(WorkBudget, FunctionsOfLongValuesAreCharged) {
  Replicas replicas(/*restarts=*/false);
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("INSERT INTO t VALUES(0)");
  const std::string text(kLong, 'a');
  const std::string other(kLong / 2, '.');
  // To bind, copy and concatenate them costs something, too.
  const uint64_t without =
      replicas.Must("UPDATE t SET x = length(?1 || ?2)", {text, other}).steps + 3 * kOnce;
  for (const Call& call : kCalls) {
    SCOPED_TRACE(call.name);
    const std::string sql = std::string("UPDATE t SET x = length(") + call.call + ")" +
                            " WHERE length(?1) + length(?2) > 0";
    const CommandResult result = replicas.Execute(sql, {text, other});
    EXPECT_GE(result.steps, call.steps_min);
    EXPECT_LT(result.steps, without + 2000 * kOnce);
  }
  replicas.Check();
}

TEST(WorkBudget, NoFunctionDoesMoreThanTheBudgetAllows) {
  Replicas replicas(/*restarts=*/false);
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("INSERT INTO t VALUES(0)");
  const std::string text(kLong, 'a');
  const std::string other(kLong / 2, '.');
  replicas.header.command_steps_max = 40'000;  // to bind them costs 25,000
  for (const Call& call : kCalls) {
    SCOPED_TRACE(call.name);
    const std::string sql = std::string("UPDATE t SET x = length(") + call.call + ") + length(" +
                            call.call + ") WHERE length(?1) + length(?2) > 0";
    const CommandResult result = replicas.Execute(sql, {text, other});
    EXPECT_EQ(result.status.code(), StatusCode::kResourceExhausted) << result.status;
    EXPECT_LE(result.steps, 40'000u);
  }
  replicas.Check();
}

// One operation of the machine copies a value of any length.
TEST(WorkBudget, TheMoreStepsWereDoneTheSmallerTheValuesMayBe) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.header.command_steps_max = 1'000'000;
  const std::string doubled =
      "INSERT INTO t SELECT max(length(x || x)) FROM (WITH RECURSIVE n(i, x) AS"
      " (SELECT 1, zeroblob(?2) UNION ALL SELECT i + 1, x FROM n WHERE i < ?1) SELECT x FROM n)";
  EXPECT_TRUE(replicas.Execute(doubled, {int64_t{10}, int64_t{4'000'000}}).status.ok());
  EXPECT_TRUE(replicas.Execute(doubled, {int64_t{20'000}, int64_t{200}}).status.ok());
  for (int i = 0; i < 2; ++i) {  // compiled anew, and known
    const CommandResult result = replicas.Execute(doubled, {int64_t{20'000}, int64_t{1'000'000}});
    EXPECT_EQ(result.status.code(), StatusCode::kResourceExhausted) << result.status;
    EXPECT_LT(result.steps, 100'000u);
  }
  replicas.Check();
}

// SQLite checks the length of a literal once, at its first use.
TEST(WorkBudget, ALongLiteralIsJudgedAlikeOnFreshAndWarmReplicas) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("CREATE TABLE u(x)");
  replicas.Must(
      "CREATE TRIGGER late AFTER INSERT ON u WHEN new.x > 30000 BEGIN"
      " INSERT INTO t VALUES('" +
      std::string(20'000, 'x') + "'); END");
  replicas.header.command_steps_max = 2'000'000;
  const std::string insert =
      "INSERT INTO u WITH RECURSIVE n(i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n"
      " WHERE i < ?2) SELECT i FROM n";
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(replicas.Execute(insert, {int64_t{30'001}, int64_t{30'002}}).status.ok());
    EXPECT_EQ(replicas.Execute(insert, {int64_t{1}, int64_t{30'010}}).status.code(),
              StatusCode::kResourceExhausted);
  }
  replicas.Check();
}

TEST(WorkBudget, CountingAllRowsOfATableCountsThem) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must(
      "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
      " LIMIT 20000) SELECT i FROM n");
  EXPECT_GT(replicas.Must("UPDATE t SET x = (SELECT count(*) FROM t) WHERE x = 1").steps, 20'000u);
  EXPECT_EQ(replicas.Query("SELECT x FROM t LIMIT 1"), "20000");
  replicas.Check();
}

// The schema is read anew after each change of it.
TEST(WorkBudget, ChangesOfALargeSchemaCountWhatItTakesToReadIt) {
  Replicas replicas(/*restarts=*/false);
  std::vector<Statement> many;
  for (int i = 0; i < 200; ++i) {
    many.push_back({"CREATE TABLE t" + std::to_string(i) + "(x)", {}, {}});
  }
  const CommandResult result = replicas.Execute(many);
  EXPECT_TRUE(result.status.ok()) << result.status;
  EXPECT_GT(result.steps, 200u * 100u * kStepsPerSchemaObject);
  // So are the rows of a table that change their meaning.
  replicas.Must(
      "INSERT INTO t0 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
      " LIMIT 20000) SELECT i FROM n");
  const uint64_t altered = replicas.Must("ALTER TABLE t0 ADD COLUMN y DEFAULT 5").steps;
  EXPECT_GT(altered, replicas.Must("ALTER TABLE t1 ADD COLUMN y DEFAULT 5").steps + 20'000u);
  replicas.Check();
}

TEST(WorkBudget, RowsOfFullTextTablesCountTheirBytes) {
  Replicas replicas;
  replicas.Must("CREATE VIRTUAL TABLE f USING fts5(body)");
  std::string words;
  for (int i = 0; i < 2000; ++i) words += "word" + std::to_string(i) + " ";
  EXPECT_GT(replicas.Must("INSERT INTO f VALUES(?1)", {words}).steps, words.size());
  replicas.header.command_steps_max = 10 * words.size();
  EXPECT_EQ(replicas.Execute(std::vector<Statement>(20, {"INSERT INTO f VALUES(?1)", {words}, {}}))
                .status.code(),
            StatusCode::kResourceExhausted);
  replicas.Maintain("INSERT INTO f(f) VALUES('integrity-check')");
  replicas.Check();
}

// They change nothing, and go through virtual tables and indexes, of which SQLite counts no scans.
TEST(WorkBudget, JoinsThatTouchAVirtualTableAreStopped) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(k)");
  replicas.Must("CREATE INDEX tk ON t(k)");
  replicas.Must(
      "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300)"
      " SELECT 1 FROM n");
  replicas.Must("CREATE VIRTUAL TABLE f USING fts5(body)");
  replicas.Must("CREATE VIRTUAL TABLE r USING rtree(id, low, high)");
  replicas.Must("INSERT INTO f SELECT 'word' FROM t");
  replicas.Must("INSERT INTO r SELECT rowid, rowid, rowid FROM t");
  replicas.header.command_steps_max = 1'000'000;
  const std::string three = " FROM t a JOIN t b ON a.k = b.k JOIN t c ON b.k = c.k";
  for (const std::string& sql : {std::string("INSERT INTO t SELECT count(*) FROM f a, f b, f c"),
                                 std::string("INSERT INTO t SELECT count(*) FROM r a, r b, r c"),
                                 "INSERT INTO f SELECT count(*)" + three,
                                 "DELETE FROM f WHERE rowid IN (SELECT a.rowid" + three + ")"}) {
    const CommandResult result = replicas.Execute(sql);
    EXPECT_EQ(result.status.code(), StatusCode::kResourceExhausted) << sql << result.status;
  }
  replicas.Must("INSERT INTO t SELECT count(*) FROM f a, r b WHERE a.rowid = b.id");
  replicas.Check();
}

TEST(WorkBudget, StepsBesideVirtualTablesAreTheSameOnFreshAndWarmReplicas) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("CREATE VIRTUAL TABLE f USING fts5(body)");
  replicas.Must("CREATE VIRTUAL TABLE r USING rtree(id, low, high)");
  for (int i = 1; i <= 60; ++i) {
    replicas.Must("INSERT INTO f VALUES('word')");
    replicas.Must("INSERT INTO r VALUES(NULL, 1, 2)");
  }
  int stopped = 0;
  for (uint64_t steps_max = 30'000; steps_max < 300'000; steps_max += 5'000) {
    replicas.header.command_steps_max = steps_max;
    for (const char* sql :
         {"INSERT INTO t SELECT count(*) FROM f a, f b WHERE a.body = b.body",
          "INSERT INTO t SELECT sum(a.low) FROM r a, r b, t c LIMIT 1",
          "UPDATE f SET body = 'word' || (SELECT count(*) FROM r) WHERE rowid < 20"}) {
      if (!replicas.Execute(sql).status.ok()) ++stopped;
    }
  }
  EXPECT_GT(stopped, 10);
  EXPECT_LT(stopped, 150);
  replicas.Check();
}

// instr() took minutes in one operation of SQLite's machine, which no deadline of a reader can end.
TEST(WorkBudget, ReadersHaveTheLinearFunctionsToo) {
  Replicas replicas(/*restarts=*/false);
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("INSERT INTO t VALUES(?1)", {std::string(2 << 20, 'a')});
  EXPECT_EQ(replicas.Query("SELECT instr(x, substr(x, 1, 1000000) || 'b') FROM t"), "0");
  EXPECT_EQ(replicas.Query("SELECT length(trim(x, 'bc')) FROM t"), std::to_string(2 << 20));
  EXPECT_EQ(replicas.Query("SELECT length(replace(x, substr(x, 1, 1000000) || 'b', '')) FROM t"),
            std::to_string(2 << 20));
  EXPECT_EQ(replicas.Query("PRAGMA foreign_keys"), "1");
}

// ---- What a command loses -----------------------------------------------------------------------

// Applies a log of `entries`, each of the same commands, and counts how many statements ran.
uint64_t StatementsRun(const std::vector<std::string>& setup, int entries,
                       const std::vector<Command>& commands, const BatchHeader& header,
                       std::vector<EntryResults>* results) {
  TemporaryDirectory directory;
  auto applier = Applier::Open(Storage{}, directory / "test.db", 1 << 20, TestConfiguration(),
                               kLevelHighest, /*request_room_divisor=*/1);
  EXPECT_TRUE(applier.ok()) << applier.status();
  std::vector<raft::Entry> log;
  for (const std::string& sql : setup) {
    log.push_back(MakeEntry(LogIndex(log.size() + 1), header, {ExecuteCommand(sql)}));
  }
  const auto ignore = [](const EntryResults&) {};
  EXPECT_TRUE((*applier)->Apply(log, TestConfiguration(), LogIndex(), ignore).ok());
  const uint64_t before = (*applier)->engine().statements_run();
  const size_t first = log.size();
  for (int i = 0; i < entries; ++i) {
    log.push_back(MakeEntry(LogIndex(log.size() + 1), header, commands));
  }
  const Status status =
      (*applier)->Apply(std::span(log).subspan(first), TestConfiguration(), LogIndex(),
                        [&](EntryResults each) { results->push_back(std::move(each)); });
  EXPECT_TRUE(status.ok()) << status;
  return (*applier)->engine().statements_run() - before;
}

// 20,000 commands with a quarter conflicting took ninety times as long as with OR ABORT.
TEST(WorkBudget, CommandsThatWouldRollTheTransactionBackRunNoOthersAgain) {
  const std::vector<std::string> setup = {
      "CREATE TABLE t(x UNIQUE ON CONFLICT ROLLBACK, y UNIQUE)", "CREATE TABLE g(x)",
      "INSERT INTO t VALUES(0, 0)",
      "CREATE TRIGGER guard BEFORE INSERT ON g BEGIN SELECT RAISE(ROLLBACK, 'no'); END",
      "CREATE TRIGGER nested AFTER INSERT ON t WHEN new.x = -1 BEGIN"
      " INSERT OR ROLLBACK INTO t VALUES(0, 7); END"};
  for (const std::string failing :
       {"INSERT OR ABORT INTO t VALUES(5, 0)", "INSERT OR ROLLBACK INTO t VALUES(5, 0)",
        "INSERT INTO t VALUES(0, 5)", "INSERT INTO g VALUES(1)", "INSERT INTO t VALUES(-1, -1)",
        "UPDATE /* */ OR\n rollback t SET y = 0"}) {
    SCOPED_TRACE(failing);
    std::vector<Command> commands;
    for (int i = 0; i < 250; ++i) {
      for (int n = 0; n < 3; ++n) {
        commands.push_back(ExecuteCommand("INSERT INTO t VALUES(NULL, NULL)"));
      }
      commands.push_back(ExecuteCommand(failing));
    }
    std::vector<EntryResults> results;
    const uint64_t run = StatementsRun(setup, 4, commands, BatchHeader{}, &results);
    EXPECT_LE(run, 2u * 4u * commands.size() + 100);
    ASSERT_EQ(results.size(), 4u);
    for (const EntryResults& entry : results) {
      for (size_t i = 0; i < commands.size(); ++i) {
        ASSERT_EQ(entry.results[i].status.ok(), i % 4 != 3) << entry.results[i].status;
      }
    }
  }
}

// Each ends the SQLite transaction. An entry is done over for it, not those that came before.
TEST(WorkBudget, ExhaustedCommandsInManyEntriesAreDoneOverInLinearTime) {
  BatchHeader header;
  header.command_steps_max = header.entry_steps_max = 300'000;
  std::vector<Command> commands(20, ExecuteCommand("INSERT INTO t VALUES(1)"));
  commands.emplace_back().operation = Execute{{CountTo(1'000'000)}};
  commands.push_back(commands.front());
  std::vector<EntryResults> results;
  const int entries = 50;
  const uint64_t run = StatementsRun({"CREATE TABLE t(x)"}, entries, commands, header, &results);
  EXPECT_LE(run, 4u * entries * commands.size());
  ASSERT_EQ(results.size(), static_cast<size_t>(entries));
  for (const EntryResults& entry : results) {
    EXPECT_TRUE(entry.results[19].status.ok());
    EXPECT_EQ(entry.results[20].status.code(), StatusCode::kResourceExhausted);
    EXPECT_EQ(entry.results[21].status.outcome(), Outcome::kNotApplied);
  }
}

// Such a command pays for the work that it makes its entry repeat: the budget of the entry ends it.
TEST(WorkBudget, WhatACommandLosesIsChargedToIt) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.header.command_steps_max = 100'000;
  Command exhausted;
  exhausted.operation = Execute{{CountTo(100'000)}};
  const Command light = ExecuteCommand("INSERT INTO t VALUES(1)");
  const auto results = replicas.DoAll({light, light, exhausted});
  EXPECT_EQ(results[2].steps, 100'000u + results[0].steps + results[1].steps);
  replicas.Check();
}

}  // namespace
}  // namespace cairn::state_machine
