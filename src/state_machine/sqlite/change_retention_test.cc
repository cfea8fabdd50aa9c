// Changes that are retained in the database: the same on every node, and the same as a watcher is told.

#include "state_machine/sqlite/change_retention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "state_machine/sqlite/digest_test_util.h"
#include "state_machine/sqlite/retention_test_util.h"
#include "state_machine/sqlite/sql_generator_test_util.h"
#include "state_machine/sqlite/watched_test_util.h"

namespace cairn::state_machine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// What a watcher with these filters is told of.
std::vector<std::string> Filtered(const std::vector<Change>& changes,
                                  const std::set<std::string>& tables, ChangePosition after) {
  std::vector<std::string> told;
  bool any = false;
  for (const Change& change : changes) {
    bool passes = any;
    if (change.kind == ChangeKind::kSchema) {
      passes = tables.contains(LowerCase(change.schema.table)) ||
               tables.contains(LowerCase(change.schema.name)) ||
               tables.contains(LowerCase(change.schema.old_name));
    } else if (change.kind != ChangeKind::kCommandEnd) {
      passes = tables.contains(LowerCase(change.table->name));
    }
    any = change.kind != ChangeKind::kCommandEnd && (any || passes);
    if (passes && change.position > after) {
      told.push_back(ToString(change.position) + " " + TextOf(change));
    }
  }
  return told;
}

TEST_F(Retention, IsRefusedBelowItsLevel) {
  Replicas old;
  old.Must("CREATE TABLE t(x)");
  const Status refused = old.Do(RetainCommand("t", kDayMs)).status;
  EXPECT_EQ(refused.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(refused.message(), HasSubstr("cairn member upgrade"));
  old.Check();
}

TEST_F(Retention, KeepsTheChangesFromTheNextEntryOn) {
  replicas.Must("INSERT INTO t VALUES(1, 'before')");
  replicas.DoAll({RetainCommand("T", kDayMs), ExecuteCommand("INSERT INTO t VALUES(2, 'with')")});
  replicas.Must("INSERT INTO t VALUES(3, 'a'), (4, NULL)");
  replicas.Must("INSERT INTO other VALUES(1)");
  replicas.Execute({{"INSERT INTO other VALUES(1)", {}, {}},
                    {"UPDATE t SET x = 2.5 WHERE id = 4", {}, {}},
                    {"DELETE FROM t WHERE id = 3", {}, {}}});
  EXPECT_THAT(AllOf("t"), ElementsAre("6.1 t +3|'a'", "6.2 t +4|NULL", "6.3 end",
                                      "8.2 t 4|NULL -> 4|r2.500000", "8.3 t -3|'a'", "8.4 end"));
  // A command that fails, or is only prepared, leaves nothing.
  replicas.Execute({{"INSERT INTO t VALUES(9, 9)", {}, {}}, {"INSERT INTO no VALUES(1)", {}, {}}});
  Command prepare;
  prepare.operation = Prepare{"tx", {"INSERT INTO t VALUES(5, 5)", {}, {}}, 0};
  Command commit;
  commit.operation = Commit{"tx"};
  replicas.DoAll({prepare, ExecuteCommand("INSERT OR ROLLBACK INTO t VALUES(4, 4)"), commit,
                  ExecuteCommand("INSERT OR FAIL INTO t VALUES(6, 6), (4, 4)")});
  EXPECT_THAT(ReadAll(machine(), {"t"}, EndOf(LogIndex(8))).changes,
              ElementsAre("10.1 t +5|5", "10.2 end"));
  replicas.Check();
}

TEST_F(Retention, SettingsAreChecked) {
  replicas.Must("CREATE VIRTUAL TABLE box USING rtree(id, a, b)");
  EXPECT_EQ(Retain("nowhere", kDayMs).code(), StatusCode::kNotFound);
  EXPECT_EQ(Retain("_cairn_state", kDayMs).code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(Retain("box", kDayMs).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Retain("box_node", kDayMs).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Retain("t", 0).code(), StatusCode::kFailedPrecondition) << "nothing to end";
  EXPECT_EQ(Retain("t", kRetainMsMin - 1).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Retain("t", kRetainMsMax + 1).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Retain("t", kDayMs, kRetainBytesMin - 1).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Retain("t", kDayMs, kRetainBytesTotal + 1).code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(Retain("t", kDayMs, kRetainBytesTotal).ok());
  EXPECT_EQ(Retain("other", kDayMs).code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(Retain("T", kDayMs / 2, kRetainBytesMin).ok()) << "the setting is changed";
  EXPECT_TRUE(Retain("other", kDayMs).ok());
  const auto settings = Settings();
  ASSERT_EQ(settings.size(), 2U);
  EXPECT_EQ(settings[0].table, "other");
  EXPECT_EQ(settings[1].retain_ms, kDayMs / 2);
  EXPECT_EQ(settings[1].bytes_max, kRetainBytesMin);
  EXPECT_EQ(replicas.Execute("SELECT * FROM _cairn_changes").status.code(),
            StatusCode::kPermissionDenied);
  EXPECT_EQ(replicas.Execute("CREATE TABLE _cairn_more(x)").status.code(),
            StatusCode::kPermissionDenied);
  replicas.Check();
}

TEST_F(Retention, WhatIsTooOldByTheLeaseClockGoes) {
  ASSERT_TRUE(Retain("t", kRetainMsMin).ok());
  const ChangePosition began = Since("t");
  EXPECT_EQ(machine().NextDeadlineLeaseMs(), std::nullopt);
  replicas.header.lease_ms = 10'000;
  replicas.Must("INSERT INTO t VALUES(1, 1)");
  EXPECT_EQ(machine().NextDeadlineLeaseMs(), 10'000 + kRetainMsMin + kRetainMsMin / 16);
  replicas.header.lease_ms = 10'000 + kRetainMsMin;
  replicas.Must("INSERT INTO t VALUES(2, 2)");
  EXPECT_EQ(ReadAll(machine(), {"t"}, began).changes.size(), 4U) << "not older than that";
  // The wall clock says nothing.
  replicas.header.wall_ms += 100 * kDayMs;
  replicas.Must("INSERT INTO other VALUES(2)");
  EXPECT_EQ(ReadAll(machine(), {"t"}, began).changes.size(), 4U);
  replicas.header.lease_ms += 1;
  Command advance;
  advance.operation = AdvanceLease{};
  replicas.Do(advance);
  const Told refused = ReadAll(machine(), {"t"}, began);
  EXPECT_EQ(refused.status.code(), StatusCode::kOutOfRange);
  EXPECT_EQ(Since("t"), (ChangePosition{LogIndex(5), 2})) << "the end of the command";
  EXPECT_THAT(AllOf("t"), ElementsAre("6.1 t +2|2", "6.2 end"));
  replicas.Check();
}

TEST_F(Retention, WhatIsTooMuchGoesAsMoreComes) {
  ASSERT_TRUE(Retain("t", kDayMs, kRetainBytesMin).ok());
  for (int i = 0; i < 40; ++i) replicas.Must("INSERT INTO t(x) VALUES(zeroblob(60000))");
  EXPECT_LE(Settings()[0].bytes, kRetainBytesMin);
  EXPECT_GT(Settings()[0].bytes, kRetainBytesMin - 70'000);
  EXPECT_EQ(AllOf("t").size(), 2U * 17);
  // Many small ones go for a large one.
  for (int i = 0; i < 10; ++i) {
    std::vector<Command> small;
    for (int j = 0; j < 1000; ++j) small.push_back(ExecuteCommand("INSERT INTO t(x) VALUES(1)"));
    replicas.DoAll(small);
    EXPECT_LE(Settings()[0].bytes, kRetainBytesMin);
  }
  replicas.Must("INSERT INTO t(x) VALUES(zeroblob(900000))");
  EXPECT_LE(Settings()[0].bytes, kRetainBytesMin);
  // More than there may be: nothing is left of it.
  replicas.Must("INSERT INTO t(x) VALUES(zeroblob(1200000))");
  EXPECT_THAT(AllOf("t"), IsEmpty());
  EXPECT_EQ(Since("t"), (ChangePosition{machine().applied_index(), 2}));
  replicas.Check();
}

TEST_F(Retention, EndsInBoundedStepsAndLeavesNothing) {
  ASSERT_TRUE(Retain("t", kDayMs).ok());
  const ChangePosition began = Since("t");
  std::vector<Command> many;
  for (int j = 0; j < 600; ++j) many.push_back(ExecuteCommand("INSERT INTO t(x) VALUES(1)"));
  replicas.DoAll(many);
  ASSERT_TRUE(Retain("t", 0).ok());
  EXPECT_THAT(Settings(), IsEmpty());
  EXPECT_EQ(ReadAll(machine(), {"t"}, began).status.code(), StatusCode::kOutOfRange);
  // Another one may begin meanwhile, with a history of its own.
  ASSERT_TRUE(Retain("t", kDayMs).ok());
  replicas.Must("INSERT INTO t(x) VALUES('new')");
  EXPECT_EQ(AllOf("t").size(), 2U);
  EXPECT_EQ(machine().NextDeadlineLeaseMs(), 0U) << "more is to go, also when nobody writes";
  replicas.Must("INSERT INTO other VALUES(1)");
  replicas.Must("INSERT INTO other VALUES(1)");
  const std::string dump = replicas.first().Dump();
  EXPECT_NE(machine().NextDeadlineLeaseMs(), 0U);
  EXPECT_EQ(AllOf("t").size(), 2U);
  ASSERT_TRUE(Retain("t", 0).ok());
  replicas.Must("INSERT INTO t(x) VALUES('untold')");
  EXPECT_EQ(machine().NextDeadlineLeaseMs(), std::nullopt);
  replicas.Check();
}

TEST_F(Retention, TheHistoryIsOfTheNameAndSurvivesTheRebuildOfATable) {
  ASSERT_TRUE(Retain("t", kDayMs).ok());
  replicas.Must("INSERT INTO t VALUES(1, 'a')");
  replicas.Must("ALTER TABLE t ADD COLUMN y DEFAULT 'd'");
  replicas.Must("UPDATE t SET id = 2");
  replicas.Execute({{"CREATE TABLE fresh(id INTEGER PRIMARY KEY, x, y, z)", {}, {}},
                    {"INSERT INTO fresh SELECT *, 'z' FROM t", {}, {}},
                    {"DROP TABLE t", {}, {}},
                    {"ALTER TABLE fresh RENAME TO t", {}, {}},
                    {"INSERT INTO t VALUES(3, 'c', 'c', 'c')", {}, {}}});
  replicas.Must("CREATE INDEX t_x ON t(x)");
  replicas.Must("DROP TABLE t");
  replicas.Must("CREATE TABLE t AS SELECT 7 AS seven");
  replicas.Must("ALTER TABLE t RENAME TO gone");
  EXPECT_THAT(AllOf("t"),
              ElementsAre("5.1 t +1|'a'", "5.2 end", "6.1 altered table t", "6.2 end",
                          "7.1 t 1|'a'|'d' -> 2|'a'|'d'", "7.2 end", "8.3 dropped table t",
                          "8.4 altered table t was fresh", "8.5 t +3|'c'|'c'|'c'", "8.6 end",
                          "9.1 created index t_x", "9.2 end", "10.1 dropped table t",
                          "10.2 dropped index t_x", "10.3 end", "11.1 created table t", "11.2 t +7",
                          "11.3 end", "12.1 altered table gone was t", "12.2 end"));
  replicas.Check();
}

TEST_F(Retention, ACommandIsCutIntoSlicesAndReadInPages) {
  ASSERT_TRUE(Retain("t", kDayMs).ok());
  ASSERT_TRUE(Retain("other", kDayMs).ok());
  const ChangePosition began = Since("other");
  replicas.Must("CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO other VALUES(new.x); END");
  replicas.Must(
      "INSERT INTO t(x) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300)"
      " SELECT zeroblob(1000) FROM n");
  replicas.Must("DELETE FROM other");
  const Told whole = ReadAll(machine(), {"t", "other"}, began);
  EXPECT_EQ(whole.changes.size(), 2U + 601 + 301);
  EXPECT_EQ(ReadAll(machine(), {"t", "other"}, began, 1).changes, whole.changes);
  for (const std::vector<std::string>& tables :
       {std::vector<std::string>{"t"}, {"other"}, {"t", "other"}}) {
    const std::vector<std::string> all = ReadAll(machine(), tables, began).changes;
    // From each position on, the rest follows.
    for (size_t i = 0; i < all.size(); i += 13) {
      const size_t dot = all[i].find('.');
      const ChangePosition after{LogIndex(std::stoull(all[i])),
                                 std::stoull(all[i].substr(dot + 1))};
      const std::vector<std::string> rest(all.begin() + static_cast<ptrdiff_t>(i) + 1, all.end());
      EXPECT_EQ(ReadAll(machine(), tables, after, 100'000).changes, rest) << all[i];
    }
  }
  replicas.Check();
}

// A change that no chunk could hold, and more changes of one command than memory is meant for.
TEST(RetentionOfAll, WhatIsTooLargeIsSaidToBeLostAndNothingIsRefused) {
  Watched watched;
  watched.RunAll({Raise()});
  watched.Must("CREATE TABLE t(id INTEGER PRIMARY KEY, x)");
  watched.Must("CREATE TABLE other(x)");
  watched.RunAll({RetainCommand("t", kDayMs), RetainCommand("other", kDayMs)});
  const ChangePosition began = EndOf(watched.machine().applied_index());
  watched.header.command_steps_max = 0;
  watched.Must("INSERT INTO other VALUES(1)");
  watched.Must("INSERT INTO t VALUES(1, zeroblob(9000000))");
  EXPECT_EQ(ReadAll(watched.machine(), {"t"}, began).changes.size(), 2U);
  watched.Must("UPDATE t SET x = x || x'00'");
  ChangePosition lost{watched.machine().applied_index(), 2};
  EXPECT_EQ(ReadAll(watched.machine(), {"t"}, began).status.message(), ToString(lost));
  watched.Must("DELETE FROM t");
  EXPECT_EQ(ReadAll(watched.machine(), {"t"}, lost).changes.size(), 2U);
  watched.Run(std::vector<Statement>(8, {"INSERT INTO t(x) VALUES(zeroblob(9000000))", {}, {}}));
  EXPECT_TRUE(watched.last.ok()) << watched.last;
  lost = {watched.machine().applied_index(), 9};
  EXPECT_EQ(ReadAll(watched.machine(), {"t"}, began).status.message(), ToString(lost));
  EXPECT_EQ(ReadAll(watched.machine(), {"other"}, began).changes.size(), 2U);
}

TEST_F(Retention, ASnapshotBringsItAndADigestDoesNotReadIt) {
  ASSERT_TRUE(Retain("t", kDayMs).ok());
  const ChangePosition began = Since("t");
  for (int i = 0; i < 20; ++i) replicas.Must("INSERT INTO t(x) VALUES('row')");
  auto snapshot = machine().OpenSnapshot(machine().applied_index());
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  ASSERT_TRUE((*snapshot)->Complete([] { return true; }).ok());
  TestReplica fresh;
  const std::string path = fresh.directory() / "incoming";
  FILE* const file = std::fopen(path.c_str(), "w");
  const auto bytes = (*snapshot)->Read(0, (*snapshot)->size_bytes());
  ASSERT_TRUE(bytes.ok());
  std::fwrite(bytes->data(), 1, bytes->size(), file);
  std::fclose(file);
  ASSERT_TRUE(fresh.machine().CheckSnapshot(path, (*snapshot)->meta(), {}).ok());
  ASSERT_TRUE(fresh.machine().InstallSnapshot(path, (*snapshot)->meta()).ok());
  EXPECT_EQ(ReadAll(fresh.machine(), {"t"}, began).changes, AllOf("t"));
  EXPECT_EQ(DigestOf(fresh.machine()), DigestOf(machine()));
  // The recorder goes on there.
  const std::vector<raft::Entry> next = {
      MakeEntry(machine().applied_index() + 1, replicas.header,
                {ExecuteCommand("INSERT INTO t(x) VALUES('more')")})};
  fresh.Apply(next);
  EXPECT_EQ(ReadAll(fresh.machine(), {"t"}, began).changes.size(), 42U);
  // The sum is kept: another one in its place is another digest, though no row is.
  const StateDigest before = DigestOf(fresh.machine());
  fresh.Close();
  {
    TestDatabase db(fresh.path());
    db.Run("UPDATE _cairn_digest SET a = a + 1 WHERE name = '_cairn_changes'");
  }
  fresh.Open();
  EXPECT_FALSE(DigestOf(fresh.machine()) == before);
  replicas.Check();
}

// Statements of all kinds, on tables of all shapes: what is retained is what a watcher was told.
TEST(RetentionOfAll, IsWhatTheRingTells) {
  Watched watched;
  watched.RunAll({Raise()});
  std::set<std::string> names;
  for (const std::string& sql : SqlGenerator::Schema()) watched.Must(sql);
  for (const std::string& name : watched.Names(
           "SELECT lower(name) FROM pragma_table_list WHERE schema = 'main' AND type IN ('table',"
           " 'virtual') AND name NOT LIKE 'sqlite%' AND name NOT LIKE '\\_cairn%' ESCAPE '\\'"
           " AND name NOT IN (SELECT name FROM sqlite_schema WHERE sql LIKE '%USING rtree%')")) {
    if (names.size() == 5) break;
    watched.RunAll({RetainCommand(name, kDayMs)});
    ASSERT_TRUE(watched.last.ok()) << name << ": " << watched.last;
    names.insert(name);
  }
  ASSERT_EQ(names.size(), 5U);
  const ChangePosition began = EndOf(watched.machine().applied_index());
  watched.Take();
  SqlGenerator generator(20'261'130);
  for (int i = 0; i < 1500; ++i) watched.Run({generator.Write()});
  const std::vector<Change> all = watched.Take();
  const std::vector<std::string> tables(names.begin(), names.end());
  const std::vector<std::string> expected = Filtered(all, names, began);
  EXPECT_GT(expected.size(), 2000U);
  EXPECT_EQ(ReadAll(watched.machine(), tables, began, 20'000).changes, expected);
  for (const std::string& table : tables) {
    EXPECT_EQ(ReadAll(watched.machine(), {table}, began).changes, Filtered(all, {table}, began));
  }
}

// Whatever the boundaries of batches, and whatever is undone and replayed.
TEST(RetentionOfAll, IsTheSameOnAllReplicas) {
  Replicas replicas;
  replicas.Do(Raise());
  size_t entries = 0;
  for (const std::vector<Command>& commands : MixedWorkload()) {
    replicas.DoAll(commands);
    if (++entries != 5) continue;
    for (const char* table : {"t", "log", "f"}) {
      EXPECT_TRUE(replicas.Do(RetainCommand(table, kRetainMsMin, kRetainBytesMin)).status.ok());
    }
  }
  const auto told =
      ReadAll(replicas.first().machine(), {"t", "log", "f"}, EndOf(LogIndex(9))).changes;
  EXPECT_GT(told.size(), 50U);
  replicas.Check();
}

}  // namespace
}  // namespace cairn::state_machine
