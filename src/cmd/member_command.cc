#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <thread>

#include "cmd/commands.h"
#include "tools/cluster_view.h"
#include "tools/member.h"
#include "tools/stop_signals.h"

namespace cairn::cmd {
namespace {

using Kind = v1::ChangeMembershipRequest;

struct Flags {
  std::string address;       // of the node that is asked
  uint64_t node_id = 0;      // the node that the change is about
  std::string node_address;  // of the added or replacing node
  uint32_t timeout_ms = std::chrono::milliseconds(tools::kAsLongAsItTakes).count();
  std::string mode = "auto";
};

using Action = std::function<Status(tools::NodeClient*, const Flags&)>;

int Run(const Flags& flags, const Action& action) {
  const Result<std::string> address = tools::ParseAddress(flags.address);
  if (!address.ok()) {
    std::cerr << "error: " << address.status().message() << std::endl;
    return kExitUsage;
  }
  tools::StopSignals signals;  // first: the threads of the node's client must inherit the block
  tools::NodeClient node(*address);
  std::atomic<int> stopped_by = 0;
  std::thread stopper([&] {
    while (const std::optional<int> signal = signals.Wait()) {
      // The call under way says what became of it, unless the signal comes twice.
      if (stopped_by.exchange(*signal) != 0 || !node.Cancel()) {
        std::cerr << "error: interrupted; the change may still be made: see 'cairn member list'"
                  << std::endl;
        std::_Exit(128 + *signal);
      }
    }
  });
  const Status status = action(&node, flags);
  signals.Cancel();
  stopper.join();
  if (status.ok()) return 0;
  std::cerr << "error: " << tools::ErrorInWords(status) << std::endl;
  return stopped_by != 0 ? 128 + stopped_by : 1;
}

CLI::App* AddAction(CLI::App* member, const std::string& name, const std::string& help,
                    const std::shared_ptr<Flags>& flags, int* exit_code, const Action& action) {
  CLI::App* command = member->add_subcommand(name, help);
  command->add_option("address", flags->address, "host:port of any node of the cluster")
      ->type_name("ADDR")
      ->required();
  command->add_option("--timeout-ms", flags->timeout_ms, "milliseconds that the command may take")
      ->type_name("MS")
      ->check(CLI::Range(1u, 86'400'000u))
      ->default_str("as long as it takes");
  command->callback([=] { *exit_code = Run(*flags, action); });
  return command;
}

// Null if nobody sees the output.
std::ostream* Terminal() { return isatty(STDOUT_FILENO) != 0 ? &std::cout : nullptr; }

Action Change(v1::ChangeMembershipRequest::Kind kind) {
  return [kind](tools::NodeClient* node, const Flags& flags) {
    return tools::ChangeMember(node, kind, flags.node_id, flags.node_address,
                               std::chrono::milliseconds(flags.timeout_ms), &std::cout, Terminal());
  };
}

void AddNodeId(CLI::App* command, const std::shared_ptr<Flags>& flags, const std::string& help) {
  command->add_option("id", flags->node_id, help)
      ->type_name("ID")
      ->check(CLI::Range(1, 1'000'000))
      ->required();
}

void AddNodeAddress(CLI::App* command, const std::shared_ptr<Flags>& flags) {
  command->add_option("node_address", flags->node_address, "host:port where the node serves")
      ->type_name("HOST:PORT")
      ->required();
}

}  // namespace

void AddMemberCommand(CLI::App* program, int* exit_code) {
  CLI::App* member =
      program->add_subcommand("member", "Show and change who belongs to the cluster");
  member->require_subcommand(1);
  auto flags = std::make_shared<Flags>();

  CLI::App* list =
      AddAction(member, "list", "Show all nodes, each as it sees itself", flags, exit_code,
                [](tools::NodeClient* node, const Flags& given) {
                  return tools::ListMembers(
                      node, *tools::ParseOutputMode(given.mode),
                      std::chrono::milliseconds(std::min(given.timeout_ms, 2'000u)), &std::cout);
                });
  list->add_option("--mode", flags->mode, "how the table is printed")
      ->check(CLI::IsMember(tools::OutputModes()))
      ->capture_default_str();

  CLI::App* add =
      AddAction(member, "add", "Add an empty node: it learns first and votes once it has caught up",
                flags, exit_code, Change(Kind::KIND_ADD));
  AddNodeId(add, flags, "number of the new node");
  AddNodeAddress(add, flags);

  CLI::App* remove =
      AddAction(member, "remove", "Remove a node", flags, exit_code, Change(Kind::KIND_REMOVE));
  AddNodeId(remove, flags, "number of the node");

  CLI::App* replace = AddAction(
      member, "replace",
      "Record the new address of a node that has moved, or put an empty node in the place "
      "of one that lost its disk",
      flags, exit_code, Change(Kind::KIND_REPLACE));
  AddNodeId(replace, flags, "number of the node, which does not change");
  AddNodeAddress(replace, flags);

  AddAction(
      member, "upgrade",
      "Raise the cluster to the feature level of its build, once all nodes run that build; there "
      "is no way back",
      flags, exit_code, [](tools::NodeClient* node, const Flags& given) {
        return tools::UpgradeCluster(node, std::chrono::milliseconds(given.timeout_ms), &std::cout,
                                     Terminal());
      });

  CLI::App* transfer =
      AddAction(member, "transfer", "Hand leadership to another node", flags, exit_code,
                [](tools::NodeClient* node, const Flags& given) {
                  return tools::TransferLeadership(node, given.node_id,
                                                   std::chrono::milliseconds(given.timeout_ms),
                                                   &std::cout, Terminal());
                });
  transfer
      ->add_option("id", flags->node_id,
                   "number of the node (without it: the voter that has caught up best)")
      ->type_name("ID");
}

}  // namespace cairn::cmd
