// Generates the SQL for the comparison with plain SQLite, over a schema that has something of
// everything. A seed gives the same statements for ever.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "base/rng.h"
#include "state_machine/command.h"

namespace cairn::state_machine {

class SqlGenerator {
 public:
  explicit SqlGenerator(uint64_t seed) : rng_(seed) {}

  // Tables, indexes, views and triggers, and some rows.
  static const std::vector<std::string>& Schema();

  // One statement that writes. About one in ten fails.
  Statement Write();
  // One statement that reads, with an order for its rows.
  std::string Read();
  uint64_t Between(uint64_t low, uint64_t high) { return rng_.Between(low, high); }

 private:
  std::string Rows();
  std::string Upserts();
  std::string References();
  std::string Typed();
  std::string Computed();
  std::string Searches();
  std::string SchemaChanges();
  std::string Scratch();

  std::string Number(uint64_t max = 60) { return std::to_string(rng_.Below(max + 1)); }
  std::string Integer();
  std::string Literal();
  std::string Text();
  std::string Date();
  std::string Condition();
  std::string Extra() { return "extra" + std::to_string(rng_.Below(3)); }
  std::string OneOf(std::initializer_list<const char*> choices) {
    return *(choices.begin() + rng_.Below(choices.size()));
  }

  Rng rng_;
};

}  // namespace cairn::state_machine
