#include "sim/runner.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <new>
#include <vector>

#include "base/log.h"
#include "sim/plan.h"

namespace cairn::sim {
namespace {

constexpr uint64_t kTwiceEvery = 20;

// What a seed comes to, in memory shared by the processes.
struct Outcome {
  uint64_t seed = 0;
  bool failed = false;
  double simulated_s = 0;
  double wall_s = 0;
  uint64_t acknowledged = 0;
  uint64_t reads = 0;
  uint64_t attempts = 0;
  uint64_t unknown = 0;
  uint64_t committed = 0;
  uint64_t messages = 0;
  uint64_t snapshots = 0;
  uint64_t elections = 0;
  uint64_t digests = 0;
  uint64_t events = 0;
  bool brought[kFaults] = {};
};

struct Shared {
  static constexpr size_t kOutcomesMax = 1 << 16;
  std::atomic<uint64_t> next{0};
  std::atomic<uint64_t> done{0};
  std::atomic<bool> stop{false};
  Outcome outcomes[kOutcomesMax];
};

// The line that the handler of SIGABRT prints; a broken CHECK ends the process.
char last_words[256];

void OnAbort(int) {
  (void)!write(STDERR_FILENO, last_words, strlen(last_words));
  _exit(1);
}

std::string Again(uint64_t seed, const std::string& profile) {
  return "build/cairn-sim --seed " + std::to_string(seed) + " --profile " + profile;
}

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// True if it failed.
bool RunOne(const RunnerOptions& options, uint64_t seed, Outcome* outcome) {
  std::snprintf(last_words, sizeof last_words, "FAILED: a check was broken; again with: %s\n",
                Again(seed, options.profile).c_str());
  const double begun = Now();
  const Result<Report> report = RunSeed(seed, options.profile);
  outcome->seed = seed;
  outcome->wall_s = Now() - begun;
  if (!report.ok()) {
    std::fprintf(stderr, "%s\n", report.status().ToString().c_str());
    return outcome->failed = true;
  }
  outcome->simulated_s = std::chrono::duration<double>(report->simulated).count();
  outcome->acknowledged = report->clients.acknowledged;
  outcome->reads = report->clients.reads;
  outcome->attempts = report->clients.attempts;
  outcome->unknown = report->clients.unknown;
  outcome->committed = report->clients.committed;
  outcome->messages = report->network.messages;
  outcome->snapshots = report->network.snapshots_sent;
  outcome->elections = report->elections;
  outcome->digests = report->digests_compared;
  outcome->events = report->events;
  for (const auto& [fault, times] : report->brought) {
    outcome->brought[static_cast<size_t>(fault)] = times > 0;
  }
  if (report->failure) {
    std::fprintf(stderr, "FAILED at %.3f s: %s\n  again with: %s\n", outcome->simulated_s,
                 report->failure->c_str(), Again(seed, options.profile).c_str());
    return outcome->failed = true;
  }
  if (options.print_each) {
    std::printf(
        "seed %lu: %.0f s simulated in %.2f s, %lu events, %lu acknowledged, %lu elections, "
        "trace %016lx\n",
        seed, outcome->simulated_s, outcome->wall_s, report->events, outcome->acknowledged,
        outcome->elections, report->trace_hash);
    std::fflush(stdout);
  }
  return false;
}

void Work(const RunnerOptions& options, double begun, Shared* shared) {
  while (!shared->stop) {
    const uint64_t n = shared->next.fetch_add(1);
    if (n >= Shared::kOutcomesMax) return;
    if (options.for_seconds > 0 ? Now() - begun > options.for_seconds : n >= options.seeds) return;
    if (RunOne(options, options.seed + n, &shared->outcomes[n]) && !options.keep_going) {
      shared->stop = true;
    }
    shared->done.fetch_add(1);
  }
}

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::nth_element(values.begin(), values.begin() + static_cast<int64_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

void PrintSums(const Shared& shared, double wall_s) {
  std::vector<const Outcome*> all;
  for (const Outcome& outcome : shared.outcomes) {
    if (outcome.wall_s > 0) all.push_back(&outcome);
  }
  const auto sum = [&](auto member) {
    double total = 0;
    for (const Outcome* outcome : all) total += static_cast<double>(outcome->*member);
    return total;
  };
  const auto median = [&](auto member) {
    std::vector<double> values;
    for (const Outcome* outcome : all) values.push_back(static_cast<double>(outcome->*member));
    return Median(std::move(values));
  };
  std::printf("seeds %zu, failed %.0f, wall %.0f s\n", all.size(), sum(&Outcome::failed), wall_s);
  std::printf("simulated %.1f h (median %.0f s a seed, in %.2f s)\n",
              sum(&Outcome::simulated_s) / 3600, median(&Outcome::simulated_s),
              median(&Outcome::wall_s));
  std::printf(
      "acknowledged %.0f (median %.0f a seed), of them reads %.0f, two-phase commits %.0f; "
      "attempts %.0f, outcome unknown %.0f\n",
      sum(&Outcome::acknowledged), median(&Outcome::acknowledged), sum(&Outcome::reads),
      sum(&Outcome::committed), sum(&Outcome::attempts), sum(&Outcome::unknown));
  std::printf(
      "messages %.0f, snapshots %.0f, elections %.0f (median %.0f), digests compared %.0f, "
      "events %.0f\n",
      sum(&Outcome::messages), sum(&Outcome::snapshots), sum(&Outcome::elections),
      median(&Outcome::elections), sum(&Outcome::digests), sum(&Outcome::events));
  std::printf("share of seeds with each fault:");
  for (size_t i = 0; i < kFaults; ++i) {
    const auto n = std::count_if(all.begin(), all.end(),
                                 [i](const Outcome* outcome) { return outcome->brought[i]; });
    std::printf(
        " %s %.0f%%", FaultName(static_cast<Fault>(i)),
        100.0 * static_cast<double>(n) / static_cast<double>(std::max<size_t>(all.size(), 1)));
  }
  std::printf("\n");
}

}  // namespace

Result<Report> RunSeed(uint64_t seed, const std::string& profile) {
  ASSIGN_OR_RETURN(const Plan plan, MakePlan(seed, profile));
  Report report = Simulation(plan).Run();
  if (seed % kTwiceEvery != 0 && !report.failure) return report;
  const Report again = Simulation(plan).Run();
  if (again.trace_hash != report.trace_hash) {
    const std::string first = report.failure.value_or("passed");
    report.failure = "two runs left different traces: " + first + "; " +
                     again.failure.value_or("passed") + "; " + std::to_string(report.events) +
                     " and " + std::to_string(again.events) + " events";
  }
  return report;
}

int RunSeeds(const RunnerOptions& options) {
  if (const Result<Plan> plan = MakePlan(options.seed, options.profile); !plan.ok()) {
    std::fprintf(stderr, "%s\n", plan.status().message().c_str());
    return 2;
  }
  if (!InitLog("sim", options.log_level)) {
    std::fprintf(stderr, "no log level %s\n", options.log_level.c_str());
    return 2;
  }
  void* memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 2;
  auto* shared = new (memory) Shared;
  const double begun = Now();
  std::signal(SIGABRT, OnAbort);
  bool crashed = false;
  if (options.jobs <= 1) {
    Work(options, begun, shared);
  } else {
    for (int i = 0; i < options.jobs; ++i) {
      if (fork() == 0) {
        Work(options, begun, shared);
        std::fflush(stdout);
        _exit(0);
      }
    }
    for (int i = 0; i < options.jobs; ++i) {
      int status = 0;
      if (wait(&status) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0) crashed = true;
    }
  }
  PrintSums(*shared, Now() - begun);
  const bool failed = std::any_of(std::begin(shared->outcomes), std::end(shared->outcomes),
                                  [](const Outcome& outcome) { return outcome.failed; });
  return failed || crashed ? 1 : 0;
}

}  // namespace cairn::sim
