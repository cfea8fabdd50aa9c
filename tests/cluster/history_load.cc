// cairn-history-load: clients that ask a cluster for everything the checkers can judge, and write
// down what they asked and got. Says on standard output, ten times a second, how much was answered
// so far. SIGTERM ends it: every process finishes what it does, then all is read once more, through
// each node.
#include <CLI/CLI.hpp>
#include <iostream>
#include <thread>

#include "tools/stop_signals.h"
#include "workloads.h"

namespace cairn::cluster_test {
namespace {

using SteadyClock = std::chrono::steady_clock;

struct Flags {
  std::vector<std::string> endpoints;
  std::string directory;
  uint64_t seed = 1;
  int processes = 24;
  int rate = 400;         // operations a second, of all processes
  int timeout_ms = 2000;  // half of those who ask one node alone wait a quarter of it
  int final_seconds = 60;
  std::vector<std::string> only;
};

// What makes new tables: asked again until it is answered, since the cluster may still elect.
Status CreateTables(Client* client, const std::vector<NamedWorkload>& workloads) {
  for (const NamedWorkload& each : workloads) {
    for (const std::string& sql : each.workload->Tables()) {
      const auto done = client->Execute({{.sql = sql, .positional = {}, .named = {}}});
      if (!done.ok()) return cairn::Status(done.status()).Prefixed(sql);
    }
  }
  return OkStatus();
}

// Clients of one load.
class Clients {
 public:
  static Result<Clients> Connect(const Flags& flags) {
    Clients out;
    for (const std::string& endpoint : flags.endpoints) {
      ASSIGN_OR_RETURN(std::unique_ptr<Client> patient, ConnectTo({endpoint}, flags.timeout_ms));
      ASSIGN_OR_RETURN(std::unique_ptr<Client> hasty, ConnectTo({endpoint}, flags.timeout_ms / 4));
      out.patient_.push_back(std::move(patient));
      out.hasty_.push_back(std::move(hasty));
    }
    ASSIGN_OR_RETURN(out.any_, ConnectTo(flags.endpoints, flags.timeout_ms));
    return out;
  }

  // Follows the leader.
  Client* any() const { return any_.get(); }
  // Asks this node alone.
  Client* node(size_t number) const { return patient_[number].get(); }
  // One in two processes follows the leader. The others ask one node alone, and half of them do not
  // wait long: so that a node that stands still or is cut off is asked again and again meanwhile,
  // and answers of its old state show.
  Client* OfProcess(int process) const {
    const auto number = static_cast<size_t>(process);
    if (number % 2 == 0) return any();
    const auto& alone = number % 4 == 1 ? patient_ : hasty_;
    return alone[number / 4 % alone.size()].get();
  }

 private:
  static Result<std::unique_ptr<Client>> ConnectTo(std::vector<std::string> endpoints,
                                                   int timeout_ms) {
    ClientOptions options;
    options.pin_endpoint = endpoints.size() == 1;
    options.endpoints = std::move(endpoints);
    options.timeout = std::chrono::milliseconds(timeout_ms);
    return Client::Connect(options);
  }

  std::unique_ptr<Client> any_;
  std::vector<std::unique_ptr<Client>> patient_;
  std::vector<std::unique_ptr<Client>> hasty_;
};

class Load {
 public:
  Load(const Flags& flags, Clients clients, Counts* counts)
      : flags_(flags),
        counts_(*counts),
        workloads_(MakeWorkloads(flags.directory, flags.endpoints, counts)),
        clients_(std::move(clients)) {
    for (const NamedWorkload& each : workloads_) {
      const bool wanted = flags.only.empty() || std::find(flags.only.begin(), flags.only.end(),
                                                          each.name) != flags.only.end();
      if (wanted) drawn_.push_back(each.workload.get());
    }
  }

  Status Setup() { return CreateTables(clients_.any(), workloads_); }

  void Run(tools::StopSignals* signals) {
    std::vector<std::thread> threads;
    threads.reserve(static_cast<size_t>(flags_.processes));
    for (int i = 0; i < flags_.processes; ++i) {
      threads.emplace_back([this, i] { RunProcess(i); });
    }
    do {
      std::cout << counts_.ok << " " << counts_.fail << " " << counts_.info << std::endl;
    } while (!signals->Wait(std::chrono::milliseconds(100)));
    stop_ = true;
    for (std::thread& thread : threads) thread.join();
  }

  // Through each node, so that one that lost or kept back something shows.
  Status ReadAll() {
    const auto until = SteadyClock::now() + std::chrono::seconds(flags_.final_seconds);
    for (size_t node = 0; node < flags_.endpoints.size(); ++node) {
      const auto process = static_cast<int64_t>(1000 + node);
      for (Workload* workload : drawn_) {
        if (!workload->ReadAll(clients_.node(node), process, until)) {
          return DeadlineExceeded("node at " + flags_.endpoints[node] +
                                  " does not answer the closing reads");
        }
      }
    }
    for (NamedWorkload& each : workloads_) {
      if (!each.recorder->Close()) return Internal("cannot write the history " + each.name);
    }
    return OkStatus();
  }

 private:
  void RunProcess(int process) {
    Rng rng(flags_.seed * 1000 + static_cast<uint64_t>(process));
    Client* client = clients_.OfProcess(process);
    const std::chrono::nanoseconds pause =
        std::chrono::nanoseconds(1'000'000'000) * flags_.processes / flags_.rate;
    SteadyClock::time_point next = SteadyClock::now();
    while (!stop_) {
      drawn_[rng.Below(drawn_.size())]->Step(client, &rng, process);
      next = std::max(next + pause, SteadyClock::now());
      std::this_thread::sleep_until(next);
    }
  }

  const Flags& flags_;
  Counts& counts_;
  std::vector<NamedWorkload> workloads_;
  std::vector<Workload*> drawn_;
  Clients clients_;
  std::atomic<bool> stop_{false};
};

Status Run(const Flags& flags) {
  tools::StopSignals signals;  // before there is any thread
  ASSIGN_OR_RETURN(Clients clients, Clients::Connect(flags));
  Counts counts;
  Load load(flags, std::move(clients), &counts);
  RETURN_IF_ERROR(load.Setup());
  load.Run(&signals);
  RETURN_IF_ERROR(load.ReadAll());
  std::cout << counts.ok << " " << counts.fail << " " << counts.info << " done" << std::endl;
  return OkStatus();
}

}  // namespace
}  // namespace cairn::cluster_test

int main(int argc, char** argv) {
  cairn::cluster_test::Flags flags;
  CLI::App app{"Asks a cluster for what the checkers of histories judge, and records it"};
  app.add_option("--endpoints", flags.endpoints, "host:port of all nodes")
      ->delimiter(',')
      ->required();
  app.add_option("--directory", flags.directory, "where the histories go")->required();
  app.add_option("--seed", flags.seed, "of what is asked");
  app.add_option("--processes", flags.processes, "clients that do one thing at a time");
  app.add_option("--rate", flags.rate, "operations a second at most");
  app.add_option("--timeout-ms", flags.timeout_ms, "of each operation");
  app.add_option("--final-seconds", flags.final_seconds, "that the closing reads may take");
  app.add_option("--only", flags.only, "these workloads alone")->delimiter(',');
  CLI11_PARSE(app, argc, argv);
  const cairn::Status status = cairn::cluster_test::Run(flags);
  if (status.ok()) return 0;
  std::cerr << "error: " << status << std::endl;
  return 1;
}
