#include <CLI/CLI.hpp>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "cmd/commands.h"
#include "tools/audit.h"
#include "tools/cluster_view.h"

namespace cairn::cmd {
namespace {

struct Flags {
  std::string address;  // of the node that is asked
  std::string since;
  std::string anchor;
  bool denied = false;
  bool asked = false;
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
  return status.code() == StatusCode::kInvalidArgument ? kExitUsage : 1;
}

Status List(tools::NodeClient* node, const Flags& flags) {
  tools::AuditOptions options;
  if (flags.denied) options.chain = "denied";
  if (flags.asked) options.chain = "asked";
  if (!flags.since.empty()) {
    ASSIGN_OR_RETURN(options.since_ms, tools::ParseSince(flags.since, SystemClock().WallNowMs()));
  }
  options.mode = *tools::ParseOutputMode(flags.mode);
  options.timeout = std::chrono::milliseconds(flags.timeout_ms);
  return tools::ListAudit(node, options, &std::cout);
}

// The anchors that the flag names: the text itself, or all in a file.
Result<std::vector<tools::AuditAnchor>> AnchorsOf(const std::string& flag) {
  std::vector<tools::AuditAnchor> anchors = tools::AnchorsIn(flag);
  if (flag.empty() || (anchors.size() == 1 && flag.ends_with(anchors.front().head))) return anchors;
  std::ifstream file(flag, std::ios::binary);
  if (!file)
    return InvalidArgument("there is no file " + flag + ", and it is no anchor (ROWS:HASH)");
  anchors = tools::AnchorsIn({std::istreambuf_iterator<char>(file), {}});
  if (anchors.empty()) return InvalidArgument("there is no anchor (ROWS:HASH) in " + flag);
  return anchors;
}

Status Verify(tools::NodeClient* node, const Flags& flags) {
  ASSIGN_OR_RETURN(const std::vector<tools::AuditAnchor> anchors, AnchorsOf(flags.anchor));
  return tools::VerifyAudit(node, anchors, std::chrono::milliseconds(flags.timeout_ms), &std::cout);
}

void AddNode(CLI::App* command, const std::shared_ptr<Flags>& flags) {
  command->add_option("address", flags->address, "host:port of any node of the cluster")
      ->type_name("ADDR")
      ->required();
  command->add_option("--timeout-ms", flags->timeout_ms, "milliseconds that each request may take")
      ->type_name("MS")
      ->check(CLI::Range(1u, 86'400'000u))
      ->capture_default_str();
}

}  // namespace

void AddAuditCommand(CLI::App* program, int* exit_code) {
  auto flags = std::make_shared<Flags>();
  CLI::App* audit = program->add_subcommand(
      "audit", "Show who changed members, rights and settings, and who was refused");
  audit->require_subcommand(1);
  CLI::App* list = audit->add_subcommand("list", "Show what was changed, or who was refused");
  AddNode(list, flags);
  list->add_option("--since", flags->since,
                   "rows from this time on, as 2026-12-01T14:30 (UTC), or of the last 90m, 12h, 7d")
      ->type_name("TIME");
  list->add_flag("--denied", flags->denied, "who was refused, instead of what was changed");
  list->add_flag("--asked", flags->asked,
                 "who asked for a change of members, leadership or level, done or not")
      ->excludes("--denied");
  list->add_option("--mode", flags->mode, "how the table is printed")
      ->check(CLI::IsMember(tools::OutputModes()))
      ->capture_default_str();
  list->callback([=] { *exit_code = Run(*flags, List); });
  CLI::App* verify = audit->add_subcommand(
      "verify", "Check that no row was changed, added or taken out, and print the heads");
  AddNode(verify, flags);
  verify
      ->add_option("--anchor", flags->anchor,
                   "a head that was printed before (ROWS:HASH), or a file that holds some, such "
                   "as a node's log: each must still be in the chain")
      ->type_name("HEAD|FILE");
  verify->callback([=] { *exit_code = Run(*flags, Verify); });
}

}  // namespace cairn::cmd
