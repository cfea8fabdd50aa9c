// WorkEstimates: what commands are expected to cost to apply, learned from what others like them
// have cost. A leader's own guess: it decides which commands share an entry and in which order they
// go, never what they do.
#pragma once

#include <array>
#include <cstdint>
#include <unordered_map>

#include "state_machine/command.h"

namespace cairn::node {

// By what a command is told from others, without a look into the database.
struct CommandTraits {
  uint64_t client = 0;  // of the session; 0: none is named
  uint64_t kind = 0;    // of the texts without their digits; a transaction's id for its steps
  bool maintenance = false;
};
CommandTraits TraitsOf(const state_machine::Command& command);

// What one command has cost.
struct CommandCost {
  CommandTraits traits;
  uint64_t steps = 0;
};
// Less is not worth to be told, nor to be remembered.
inline constexpr uint64_t kStepsWorthTelling = 50'000;

// One owner (the core thread).
class WorkEstimates {
 public:
  void Learn(const CommandCost& cost);
  // 0: nothing is known that would be worth to speak of.
  uint64_t Expected(const CommandTraits& traits) const;

 private:
  // The latest cost weighs a half. Two generations: of what was not seen for long nothing is known.
  class Memory {
   public:
    void Learn(uint64_t key, uint64_t steps);
    uint64_t Expected(uint64_t key) const;

   private:
    static constexpr size_t kKeysMax = 4096;
    std::unordered_map<uint64_t, uint64_t> young_;
    std::unordered_map<uint64_t, uint64_t> old_;
  };
  Memory by_client_;
  Memory by_kind_;
};

}  // namespace cairn::node
