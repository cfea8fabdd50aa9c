// The runner: distributes many seeds over a few processes and sums up the outcomes.
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
  // The prefix of the files of histories, PREFIX.NAME.jsonl. If set, every seed writes its
  // histories. Otherwise only failing seeds do, into the directory for temporary files.
  std::string history;
  std::string json;  // the file for the sums
};

// Runs one seed in this process. Every twentieth seed, and every failing seed, runs twice and must
// leave the same trace.
Result<Report> RunSeed(uint64_t seed, const std::string& profile);

// The profile `mix` gives each seed one of the other profiles, by the seed's number.
std::string ProfileOf(uint64_t seed, const std::string& profile);

// Returns the exit status of cairn-sim: 0 if no seed failed. Prints for each failure a line with
// the command that runs it again, and the sums at the end.
int RunSeeds(const RunnerOptions& options);

}  // namespace cairn::sim
