// Time series in the replicated database: the same on every node, undone like anything else, and
// counted.

#include <gtest/gtest.h>

#include "state_machine/feature_level.h"
#include "state_machine/sqlite/replicas_test_util.h"
#include "timeseries/block.h"

namespace cairn::state_machine {
namespace {

constexpr char kCreate[] =
    "CREATE VIRTUAL TABLE m USING timeseries(device TEXT TAG, ts TIMESTAMP_MS, value REAL, state "
    "TEXT)";

Command RaiseTo(uint64_t level) { return {{}, 0, RaiseLevel{level}}; }

void Begin(Replicas* replicas) {
  replicas->Do(RaiseTo(kLevelDataPlatform));
  replicas->Must(kCreate);
}

std::string Points(const std::string& device, int64_t first, int64_t step, int count) {
  std::string sql = "VALUES";
  for (int i = 0; i < count; ++i) {
    sql += (i == 0 ? "('" : ", ('") + device + "', " + std::to_string(first + i * step) + ", " +
           std::to_string(i % 97) + "/10.0, " + (i % 5 == 0 ? "NULL" : "'on'") + ")";
  }
  return sql;
}

TEST(TimeSeriesReplicas, BelowTheLevelTheModuleIsRefusedAsBefore) {
  Replicas replicas;
  const Status refused = replicas.Execute(kCreate).status;
  EXPECT_EQ(refused.code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(refused.message(), "virtual tables of module timeseries are not replicated");
  EXPECT_EQ(
      replicas.Execute("CREATE TABLE t AS SELECT * FROM time_buckets(0, 9, 1)").status.message(),
      "no such table: time_buckets");
  replicas.Do(RaiseTo(kLevelDataPlatform));
  replicas.Must(kCreate);
  replicas.Check();
}

// Also the storage, its sums, and the results.
TEST(TimeSeriesReplicas, AreTheSameUnderAnyBatchBoundaries) {
  Replicas replicas;
  Begin(&replicas);
  replicas.Must("CREATE TABLE t(x INTEGER PRIMARY KEY, y)");
  replicas.Must("CREATE VIRTUAL TABLE words USING fts5(body)");
  Rng rng(4);
  int64_t now = 0;
  for (int i = 0; i < 60; ++i) {
    const std::string device = rng.Below(2) == 0 ? "a" : "b";
    const auto late = std::to_string(rng.Below(static_cast<uint64_t>(now) + 1));
    switch (rng.Below(8)) {
      case 0:
        replicas.Execute("DELETE FROM m WHERE ts BETWEEN " + late + " AND " + late + " + 60000");
        break;
      case 1:
        replicas.Execute("UPDATE m SET value = -value WHERE ts BETWEEN " + late + " AND " + late +
                         " + 9000");
        break;
      case 2:
        replicas.Execute("INSERT OR REPLACE INTO m " +
                         Points(device,
                                static_cast<int64_t>(rng.Below(static_cast<uint64_t>(now) + 1)),
                                777, 20));
        break;
      case 3:  // the second statement fails, so the first one is undone
        replicas.DoAll({ExecuteCommand("INSERT INTO t(y) VALUES(1)"),
                        Command{{},
                                0,
                                Execute{{{"DELETE FROM m WHERE ts > " + late, {}, {}},
                                         {"INSERT INTO t(x) VALUES('no integer')", {}, {}}}}},
                        ExecuteCommand("INSERT INTO words VALUES('word')"),
                        ExecuteCommand("INSERT INTO t(y) VALUES(1)"),
                        ExecuteCommand("INSERT INTO t(y) VALUES(changes())")});
        break;
      default: {
        const int count = 1 + static_cast<int>(rng.Below(300));
        replicas.Must("INSERT OR REPLACE INTO m " + Points(device, now, 1000, count));
        now += count * 1000;
      }
    }
  }
  replicas.Must("INSERT INTO t(y) SELECT sum(value) FROM m WHERE device = 'a'");
  replicas.Must("INSERT INTO t(y) SELECT rate(value, ts) FROM m GROUP BY time_bucket('1h', ts)");
  EXPECT_NE(replicas.Query("SELECT count(*) FROM m_blocks"), "0");
  replicas.Check();
}

TEST(TimeSeriesReplicas, ABlockIsOneStatement) {
  Replicas replicas;
  Begin(&replicas);
  timeseries::Block block;
  block.columns.resize(2);
  block.columns[1].type = timeseries::ColumnType::kText;
  block.columns[1].texts = {"on"};
  for (int i = 0; i < 256; ++i) {
    block.times.push_back(i * 1000);
    block.columns[0].reals.push_back(i / 100.0);
    block.columns[1].integers.push_back(0);
  }
  std::string bytes;
  ASSERT_TRUE(timeseries::EncodeBlock(block, &bytes).ok());
  const std::string insert = "INSERT INTO m(device, block) VALUES('a', ?1)";
  const CommandResult stored = replicas.Must(insert, {Blob{bytes}});
  EXPECT_EQ(stored.statements.at(0).rows_affected, 1);
  EXPECT_EQ(replicas.Execute(insert, {Blob{bytes}}).status.code(), StatusCode::kAlreadyExists);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  const Status refused = replicas.Execute(insert, {Blob{bytes}}).status;
  EXPECT_EQ(refused.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(refused.message(), "malformed block of a time series: its checksum does not fit");
  EXPECT_EQ(replicas.Query("SELECT points FROM m_blocks"), "256");
  replicas.Check();
}

TEST(TimeSeriesReplicas, ClientsDoNotWriteTheStorage) {
  Replicas replicas;
  Begin(&replicas);
  replicas.Must("INSERT INTO m " + Points("a", 0, 1000, 3));
  for (const char* sql :
       {"DELETE FROM m_tail", "DROP TABLE m_series", "INSERT INTO m_blocks(id) VALUES(1)"}) {
    EXPECT_FALSE(replicas.Execute(sql).status.ok()) << sql;
  }
  replicas.Check();
}

TEST(TimeSeriesReplicas, TheStorageTakesNoTriggersIndexesAndForeignKeys) {
  Replicas replicas;
  Begin(&replicas);
  replicas.Must("CREATE TABLE my_tail(x PRIMARY KEY)");
  for (const char* sql :
       {"CREATE TRIGGER t BEFORE INSERT ON m_tail BEGIN SELECT RAISE(IGNORE); END",
        "CREATE TRIGGER t AFTER UPDATE OF data ON main.m_blocks BEGIN DELETE FROM my_tail; END",
        "CREATE UNIQUE INDEX i ON m_tail(v0)", "CREATE INDEX IF NOT EXISTS i ON \"m_series\"(t0)",
        "CREATE TABLE c(s, t, FOREIGN KEY(s, t) REFERENCES m_tail(series, time))"}) {
    EXPECT_EQ(replicas.Execute(sql).status.code(), StatusCode::kPermissionDenied) << sql;
  }
  replicas.Must("CREATE INDEX i ON my_tail(x)");
  // Also one that was there before the storage.
  replicas.Must("CREATE TABLE before(x REFERENCES later_blocks(id))");
  EXPECT_EQ(replicas.Execute("CREATE VIRTUAL TABLE later USING timeseries(ts TIMESTAMP_MS, v REAL)")
                .status.code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(replicas.Execute("ALTER TABLE m RENAME TO later").status.code(),
            StatusCode::kInvalidArgument);
  replicas.Must("CREATE TABLE c(x REFERENCES my_tail(x))");
  replicas.Check();
}

// The work within the module counts, and an exhausted command leaves nothing.
TEST(TimeSeriesReplicas, WorkIsCounted) {
  Replicas replicas;
  Begin(&replicas);
  for (int i = 0; i < 6; ++i) {
    replicas.Must("INSERT INTO m " + Points("a", i * 1'000'000, 1000, 1000));
  }
  const std::string before = replicas.Query("SELECT count(*), sum(points) FROM m_blocks");
  replicas.header.command_steps_max = 300'000;
  EXPECT_EQ(replicas.Execute("UPDATE m SET value = value + 1 WHERE ts % 2 = 0").status.code(),
            StatusCode::kResourceExhausted);
  EXPECT_EQ(replicas.Query("SELECT count(*), sum(points) FROM m_blocks"), before);
  replicas.header.command_steps_max = 50'000'000;
  replicas.Must("DELETE FROM m WHERE ts < 100000");
  replicas.Must("DROP TABLE m");
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'm%'"), "0");
  replicas.Check();
}

Command Maintain() { return {{}, 0, MaintainTimeSeries{}}; }

TEST(TimeSeriesReplicas, RetentionAdvancesByCommandsInSlices) {
  Replicas replicas;
  EXPECT_EQ(replicas.Do(Maintain()).status.code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(replicas.first().machine().time_series(), TimeSeriesUpkeep::kNone);
  replicas.Do(RaiseTo(kLevelDataPlatform));
  replicas.Must("CREATE TABLE other(x)");
  EXPECT_EQ(replicas.first().machine().time_series(), TimeSeriesUpkeep::kNone);
  replicas.Must(
      "CREATE VIRTUAL TABLE m USING timeseries(device TEXT TAG, ts TIMESTAMP_MS, value REAL, state "
      "TEXT, retention='1h')");
  EXPECT_EQ(replicas.first().machine().time_series(), TimeSeriesUpkeep::kRests);
  const int64_t now = replicas.header.wall_ms;
  for (int i = 0; i < 10; ++i) {
    replicas.Must("INSERT INTO m " + Points("d" + std::to_string(i), now - 7'200'000, 20'000, 361));
  }
  // More series than a slice looks at.
  replicas.Must("INSERT INTO m SELECT 'x' || bucket, " + std::to_string(now) +
                ", 1, NULL FROM time_buckets(0, 1500, 1)");
  const int64_t version = replicas.Version("m");
  int busy = 0;
  for (int i = 0; i < 150; ++i) {
    replicas.header.wall_ms += 61'000;
    EXPECT_EQ(replicas.Do(Maintain()).status, OkStatus());
    if (replicas.first().machine().time_series() == TimeSeriesUpkeep::kBusy) ++busy;
  }
  EXPECT_GT(busy, 10);
  EXPECT_GT(replicas.Version("m"), version + 20);
  EXPECT_LT(replicas.Version("m"), version + 150);
  EXPECT_EQ(replicas.Query("SELECT count(*) > 0, min(ts) >= " + std::to_string(now - 3'660'000) +
                           " FROM m WHERE device < 'e'"),
            "1|1");
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM m WHERE device < 'e' AND ts >= " +
                           std::to_string(now - 3'600'000)),
            std::to_string(10 * 181));
  replicas.Check();
}

TEST(TimeSeriesReplicas, RollupsAreTheSameUnderAnyBatchBoundaries) {
  Replicas replicas;
  replicas.Do(RaiseTo(kLevelDataPlatform));
  EXPECT_EQ(replicas
                .Execute("CREATE VIRTUAL TABLE x_1m USING timeseries_rollup('1m', ts "
                         "TIMESTAMP_MS, value REAL)")
                .status.code(),
            StatusCode::kPermissionDenied);
  replicas.Must(
      "CREATE VIRTUAL TABLE m USING timeseries(device TEXT TAG, ts TIMESTAMP_MS, value REAL, state "
      "TEXT, retention='6h', rollups='1m:8h,1h')");
  Rng rng(9);
  const int64_t begin = replicas.header.wall_ms - 400'000'000;
  int64_t now = begin;
  const auto late = [&] {
    return begin + static_cast<int64_t>(rng.Below(static_cast<uint64_t>(now - begin) + 1));
  };
  for (int i = 0; i < 60; ++i) {
    const std::string from = std::to_string(late());
    switch (rng.Below(8)) {
      case 0:
        replicas.Execute("DELETE FROM m WHERE ts BETWEEN " + from + " AND " + from + " + 600000");
        break;
      case 1:
        replicas.Execute("UPDATE m SET value = -value WHERE ts BETWEEN " + from + " AND " + from +
                         " + 90000");
        break;
      case 2: replicas.Execute("INSERT OR REPLACE INTO m " + Points("a", late(), 777, 20)); break;
      case 3:  // undone
        replicas.Execute({{"DELETE FROM m WHERE ts > " + from, {}, {}},
                          {"INSERT INTO nothing VALUES(1)", {}, {}}});
        break;
      case 4:
      case 5:
        replicas.header.wall_ms += 61'000;
        EXPECT_EQ(replicas.Do(Maintain()).status, OkStatus());
        break;
      default: {
        const int count = 1 + static_cast<int>(rng.Below(300));
        replicas.Must("INSERT OR IGNORE INTO m " + Points("a", now, 40'000, count));
        replicas.Must("INSERT OR IGNORE INTO m " + Points("b", now, 40'000, count));
        now += count * 40'000;
      }
    }
  }
  replicas.Must("CREATE TABLE t AS SELECT * FROM m_1h");
  EXPECT_NE(replicas.Query("SELECT count(*) FROM m_1m_blocks"), "0");
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM m_config WHERE k = 'expired_before'"), "1");
  const std::string bound = "(SELECT v FROM m_config WHERE k = 'expired_before')";
  EXPECT_EQ(
      replicas.Query("SELECT device, ts, points, value_sum FROM m_1m WHERE ts >= " + bound),
      replicas.Query("SELECT device, time_bucket('1m', ts), count(*), sum(value) FROM m WHERE "
                     "ts >= " +
                     bound + " GROUP BY 1, 2"));
  replicas.Must("ALTER TABLE m RENAME TO renamed");
  replicas.Must("INSERT OR IGNORE INTO renamed " + Points("a", now, 40'000, 700));
  replicas.Must("DROP TABLE renamed");
  EXPECT_EQ(
      replicas.Query("SELECT name FROM sqlite_schema WHERE name NOT LIKE '_cairn%' AND type = "
                     "'table'"),
      "t");
  replicas.Check();
}

// The command that looks after all tables does what it can.
TEST(TimeSeriesReplicas, ATableWhoseUpkeepFailsDoesNotKeepTheOthersFromTheirs) {
  Replicas replicas;
  replicas.Do(RaiseTo(kLevelDataPlatform));
  for (const char* name : {"a", "b", "c"}) {
    replicas.Must("CREATE VIRTUAL TABLE " + std::string(name) +
                  " USING timeseries(device TEXT TAG, ts TIMESTAMP_MS, value REAL, state TEXT, "
                  "retention='1h')");
  }
  const std::string begin = std::to_string(replicas.header.wall_ms - 7'200'000);
  const auto fill = [&](const std::string& table, const std::string& state) {
    replicas.Must("INSERT INTO " + table + " SELECT 'd', " + begin + " + bucket * 6000, 1, " +
                  state + " FROM time_buckets(0, 1300, 1)");
  };
  // To delete a block of these texts takes more work than the command may do.
  fill("a", "printf('%0200d', bucket)");
  fill("b", "'on'");
  fill("c", "'on'");
  const auto left = [&](const std::string& table) {
    return std::stoll(replicas.Query("SELECT count(*) + (SELECT sum(points) FROM " + table +
                                     "_blocks) FROM " + table + "_tail"));
  };
  const auto maintain = [&] {
    for (int i = 0; i < 60; ++i) {
      replicas.header.wall_ms += 61'000;
      EXPECT_EQ(replicas.Do(Maintain()).status, OkStatus());
    }
  };
  replicas.header.command_steps_max = 60'000;
  maintain();
  EXPECT_EQ(left("a"), 1300);
  EXPECT_LT(left("b"), 800);
  EXPECT_LT(left("c"), 800);
  replicas.header.command_steps_max = 50'000'000;
  maintain();
  EXPECT_LT(left("a"), 800);
  replicas.Check();
}

// A slice is bounded by bytes, too, because they are its work.
TEST(TimeSeriesReplicas, ASliceOfLargeBlocksKeepsWithinTheBudget) {
  Replicas replicas(/*restarts=*/false);
  replicas.Do(RaiseTo(kLevelDataPlatform));
  replicas.Must(
      "CREATE VIRTUAL TABLE m USING timeseries(device TEXT TAG, ts TIMESTAMP_MS, s TEXT, t TEXT, u "
      "TEXT, retention='1h')");
  const std::string begin = std::to_string(replicas.header.wall_ms - 7'200'000);
  for (int i = 0; i < 8; ++i) {
    replicas.Must("INSERT INTO m SELECT 'd' || " + std::to_string(i) + ", " + begin +
                  " + bucket * 6000, printf('%0250d', bucket), printf('%0250d', -bucket), "
                  "printf('%0250d', 7 * bucket) FROM time_buckets(0, 1200, 1)");
  }
  const int64_t now = replicas.header.wall_ms;
  replicas.header.command_steps_max = 2'900'000;
  int busy = 0;
  for (int i = 0; i < 150; ++i) {
    replicas.header.wall_ms += 61'000;
    EXPECT_EQ(replicas.Do(Maintain()).status, OkStatus());
    if (replicas.first().machine().time_series() == TimeSeriesUpkeep::kBusy) ++busy;
  }
  EXPECT_GT(busy, 0);
  EXPECT_EQ(replicas.Query("SELECT count(*), min(last) > " + std::to_string(now - 3'600'000) +
                           " FROM m_blocks"),
            "8|1");
  replicas.Check();
}

TEST(TimeSeriesReplicas, AnInsertDoesNotReadTheStorageOfItsTimeSeries) {
  Replicas replicas;
  replicas.Do(RaiseTo(kLevelDataPlatform));
  for (const char* name : {"m", "o"}) {
    replicas.Must("CREATE VIRTUAL TABLE " + std::string(name) +
                  " USING timeseries(device TEXT TAG, ts TIMESTAMP_MS, value REAL, rollups='1m')");
  }
  replicas.Must("INSERT INTO m SELECT 'a', bucket, 1 FROM time_buckets(0, 700, 1)");
  for (const char* sql : {"INSERT INTO m SELECT 'b', time, v0 FROM m_tail",
                          "INSERT INTO m SELECT 'b', id + time, v0 FROM M_Tail, main.m_series",
                          "INSERT INTO m SELECT 'b', time, v0 FROM m_1m_tail",
                          "INSERT INTO m SELECT 'b', first, 1 FROM m_1m_blocks"}) {
    const Status refused = replicas.Execute(sql).status;
    EXPECT_EQ(refused.code(), StatusCode::kPermissionDenied) << sql << refused;
  }
  EXPECT_EQ(
      replicas.Execute("INSERT INTO m SELECT 'b', ts + 60000, value_sum FROM m_1m").status.code(),
      StatusCode::kInvalidArgument);
  replicas.Must("INSERT INTO o SELECT 'b', time, v0 FROM m_tail");
  replicas.Must("DELETE FROM m WHERE ts IN (SELECT time FROM m_tail)");
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM m"), "512");
  replicas.Check();
}

// A transaction that holds the table is not disturbed, and the points go later.
TEST(TimeSeriesReplicas, RetentionWaitsForPreparedTransactions) {
  Replicas replicas;
  Begin(&replicas);
  replicas.Must("INSERT INTO m(m) VALUES('retention=1h')");
  replicas.Must("INSERT INTO m " + Points("a", 0, 60'000, 600));
  const auto minute = [&](int count) {
    for (int i = 0; i < count; ++i) {
      replicas.header.wall_ms += 61'000;
      EXPECT_EQ(replicas.Do(Maintain()).status, OkStatus());
    }
  };
  const Statement statement{"UPDATE m SET value = 1 WHERE ts = 0", {}, {}};
  ASSERT_TRUE(replicas.Do({{}, 0, Prepare{"tx", statement, 1'000'000, 1}}).status.ok());
  minute(20);
  EXPECT_EQ(replicas.Query("SELECT min(ts) FROM m"), "0");
  ASSERT_TRUE(replicas.Do({{}, 0, Commit{"tx", 1}}).status.ok());
  minute(20);
  EXPECT_NE(replicas.Query("SELECT min(ts) FROM m"), "0");
  replicas.Check();
}

// A reader has the module at any level, and its scan ends with its query.
TEST(TimeSeriesReaders, ReadPointsAndEndWithACancelledQuery) {
  TestReplica replica;
  const BatchHeader header{1'700'000'000'000, 1, 1'000, 50'000'000};
  std::vector<raft::Entry> entries;
  const auto add = [&](const Command& command) {
    entries.push_back(MakeEntry(LogIndex(entries.size() + 1), header, {command}));
  };
  add(RaiseTo(kLevelDataPlatform));
  add(ExecuteCommand(kCreate));
  for (int i = 0; i < 5; ++i) {
    add(ExecuteCommand("INSERT INTO m " + Points("a", i * 1'000'000, 1000, 1000)));
  }
  replica.Apply(entries);
  auto view = replica.machine().OpenReadView(std::chrono::seconds(5));
  ASSERT_TRUE(view.ok()) << view.status();
  RowCollector rows;
  const std::string count = "SELECT count(*), max(ts) FROM m WHERE device = 'a' AND ts >= 1000000";
  ASSERT_TRUE((*view)->Query({count, {}, {}}, {}, &rows).ok());
  EXPECT_EQ(rows.rows.at(0), (Row{int64_t{4000}, int64_t{4'999'000}}));
  QueryLimits cancelled;
  cancelled.cancelled = [] { return true; };
  EXPECT_EQ((*view)->Query({"SELECT sum(value) FROM m", {}, {}}, cancelled, &rows).code(),
            StatusCode::kCancelled);
}

}  // namespace
}  // namespace cairn::state_machine
