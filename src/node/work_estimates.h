// WorkEstimates: what commands are expected to cost at apply, learned from the costs of similar
// commands. An estimate is a leader's own guess. It decides which commands share an entry and in
// which order they go. It never decides what a command does.
#pragma once

#include <array>
#include <cstdint>
#include <unordered_map>

#include "state_machine/command.h"

namespace cairn::node {

// What distinguishes a command from others, without a look into the database.
struct CommandTraits {
  uint64_t client = 0;  // a hash of the session; 0: the command names none
  uint64_t kind = 0;    // of the texts without their digits; a transaction's id for its steps
  bool maintenance = false;
};
CommandTraits TraitsOf(const state_machine::Command& command);

// The cost of one command.
struct CommandCost {
  CommandTraits traits;
  uint64_t steps = 0;
};
// A smaller cost is neither reported nor remembered.
inline constexpr uint64_t kStepsWorthTelling = 50'000;

// Not thread-safe: the core thread owns it.
class WorkEstimates {
 public:
  void Learn(const CommandCost& cost);
  // The expected steps; 0 if nothing worth reporting is known.
  uint64_t Expected(const CommandTraits& traits) const;

 private:
  // The latest cost weighs one half. There are two generations, so costs that were not seen for
  // long are forgotten.
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
