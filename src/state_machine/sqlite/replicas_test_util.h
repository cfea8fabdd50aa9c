// For the tests of the state machine: replicas that live different lives and must end up the same.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/fault_file_system.h"
#include "base/rng.h"
#include "raft/types.h"
#include "state_machine/command.h"
#include "state_machine/sqlite/database_test_util.h"
#include "state_machine/sqlite/sqlite_state_machine.h"
#include "state_machine/state_machine.h"

namespace cairn::state_machine {

raft::Configuration TestConfiguration();
raft::Entry MakeEntry(LogIndex index, const BatchHeader& header,
                      const std::vector<Command>& commands);

// Every row of every table of the file, Cairn's own and shadow tables included, with rowids.
std::string DumpFile(const std::string& path, const char* vfs = nullptr);

enum class Disk {
  kReal,
  kVirtual,  // a FaultFileSystem
};

// One state machine on a directory of its own.
class TestReplica {
 public:
  // `clock`: null is the system's.
  explicit TestReplica(Disk disk = Disk::kReal, Clock* clock = nullptr) : clock_(clock) {
    if (disk == Disk::kVirtual) {
      files_ = std::make_unique<FaultFileSystem>(1);
      EXPECT_TRUE(files_->CreateDirectories(directory_.path()).ok());
    }
    Open();
  }
  void Open();
  void Close() { machine_.reset(); }
  void Restart() {
    Close();
    Open();
  }
  // The sums are those of the rows after it.
  std::vector<EntryResults> Apply(std::span<const raft::Entry> entries);
  void CheckSums();
  std::string path() const { return directory_ / "test.db"; }
  std::string Dump();
  StateMachine& machine() { return *machine_; }
  const TemporaryDirectory& directory() const { return directory_; }

 private:
  TemporaryDirectory directory_;
  Clock* const clock_;
  std::unique_ptr<FaultFileSystem> files_;  // null: the real ones
  std::unique_ptr<StateMachine> machine_;
};

// Three replicas of one log. The first applies each entry at once, and stays up; the second
// restarts before each entry; the third gets the whole log at the end, under random batch
// boundaries. Check demands the same results and the same bytes in all tables.
class Replicas {
 public:
  explicit Replicas(bool restarts = true, Disk disk = Disk::kReal)
      : restarts_(restarts), disk_(disk), first_(disk), restarting_(disk) {}

  BatchHeader header{1'700'000'000'000, 1, 1'000, 50'000'000};

  CommandResult Execute(std::vector<Statement> statements);
  CommandResult Execute(const std::string& sql, std::vector<Value> values = {}) {
    return Execute(std::vector<Statement>{{sql, std::move(values), {}}});
  }
  // Fails the test if the statement fails.
  CommandResult Must(const std::string& sql, std::vector<Value> values = {});
  // The same as maintenance.
  void Maintain(const std::string& sql);
  CommandResult Do(Command command);
  // One entry of several commands.
  std::vector<CommandResult> DoAll(const std::vector<Command>& commands);

  // Of the first replica: the rows, values joined by '|', rows by ' '.
  std::string Query(const std::string& sql);
  int64_t Version(const std::string& table);
  TxInfo Transaction(const std::string& tx_id);
  TestReplica& first() { return first_; }
  TestReplica& restarting() { return restarting_; }
  const std::vector<raft::Entry>& log() const { return log_; }

  void Check();

 private:
  const bool restarts_;
  const Disk disk_;
  std::vector<raft::Entry> log_;
  std::vector<EntryResults> results_;
  TestReplica first_;
  TestReplica restarting_;
};

// The commands of some dozens of entries that touch all that the state machine keeps.
std::vector<std::vector<Command>> MixedWorkload();

Command ExecuteCommand(const std::string& sql, std::vector<Value> values = {});
Command MaintenanceCommand(const std::string& sql);
Command WithId(Command command, std::string session, uint64_t sequence,
               uint64_t acknowledged_below = 0);

}  // namespace cairn::state_machine
