// The reports to a row observer follow the log: after a batch an observer holds what the file
// holds, through commands that fail, commands that are only prepared, and batches that are lost.

#include "state_machine/sqlite/row_observer.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "state_machine/feature_level.h"
#include "state_machine/sqlite/applier.h"
#include "state_machine/sqlite/database_test_util.h"
#include "state_machine/sqlite/replicas_test_util.h"
#include "state_machine/sqlite/table_shape.h"

namespace cairn::state_machine {
namespace {

// Records the changes of each table's rows, as the change stream does: those of a command and of a
// batch apart, until they are kept.
class Recorder : public RowObserver {
 public:
  explicit Recorder(sqlite3* db) : db_(db) {}

  void BatchBegun() override { EXPECT_FALSE(std::exchange(in_batch_, true)); }
  void BatchCommitted() override {
    EXPECT_TRUE(of_command_.empty());
    EXPECT_TRUE(std::exchange(in_batch_, false));
    committed_.insert(committed_.end(), of_batch_.begin(), of_batch_.end());
    of_batch_.clear();
  }
  void BatchUndone() override {
    ++batches_undone_;
    in_batch_ = false;
    of_command_.clear();
    of_batch_.clear();
  }
  void CommandBegun() override { EXPECT_TRUE(of_command_.empty()); }
  void CommandKept() override {
    of_batch_.insert(of_batch_.end(), of_command_.begin(), of_command_.end());
    of_command_.clear();
  }
  void CommandUndone() override {
    ++commands_undone_;
    of_command_.clear();
  }
  size_t OnRow(const RowChange& change) override {
    EXPECT_TRUE(in_batch_);
    if (IsInternalTable(change.table)) return 0;
    std::string line = change.table;
    if (change.operation != SQLITE_INSERT) line += " -" + Values(&sqlite3_preupdate_old);
    if (change.operation != SQLITE_DELETE) line += " +" + Values(&sqlite3_preupdate_new);
    of_command_.push_back(std::move(line));
    return 0;
  }

  const std::vector<std::string>& committed() const { return committed_; }
  int commands_undone() const { return commands_undone_; }
  int batches_undone() const { return batches_undone_; }

 private:
  std::string Values(int (*get)(sqlite3*, int, sqlite3_value**)) {
    std::string values;
    for (int i = 0; i < sqlite3_preupdate_count(db_); ++i) {
      sqlite3_value* value = nullptr;
      EXPECT_EQ(get(db_, i, &value), SQLITE_OK);
      const auto* text = reinterpret_cast<const char*>(sqlite3_value_text(value));
      values += (i == 0 ? "" : "|") + std::string(text == nullptr ? "NULL" : text);
    }
    return values;
  }

  sqlite3* const db_;
  bool in_batch_ = false;
  std::vector<std::string> of_command_, of_batch_, committed_;
  int commands_undone_ = 0;
  int batches_undone_ = 0;
};

// A state machine with a recorder beside the row sums.
class ObservedApplier {
 public:
  ObservedApplier() {
    auto opened = Applier::Open(Storage{}, directory_ / "test.db", 1 << 20, TestConfiguration(),
                                kLevelHighest, /*request_room_divisor=*/1);
    EXPECT_TRUE(opened.ok()) << opened.status();
    applier_ = std::move(opened).value();
    recorder_ = std::make_unique<Recorder>(applier_->engine().db());
    applier_->engine().AddObserver(recorder_.get());
  }
  void Apply(std::span<const raft::Entry> entries) {
    const Status status =
        applier_->Apply(entries, TestConfiguration(), LogIndex(), [this](const EntryResults& each) {
          for (const CommandResult& result : each.results) codes.push_back(result.status.code());
        });
    ASSERT_TRUE(status.ok()) << status;
  }
  const Recorder& recorder() const { return *recorder_; }

  std::vector<StatusCode> codes;

 private:
  TemporaryDirectory directory_;
  std::unique_ptr<Recorder> recorder_;
  std::unique_ptr<Applier> applier_;
};

Command PrepareCommand(const std::string& tx_id, const std::string& sql) {
  Command command;
  command.operation = Prepare{tx_id, {sql, {}, {}}, 0};
  return command;
}

Command CommitCommand(const std::string& tx_id) {
  Command command;
  command.operation = Commit{tx_id};
  return command;
}

std::vector<raft::Entry> LogOf(const std::vector<std::vector<Command>>& entries,
                               uint64_t steps_max = 50'000'000) {
  const BatchHeader header{1'700'000'000'000, 1, 1'000, steps_max};
  std::vector<raft::Entry> log;
  for (const auto& commands : entries) {
    log.push_back(MakeEntry(LogIndex(log.size() + 1), header, commands));
  }
  return log;
}

// The same for the whole log in one batch, and for one batch for each entry.
void ExpectCommitted(const std::vector<raft::Entry>& log, const std::vector<std::string>& expected,
                     int batches_undone, int commands_undone) {
  ObservedApplier together;
  together.Apply(log);
  EXPECT_EQ(together.recorder().committed(), expected);
  EXPECT_EQ(together.recorder().batches_undone(), batches_undone);
  EXPECT_EQ(together.recorder().commands_undone(), commands_undone);
  ObservedApplier one_by_one;
  for (const raft::Entry& entry : log) one_by_one.Apply({&entry, 1});
  EXPECT_EQ(one_by_one.recorder().committed(), expected);
  EXPECT_EQ(one_by_one.codes, together.codes);
}

TEST(RowObserver, IsToldOfRowsInOrderWithTheirOldAndNewValues) {
  const auto log = LogOf(
      {{ExecuteCommand("CREATE TABLE t(id INTEGER PRIMARY KEY, a)")},
       {ExecuteCommand("INSERT INTO t VALUES(1, 'x'), (2, 'y')")},
       {ExecuteCommand("UPDATE t SET a = 'z' WHERE id = 1"), ExecuteCommand("DELETE FROM t")}});
  ExpectCommitted(log, {"t +1|x", "t +2|y", "t -1|x +1|z", "t -1|z", "t -2|y"}, 0, 0);
}

TEST(RowObserver, CommandThatFailsIsUndone) {
  const auto log = LogOf({{ExecuteCommand("CREATE TABLE t(id INTEGER PRIMARY KEY, a)")},
                          {ExecuteCommand("INSERT INTO t VALUES(1, 'x')"),
                           ExecuteCommand("INSERT INTO t VALUES(2, 'y'), (1, 'z')"),
                           ExecuteCommand("INSERT INTO t VALUES(3, 'w')")}});
  ExpectCommitted(log, {"t +1|x", "t +3|w"}, 0, 1);
}

// A known statement runs without a savepoint. If it fails and leaves rows, the batch begins anew.
TEST(RowObserver, BatchThatNeedsSavepointsIsUndoneAndToldAgain) {
  const std::string insert = "INSERT OR FAIL INTO t VALUES(?1, 'a'), (?2, 'b')";
  const auto log = LogOf({{ExecuteCommand("CREATE TABLE t(id INTEGER PRIMARY KEY, a)"),
                           ExecuteCommand(insert, {int64_t{1}, int64_t{2}}),
                           ExecuteCommand(insert, {int64_t{3}, int64_t{1}}),
                           ExecuteCommand(insert, {int64_t{4}, int64_t{5}})}});
  ExpectCommitted(log, {"t +1|a", "t +2|b", "t +4|a", "t +5|b"}, 1, 1);
}

// A statement that is stopped while it writes ends the whole SQLite transaction.
TEST(RowObserver, BatchThatACommandLosesIsUndoneAndToldAgain) {
  const auto log =
      LogOf({{ExecuteCommand("CREATE TABLE t(id INTEGER PRIMARY KEY, a)")},
             {ExecuteCommand("INSERT INTO t VALUES(1, 'x')"),
              ExecuteCommand("WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n)"
                             " INSERT INTO t SELECT i, 'y' FROM n"),
              ExecuteCommand("INSERT INTO t VALUES(4, 'w')")}},
            /*steps_max=*/100'000);
  ExpectCommitted(log, {"t +1|x", "t +4|w"}, 1, 0);
}

TEST(RowObserver, PreparedTransactionIsKeptAtItsCommitAlone) {
  const auto log = LogOf({{ExecuteCommand("CREATE TABLE t(id INTEGER PRIMARY KEY, a)")},
                          {PrepareCommand("tx", "INSERT INTO t VALUES(1, 'x')")},
                          {PrepareCommand("tx", "INSERT INTO t VALUES(2, 'y')")},
                          {CommitCommand("tx")}});
  ExpectCommitted(log, {"t +1|x", "t +2|y"}, 0, 2);
}

TEST(RowObserver, RowsThatAFullTextTableWritesLateBelongToTheirCommand) {
  const auto log = LogOf({{ExecuteCommand("CREATE VIRTUAL TABLE f USING fts5(a)")},
                          {ExecuteCommand("INSERT INTO f VALUES('one')")}});
  ObservedApplier together;
  together.Apply(log);
  ObservedApplier one_by_one;
  for (const raft::Entry& entry : log) one_by_one.Apply({&entry, 1});
  EXPECT_FALSE(together.recorder().committed().empty());
  EXPECT_EQ(together.recorder().committed(), one_by_one.recorder().committed());
}

}  // namespace
}  // namespace cairn::state_machine
