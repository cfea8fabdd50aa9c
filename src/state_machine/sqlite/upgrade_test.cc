// Data of Cairn 0.1 (tests/fixtures/v0.1), and entries of other versions than this one.

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>

#include "state_machine/sqlite/digest_test_util.h"
#include "state_machine/sqlite/replicas_test_util.h"
#include "state_machine/sqlite/sqlite_state_machine.h"

namespace cairn::state_machine {
namespace {

using Unsynced = FaultFileSystem::Unsynced;

constexpr char kPath[] = "/hub/test.db";

// Unpacks a fixture into a directory of its own.
class Fixture {
 public:
  explicit Fixture(const std::string& name) {
    const std::string command = "tar -xzf " CAIRN_SOURCE_DIR "/tests/fixtures/v0.1/" + name +
                                ".tar.gz -C " + directory_.path();
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
  }
  std::string operator/(const std::string& name) const { return directory_ / name; }
  std::string Bytes(const std::string& name) const {
    std::ifstream file(directory_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

 private:
  TemporaryDirectory directory_;
};

std::unique_ptr<StateMachine> OpenAt(const std::string& path, FileSystem* fs = nullptr,
                                     uint64_t level_max = kLevelHighest) {
  SqliteOptions options;
  options.path = path;
  options.snapshot_directory = path + ".snapshot";
  options.file_system = fs;
  options.level_max = level_max;
  auto machine = OpenSqliteStateMachine(options, TestConfiguration());
  EXPECT_TRUE(machine.ok()) << machine.status();
  return machine.ok() ? std::move(machine).value() : nullptr;
}

class Values final : public RowSink {
 public:
  Status OnColumns(const std::vector<Column>& /*columns*/) override { return OkStatus(); }
  Status OnRow(Row row) override {
    for (const Value& value : row) {
      if (!text.empty()) text += ' ';
      if (const auto* number = std::get_if<int64_t>(&value)) text += std::to_string(*number);
      if (const auto* real = std::get_if<double>(&value)) text += std::to_string(*real);
      if (const auto* words = std::get_if<std::string>(&value)) text += *words;
    }
    return OkStatus();
  }
  std::string text;
};

std::string Query(StateMachine& machine, const std::string& sql) {
  auto view = machine.OpenReadView(std::chrono::seconds(1));
  EXPECT_TRUE(view.ok()) << view.status();
  Values values;
  const Status status = (*view)->Query({sql, {}, {}}, {}, &values);
  EXPECT_TRUE(status.ok()) << status;
  return values.text;
}

Status ApplyNext(StateMachine& machine, const std::vector<raft::Entry>& entries,
                 std::vector<EntryResults>* results = nullptr) {
  const AppliedState state = machine.applied_state();
  return machine.Apply(entries, state.config, state.config_index, [&](EntryResults each) {
    if (results != nullptr) results->push_back(std::move(each));
  });
}

CommandResult Do(StateMachine& machine, Command command) {
  const AppliedState state = machine.applied_state();
  const BatchHeader header{1'800'000'000'000, 1, state.lease_ms, 50'000'000};
  raft::Entry entry = MakeEntry(state.index + 1, header, {std::move(command)});
  entry.term = state.term;
  std::vector<EntryResults> results;
  const Status status = ApplyNext(machine, {entry}, &results);
  EXPECT_TRUE(status.ok()) << status;
  return status.ok() ? results.at(0).results.at(0) : CommandResult{};
}

raft::Entry EntryOf(LogIndex index, std::string payload) {
  raft::Entry entry;
  entry.index = index;
  entry.term = Term(1);
  entry.payload = std::make_shared<const std::string>(std::move(payload));
  return entry;
}

// The text of the schema of Cairn's own tables.
std::string OwnSchema(const std::string& path) {
  TestDatabase db(path);
  return db.Text(
      "SELECT group_concat(sql, char(10)) FROM (SELECT sql FROM sqlite_schema"
      " WHERE substr(tbl_name, 1, 7) = '_cairn_' ORDER BY name)");
}

TEST(DataOfTheFirstVersion, HoldsAfterTheConversionAllThatItHeld) {
  const Fixture fixture("stopped");
  const auto machine = OpenAt(fixture / "node1.db");
  ASSERT_NE(machine, nullptr);
  EXPECT_EQ(machine->applied_state().level, kLevelFirst);
  EXPECT_EQ(Query(*machine, "SELECT count(*), sum(balance), sum(length(photo)) FROM account"),
            "40 20910.000000 820");
  EXPECT_EQ(Query(*machine, "SELECT count(*) FROM note WHERE note MATCH 'fox'"), "19");
  EXPECT_EQ(Query(*machine, "SELECT value FROM setting WHERE name = 'tx done'"), "1");
  EXPECT_EQ(Query(*machine, "SELECT count(*) FROM setting WHERE name LIKE 'tx %'"), "1");
  EXPECT_EQ(Query(*machine, "SELECT count(*) FROM event"), "44");
  EXPECT_EQ(Query(*machine, "SELECT count(*) FROM rich"), "21");
  auto view = machine->OpenReadView(std::chrono::seconds(1));
  ASSERT_TRUE(view.ok());
  EXPECT_GT(*(*view)->Version("account"), 40);
  EXPECT_EQ((*view)->Transaction("open")->state, TxState::kPrepared);
  EXPECT_EQ((*view)->Transaction("open")->statements, 2u);
  EXPECT_EQ((*view)->Transaction("done")->state, TxState::kCommitted);
  EXPECT_EQ((*view)->Transaction("back")->state, TxState::kRolledBack);
}

TEST(DataOfTheFirstVersion, GoesOnWithItsSessionsAndPreparedTransactions) {
  const Fixture fixture("stopped");
  const auto machine = OpenAt(fixture / "node1.db");
  ASSERT_NE(machine, nullptr);
  const std::string sql = "INSERT INTO event (what) VALUES ('app 3') RETURNING what";
  const CommandResult again = Do(*machine, WithId(ExecuteCommand(sql), "app", 3, 2));
  ASSERT_TRUE(again.status.ok()) << again.status;
  EXPECT_FALSE(again.result_gone);
  ASSERT_EQ(again.statements.size(), 1u);
  EXPECT_EQ(again.statements[0].rows.at(0).at(0), Value("app 3"));
  EXPECT_EQ(Query(*machine, "SELECT count(*) FROM event WHERE what = 'app 3'"), "1");
  const std::string taken = "INSERT INTO account VALUES (1, 'owner 1', 0, NULL)";
  EXPECT_EQ(Do(*machine, WithId(ExecuteCommand(taken), "app", 4, 2)).status.code(),
            StatusCode::kAlreadyExists);

  EXPECT_EQ(Do(*machine, ExecuteCommand("DELETE FROM setting")).status.code(),
            StatusCode::kAborted);
  EXPECT_TRUE(Do(*machine, {{}, 0, Commit{"open"}}).status.ok());
  EXPECT_EQ(Query(*machine, "SELECT count(*) FROM setting WHERE name LIKE 'tx open%'"), "2");
  EXPECT_TRUE(Do(*machine, ExecuteCommand("DELETE FROM setting")).status.ok());
  EXPECT_TRUE(Do(*machine, ExecuteCommand("INSERT INTO note VALUES ('new', 'a fox')")).status.ok());
  EXPECT_EQ(Query(*machine, "SELECT count(*) FROM note WHERE note MATCH 'fox'"), "20");
}

TEST(DataOfTheFirstVersion, IsTheSameOnAllNodesAfterTheConversionAndHasTheSchemaOfANewFile) {
  const Fixture fixture("stopped");
  std::vector<std::unique_ptr<StateMachine>> machines;
  for (const char* name : {"node1.db", "node2.db", "node3.db"}) {
    machines.push_back(OpenAt(fixture / name));
    ASSERT_NE(machines.back(), nullptr);
  }
  // The nodes were stopped one after the other, and have everything that clients wrote. The others
  // also have the own entries of the last two leaders.
  AppliedState last;
  for (const auto& machine : machines) {
    if (machine->applied_index() > last.index) last = machine->applied_state();
  }
  std::set<std::pair<uint64_t, uint64_t>> digests;
  for (const auto& machine : machines) {
    while (machine->applied_index() < last.index) {
      raft::Entry noop = EntryOf(machine->applied_index() + 1, "");
      noop.type = raft::EntryType::kNoop;
      noop.term = last.term;
      ASSERT_TRUE(ApplyNext(*machine, {noop}).ok());
    }
    const StateDigest digest = DigestOf(*machine);
    digests.emplace(digest.a, digest.b);
  }
  EXPECT_EQ(digests.size(), 1u);
  ASSERT_NE(OpenAt(fixture / "new.db"), nullptr);
  EXPECT_EQ(OwnSchema(fixture / "node1.db"), OwnSchema(fixture / "new.db"));
}

TEST(DataOfTheFirstVersion, HasAbortForRollbackInItsSchemaAfterTheConversion) {
  const Fixture fixture("stopped");
  {
    TestDatabase old(fixture / "node1.db");
    old.Run("CREATE TABLE once(x UNIQUE ON CONFLICT ROLLBACK, rollback)");
    old.Run(
        "CREATE TRIGGER guard BEFORE INSERT ON once WHEN new.x = 7"
        " BEGIN SELECT RAISE(ROLLBACK, 'seven'); END");
  }
  const auto machine = OpenAt(fixture / "node1.db");
  ASSERT_NE(machine, nullptr);
  EXPECT_EQ(Query(*machine, "SELECT sql FROM sqlite_schema WHERE name = 'once'"),
            "CREATE TABLE once(x UNIQUE ON CONFLICT ABORT, rollback)");
  EXPECT_EQ(Query(*machine,
                  "SELECT sql LIKE '%RAISE(ABORT, ''seven'')%' FROM sqlite_schema"
                  " WHERE name = 'guard'"),
            "1");
  EXPECT_FALSE(Do(*machine, ExecuteCommand("INSERT INTO once VALUES(7, 1)")).status.ok());
  EXPECT_TRUE(Do(*machine, ExecuteCommand("INSERT INTO once VALUES(8, 1)")).status.ok());
}

TEST(DataOfTheFirstVersion, IsConvertedWhollyOrNotAtAllWhereverThePowerGoes) {
  const Fixture fixture("stopped");
  const std::string bytes = fixture.Bytes("node1.db");
  std::optional<StateDigest> converted;
  for (const Unsynced unsynced : {Unsynced::kDrop, Unsynced::kTorn, Unsynced::kKeepAll}) {
    bool finished = false;
    for (uint64_t k = 1; !finished && !HasFailure(); ++k) {
      FaultFileSystem fs(k);
      ASSERT_TRUE(fs.CreateDirectories("/hub/test.db.snapshot").ok());
      fs.SetContents(kPath, bytes);
      fs.Inject(k, FaultFileSystem::Fault::kPowerCut);
      SqliteOptions options;
      options.path = kPath;
      options.snapshot_directory = "/hub/test.db.snapshot";
      options.file_system = &fs;
      finished = OpenSqliteStateMachine(options, TestConfiguration()).ok();
      fs.Crash(unsynced);
      const auto machine = OpenAt(kPath, &fs);
      ASSERT_NE(machine, nullptr) << "power cut at operation " << k;
      const StateDigest digest = DigestOf(*machine);
      if (!converted) converted = digest;
      EXPECT_EQ(digest, *converted) << "power cut at operation " << k;
    }
  }
}

TEST(DataOfTheFirstVersion, IsNotTouchedByALookAtIt) {
  const Fixture fixture("power_cut");
  const std::string before = fixture.Bytes("node1.db");
  const auto summary = SummaryOfDataFile(fixture / "node1.db");
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_FALSE(summary->is_present);
  EXPECT_GT(summary->applied.value(), 0u);
  EXPECT_EQ(fixture.Bytes("node1.db"), before);
}

TEST(DataOfTheFirstVersion, IsTakenAsASnapshot) {
  const Fixture fixture("snapshot");
  const auto machine = OpenAt(fixture / "mine.db");
  ASSERT_NE(machine, nullptr);
  raft::SnapshotMeta meta;
  {
    const auto summary = SummaryOfDataFile(fixture / "snapshot.db");
    ASSERT_TRUE(summary.ok()) << summary.status();
    TestDatabase copy(fixture / "snapshot.db", "?immutable=1");
    meta.index = summary->applied;
    meta.term = Term(static_cast<uint64_t>(copy.Number("SELECT applied_term FROM _cairn_state")));
    meta.config_index =
        LogIndex(static_cast<uint64_t>(copy.Number("SELECT config_index FROM _cairn_state")));
  }
  const Fixture other("snapshot");
  meta.config = OpenAt(other / "snapshot.db")->applied_state().config;
  ASSERT_TRUE(machine->CheckSnapshot(fixture / "snapshot.db", meta, {}).ok());
  const Status installed = machine->InstallSnapshot(fixture / "snapshot.db", meta);
  ASSERT_TRUE(installed.ok()) << installed;
  EXPECT_EQ(machine->applied_index(), meta.index);
  EXPECT_EQ(Query(*machine, "SELECT count(*) FROM account"), "40");
  EXPECT_TRUE(Do(*machine, {{}, 0, Commit{"open"}}).status.ok());
}

// ---- Entries of other versions ------------------------------------------------------------------

BatchHeader Header() { return {1'700'000'000'000, 1, 1'000, 50'000'000}; }

TEST(OtherVersions, AnEntryWithAnUnknownOperationStopsApplyAndHarmsNothing) {
  TestReplica replica;
  StateMachine& machine = replica.machine();
  const raft::Entry good = MakeEntry(LogIndex(1), Header(), {ExecuteCommand("CREATE TABLE t (a)")});
  std::string command = EncodeCommand(ExecuteCommand("INSERT INTO t VALUES (1)"));
  command[0] = 99;
  std::string payload;
  EncodeBatch(Header(), {command}, &payload);
  const std::vector<raft::Entry> log = {good, EntryOf(LogIndex(2), payload)};
  std::vector<EntryResults> results;
  const Status status = ApplyNext(machine, log, &results);
  EXPECT_EQ(status.code(), StatusCode::kUnimplemented);
  EXPECT_EQ(status.message(),
            "entry 2: operation 99 is of a later version of Cairn than this node runs: start that "
            "version on this node");
  EXPECT_EQ(results.size(), 1u);
  EXPECT_EQ(machine.applied_index(), LogIndex(1));
  // Applied entries are moved into the file, and read, as before.
  EXPECT_TRUE(machine.Checkpoint().ok());
  EXPECT_EQ(machine.durable_index(), LogIndex(1));
  EXPECT_EQ(Query(machine, "SELECT count(*) FROM t"), "0");
  // The right version continues from there.
  const raft::Entry known =
      MakeEntry(LogIndex(2), Header(), {ExecuteCommand("INSERT INTO t VALUES (1)")});
  EXPECT_TRUE(ApplyNext(machine, {known}).ok());
  EXPECT_EQ(Query(machine, "SELECT count(*) FROM t"), "1");
}

TEST(OtherVersions, AnEntryOfTheFirstVersionStopsApplyWithAdvice) {
  TestReplica replica;
  std::string payload;
  EncodeBatch(Header(), {EncodeCommand(ExecuteCommand("CREATE TABLE t (a)"))}, &payload);
  payload[0] = 1;
  const Status status = ApplyNext(replica.machine(), {EntryOf(LogIndex(1), payload)});
  EXPECT_EQ(status.code(), StatusCode::kUnimplemented);
  EXPECT_EQ(status.message(),
            "entry 1: this entry was written by Cairn 0.1 and not applied: start 0.1 again on all "
            "nodes, stop it cleanly, then start 0.2");
}

TEST(OtherVersions, ALevelIsRaisedOnceAndForEverAndNotByABuildThatDoesNotKnowIt) {
  TemporaryDirectory directory;
  const std::string path = directory / "test.db";
  const raft::Entry raise =
      MakeEntry(LogIndex(1), Header(), {{{}, 0, RaiseLevel{kLevelHighest + 1}}});
  {
    const auto old = OpenAt(path);
    const Status status = ApplyNext(*old, {raise});
    EXPECT_EQ(status.code(), StatusCode::kUnimplemented);
    EXPECT_EQ(
        status.message(),
        "entry 1: it raises the feature level to 4, and this version of Cairn knows levels up "
        "to 3: start a later version on this node");
    EXPECT_EQ(old->applied_state().level, kLevelFirst);
  }
  {
    const auto next = OpenAt(path, nullptr, kLevelHighest + 1);
    EXPECT_TRUE(ApplyNext(*next, {raise}).ok());
    EXPECT_EQ(next->applied_state().level, kLevelHighest + 1);
    EXPECT_TRUE(Do(*next, {{}, 0, RaiseLevel{kLevelFirst}}).status.ok());
    EXPECT_EQ(next->applied_state().level, kLevelHighest + 1);
  }
  SqliteOptions options;
  options.path = path;
  options.snapshot_directory = path + ".snapshot";
  const Status refused = OpenSqliteStateMachine(options, TestConfiguration()).status();
  EXPECT_EQ(refused.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(refused.message().find("it has feature level 4, and this version of Cairn knows levels "
                                   "up to 3; start a later version"),
            std::string::npos)
      << refused;
}

TEST(OtherVersions, ResultsHashTellsAResultThatDiffers) {
  const auto hash = [](const std::string& sql, const std::string& value) {
    TestReplica replica;
    Do(replica.machine(), ExecuteCommand("CREATE TABLE t (a)"));
    Do(replica.machine(), ExecuteCommand(sql, {value}));
    Do(replica.machine(), ExecuteCommand("INSERT INTO t VALUES ('after')"));
    return replica.machine().applied_state().results_hash;
  };
  const std::string sql = "INSERT INTO t VALUES (?1) RETURNING a";
  EXPECT_EQ(hash(sql, "one"), hash(sql, "one"));
  EXPECT_NE(hash(sql, "one"), hash(sql, "two"));
  EXPECT_NE(hash(sql, "one"), hash("INSERT INTO nowhere VALUES (?1)", "one"));
}

}  // namespace
}  // namespace cairn::state_machine
