#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <optional>

#include "cmd/commands.h"
#include "tools/shell.h"

namespace cairn::cmd {
namespace {

struct Flags {
  std::string address = "127.0.0.1:50051";
  std::string mode = "auto";
  uint32_t timeout_ms = std::chrono::milliseconds(tools::kAsLongAsItTakes).count();
  bool maintenance = false;
  std::optional<bool> headers;
  std::vector<std::string> commands;
};

int Run(const Flags& flags) {
  const Result<std::string> address = tools::ParseAddress(flags.address);
  if (!address.ok()) {
    std::fprintf(stderr, "error: %s\n", address.status().message().c_str());
    return kExitUsage;
  }
  tools::ShellOptions options;
  options.address = *address;
  options.shell.style.mode = *tools::ParseOutputMode(flags.mode);
  // A program that asks for CSV by the flag wants the names; .mode csv is as in SQLite's shell.
  if (options.shell.style.mode == tools::OutputMode::kCsv) options.shell.style.headers = true;
  if (flags.headers) options.shell.style.headers = *flags.headers;
  options.shell.timeout = std::chrono::milliseconds(flags.timeout_ms);
  options.shell.maintenance = flags.maintenance;
  options.commands = flags.commands;
  return tools::RunShell(options);
}

}  // namespace

void AddShellCommand(CLI::App* program, int* exit_code) {
  CLI::App* command = program->add_subcommand("shell", "Run SQL on a node, typed or from a pipe");
  auto flags = std::make_shared<Flags>();
  command->add_option("address", flags->address, "host:port of any node")
      ->type_name("ADDR")
      ->capture_default_str();
  command
      ->add_option("-c,--command", flags->commands,
                   "run these statements instead of standard input")
      ->type_name("TEXT")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--mode", flags->mode, "how results are printed")
      ->check(CLI::IsMember(tools::OutputModes()))
      ->capture_default_str();
  command->add_flag(
      "--header,!--noheader", [flags](int64_t count) { flags->headers = count > 0; },
      "print the names of columns, or leave them out, in csv, list and column");
  command->add_option("--timeout-ms", flags->timeout_ms, "milliseconds that a statement may take")
      ->type_name("MS")
      ->check(CLI::Range(1u, 86'400'000u))
      ->default_str("as long as it takes");
  command->add_flag(
      "--maintenance", flags->maintenance,
      "writes ask for the larger budget of maintenance, which one request has at a time");
  command->callback([=] { *exit_code = Run(*flags); });
}

}  // namespace cairn::cmd
