#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <optional>
#include <sstream>

#include "cmd/commands.h"
#include "tools/cluster_view.h"
#include "tools/load.h"
#include "tools/scenario.h"

namespace cairn::cmd {
namespace {

constexpr char kDefaultMaster[] = "127.0.0.1:50051";
constexpr char kDefaultSlaves[] = "127.0.0.1:50052,127.0.0.1:50053";
constexpr std::chrono::milliseconds kAskTimeout(3000);

struct Flags {
  std::string scenario = "full";
  std::string mode = "quorum";
  uint32_t pause_before_commit_ms = 0;
  std::string master = kDefaultMaster;
  std::optional<std::string> slaves;
  std::string ledger;
  uint32_t duration_ms = 5'000;
  int writers = 8;
};

// The other nodes that the master names. The master of a cluster at the default addresses may be
// down; the other nodes are known all the same.
Result<std::string> AskForSlaves(const std::string& master) {
  const Result<std::vector<std::string>> others = tools::OtherMembers(master, kAskTimeout);
  if (!others.ok() && master == kDefaultMaster) return std::string(kDefaultSlaves);
  if (!others.ok()) {
    return Status(others.status().code(), "cannot ask " + master + " for the other nodes (" +
                                              others.status().message() +
                                              "); name them with --slave-addrs");
  }
  std::string slaves;
  for (const std::string& address : *others) slaves += (slaves.empty() ? "" : ",") + address;
  return slaves;
}

Result<std::vector<std::string>> Addresses(const Flags& flags) {
  ASSIGN_OR_RETURN(const std::string master, tools::ParseAddress(flags.master));
  std::string slaves;
  if (flags.slaves) {
    slaves = *flags.slaves;
  } else {
    ASSIGN_OR_RETURN(slaves, AskForSlaves(master));
  }
  std::vector<std::string> addresses;
  std::istringstream list(master + "," + slaves);
  for (std::string text; std::getline(list, text, ',');) {
    if (text.empty()) continue;
    Result<std::string> address = tools::ParseAddress(text);
    if (!address.ok()) return address.status();
    if (std::find(addresses.begin(), addresses.end(), *address) != addresses.end()) {
      return InvalidArgument(*address + " is named twice");
    }
    addresses.push_back(*address);
  }
  return addresses;
}

int Report(const std::string& name, const Status& status) {
  if (status.ok()) {
    std::cout << "PASS " << name << std::endl;
    return 0;
  }
  std::cout << "FAIL " << name << ": " << tools::ErrorInWords(status) << std::endl;
  return 1;
}

int Run(const Flags& flags) {
  const bool is_load = flags.scenario == "load" || flags.scenario == "check-load";
  if (is_load && flags.ledger.empty()) {
    std::cerr << "error: --ledger is required" << std::endl;
    return kExitUsage;
  }
  const Result<std::vector<std::string>> addresses = Addresses(flags);
  if (!addresses.ok()) {
    std::cerr << "error: " << addresses.status().message() << std::endl;
    return addresses.status().code() == StatusCode::kInvalidArgument ? kExitUsage : 1;
  }
  if (is_load) {
    tools::LoadOptions options;
    options.addresses = *addresses;
    options.ledger_path = flags.ledger;
    options.duration = std::chrono::milliseconds(flags.duration_ms);
    options.writers = flags.writers;
    const bool writes = flags.scenario == "load";
    return Report(flags.scenario, writes ? tools::RunLoad(options, &std::cout)
                                         : tools::CheckLoad(options, &std::cout));
  }
  tools::ScenarioOptions options;
  options.addresses = *addresses;
  options.mode = flags.mode == "strong" ? tools::CommitMode::kStrong : tools::CommitMode::kQuorum;
  options.pause_before_commit = std::chrono::milliseconds(flags.pause_before_commit_ms);
  return tools::RunScenario(flags.scenario, options, &std::cout);
}

}  // namespace

void AddClientCommand(CLI::App* program, int* exit_code) {
  CLI::App* command = program->add_subcommand(
      "client", "Drive a running cluster through a scenario and judge the result");
  auto flags = std::make_shared<Flags>();
  command
      ->add_option("--scenario", flags->scenario,
                   "full: writes, two-phase commit and comparison of versions on all nodes; "
                   "batch_commit_and_rollback: batches that take effect as a whole or not at all; "
                   "verify-only: the comparison alone; load and check-load: writes that are "
                   "accounted for in a ledger, and its audit")
      ->check(
          CLI::IsMember({"full", "batch_commit_and_rollback", "verify-only", "load", "check-load"}))
      ->capture_default_str();
  command
      ->add_option("--mode", flags->mode,
                   "two-phase commit once a majority holds the transaction (quorum), or only if "
                   "every listed node does (strong)")
      ->check(CLI::IsMember({"quorum", "strong"}))
      ->capture_default_str();
  command
      ->add_option("--pause-before-commit-ms", flags->pause_before_commit_ms,
                   "milliseconds to wait between Prepare and Commit")
      ->type_name("MS")
      ->check(CLI::Range(0u, 600'000u))
      ->capture_default_str();
  command->add_option("--master-addr", flags->master, "the node to prefer")
      ->type_name("URL")
      ->capture_default_str();
  command
      ->add_option("--slave-addrs", flags->slaves,
                   std::string("the other nodes; not given: all other members that the node at "
                               "--master-addr names, or, if the one at ") +
                       kDefaultMaster + " does not answer, " + kDefaultSlaves)
      ->type_name("URL,URL");
  command->add_option("--ledger", flags->ledger, "load, check-load: what became of each write")
      ->type_name("FILE");
  command->add_option("--duration-ms", flags->duration_ms, "load: milliseconds to write for")
      ->type_name("MS")
      ->check(CLI::Range(1u, 3'600'000u))
      ->capture_default_str();
  command->add_option("--writers", flags->writers, "load: writers at once")
      ->type_name("N")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command->callback([=] { *exit_code = Run(*flags); });
}

}  // namespace cairn::cmd
