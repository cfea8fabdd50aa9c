#include <CLI/CLI.hpp>
#include <functional>
#include <iostream>
#include <memory>
#include <string>

#include "base/clock.h"
#include "cmd/commands.h"
#include "cmd/node_command.h"
#include "tools/cluster_view.h"
#include "tools/token.h"

namespace cairn::cmd {
namespace {

struct Flags {
  std::string address;  // of the node that is asked
  std::string file;
  std::string key_file;
  std::string name;
  std::string principal;
  std::string mode = "auto";
  uint32_t timeout_ms = 10'000;
  tools::TokenRequest request;
  std::chrono::milliseconds timeout() const { return std::chrono::milliseconds(timeout_ms); }
};
using FlagsPtr = std::shared_ptr<Flags>;

// A command that asks a node.
CLI::App* AddAsking(CLI::App* token, const std::string& name, const std::string& help,
                    const FlagsPtr& flags, int* exit_code,
                    const std::function<Status(tools::NodeClient*, const Flags&)>& action) {
  CLI::App* command = token->add_subcommand(name, help);
  AddNodeOptions(command, &flags->address, &flags->timeout_ms,
                 "milliseconds that the command may take");
  command->callback([=] {
    *exit_code = RunAtNode(flags->address, [&](auto* node) { return action(node, *flags); });
  });
  return command;
}

void AddIssue(CLI::App* token, const FlagsPtr& flags, int* exit_code) {
  CLI::App* issue = token->add_subcommand("issue", "Make a token, without a node");
  tools::TokenRequest& request = flags->request;
  issue->add_option("--key", request.key_file, "the private key, as 'cairn token keygen' made it")
      ->type_name("FILE")
      ->required();
  issue
      ->add_option("--id", request.key,
                   "the name under which nodes trust the key; without it the name of FILE")
      ->type_name("NAME");
  issue
      ->add_option("--cluster", request.cluster,
                   "id of the cluster (the file 'cluster' of the site's authority; .status)")
      ->type_name("ID")
      ->required();
  issue->add_option("--name", request.principal, "the principal, as in 'cairn grant'")
      ->type_name("PRINCIPAL")
      ->required();
  issue
      ->add_option("--role", request.role,
                   "a role or a privilege: the token can do what the principal was granted and "
                   "this role may do")
      ->type_name("ROLE")
      ->check(CLI::IsMember({"admin", "operator", "writer", "reader", "monitor", "edge", "hub",
                             "read", "write", "schema", "watch", "backup", "restore", "membership",
                             "security", "status"}));
  request.ttl = "30d";
  issue->add_option("--ttl", request.ttl, "how long it counts: 30d, 12h, 90m, 60s; at most 366d")
      ->type_name("TIME")
      ->capture_default_str();
  issue
      ->add_option("--out", request.out,
                   "the file that is made (0600); without it the token is printed")
      ->type_name("OUT");
  issue->callback(
      [=] { *exit_code = Report(tools::IssueToken(flags->request, SystemClock(), &std::cout)); });
}

void AddFiles(CLI::App* token, const FlagsPtr& flags, int* exit_code) {
  CLI::App* keygen = token->add_subcommand("keygen", "Make a key that signs tokens");
  keygen->add_option("file", flags->file, "the private key; the public one is FILE.pub")
      ->type_name("FILE")
      ->required();
  keygen->callback([=] { *exit_code = Report(tools::MakeTokenKey(flags->file, &std::cout)); });

  CLI::App* inspect = token->add_subcommand("inspect", "Show what a token says");
  inspect->add_option("file", flags->file, "the token; without it standard input")
      ->type_name("FILE");
  inspect->add_option("--key", flags->key_file, "the public key that it shall be signed by")
      ->type_name("FILE.pub");
  inspect->callback([=] {
    *exit_code =
        Report(tools::InspectToken(flags->file, flags->key_file, SystemClock(), &std::cout));
  });
}

void AddKeys(CLI::App* token, const FlagsPtr& flags, int* exit_code) {
  CLI::App* trust = AddAsking(token, "trust", "Let the cluster believe the tokens that a key signs",
                              flags, exit_code, [](tools::NodeClient* node, const Flags& given) {
                                return tools::TrustTokenKey(node, given.key_file, given.name,
                                                            given.timeout(), &std::cout);
                              });
  trust->add_option("key", flags->key_file, "the public key")->type_name("FILE.pub")->required();
  trust->add_option("--id", flags->name, "a name for the key, which its tokens have")
      ->type_name("NAME")
      ->required();

  CLI::App* distrust =
      AddAsking(token, "distrust", "Believe no token of a key any more", flags, exit_code,
                [](tools::NodeClient* node, const Flags& given) {
                  return tools::ChangeTokens(node, v1::AccessChange::KIND_DISTRUST_KEY, given.name,
                                             given.timeout(), &std::cout);
                });
  distrust->add_option("id", flags->name, "the name of the key")->type_name("NAME")->required();

  CLI::App* revoke = AddAsking(
      token, "revoke", "Revoke one token, or all of a principal that were issued until now", flags,
      exit_code, [](tools::NodeClient* node, const Flags& given) {
        const bool one = !given.name.empty();
        if (one != given.principal.empty()) {
          return InvalidArgument("name either a token (--token) or a principal (--name)");
        }
        return tools::ChangeTokens(
            node, one ? v1::AccessChange::KIND_REVOKE_TOKEN : v1::AccessChange::KIND_REVOKE_TOKENS,
            one ? given.name : given.principal, given.timeout(), &std::cout);
      });
  revoke->add_option("--token", flags->name, "the id of the token (cairn token inspect)")
      ->type_name("ID");
  revoke->add_option("--name", flags->principal, "the principal")->type_name("PRINCIPAL");

  CLI::App* keys =
      AddAsking(token, "keys", "Show the keys that are trusted, and the revocations", flags,
                exit_code, [](tools::NodeClient* node, const Flags& given) {
                  return tools::ListTokenRules(node, *tools::ParseOutputMode(given.mode),
                                               given.timeout(), &std::cout);
                });
  keys->add_option("--mode", flags->mode, "how the table is printed")
      ->check(CLI::IsMember(tools::OutputModes()))
      ->capture_default_str();
}

}  // namespace

void AddTokenCommand(CLI::App* program, int* exit_code) {
  CLI::App* token = program->add_subcommand(
      "token", "Make tokens for clients without a certificate, and say which keys may sign them");
  token->require_subcommand(1);
  auto flags = std::make_shared<Flags>();
  AddFiles(token, flags, exit_code);
  AddIssue(token, flags, exit_code);
  AddKeys(token, flags, exit_code);
}

}  // namespace cairn::cmd
