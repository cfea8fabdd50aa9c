#include "sim/runner.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <new>
#include <vector>

#include "base/log.h"
#include "sim/plan.h"

namespace cairn::sim {
namespace {

constexpr uint64_t kTwiceEvery = 20;

// The counters that are summed up.
constexpr struct {
  const char* name;
  uint64_t (*of)(const Report&);
} kCounted[] = {
    {"acknowledged", [](const Report& r) { return r.clients.acknowledged; }},
    {"reads", [](const Report& r) { return r.clients.reads; }},
    {"session reads", [](const Report& r) { return r.clients.session_reads; }},
    {"bounded stale reads", [](const Report& r) { return r.stale_reads.served; }},
    {"stale reads refused", [](const Report& r) { return r.stale_reads.refused; }},
    {"changes told", [](const Report& r) { return r.watchers.told; }},
    {"watchers resumed", [](const Report& r) { return r.watchers.resumed; }},
    {"watchers cut off", [](const Report& r) { return r.watchers.lost; }},
    {"retained changes told", [](const Report& r) { return r.watchers.retained; }},
    {"of these at another node", [](const Report& r) { return r.watchers.retained_far; }},
    {"restores", [](const Report& r) { return r.restores.restored; }},
    {"restores given up", [](const Report& r) { return r.restores.given_up; }},
    {"two-phase commits", [](const Report& r) { return r.clients.committed; }},
    {"attempts", [](const Report& r) { return r.clients.attempts; }},
    {"outcome unknown", [](const Report& r) { return r.clients.unknown; }},
    {"operations judged", [](const Report& r) { return r.judged.operations; }},
    {"histories not judged", [](const Report& r) { return r.judged.unknown; }},
    {"disk reads failed", [](const Report& r) { return r.failed_reads; }},
    {"rotten disks refused", [](const Report& r) { return r.rot_refused; }},
    {"copies told", [](const Report& r) { return r.copies_told; }},
    {"rotten databases rebuilt", [](const Report& r) { return r.rebuilt; }},
    {"elections", [](const Report& r) { return r.elections; }},
    {"entries committed", [](const Report& r) { return r.committed; }},
    {"digests compared", [](const Report& r) { return r.digests_compared; }},
    {"messages", [](const Report& r) { return r.network.messages; }},
    {"snapshots", [](const Report& r) { return r.network.snapshots_sent; }},
    {"events", [](const Report& r) { return r.events; }},
};
constexpr size_t kCounts = std::size(kCounted);

// The outcome of a seed, in memory that the processes share.
struct Outcome {
  uint64_t seed = 0;
  bool begun = false;
  bool failed = true;  // until the seed has finished
  double simulated_s = 0;
  double wall_s = 0;
  double counts[kCounts] = {};
  bool brought[kFaults] = {};
};

struct Shared {
  static constexpr size_t kOutcomesMax = 1 << 16;
  std::atomic<uint64_t> next{0};
  std::atomic<uint64_t> done{0};
  std::atomic<bool> stop{false};
  Outcome outcomes[kOutcomesMax];
};

// The line that the handler of SIGABRT prints. A broken CHECK aborts the process.
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

// Writes the history of a failed seed, or of every seed if requested.
void WriteHistory(const RunnerOptions& options, uint64_t seed, const std::string& profile,
                  const Report& report) {
  if (!report.failure && options.history.empty()) return;
  const char* directory = std::getenv("TMPDIR");
  std::string prefix = options.history;
  if (prefix.empty()) {
    prefix = std::string(directory != nullptr ? directory : "/tmp") + "/cairn-sim." + profile +
             "." + std::to_string(seed);
  } else if (options.seeds > 1 || options.for_seconds > 0) {
    prefix += "." + std::to_string(seed);
  }
  const std::vector<std::string> paths = report.histories->Write(prefix);
  if (paths.empty()) std::fprintf(stderr, "  cannot write the history to %s\n", prefix.c_str());
  for (const std::string& path : paths) std::fprintf(stderr, "  history: %s\n", path.c_str());
}

// Returns true if the seed failed.
bool RunOne(const RunnerOptions& options, uint64_t seed, Outcome* outcome) {
  const std::string profile = ProfileOf(seed, options.profile);
  std::snprintf(last_words, sizeof last_words, "FAILED: a check was broken; again with: %s\n",
                Again(seed, profile).c_str());
  const double begun = Now();
  outcome->seed = seed;
  outcome->begun = true;
  const Result<Report> report = RunSeed(seed, profile);
  outcome->wall_s = Now() - begun;
  if (!report.ok()) {
    std::fprintf(stderr, "%s\n", report.status().ToString().c_str());
    return true;
  }
  outcome->simulated_s = std::chrono::duration<double>(report->simulated).count();
  for (size_t i = 0; i < kCounts; ++i) {
    outcome->counts[i] = static_cast<double>(kCounted[i].of(*report));
  }
  for (const auto& [fault, times] : report->brought) {
    outcome->brought[static_cast<size_t>(fault)] = times > 0;
  }
  if (report->failure) {
    std::fprintf(stderr, "FAILED at %.3f s: %s\n  again with: %s\n", outcome->simulated_s,
                 report->failure->c_str(), Again(seed, profile).c_str());
  }
  WriteHistory(options, seed, profile, *report);
  if (report->failure) return true;
  outcome->failed = false;
  if (options.print_each) {
    std::printf(
        "seed %lu %s: %.0f s simulated in %.2f s, %lu events, %lu acknowledged, %lu elections, "
        "trace %016lx\n",
        seed, profile.c_str(), outcome->simulated_s, outcome->wall_s, report->events,
        report->clients.acknowledged, report->elections, report->trace_hash);
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

// The sums over all seeds.
struct Sums {
  size_t seeds = 0;
  size_t failed = 0;
  double wall_s = 0;
  double simulated_s = 0;
  double simulated_s_median = 0;
  double wall_s_median = 0;
  double totals[kCounts] = {};
  double medians[kCounts] = {};
  double shares[kFaults] = {};  // share of the seeds with each fault
  std::vector<uint64_t> failures;
};

Sums SumUp(const Shared& shared, double wall_s) {
  Sums sums;
  sums.wall_s = wall_s;
  std::vector<double> simulated;
  std::vector<double> walls;
  std::vector<double> counts[kCounts];
  for (const Outcome& outcome : shared.outcomes) {
    if (!outcome.begun) continue;
    ++sums.seeds;
    if (outcome.failed) sums.failures.push_back(outcome.seed);
    simulated.push_back(outcome.simulated_s);
    walls.push_back(outcome.wall_s);
    sums.simulated_s += outcome.simulated_s;
    for (size_t i = 0; i < kCounts; ++i) {
      counts[i].push_back(outcome.counts[i]);
      sums.totals[i] += outcome.counts[i];
    }
    for (size_t i = 0; i < kFaults; ++i) sums.shares[i] += outcome.brought[i];
  }
  sums.failed = sums.failures.size();
  sums.simulated_s_median = Median(std::move(simulated));
  sums.wall_s_median = Median(std::move(walls));
  for (size_t i = 0; i < kCounts; ++i) sums.medians[i] = Median(std::move(counts[i]));
  for (double& share : sums.shares) share /= static_cast<double>(std::max<size_t>(sums.seeds, 1));
  return sums;
}

void Print(const RunnerOptions& options, const Sums& sums) {
  std::printf("seeds %zu, failed %zu, wall %.0f s\n", sums.seeds, sums.failed, sums.wall_s);
  // The failures include seeds whose process ended by a signal without a message.
  for (const uint64_t seed : sums.failures) {
    std::printf("FAILED: %s\n", Again(seed, ProfileOf(seed, options.profile)).c_str());
  }
  std::printf("%-22s %14.1f  median of a seed %.0f s, in %.2f s\n", "simulated hours",
              sums.simulated_s / 3600, sums.simulated_s_median, sums.wall_s_median);
  for (size_t i = 0; i < kCounts; ++i) {
    std::printf("%-22s %14.0f  median of a seed %.0f\n", kCounted[i].name, sums.totals[i],
                sums.medians[i]);
  }
  std::printf("share of seeds with each fault:");
  for (size_t i = 0; i < kFaults; ++i) {
    std::printf(" %s %.0f%%", FaultName(static_cast<Fault>(i)), 100 * sums.shares[i]);
  }
  std::printf("\n");
}

bool WriteJson(const RunnerOptions& options, const Sums& sums) {
  std::ofstream out(options.json);
  out << "{\"profile\": \"" << options.profile << "\", \"first_seed\": " << options.seed
      << ", \"jobs\": " << options.jobs << ", \"seeds\": " << sums.seeds
      << ", \"failed\": " << sums.failed << ", \"wall_s\": " << sums.wall_s
      << ",\n \"simulated_hours\": " << sums.simulated_s / 3600 << ",\n \"totals\": {";
  out.precision(15);
  for (size_t i = 0; i < kCounts; ++i) {
    out << (i == 0 ? "" : ", ") << "\"" << kCounted[i].name << "\": " << sums.totals[i];
  }
  out << "},\n \"medians\": {\"simulated_s\": " << sums.simulated_s_median
      << ", \"wall_s\": " << sums.wall_s_median;
  for (size_t i = 0; i < kCounts; ++i) {
    out << ", \"" << kCounted[i].name << "\": " << sums.medians[i];
  }
  out << "},\n \"fault_shares\": {";
  for (size_t i = 0; i < kFaults; ++i) {
    out << (i == 0 ? "" : ", ") << "\"" << FaultName(static_cast<Fault>(i))
        << "\": " << sums.shares[i];
  }
  out << "},\n \"failures\": [";
  for (size_t i = 0; i < sums.failures.size(); ++i) {
    out << (i == 0 ? "\"" : ", \"")
        << Again(sums.failures[i], ProfileOf(sums.failures[i], options.profile)) << "\"";
  }
  out << "]}\n";
  return out.flush().good();
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

std::string ProfileOf(uint64_t seed, const std::string& profile) {
  if (profile != "mix") return profile;
  constexpr const char* kOf[] = {"storm", "members", "lag",   "swarm", "swarm",
                                 "swarm", "swarm",   "swarm", "swarm", "swarm"};
  return kOf[seed % std::size(kOf)];
}

int RunSeeds(const RunnerOptions& options) {
  if (const Result<Plan> plan = MakePlan(options.seed, ProfileOf(options.seed, options.profile));
      !plan.ok()) {
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
  const Sums sums = SumUp(*shared, Now() - begun);
  Print(options, sums);
  if (!options.json.empty() && !WriteJson(options, sums)) {
    std::fprintf(stderr, "cannot write %s\n", options.json.c_str());
    return 2;
  }
  return sums.failed > 0 || crashed ? 1 : 0;
}

}  // namespace cairn::sim
