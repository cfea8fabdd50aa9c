// Restores: an operator who sets the running cluster back to backups of it, again and again.
//
// Each round makes a backup between two writes of its own, restores it, and checks at a node that has
// applied the restore:
//   the write before the backup is there, and the one after it is not
//   the versions of the table and of the database are higher than before the restore
//   both writes, sent again under their names, are refused, with the outcome unknown
// The Checker demands besides that all nodes are equal.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "sim/checker.h"
#include "sim/process.h"
#include "sim/world.h"
#include "state_machine/command.h"

namespace cairn::sim {

class Restores {
 public:
  // `every`: the mean time between two rounds; 0: there are none.
  Restores(World* world, const Nodes* nodes, SteadyTime every);

  void Start();
  // Begins no other round.
  void Stop() { stopped_ = true; }

  struct Counts {
    uint64_t restored = 0;
    uint64_t given_up = 0;  // rounds that met a fault for too long
    uint64_t refused = 0;   // requests from before a restore
  };
  const Counts& counts() const { return counts_; }

 private:
  using Then = std::function<void(const state_machine::CommandResult&)>;
  struct Round {
    uint64_t number = 0;
    SteadyTime give_up{0};
    std::string backup;
    LogIndex index;             // of the last answer
    int64_t version = 0;        // of the database, before the restore
    int64_t marks_version = 0;  // of the table
  };

  void ScheduleNext();
  void Begin();
  void GiveUp();
  // Sends the command to one node after the other until one answers.
  void Ask(state_machine::Command command, Then then);
  void Attempt(const state_machine::Command& command, const Then& then, uint64_t step);
  // Calls `use` with a view of a node that has applied the index. Until `use` returns true, another node
  // is tried later.
  void Look(const std::function<bool(Process*, state_machine::ReadView*)>& use);
  Process* Draw();
  void MakeBackup();
  void WriteLost();
  void NoteVersions();
  void SendPiece(size_t at);
  void Finish();
  void CheckState();
  void CheckRefused(uint64_t sequence);
  state_machine::Command Mark(uint64_t sequence) const;
  state_machine::Command StepCommand(state_machine::Restore restore) const;
  std::string Name() const { return "restore-" + std::to_string(round_.number); }
  void Fail(const std::string& what);

  World* const world_;
  const Nodes* const nodes_;
  const SteadyTime every_;
  Rng rng_;
  bool stopped_ = false;
  Round round_;
  uint64_t step_ = 0;  // answers of earlier steps come late
  Counts counts_;
};

}  // namespace cairn::sim
