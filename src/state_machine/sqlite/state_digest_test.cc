// The sums that are kept while rows change are those of the rows in the file, whatever changes the
// rows (TestReplica::Apply compares them after every batch). Rows that are in the file but were
// never written are found, and so are rows that were written and are not in the file.

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <string>

#include "base/clock.h"
#include "base/rng.h"
#include "state_machine/sqlite/digest_test_util.h"
#include "state_machine/sqlite/replicas_test_util.h"
#include "state_machine/sqlite/row_sum.h"
#include "state_machine/sqlite/state_scan.h"

namespace cairn::state_machine {
namespace {

Command DigestCommand() {
  Command command;
  command.operation = Digest{};
  return command;
}

Status Scrub(StateMachine& machine) {
  auto scan = machine.BeginScan();
  EXPECT_TRUE(scan.ok()) << scan.status();
  return (*scan)->Scrub(std::chrono::hours(1)).status();
}

// ---- Changes that the hook does not report, or reports otherwise

TEST(TableSums, FollowACreateTableAsSelect) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(a, b REAL)");
  replicas.Must("INSERT INTO t VALUES(1, 2.0), (2, 2.5), (NULL, x'00')");
  replicas.Must("CREATE TABLE c AS SELECT *, a + 1 AS d FROM t");
  replicas.Execute({{"CREATE TABLE e AS SELECT * FROM c", {}, {}},
                    {"INSERT INTO e SELECT * FROM e", {}, {}},
                    {"DELETE FROM e WHERE a = 1", {}, {}}});
  replicas.Must("UPDATE c SET d = 5");
  replicas.Check();
}

TEST(TableSums, FollowColumnsThatAreAddedWithDefaultsToRowsThatDoNotHaveThem) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(id INTEGER PRIMARY KEY, a)");
  replicas.Must("CREATE TABLE w(k, l TEXT, a, PRIMARY KEY(l, k)) WITHOUT ROWID");
  for (const std::string table : {"t", "w"}) {
    const std::string key = table == "t" ? "a" : "k, l";
    replicas.Must("INSERT INTO " + table + "(" + key + ") VALUES" +
                  (table == "t" ? "(1), (2), (3), (4)" : "(1, 'x'), (2, 'x'), (3, 'y'), (4, 'z')"));
    replicas.Must("ALTER TABLE " + table + " ADD COLUMN n");
    replicas.Must("ALTER TABLE " + table + " ADD COLUMN five INTEGER DEFAULT 5");
    replicas.Must("ALTER TABLE " + table + " ADD COLUMN txt TEXT DEFAULT 7.0");
    const std::string by = table == "t" ? "id" : "k";
    replicas.Must("UPDATE " + table + " SET n = 1 WHERE " + by + " = 1");
    replicas.Must("UPDATE " + table + " SET five = NULL WHERE " + by + " = 2");
    replicas.Must("UPDATE " + table + " SET n = 9 WHERE " + by + " = 2");
    replicas.Must("UPDATE " + table + " SET " + by + " = 30 WHERE " + by + " = 3");
    replicas.Must("DELETE FROM " + table + " WHERE " + by + " = 4");
    EXPECT_EQ(replicas.Query("SELECT five FROM " + table + " WHERE " + by + " = 30"), "5");
    replicas.Must("DELETE FROM " + table);
  }
  replicas.Check();
}

TEST(TableSums, FollowColumnsThatAreDroppedAndRenamed) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(a, b, c DEFAULT 4, d AS (a || 'x'))");
  replicas.Must("INSERT INTO t VALUES(1, 2, 3), (4, 5, 6)");
  replicas.Must("ALTER TABLE t RENAME COLUMN b TO bb");
  replicas.Must("ALTER TABLE t DROP COLUMN d");
  replicas.Must("ALTER TABLE t DROP COLUMN a");
  replicas.Must("UPDATE t SET c = c + 1");
  replicas.Check();
}

TEST(TableSums, FollowATableThroughItsNames) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(a)");
  replicas.Must("INSERT INTO t VALUES(1), (2)");
  replicas.Execute({{"ALTER TABLE t RENAME TO u", {}, {}},
                    {"CREATE TABLE t(a)", {}, {}},
                    {"INSERT INTO t VALUES(3)", {}, {}},
                    {"INSERT INTO u VALUES(4)", {}, {}},
                    {"DROP TABLE t", {}, {}},
                    {"CREATE TABLE T(z)", {}, {}},
                    {"INSERT INTO t VALUES(5)", {}, {}}});
  replicas.Must("ALTER TABLE u RENAME TO U2");
  replicas.Must("DROP TABLE T");
  replicas.Must("UPDATE u2 SET a = a * 2");
  replicas.Check();
}

TEST(TableSums, FollowADeleteOfAllRowsAndReplacedOnes) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, x UNIQUE, y)");
  replicas.Must("CREATE TABLE w(a PRIMARY KEY, b UNIQUE) WITHOUT ROWID");
  for (const std::string table : {"t(x, y)", "w"}) {
    replicas.Must("INSERT INTO " + table + " VALUES(1, 1), (2, 2), (3, 3)");
    replicas.Must("INSERT OR REPLACE INTO " + table + " VALUES(1, 3)");
    replicas.Must("INSERT OR IGNORE INTO " + table + " VALUES(1, 9)");
  }
  replicas.Must("UPDATE OR REPLACE t SET id = 3 WHERE id = 2");
  replicas.Must("UPDATE OR REPLACE w SET a = 1 WHERE a = 2");
  replicas.Must("INSERT INTO t(x, y) VALUES(3, 1) ON CONFLICT(x) DO UPDATE SET y = y + 5");
  replicas.Must("DELETE FROM t");
  replicas.Must("DELETE FROM w");
  replicas.Check();
}

TEST(TableSums, ForgetWhatFailedAndWhatWasOnlyPrepared) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(a UNIQUE)");
  replicas.Must("INSERT INTO t VALUES(1)");
  for (const char* mode : {"ABORT", "FAIL", "ROLLBACK"}) {
    const std::vector<CommandResult> results = replicas.DoAll(
        {ExecuteCommand("INSERT INTO t VALUES(abs(random()))"),
         ExecuteCommand("INSERT OR " + std::string(mode) + " INTO t VALUES(50), (51), (1)"),
         ExecuteCommand("DELETE FROM t WHERE a > 60")});
    EXPECT_FALSE(results[1].status.ok());
  }
  Command prepare;
  prepare.operation = Prepare{"x", {"INSERT INTO t VALUES(70), (71)", {}, {}}, 0};
  replicas.Do(prepare);
  Command commit;
  commit.operation = Commit{"x"};
  replicas.Do(commit);
  // A change of the schema, and later rows, are undone.
  EXPECT_FALSE(replicas
                   .Execute({{"ALTER TABLE t ADD COLUMN b DEFAULT 3", {}, {}},
                             {"CREATE TABLE gone AS SELECT * FROM t", {}, {}},
                             {"INSERT INTO t VALUES(80, 80), (1, 1)", {}, {}}})
                   .status.ok());
  replicas.Must("INSERT INTO t VALUES(81)");
  replicas.Check();
}

TEST(TableSums, FollowFullTextTablesThatWriteLate) {
  Replicas replicas;
  replicas.Must("CREATE VIRTUAL TABLE five USING fts5(body)");
  replicas.Must("CREATE VIRTUAL TABLE four USING fts4(body)");
  replicas.Must("CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1)");
  for (int i = 0; i < 6; ++i) {
    const std::string n = std::to_string(i);
    replicas.DoAll({ExecuteCommand("INSERT INTO five VALUES('some words " + n + "')"),
                    ExecuteCommand("INSERT INTO four VALUES('some words " + n + "')"),
                    ExecuteCommand("INSERT INTO boxes VALUES(" + n + ", 1, 2)"),
                    ExecuteCommand("INSERT INTO five(rowid, body) VALUES(1, 'taken')"),
                    ExecuteCommand("UPDATE four SET body = 'other' WHERE docid = " + n)});
  }
  for (int i = 0; i < 40; ++i) {
    replicas.DoAll({ExecuteCommand("INSERT INTO four VALUES(hex(randomblob(300)))"),
                    ExecuteCommand("INSERT INTO four VALUES(hex(randomblob(300)))"),
                    ExecuteCommand("INSERT INTO five VALUES(hex(randomblob(300)))")});
  }
  replicas.Maintain("INSERT INTO five(five) VALUES('optimize')");
  replicas.Maintain("INSERT INTO four(four) VALUES('optimize')");
  replicas.Must("ALTER TABLE five RENAME TO six");
  replicas.Must("INSERT INTO six VALUES('more')");
  replicas.Must("DROP TABLE four");
  replicas.Check();
}

// FTS5 writes the version of its configuration through a blob handle. The hook reports half of
// that.
TEST(TableSums, FollowTheConfigurationOfFullTextTables) {
  Replicas replicas;
  replicas.Must("CREATE VIRTUAL TABLE five USING fts5(body)");
  replicas.Must("INSERT INTO five VALUES('some words')");
  for (const char* set : {"'rank', 'bm25(10.0)'", "'pgsz', 64", "'automerge', 8",
                          "'crisismerge', 5", "'usermerge', 3", "'hashsize', 4096"}) {
    replicas.Maintain("INSERT INTO five(five, rank) VALUES(" + std::string(set) + ")");
    replicas.Must("INSERT INTO five VALUES('more of them')");
  }
  EXPECT_FALSE(replicas
                   .Execute({{"INSERT INTO five(five, rank) VALUES('rank', 'bm25(5.0)')", {}, {}},
                             {"INSERT INTO five(rowid, body) VALUES(1, 'taken')", {}, {}}})
                   .status.ok());
  replicas.Check();
}

// A full-text table also writes its delayed rows when one of Cairn's own statements opens a
// savepoint. Statements that may fail in the middle do so, such as those that write sessions and
// versions.
TEST(TableSums, FollowFullTextTablesThatAreWrittenWithSessions) {
  Replicas replicas;
  replicas.Must("CREATE VIRTUAL TABLE five USING fts5(body)");
  replicas.Must("CREATE VIRTUAL TABLE four USING fts4(body)");
  for (uint64_t i = 1; i <= 5; ++i) {
    replicas.DoAll({WithId(ExecuteCommand("INSERT INTO five VALUES('a word')"), "s", i, i),
                    WithId(ExecuteCommand("INSERT INTO four VALUES('a word')"), "t", i, i)});
  }
  replicas.Check();
}

// The rest of a value behind its last 16 whole bytes is read in words that overlap.
TEST(RowSums, DependOnEachByteOfAValueAndOnItsLength) {
  const auto hash = [](const std::string& bytes) {
    return MixBytes(kDigestSeed, bytes.data(), bytes.size());
  };
  std::set<uint64_t> hashes;
  size_t values = 0;
  for (size_t size = 0; size <= 50; ++size, ++values) {
    std::string bytes(size, '\0');
    hashes.insert(hash(bytes));
    for (size_t at = 0; at < size; ++at, ++values) {
      bytes[at] = 1;
      hashes.insert(hash(bytes));
      bytes[at] = 0;
    }
  }
  EXPECT_EQ(hashes.size(), values);
}

// SQLite 3.40 gives its hook wrong values for such tables.
TEST(TableSums, CoverTablesWhoseRecordsAreNotInTheOrderOfTheirColumns) {
  Replicas replicas;
  replicas.Must("CREATE TABLE w(r REAL, k INTEGER, t, PRIMARY KEY(k, t)) WITHOUT ROWID");
  replicas.Must("CREATE TABLE g(v AS (x + 1), id INTEGER PRIMARY KEY, x INTEGER, y REAL)");
  replicas.Must("CREATE TABLE h(v AS (x + 1), x REAL, w AS (x) STORED, y INTEGER)");
  replicas.Must("CREATE TABLE n(rowid, _rowid_, oid, z DEFAULT 3)");
  replicas.Must("CREATE TABLE v(a AS (c * 2), b REAL, c INTEGER, PRIMARY KEY(c, b)) WITHOUT ROWID");
  replicas.Must("CREATE TABLE i(oid, _rowid_ REAL, rowid INTEGER PRIMARY KEY)");
  replicas.Must("CREATE TABLE d(v AS (x), k INTEGER PRIMARY KEY DESC, x REAL)");
  const std::string big = std::to_string((int64_t{1} << 60) + 1);
  const std::string odd = std::to_string((int64_t{1} << 53) + 1);
  replicas.Must("INSERT INTO w VALUES(2, " + big + ", 'x'), (2.5, " + odd + ", 3.0)");
  replicas.Must("INSERT INTO g(id, x, y) VALUES(" + big + ", 1, 2), (7, " + big + ", 3)");
  replicas.Must("INSERT INTO h(x, y) VALUES(1, " + big + "), (1.5, " + odd + ")");
  replicas.Must("INSERT INTO n VALUES(1, 2, 3, 4), (1, 2, 3, NULL)");
  replicas.Must("INSERT INTO v VALUES(1, " + big + "), (-0.0, " + odd + ")");
  replicas.Must("INSERT INTO i VALUES(1, " + big + ", NULL), (NULL, 2, " + big + ")");
  replicas.Must("INSERT INTO d(k, x) VALUES(" + big + ", 1), (NULL, " + odd + ")");
  replicas.Must("ALTER TABLE w ADD COLUMN late DEFAULT 'l'");
  replicas.Must("ALTER TABLE n ADD COLUMN late DEFAULT 'l'");
  replicas.Must("UPDATE w SET r = r + 1");
  replicas.Must("UPDATE w SET k = k - 1 WHERE r > 3.2");
  replicas.Must("UPDATE g SET x = x + 1, y = y * 2");
  replicas.Must("UPDATE h SET y = y - 1");
  replicas.Must("UPDATE n SET rowid = 5");
  replicas.Must("UPDATE v SET b = b + 1");
  replicas.Must("UPDATE i SET rowid = rowid + 1, _rowid_ = 3");
  replicas.Must("UPDATE d SET k = 8, x = x + 1 WHERE k IS NOT NULL");
  for (const char* table : {"w", "g", "h", "n", "v", "i", "d"}) {
    replicas.Must("DELETE FROM " + std::string(table));
  }
  replicas.Check();
}

class RandomSums : public testing::TestWithParam<uint64_t> {};

// Values of every kind into tables of every shape, whose columns come and go.
TEST_P(RandomSums, AreThoseOfTheRowsAfterEveryBatch) {
  Rng rng(GetParam());
  const auto one_of = [&rng](std::initializer_list<const char*> choices) {
    return std::string(*(choices.begin() + rng.Below(choices.size())));
  };
  const auto value = [&] {
    return one_of({"NULL", "0", "-0.0", "1", "1.0", "2.5", "9007199254740993",
                   "1152921504606846977", "-9223372036854775808", "1e300", "'text'", "'7'", "''",
                   "x''", "x'0001'", "zeroblob(300)", "hex(randomblob(20))", "random()", "1e18"});
  };
  Replicas replicas(/*restarts=*/GetParam() % 2 == 0);
  std::vector<std::string> tables = {"a", "b", "c"};
  replicas.Must("CREATE TABLE a(k INTEGER PRIMARY KEY, r REAL, t TEXT)");
  replicas.Must("CREATE TABLE b(r REAL, k, g AS (r) VIRTUAL, t, PRIMARY KEY(t, k)) WITHOUT ROWID");
  replicas.Must("CREATE TABLE c(g AS (k || 'x'), k NUMERIC, r, t INT DEFAULT 3)");
  replicas.Must(
      "CREATE TRIGGER tr AFTER DELETE ON a BEGIN"
      " INSERT OR REPLACE INTO c(k, r) VALUES(old.k, old.t); END");
  int columns = 0;
  int succeeded = 0;
  for (int i = 0; i < 60; ++i) {
    std::vector<Command> commands;
    for (uint64_t n = rng.Between(1, 4); n > 0; --n) {
      const std::string table = one_of({"a", "b", "c"});
      std::string sql;
      switch (rng.Below(12)) {
        case 0:
          sql = "ALTER TABLE " + table + " ADD COLUMN x" + std::to_string(++columns) +
                one_of({"", " REAL DEFAULT 2", " TEXT DEFAULT 5", " DEFAULT NULL"});
          break;
        case 1:
          sql = "ALTER TABLE " + table + " DROP COLUMN x" +
                std::to_string(rng.Between(1, static_cast<uint64_t>(columns) + 1));
          break;
        case 2: sql = "DELETE FROM " + table; break;
        case 3:
          sql = "UPDATE OR REPLACE " + table + " SET k = " + value() + " WHERE t IS NOT NULL";
          break;
        case 4: sql = "UPDATE " + table + " SET r = " + value() + ", t = t"; break;
        case 5: sql = "DELETE FROM " + table + " WHERE k > " + value(); break;
        default:
          sql = one_of({"INSERT", "REPLACE", "INSERT OR FAIL"}) + " INTO " + table +
                "(k, r, t) VALUES(" + value() + ", " + value() + ", " + value() + "), (" + value() +
                ", " + value() + ", " + value() + ")";
      }
      commands.push_back(ExecuteCommand(sql));
    }
    for (const CommandResult& each : replicas.DoAll(commands)) succeeded += each.status.ok();
    ASSERT_FALSE(HasFailure()) << "in entry " << i;
  }
  EXPECT_GT(succeeded, 60);
  replicas.Check();
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomSums, testing::Range(uint64_t{1}, uint64_t{7}));

// ---- Digests

TEST(StateDigests, OfEqualReplicasAreEqualAtADigestEntryHoweverTheyCameThere) {
  std::vector<raft::Entry> log;
  BatchHeader header{1'700'000'000'000, 1, 1'000, 50'000'000};
  for (const std::vector<Command>& commands : MixedWorkload()) {
    log.push_back(MakeEntry(LogIndex(log.size() + 1), header, commands));
    ++header.random_seed;
  }
  log.push_back(MakeEntry(LogIndex(log.size() + 1), header, {DigestCommand()}));
  const LogIndex at = log.back().index;
  // More entries of the same Apply follow. The digest is of the state before them.
  log.push_back(MakeEntry(at + 1, header, {ExecuteCommand("DELETE FROM t")}));

  TestReplica at_once;
  TestReplica piecemeal;
  at_once.Apply(log);
  for (size_t i = 0; i < log.size(); ++i) {
    if (i % 5 == 0) piecemeal.Restart();
    EXPECT_EQ(piecemeal.machine().TakeScan(), nullptr);
    piecemeal.Apply(std::span(log).subspan(i, 1));
    if (log[i].index == at) break;
  }
  const auto one = at_once.machine().TakeScan();
  const auto other = piecemeal.machine().TakeScan();
  ASSERT_TRUE(one != nullptr && other != nullptr);
  EXPECT_TRUE(one->is_digest_entry());
  EXPECT_EQ(one->index(), at);
  EXPECT_EQ(other->index(), at);
  const Result<StateDigest> digest = one->Digest();
  ASSERT_TRUE(digest.ok()) << digest.status();
  EXPECT_EQ(*digest, other->Digest().value());
  EXPECT_FALSE(*digest == DigestOf(at_once.machine())) << "the last entry has changed rows";
  EXPECT_TRUE(one->Scrub(std::chrono::hours(1)).value());
  EXPECT_EQ(at_once.machine().TakeScan(), nullptr);
}

TEST(StateDigests, ShowADifferenceInAnyOfTheTables) {
  const auto made = [](TestReplica* replica) {
    std::vector<raft::Entry> log;
    BatchHeader header{1'700'000'000'000, 1, 1'000, 50'000'000};
    for (const std::vector<Command>& commands : MixedWorkload()) {
      log.push_back(MakeEntry(LogIndex(log.size() + 1), header, commands));
    }
    Command prepare;
    prepare.operation = Prepare{"p", {"DELETE FROM t", {}, {}}, 0};
    log.push_back(
        MakeEntry(LogIndex(log.size() + 1), header, {prepare, ExecuteCommand("ANALYZE")}));
    replica->Apply(log);
  };
  TestReplica sound;
  made(&sound);
  const StateDigest right = DigestOf(sound.machine());
  for (const char* change :
       {"UPDATE _cairn_versions SET version = version + 1 WHERE name = 't'",
        "UPDATE _cairn_sessions SET used_lease_ms = 3",
        "UPDATE _cairn_requests SET number = number + 1", "UPDATE _cairn_ids SET lease_ms = 3",
        "UPDATE _cairn_id_results SET results = results || x'00'",
        "UPDATE _cairn_tx SET deadline_lease_ms = 2", "DELETE FROM _cairn_tx_statements",
        "UPDATE _cairn_state SET lease_ms = 2", "UPDATE sqlite_sequence SET seq = seq + 1",
        "CREATE INDEX another ON t(x)", "DROP TRIGGER tr"}) {
    TestReplica other;
    made(&other);
    EXPECT_EQ(DigestOf(other.machine()), right);
    TestDatabase(other.path()).Run(change);
    EXPECT_FALSE(DigestOf(other.machine()) == right) << change;
  }
}

TEST(StateDigests, OfAFileFromBeforeThereWereSumsAreThoseOfANewOne) {
  Replicas replicas;
  for (const std::vector<Command>& commands : MixedWorkload()) replicas.DoAll(commands);
  const StateDigest right = DigestOf(replicas.first().machine());
  TestReplica& old = replicas.restarting();
  old.Close();
  TestDatabase(old.path()).Run("DROP TABLE _cairn_digest");
  old.Open();
  EXPECT_EQ(DigestOf(old.machine()), right);
  replicas.Must("UPDATE t SET x = x || '?'");
  EXPECT_EQ(DigestOf(old.machine()), DigestOf(replicas.first().machine()));
}

// ---- Damage

std::vector<raft::Entry> SmallLog() {
  BatchHeader header{1'700'000'000'000, 1, 1'000, 50'000'000};
  std::vector<raft::Entry> log;
  for (const char* sql :
       {"CREATE TABLE ledger(id INTEGER PRIMARY KEY, who TEXT, sum INTEGER)",
        "CREATE TABLE other(x)", "INSERT INTO other VALUES(1), (2)",
        "INSERT INTO ledger(who, sum) VALUES('alice-of-the-row', 10), ('bob', 20)"}) {
    log.push_back(MakeEntry(LogIndex(log.size() + 1), header, {ExecuteCommand(sql)}));
  }
  return log;
}

// The first or the last place of the text: an index lies behind its table.
void FlipAByte(const std::string& path, const std::string& of_text, bool last = false) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  const size_t at = last ? bytes.rfind(of_text) : bytes.find(of_text);
  ASSERT_NE(at, std::string::npos);
  file.clear();
  file.seekp(static_cast<std::streamoff>(at));
  file.put(static_cast<char>(bytes[at] ^ 1));
}

TEST(Scrub, FindsAByteThatFlippedInAStoredRow) {
  TestReplica replica;
  replica.Apply(SmallLog());
  ASSERT_TRUE(replica.machine().Checkpoint().ok());
  replica.Close();
  TestDatabase(replica.path()).Run("PRAGMA wal_checkpoint(TRUNCATE)");
  FlipAByte(replica.path(), "alice-of-the-row");
  replica.Open();
  EXPECT_EQ(TestDatabase(replica.path()).Text("PRAGMA integrity_check"), "ok");
  const Status found = Scrub(replica.machine());
  EXPECT_EQ(found.code(), StatusCode::kDataLoss);
  EXPECT_NE(found.message().find("table ledger"), std::string::npos) << found;
}

TEST(Scrub, FindsRowsThatWereChangedBehindTheStateMachine) {
  for (const char* change :
       {"UPDATE ledger SET sum = sum + 1 WHERE id = 1", "DELETE FROM ledger WHERE id = 2",
        "INSERT INTO other VALUES(9)", "UPDATE ledger SET id = 7 WHERE id = 2",
        "UPDATE other SET x = x + 1", "DROP TABLE other", "CREATE TABLE more AS SELECT 1"}) {
    TestReplica replica;
    replica.Apply(SmallLog());
    TestDatabase(replica.path()).Run(change);
    EXPECT_EQ(Scrub(replica.machine()).code(), StatusCode::kDataLoss) << change;
  }
}

// A change of a damaged row shows in the sums, which the replicas compare.
TEST(Scrub, WhatIsMadeOfAChangedRowIsAnotherDigest) {
  TestReplica sound;
  TestReplica changed;
  const std::vector<raft::Entry> log = SmallLog();
  sound.Apply(log);
  changed.Apply(log);
  TestDatabase(changed.path()).Run("UPDATE ledger SET sum = 11 WHERE id = 1");
  EXPECT_EQ(DigestOf(changed.machine()), DigestOf(sound.machine())) << "the sums are not touched";
  const BatchHeader header{1'700'000'000'000, 9, 1'000, 50'000'000};
  const raft::Entry entry =
      MakeEntry(LogIndex(5), header, {ExecuteCommand("UPDATE ledger SET sum = sum * 2")});
  for (TestReplica* each : {&sound, &changed}) {
    ASSERT_TRUE(each->machine()
                    .Apply({&entry, 1}, TestConfiguration(), LogIndex(), [](const EntryResults&) {})
                    .ok());
  }
  EXPECT_FALSE(DigestOf(changed.machine()) == DigestOf(sound.machine()));
}

// The scrub does not read indexes. The damage shows when the row can no longer be changed.
TEST(Scrub, DoesNotSeeADamagedIndexButAChangeOfTheRowDoes) {
  TestReplica replica;
  std::vector<raft::Entry> log = SmallLog();
  const BatchHeader header{1'700'000'000'000, 9, 1'000, 50'000'000};
  log.push_back(
      MakeEntry(LogIndex(5), header, {ExecuteCommand("CREATE INDEX by_who ON ledger(who)")}));
  replica.Apply(log);
  ASSERT_TRUE(replica.machine().Checkpoint().ok());
  replica.Close();
  TestDatabase(replica.path()).Run("PRAGMA wal_checkpoint(TRUNCATE)");
  FlipAByte(replica.path(), "alice-of-the-row", /*last=*/true);
  replica.Open();
  EXPECT_NE(TestDatabase(replica.path()).Text("PRAGMA integrity_check"), "ok");
  EXPECT_TRUE(Scrub(replica.machine()).ok());
  const raft::Entry entry =
      MakeEntry(LogIndex(6), header, {ExecuteCommand("UPDATE ledger SET who = 'x' WHERE id = 1")});
  const Status status = replica.machine().Apply({&entry, 1}, TestConfiguration(), LogIndex(),
                                                [](const EntryResults&) {});
  EXPECT_EQ(status.code(), StatusCode::kDataLoss) << status;
}

TEST(Scrub, ASnapshotWhoseRowsAreNotThoseOfItsSumsIsRefused) {
  TestReplica sender;
  TestReplica receiver;
  sender.Apply(SmallLog());
  auto reader = sender.machine().OpenSnapshot(LogIndex(1));
  ASSERT_TRUE(reader.ok()) << reader.status();
  ASSERT_TRUE((*reader)->Complete([] { return true; }).ok());
  const raft::SnapshotMeta meta = (*reader)->meta();
  const std::string bytes = (*reader)->Read(0, 1 << 20).value();
  for (const bool damaged : {true, false}) {
    const std::string path = receiver.directory() / "copy.db";
    std::ofstream(path, std::ios::binary) << bytes;
    if (damaged) FlipAByte(path, "alice-of-the-row");
    const auto expected = damaged ? StatusCode::kDataLoss : StatusCode::kOk;
    const Status checked = receiver.machine().CheckSnapshot(path, meta, [] { return true; });
    EXPECT_EQ(checked.code(), expected) << checked;
    const Status given_up = receiver.machine().CheckSnapshot(path, meta, [] { return false; });
    EXPECT_EQ(given_up.code(), StatusCode::kCancelled) << given_up;
    if (damaged) continue;
    const Status status = receiver.machine().InstallSnapshot(path, meta);
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(receiver.machine().applied_index(), LogIndex(4));
  }
  EXPECT_EQ(DigestOf(receiver.machine()), DigestOf(sender.machine()));
}

// A constraint may hold for the values that a row is written from, and not for the stored ones.
TEST(Scrub, ASnapshotWhoseRowsBreakTheirConstraintsWhenReadAgainIsTaken) {
  const BatchHeader header{1'700'000'000'000, 1, 1'000, 50'000'000};
  for (const auto& [table, row] : std::vector<std::pair<std::string, std::string>>{
           {"t(x CHECK(json_array(x) = '[[1]]'))", "INSERT INTO t VALUES(json('[1]'))"},
           {R"(t(x, y AS (nullif(json_array(x), '["[1]"]')) NOT NULL))",
            "INSERT INTO t(x) VALUES(json('[1]'))"},
           {R"(t(x, y AS (iif(json_array(x) = '[[1]]', 1, json('{'))) NOT NULL))",
            "INSERT INTO t(x) VALUES(json('[1]'))"},
           {R"(t(x ANY, y INT AS (iif(json_array(x) = '[[1]]', 1, 'text'))) STRICT)",
            "INSERT INTO t(x) VALUES(json('[1]'))"}}) {
    TestReplica sender;
    TestReplica receiver;
    std::vector<raft::Entry> log;
    log.push_back(MakeEntry(LogIndex(1), header, {ExecuteCommand("CREATE TABLE " + table)}));
    log.push_back(MakeEntry(LogIndex(2), header, {ExecuteCommand(row)}));
    for (const EntryResults& results : sender.Apply(log)) {
      EXPECT_TRUE(results.results[0].status.ok()) << row << results.results[0].status;
    }
    auto reader = sender.machine().OpenSnapshot(LogIndex(1));
    ASSERT_TRUE(reader.ok()) << reader.status();
    ASSERT_TRUE((*reader)->Complete([] { return true; }).ok());
    const std::string path = receiver.directory() / "copy.db";
    { std::ofstream(path, std::ios::binary) << (*reader)->Read(0, 1 << 20).value(); }
    const Status status = receiver.machine().CheckSnapshot(path, (*reader)->meta(), {});
    EXPECT_TRUE(status.ok()) << table << ": " << status;
  }
}

// After the rename it is too late to refuse: the core has begun with the snapshot and waits for it.
TEST(Scrub, ASnapshotThatIsDamagedWhereNoSumLooksIsRefusedToo) {
  std::vector<raft::Entry> log = SmallLog();
  const BatchHeader header{1'700'000'000'000, 2, 1'000, 50'000'000};
  log.push_back(MakeEntry(LogIndex(5), header, {ExecuteCommand("CREATE INDEX w ON ledger(who)")}));
  log.push_back(MakeEntry(LogIndex(6), header,
                          {WithId(ExecuteCommand("INSERT INTO other VALUES(3)"), "session", 1)}));
  TestReplica sender;
  TestReplica receiver;
  sender.Apply(log);
  auto reader = sender.machine().OpenSnapshot(LogIndex(1));
  ASSERT_TRUE(reader.ok()) << reader.status();
  ASSERT_TRUE((*reader)->Complete([] { return true; }).ok());
  const raft::SnapshotMeta meta = (*reader)->meta();
  const std::string bytes = (*reader)->Read(0, 1 << 20).value();
  const std::string path = receiver.directory() / "copy.db";
  const auto damage_index = [&path] {
    const int64_t page = TestDatabase(path).Number(
        "SELECT rootpage FROM sqlite_schema"
        " WHERE name = 'w'");
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp((page - 1) * 4096);
    file << std::string(4096, '\x5a');
  };
  const auto damage_requests = [&path] {
    TestDatabase(path).Run("UPDATE _cairn_requests SET requests = x'00'");
  };
  const auto damage_format = [&path] {
    TestDatabase(path).Run("UPDATE _cairn_state SET format = format + 1");
  };
  for (const auto& [damage, code] : std::vector<std::pair<std::function<void()>, StatusCode>>{
           {damage_index, StatusCode::kDataLoss},
           {damage_requests, StatusCode::kDataLoss},
           {damage_format, StatusCode::kFailedPrecondition},
           {[] {}, StatusCode::kOk}}) {
    { std::ofstream(path, std::ios::binary) << bytes; }
    damage();
    for (const auto& proceed :
         {std::function<bool()>(), std::function<bool()>([] { return true; })}) {
      const Status status = receiver.machine().CheckSnapshot(path, meta, proceed);
      EXPECT_EQ(status.code(), code) << status;
    }
  }
}

// ---- Scans

TEST(Scan, GoesOnInSlicesWhileOthersWriteAndIsClosedWithTheDatabase) {
  TestReplica replica;
  replica.Apply(SmallLog());
  auto scan = replica.machine().BeginScan();
  ASSERT_TRUE(scan.ok());
  const BatchHeader header{1'700'000'000'000, 9, 1'000, 50'000'000};
  const raft::Entry entry = MakeEntry(
      LogIndex(5), header,
      {ExecuteCommand("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000)"
                      " INSERT INTO ledger(who, sum) SELECT 'x', i FROM n")});
  replica.Apply({&entry, 1});
  EXPECT_TRUE((*scan)->Scrub(std::chrono::hours(1)).value()) << "of the state before";
  auto slow = replica.machine().BeginScan();
  ASSERT_TRUE(slow.ok());
  int slices = 1;
  for (; slices < 1000; ++slices) {
    const Result<bool> whole = (*slow)->Scrub(SteadyTime(0));
    ASSERT_TRUE(whole.ok()) << whole.status();
    if (*whole) break;
  }
  EXPECT_GT(slices, 50);
  EXPECT_LT(slices, 1000);
  auto closed = replica.machine().BeginScan();
  ASSERT_TRUE(closed.ok());
  ASSERT_TRUE(replica.machine().Reopen().ok());
  EXPECT_EQ((*closed)->Scrub(SteadyTime(0)).status().code(), StatusCode::kCancelled);
  EXPECT_EQ((*closed)->Digest().status().code(), StatusCode::kCancelled);
  replica.CheckSums();
}

// When a read in a transaction fails, SQLite rolls the transaction back by itself.
TEST(Scan, WhoseStateWasLetGoEndsInsteadOfReadingALaterOne) {
  TestReplica replica;
  replica.Apply(SmallLog());
  ScanConnection connection;
  ASSERT_TRUE(connection.Open(nullptr, replica.path(), replica.machine().applied_index()).ok());
  EXPECT_TRUE(connection.CheckPinned().ok());
  ASSERT_EQ(sqlite3_exec(connection.db, "ROLLBACK", nullptr, nullptr, nullptr), SQLITE_OK);
  EXPECT_EQ(connection.CheckPinned().code(), StatusCode::kAborted);
}

TEST(Scan, ThatHoldsTheWalTooLongIsGivenUpAndTheNextOneGoesOnFromThere) {
  ManualClock clock;
  TestReplica replica(Disk::kReal, &clock);
  replica.Apply(SmallLog());
  const BatchHeader header{1'700'000'000'000, 9, 1'000, 50'000'000};
  const raft::Entry entry = MakeEntry(
      LogIndex(5), header,
      {ExecuteCommand("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000)"
                      " INSERT INTO ledger(who, sum) SELECT 'x', i FROM n")});
  replica.Apply({&entry, 1});
  TestDatabase(replica.path()).Run("UPDATE other SET x = 0");
  for (const bool hurry : {false, true}) {
    auto scan = replica.machine().BeginScan();
    EXPECT_EQ((*scan)->hurry(), hurry);
    EXPECT_FALSE((*scan)->Scrub(SteadyTime(0)).value()) << "in the table ledger";
    clock.Advance(std::chrono::minutes(3));
    EXPECT_EQ((*scan)->Scrub(SteadyTime(0)).status().code(), StatusCode::kAborted);
  }
  // The table was read in vain twice, so the next table has its turn.
  auto scan = replica.machine().BeginScan();
  EXPECT_FALSE((*scan)->hurry());
  const Status found = (*scan)->Scrub(std::chrono::hours(1)).status();
  EXPECT_EQ(found.code(), StatusCode::kDataLoss) << found;
  EXPECT_NE(found.message().find("table other"), std::string::npos) << found;
}

}  // namespace
}  // namespace cairn::state_machine
