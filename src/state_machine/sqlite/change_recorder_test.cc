// What of a command is told, how, and in which order.

#include "state_machine/sqlite/change_recorder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/rng.h"
#include "state_machine/sqlite/sql_generator_test_util.h"
#include "state_machine/sqlite/watched_test_util.h"

namespace cairn::state_machine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(ChangeRecorder, TellsRowsInOrderWithTheEndOfEachCommand) {
  Watched watched;
  watched.Must("CREATE TABLE t(id INTEGER PRIMARY KEY, x)");
  EXPECT_THAT(watched.Told(), ElementsAre("created table t", "end"));
  watched.Run({{"INSERT INTO t VALUES(1, 'a'), (2, NULL)", {}, {}},
               {"UPDATE t SET x = 2.5 WHERE id = 2", {}, {}},
               {"DELETE FROM t WHERE id = 1", {}, {}}});
  EXPECT_THAT(watched.Told(),
              ElementsAre("t +1|'a'", "t +2|NULL", "t 2|NULL -> 2|r2.500000", "t -1|'a'", "end"));
  watched.Must("DELETE FROM t WHERE id = 99");
  EXPECT_THAT(watched.Told(), ElementsAre()) << "a command that changed nothing";
}

TEST(ChangeRecorder, PositionsAreTheEntryAndTheNumberInIt) {
  Watched watched;
  watched.Must("CREATE TABLE t(x)");
  watched.Take();
  Command two_that_fail;
  two_that_fail.operation = Execute{
      {{"INSERT INTO t VALUES(8), (9)", {}, {}}, {"INSERT INTO nowhere VALUES(1)", {}, {}}}};
  watched.RunAll({ExecuteCommand("INSERT INTO t VALUES(1)"), two_that_fail,
                  ExecuteCommand("INSERT INTO t VALUES(2), (3)")});
  std::vector<uint64_t> ordinals;
  for (const Change& change : watched.Take()) {
    EXPECT_EQ(change.position.index, LogIndex(2));
    ordinals.push_back(change.position.ordinal);
  }
  EXPECT_THAT(ordinals, ElementsAre(1, 2, 3, 4, 5)) << "a command that failed takes no number";
}

TEST(ChangeRecorder, WhatFailsOrIsOnlyPreparedIsNotTold) {
  Watched watched;
  watched.Must("CREATE TABLE t(x UNIQUE)");
  watched.Take();
  watched.Run({{"INSERT INTO t VALUES(1)", {}, {}}, {"INSERT INTO t VALUES(1)", {}, {}}});
  EXPECT_FALSE(watched.last.ok());
  Command prepare;
  prepare.operation = Prepare{"tx", {"INSERT INTO t VALUES(5)", {}, {}}, 0};
  watched.RunAll({prepare});
  EXPECT_THAT(watched.Told(), ElementsAre());
  Command commit;
  commit.operation = Commit{"tx"};
  watched.RunAll({commit, ExecuteCommand("INSERT OR ROLLBACK INTO t VALUES(5)"),
                  ExecuteCommand("INSERT INTO t VALUES(6)")});
  EXPECT_THAT(watched.Told(), ElementsAre("t +5", "end", "t +6", "end"));
}

TEST(ChangeRecorder, TellsWhatReplaceAndCascadesRemove) {
  Watched watched;
  watched.Must("CREATE TABLE p(id INTEGER PRIMARY KEY, u UNIQUE)");
  watched.Must("CREATE TABLE c(p REFERENCES p(id) ON DELETE CASCADE)");
  watched.Must("INSERT INTO p VALUES(1, 'a'), (2, 'b')");
  watched.Must("INSERT INTO c VALUES(2)");
  EXPECT_THAT(watched.ToldOf("REPLACE INTO p VALUES(1, 'b')"),
              testing::UnorderedElementsAre("p -1|'a'", "p -2|'b'", "c -2", "p +1|'b'", "end"));
  EXPECT_THAT(watched.ToldOf("INSERT INTO p VALUES(1, 'c') ON CONFLICT DO UPDATE SET u = 'd'"),
              ElementsAre("p 1|'b' -> 1|'d'", "end"));
}

// SQLite's hook shows other values in all these.
TEST(ChangeRecorder, TellsWhatASelectReadsWhereTheHookShowsSomethingElse) {
  Watched watched;
  watched.Must("CREATE TABLE added(a)");
  watched.Must("INSERT INTO added VALUES(1), (2)");
  watched.Must("ALTER TABLE added ADD COLUMN b DEFAULT 'old'");
  EXPECT_THAT(watched.ToldOf("UPDATE added SET a = 3 WHERE a = 1"),
              ElementsAre("added 1|'old' -> 3|'old'", "end"));
  EXPECT_THAT(watched.ToldOf("DELETE FROM added WHERE a = 2"),
              ElementsAre("added -2|'old'", "end"));

  watched.Must("CREATE TABLE v(a, sum AS (a + b), id INTEGER PRIMARY KEY, b, c REAL)");
  EXPECT_THAT(watched.ToldOf("INSERT INTO v(id, a, b, c) VALUES(7, 1, 2, 3)"),
              ElementsAre("v +1|7|2|r3.000000", "end"));
  EXPECT_THAT(watched.ToldOf("UPDATE v SET a = 10, id = 8"),
              ElementsAre("v 1|7|2|r3.000000 -> 10|8|2|r3.000000", "end"));
  EXPECT_THAT(watched.ToldOf("DELETE FROM v"), ElementsAre("v -10|8|2|r3.000000", "end"));

  // The record begins with the key, so the places are those of other columns.
  watched.Must("CREATE TABLE w(r REAL, n, k, PRIMARY KEY(k)) WITHOUT ROWID");
  EXPECT_THAT(watched.ToldOf("INSERT INTO w VALUES(1, 2, 3)"),
              ElementsAre("w +r1.000000|2|3", "end"));
  EXPECT_THAT(watched.ToldOf("UPDATE w SET n = 5, k = 4"),
              ElementsAre("w r1.000000|2|3 -> r1.000000|5|4", "end"));
  // An index that holds all columns has already lost its entry when the old row is looked up.
  watched.Must("CREATE TABLE i(a, b DEFAULT 'old', r REAL, PRIMARY KEY(a)) WITHOUT ROWID");
  watched.Must("CREATE UNIQUE INDEX i_all ON i(a, b, r)");
  EXPECT_THAT(watched.ToldOf("INSERT INTO i VALUES(1, NULL, 2)"),
              ElementsAre("i +1|NULL|r2.000000", "end"));
  EXPECT_THAT(watched.ToldOf("UPDATE i SET r = 3"),
              ElementsAre("i 1|NULL|r2.000000 -> 1|NULL|r3.000000", "end"));
  EXPECT_THAT(watched.ToldOf("UPDATE w SET k = 1.5, n = 2.0"),
              ElementsAre("w r1.000000|5|4 -> r1.000000|r2.000000|r1.500000", "end"));
}

TEST(ChangeRecorder, ARowThatATriggerChangesAtOnceIsToldAsItWasBetween) {
  Watched watched;
  watched.Must("CREATE TABLE t(unused AS (1), id INTEGER PRIMARY KEY, x)");
  watched.Must("CREATE TRIGGER tr AFTER INSERT ON t BEGIN UPDATE t SET x = x + 1; END");
  EXPECT_THAT(watched.ToldOf("INSERT INTO t(id, x) VALUES(1, 10)"),
              ElementsAre("t +1|10", "t 1|10 -> 1|11", "end"));
}

TEST(ChangeRecorder, FullTextTablesAreToldUnderTheirName) {
  for (const std::string module : {"fts4", "fts5"}) {
    Watched watched;
    watched.Must("CREATE VIRTUAL TABLE Notes USING " + module + "(title, body)");
    EXPECT_THAT(watched.Told(), ElementsAre("created table Notes", "end")) << module;
    EXPECT_THAT(watched.ToldOf("INSERT INTO notes VALUES('a', 'some words')"),
                ElementsAre("Notes +'a'|'some words'", "end"));
    std::string last;
    for (const std::string& told : watched.ToldOf("UPDATE notes SET title = 'b'")) {
      if (told != "end") last = told;
    }
    EXPECT_THAT(last, HasSubstr("'b'|'some words'")) << module;
    EXPECT_THAT(watched.ToldOf("DELETE FROM notes"), ElementsAre("Notes -'b'|'some words'", "end"));
    // Written through a blob handle, which the hook reports as a row that goes.
    if (module == "fts5") {
      watched.RunAll({MaintenanceCommand("INSERT INTO notes(notes, rank) VALUES('pgsz', 100)")});
      EXPECT_TRUE(watched.last.ok()) << watched.last;
    }
    EXPECT_THAT(watched.Told(), ElementsAre());
  }
}

TEST(ChangeRecorder, TellsChangesOfTheSchema) {
  Watched watched;
  watched.Run({{"CREATE TABLE t(a)", {}, {}},
               {"INSERT INTO t VALUES(1)", {}, {}},
               {"ALTER TABLE t RENAME TO u", {}, {}},
               {"CREATE INDEX u_a ON u(a)", {}, {}}});
  EXPECT_THAT(watched.Told(), ElementsAre("created table t", "t +1", "altered table u was t",
                                          "created index u_a", "end"));
  EXPECT_THAT(watched.ToldOf("CREATE TABLE copy AS SELECT a, a + 1 AS b FROM u"),
              ElementsAre("created table copy", "copy +1|2", "end"));
  watched.Run({{"DROP TABLE u", {}, {}}, {"INSERT INTO nowhere VALUES(1)", {}, {}}});
  EXPECT_THAT(watched.Told(), ElementsAre()) << "undone";
  EXPECT_THAT(watched.ToldOf("INSERT INTO u VALUES(2)"), ElementsAre("u +2", "end"));
  EXPECT_THAT(watched.ToldOf("CREATE VIEW v AS SELECT 1"), ElementsAre("created view v", "end"));
  EXPECT_THAT(watched.ToldOf("DROP VIEW v"), ElementsAre("dropped view v", "end"));
}

TEST(ChangeRecorder, ACommandThatIsLargerThanTheRingIsSaidToBeLost) {
  Watched watched(/*ring_bytes=*/100'000);
  watched.Must("CREATE TABLE t(x)");
  watched.Take();
  watched.Must("INSERT INTO t VALUES(zeroblob(200000))");
  const auto lost = watched.machine().changes()->After(EndOf(LogIndex(1)), 1 << 20);
  EXPECT_EQ(lost.status().code(), StatusCode::kOutOfRange) << lost.status();
  const auto oldest = watched.machine().changes()->oldest();
  ASSERT_TRUE(oldest.has_value());
  watched.Must("INSERT INTO t VALUES(1)");
  const auto read = watched.machine().changes()->After(*oldest, 1 << 20);
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->commands.size(), 1U);
  EXPECT_EQ(TextOf(read->commands[0]->changes[0]), "t +1");
}

// The recorder of one batch holds no more than the ring.
TEST(ChangeRecorder, ABatchLeavesItsLastCommandsInTheRing) {
  Watched watched(/*ring_bytes=*/100'000);
  watched.Must("CREATE TABLE t(x)");
  std::vector<raft::Entry> entries;
  for (uint64_t i = 0; i < 20; ++i) {
    entries.push_back(MakeEntry(LogIndex(2 + i), watched.header,
                                {ExecuteCommand("INSERT INTO t VALUES(zeroblob(20000))")}));
  }
  watched.Apply(entries);
  const auto oldest = watched.machine().changes()->oldest();
  ASSERT_TRUE(oldest.has_value());
  const auto read = watched.machine().changes()->After(*oldest, 1 << 20);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->commands.size(), 4U);
  EXPECT_EQ(read->commands.back()->index(), LogIndex(21));
}

std::vector<std::string> AllTold(const std::vector<std::vector<raft::Entry>>& batches) {
  Watched watched;
  for (const auto& batch : batches) watched.Apply(batch);
  std::vector<std::string> told;
  for (const Change& change : watched.Take()) {
    told.push_back(ToString(change.position.index) + "." + std::to_string(change.position.ordinal) +
                   " " + TextOf(change));
  }
  return told;
}

// The same changes at the same positions, whatever the boundaries of batches: on every node.
TEST(ChangeRecorder, TheBoundariesOfBatchesDoNotShow) {
  std::vector<raft::Entry> log;
  const BatchHeader header{1'700'000'000'000, 1, 1'000, 50'000'000};
  for (const auto& commands : MixedWorkload()) {
    log.push_back(MakeEntry(LogIndex(log.size() + 1), header, commands));
  }
  std::vector<std::vector<raft::Entry>> one_by_one;
  for (const raft::Entry& entry : log) one_by_one.push_back({entry});
  const std::vector<std::string> expected = AllTold(one_by_one);
  EXPECT_GT(expected.size(), 100U);
  EXPECT_EQ(AllTold({log}), expected);
  Rng rng(7);
  for (int round = 0; round < 5; ++round) {
    std::vector<std::vector<raft::Entry>> batches;
    for (size_t at = 0; at < log.size();) {
      const size_t size = std::min<size_t>(1 + rng.Below(9), log.size() - at);
      batches.emplace_back(log.begin() + static_cast<ptrdiff_t>(at),
                           log.begin() + static_cast<ptrdiff_t>(at + size));
      at += size;
    }
    EXPECT_EQ(AllTold(batches), expected);
  }
}

// Nothing that a command does or counts may depend on who watches.
TEST(ChangeRecorder, AWatchedReplicaHasTheSameResultsAndSteps) {
  Watched watched;
  TestReplica plain;
  SqlGenerator generator(11);
  std::vector<std::string> texts(SqlGenerator::Schema().begin(), SqlGenerator::Schema().end());
  texts.emplace_back(
      "CREATE TABLE g(id INTEGER PRIMARY KEY, x, l AS (lower(replace(x, 'a', 'bb'))))");
  for (int i = 0; i < 400; ++i) {
    texts.push_back(i % 8 == 0 ? "INSERT INTO g(x) VALUES('AaAa" + std::to_string(i) + "')"
                               : generator.Write().sql);
  }
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::vector<raft::Entry> entry = {
        MakeEntry(LogIndex(i + 1), watched.header, {ExecuteCommand(texts[i])})};
    CommandResult seen;
    const Status status =
        watched.machine().Apply(entry, TestConfiguration(), LogIndex(),
                                [&](const EntryResults& each) { seen = each.results.at(0); });
    ASSERT_TRUE(status.ok()) << status;
    const CommandResult expected = plain.Apply(entry).at(0).results.at(0);
    ASSERT_EQ(EncodeCommandResult(seen), EncodeCommandResult(expected)) << texts[i];
    ASSERT_EQ(seen.steps, expected.steps) << texts[i];
  }
}

// The rows of such a table are elsewhere, or stored otherwise than they read.
TEST(ChangeRecorder, FullTextTablesThatDoNotKeepTheirTextAreNotTold) {
  Watched watched;
  watched.Must("CREATE VIRTUAL TABLE d USING fts5(x, content='')");
  watched.Must("CREATE VIRTUAL TABLE z USING fts4(x, compress=upper, uncompress=lower)");
  watched.Take();
  EXPECT_THAT(watched.ToldOf("INSERT INTO d(rowid, x) VALUES(1, 'a')"), ElementsAre());
  EXPECT_THAT(watched.ToldOf("INSERT INTO z VALUES('a')"), ElementsAre());
}

TEST(ChangeRecorder, ATableThatAVirtualTableTakesIsNotToldAsDropped) {
  Watched watched;
  watched.Must("CREATE TABLE d_content(id INTEGER PRIMARY KEY, x)");
  watched.Must("INSERT INTO d_content VALUES(1, 'a')");
  EXPECT_THAT(watched.ToldOf("CREATE VIRTUAL TABLE d USING fts5(x, content='d_content', "
                             "content_rowid='id')"),
              ElementsAre("created table d", "end"));
  EXPECT_THAT(watched.ToldOf("DROP TABLE d"), ElementsAre("dropped table d", "end"));
  EXPECT_THAT(watched.ToldOf("INSERT INTO d_content VALUES(2, 'b')"),
              ElementsAre("d_content +2|'b'", "end"));
}

TEST(ChangeRecorder, ATableWhoseNameBeginsLikeThatOfAFullTextTableIsTold) {
  Watched watched;
  for (const std::string module : {"fts4", "fts5"}) {
    watched.Must("CREATE VIRTUAL TABLE " + module + " USING " + module + "(x)");
    watched.Take();
    const std::string archive = module + "_archive";
    EXPECT_THAT(watched.ToldOf("CREATE TABLE " + archive + "(x)"),
                ElementsAre("created table " + archive, "end"));
    EXPECT_THAT(watched.ToldOf("INSERT INTO " + archive + " VALUES(1)"),
                ElementsAre(archive + " +1", "end"));
  }
  // A table of storage has exactly the names of the module.
  watched.Must("CREATE VIRTUAL TABLE boxes USING rtree(id, a, b)");
  EXPECT_THAT(watched.ToldOf("INSERT INTO boxes VALUES(1, 2, 3)"), ElementsAre());
  EXPECT_THAT(watched.ToldOf("CREATE TABLE boxes_content(x)"),
              ElementsAre("created table boxes_content", "end"));
}

TEST(ChangeRecorder, ATableSaysWhetherItIsStrict) {
  Watched watched;
  watched.Must("CREATE TABLE plain(strict ANY)");
  watched.Must("CREATE TABLE s(v ANY PRIMARY KEY) WITHOUT ROWID, STRICT");
  watched.Take();
  watched.Must("INSERT INTO plain VALUES(1)");
  EXPECT_FALSE(watched.Take().front().table->is_strict);
  watched.Must("INSERT INTO s VALUES(1)");
  EXPECT_TRUE(watched.Take().front().table->is_strict);
}

}  // namespace
}  // namespace cairn::state_machine
