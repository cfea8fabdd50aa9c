// The runner: many seeds over a few processes, and what they come to.
#pragma once

#include <cstdint>
#include <string>

#include "sim/simulation.h"

namespace cairn::sim {

struct RunnerOptions {
  uint64_t seed = 1;
  uint64_t seeds = 1;
  double for_seconds = 0;  // > 0: instead of `seeds`
  std::string profile = "swarm";
  int jobs = 1;
  std::string log_level = "off";
  bool keep_going = false;
  bool print_each = false;
  // Where histories go, as PREFIX.NAME.jsonl: of every seed if given, else of those that fail, into
  // the directory for temporary files.
  std::string history;
  std::string json;  // a file for the sums
};

// One seed, in this process. Every twentieth, and every one that fails, runs twice and must leave
// the same trace.
Result<Report> RunSeed(uint64_t seed, const std::string& profile);

// The profile `mix` gives each seed one of the others, by its number.
std::string ProfileOf(uint64_t seed, const std::string& profile);

// Exit status of cairn-sim: 0 if no seed failed. Prints a line for each failure that runs it again,
// and the sums at the end.
int RunSeeds(const RunnerOptions& options);

}  // namespace cairn::sim
