#include <CLI/CLI.hpp>
#include <functional>
#include <iostream>
#include <memory>
#include <string>

#include "cmd/commands.h"
#include "cmd/node_command.h"
#include "tools/access.h"
#include "tools/cluster_view.h"

namespace cairn::cmd {
namespace {

struct Flags {
  std::string address;  // of the node that is asked
  std::string principal;
  std::string privilege;
  std::string pattern;
  std::string mode = "auto";
  uint32_t timeout_ms = 10'000;
};
using Action = std::function<Status(tools::NodeClient*, const Flags&)>;

int Run(const Flags& flags, const Action& action) {
  const Result<std::string> address = tools::ParseAddress(flags.address);
  if (!address.ok()) {
    std::cerr << "error: " << address.status().message() << std::endl;
    return kExitUsage;
  }
  tools::NodeClient node(*address);
  const Status status = action(&node, flags);
  if (status.ok()) return 0;
  std::cerr << "error: " << tools::ErrorInWords(status) << std::endl;
  return 1;
}

CLI::App* AddAction(CLI::App* program, const std::string& name, const std::string& help,
                    const std::shared_ptr<Flags>& flags, int* exit_code, const Action& action) {
  CLI::App* command = program->add_subcommand(name, help);
  AddNodeOptions(command, &flags->address, &flags->timeout_ms,
                 "milliseconds that the command may take");
  command->callback([=] { *exit_code = Run(*flags, action); });
  return command;
}

void AddGrant(CLI::App* command, const std::shared_ptr<Flags>& flags) {
  command
      ->add_option("principal", flags->principal,
                   "the name in a client's certificate, or * for everybody who has one")
      ->type_name("PRINCIPAL")
      ->required();
  command
      ->add_option("privilege", flags->privilege,
                   "a role (admin, operator, writer, reader, monitor, edge, hub) or a privilege "
                   "(read, write, schema, watch, backup, restore, membership, security, status)")
      ->type_name("ROLE|PRIVILEGE")
      ->required();
  command
      ->add_option("--on", flags->pattern,
                   "of read or write: the tables and views with such names, as log_* (without it: "
                   "all)")
      ->type_name("PATTERN");
}

Action Change(v1::AccessChange::Kind kind) {
  return [kind](tools::NodeClient* node, const Flags& flags) {
    return tools::ChangeAccess(node, kind, flags.principal, flags.privilege, flags.pattern,
                               std::chrono::milliseconds(flags.timeout_ms), &std::cout);
  };
}

}  // namespace

void AddAccessCommands(CLI::App* program, int* exit_code) {
  auto flags = std::make_shared<Flags>();
  AddGrant(AddAction(program, "grant", "Let a principal do something", flags, exit_code,
                     Change(v1::AccessChange::KIND_GRANT)),
           flags);
  AddGrant(AddAction(program, "revoke", "Take back what was granted", flags, exit_code,
                     Change(v1::AccessChange::KIND_REVOKE)),
           flags);
  CLI::App* access =
      AddAction(program, "access", "Show who may do what, and who the caller is", flags, exit_code,
                [](tools::NodeClient* node, const Flags& given) {
                  return tools::ListAccess(node, *tools::ParseOutputMode(given.mode),
                                           std::chrono::milliseconds(given.timeout_ms), &std::cout);
                });
  access->add_option("--mode", flags->mode, "how the table is printed")
      ->check(CLI::IsMember(tools::OutputModes()))
      ->capture_default_str();
}

}  // namespace cairn::cmd
