// Restores a backup into replicas, step by step.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/sha256.h"
#include "state_machine/feature_level.h"
#include "state_machine/sqlite/database_test_util.h"
#include "state_machine/sqlite/replicas_test_util.h"

namespace cairn::state_machine {

using Step = Restore::Step;

inline constexpr size_t kPieceBytes = 16 << 10;

inline std::string SumOf(const std::string& bytes) {
  Sha256 sum;
  sum.Add(bytes);
  return sum.Hex();
}

inline Command StepCommand(Restore restore) {
  Command command;
  command.operation = std::move(restore);
  return command;
}

// What the state machine holds now, as a client gets it.
inline std::string BackupOf(StateMachine& machine) {
  auto reader = machine.OpenBackup(LogIndex());
  EXPECT_TRUE(reader.ok()) << reader.status();
  EXPECT_TRUE((*reader)->Complete([] { return true; }).ok());
  std::string bytes;
  while (bytes.size() < (*reader)->size_bytes())
    bytes += (*reader)->Read(bytes.size(), 1 << 20).value();
  reader->reset();
  machine.DropBackup();
  return bytes;
}

// All steps but the finish.
inline std::vector<Command> StagingOf(const std::string& id, const std::string& backup) {
  std::vector<Command> commands = {StepCommand({Step::kBegin, id, backup.size(), SumOf(backup)})};
  for (size_t at = 0; at < backup.size(); at += kPieceBytes) {
    commands.push_back(StepCommand({Step::kPiece, id, at, backup.substr(at, kPieceBytes)}));
  }
  return commands;
}

class RestoreIntoTest : public testing::Test {
 protected:
  RestoreIntoTest() { RaiseLevel(); }
  void RaiseLevel() {
    Command raise;
    raise.operation = cairn::state_machine::RaiseLevel{kLevelDataPlatform};
    EXPECT_TRUE(cluster_.Do(raise).status.ok());
  }
  std::string Backup() { return BackupOf(cluster_.first().machine()); }
  void Stage(const std::string& id, const std::string& backup) {
    for (const CommandResult& each : cluster_.DoAll(StagingOf(id, backup))) {
      EXPECT_TRUE(each.status.ok()) << each.status;
    }
  }
  CommandResult Do(Restore restore) { return cluster_.Do(StepCommand(std::move(restore))); }
  CommandResult Finish(const std::string& id) { return Do({Step::kFinish, id, 0, ""}); }
  void RestoreAll(const std::string& id, const std::string& backup) {
    Stage(id, backup);
    const CommandResult done = Finish(id);
    EXPECT_TRUE(done.status.ok()) << done.status;
  }

  // Of Cairn's own tables, which no client reads: one row, values joined by '|'.
  std::string InFile(const std::string& sql) {
    return TestDatabase(cluster_.first().path(), "?mode=ro").Text(sql);
  }

  Replicas cluster_;
};

}  // namespace cairn::state_machine
