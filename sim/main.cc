// cairn-sim: runs seeds, and prints for each failing seed the command that runs it again.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "sim/runner.h"

int main(int argc, char** argv) {
  CLI::App app("Simulates Cairn clusters under faults, deterministically");
  cairn::sim::RunnerOptions options;
  app.add_option("--seed", options.seed, "The first seed")->default_val(options.seed);
  app.add_option("--seeds", options.seeds, "How many seeds, one after the other");
  app.add_option("--for-seconds", options.for_seconds, "Begin seeds until then, instead");
  app.add_option(
      "--profile", options.profile,
      "swarm, short, crash, members, lag, storm, calm, birth, churn, full, pause, "
      "moves, upgrades, sessions, heavy, series, echo, overtake, handover, joint, relay, or mix");
  app.add_option("--jobs", options.jobs, "Processes at a time");
  app.add_option("--log", options.log_level, "Level of the nodes' own log: off, info, debug");
  app.add_flag("--keep-going", options.keep_going, "Do not stop at the first failure");
  app.add_flag("--each", options.print_each, "A line for each seed");
  app.add_option("--history", options.history,
                 "Write the clients' histories of each seed to FILE.NAME.jsonl");
  app.add_option("--json", options.json, "Write the sums to this file");
  CLI11_PARSE(app, argc, argv);
  return cairn::sim::RunSeeds(options);
}
