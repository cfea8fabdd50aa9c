#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "cmd/commands.h"
#include "cmd/node_command.h"
#include "tools/audit.h"
#include "tools/cluster_view.h"

namespace cairn::cmd {
namespace {

constexpr char kTimeoutHelp[] = "milliseconds that each request may take";

struct Flags {
  std::string address;  // of the node that is asked
  std::string since;
  std::string anchor;
  bool denied = false;
  bool asked = false;
  std::string mode = "auto";
  uint32_t timeout_ms = 10'000;
};
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

}  // namespace

void AddAuditCommand(CLI::App* program, int* exit_code) {
  auto flags = std::make_shared<Flags>();
  CLI::App* audit = program->add_subcommand(
      "audit", "Show who changed members, rights and settings, and who was refused");
  audit->require_subcommand(1);
  CLI::App* list = audit->add_subcommand("list", "Show what was changed, or who was refused");
  AddNodeOptions(list, &flags->address, &flags->timeout_ms, kTimeoutHelp);
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
  list->callback([=] {
    *exit_code = RunAtNode(flags->address, [&](auto* node) { return List(node, *flags); });
  });
  CLI::App* verify = audit->add_subcommand(
      "verify", "Check that no row was changed, added or taken out, and print the heads");
  AddNodeOptions(verify, &flags->address, &flags->timeout_ms, kTimeoutHelp);
  verify
      ->add_option("--anchor", flags->anchor,
                   "a head that was printed before (ROWS:HASH), or a file that holds some, such "
                   "as a node's log: each must still be in the chain")
      ->type_name("HEAD|FILE");
  verify->callback([=] {
    *exit_code = RunAtNode(flags->address, [&](auto* node) { return Verify(node, *flags); });
  });
}

}  // namespace cairn::cmd
