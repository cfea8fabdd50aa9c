#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>
#include <memory>

#include "cmd/commands.h"
#include "tools/cluster_view.h"
#include "tools/doctor.h"

namespace cairn::cmd {
namespace {

struct Flags {
  std::string address;
  uint32_t timeout_ms = 2000;
};

int Run(const Flags& flags) {
  const Result<std::string> address = tools::ParseAddress(flags.address);
  if (!address.ok()) {
    std::cerr << "error: " << address.status().message() << std::endl;
    return kExitUsage;
  }
  tools::NodeClient node(*address);
  const Result<bool> healthy =
      tools::RunDoctor(&node, std::chrono::milliseconds(flags.timeout_ms), &std::cout);
  if (healthy.ok()) return *healthy ? 0 : 1;
  std::cerr << "error: " << *address
            << " does not answer: " << tools::ErrorInWords(healthy.status())
            << "\n    ask another node, or see 'A node does not start' of the runbook" << std::endl;
  return 1;
}

}  // namespace

void AddDoctorCommand(CLI::App* program, int* exit_code) {
  CLI::App* command = program->add_subcommand(
      "doctor",
      "Ask every node of a cluster how it is, and say what to do; status 1 if something is "
      "wrong");
  auto flags = std::make_shared<Flags>();
  command->add_option("address", flags->address, "host:port of any node")
      ->type_name("ADDR")
      ->required();
  command->add_option("--timeout-ms", flags->timeout_ms, "milliseconds to wait for each node")
      ->type_name("MS")
      ->capture_default_str()
      ->check(CLI::Range(1, 60'000));
  command->callback([=] { *exit_code = Run(*flags); });
}

}  // namespace cairn::cmd
