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
  uint64_t client = 0;  // a hash of the client's session; 0: the client has none
  uint64_t kind = 0;    // of the texts without their digits; a transaction's id for its steps
  bool maintenance = false;
  uint64_t principal = 0;  // a hash of it; 0: a command of the leader itself
  bool is_new = false;     // of a client that has no session, or has hardly begun one
  uint64_t level = 0;      // the feature level that the cluster needs for the command
};
CommandTraits TraitsOf(const state_machine::Command& command);

// The cost of one command.
struct CommandCost {
  CommandTraits traits;
  uint64_t steps = 0;
};
// A smaller cost is neither reported nor remembered.
inline constexpr uint64_t kStepsWorthTelling = 50'000;

// A client could send each heavy command under a new session and with a new text. So a principal
// whose command cost far more than expected is not trusted for a while: the next commands of its
// new clients are expected to cost as much, each of them an eighth less than the one before. An
// older client of the same host is known by its session.
//
// Not thread-safe: the core thread owns it.
class WorkEstimates {
 public:
  void Learn(const CommandCost& cost);
  // The expected steps of a command that has come; 0 if nothing worth reporting is known.
  uint64_t Expect(const CommandTraits& traits);

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
  static constexpr size_t kPrincipalsMax = 4096;

  uint64_t Known(const CommandTraits& traits) const;

  Memory by_client_;
  Memory by_kind_;
  std::unordered_map<uint64_t, uint64_t> surprises_;  // by principal
};

}  // namespace cairn::node
