// What commands share that ask one node of the cluster.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <iostream>
#include <string>

#include "cmd/commands.h"
#include "tools/cluster_view.h"

namespace cairn::cmd {

// ADDR and --timeout-ms. `help` is that of --timeout-ms. The targets outlive the parsing.
inline void AddNodeOptions(CLI::App* command, std::string* address, uint32_t* timeout_ms,
                           const std::string& help) {
  command->add_option("address", *address, "host:port of any node of the cluster")
      ->type_name("ADDR")
      ->required();
  command->add_option("--timeout-ms", *timeout_ms, help)
      ->type_name("MS")
      ->check(CLI::Range(1u, 86'400'000u))
      ->capture_default_str();
}

// Prints an error. The exit code: kExitUsage for what the user must write otherwise.
inline int Report(const Status& status) {
  if (status.ok()) return 0;
  std::cerr << "error: " << tools::ErrorInWords(status) << std::endl;
  return status.code() == StatusCode::kInvalidArgument ? kExitUsage : 1;
}

// Does `action` with the node at `address`, and reports.
inline int RunAtNode(const std::string& address,
                     const std::function<Status(tools::NodeClient*)>& action) {
  const Result<std::string> parsed = tools::ParseAddress(address);
  if (!parsed.ok()) {
    std::cerr << "error: " << parsed.status().message() << std::endl;
    return kExitUsage;
  }
  tools::NodeClient node(*parsed);
  return Report(action(&node));
}

}  // namespace cairn::cmd
