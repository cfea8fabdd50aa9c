#include <CLI/CLI.hpp>

#include "cmd/commands.h"

int main(int argc, char** argv) {
  CLI::App program{"Cairn: a strongly consistent SQLite, replicated by Raft", "cairn"};
  program.set_version_flag("--version", "cairn " CAIRN_VERSION);
  program.require_subcommand(1);
  int exit_code = 0;
  cairn::cmd::AddServerCommand(&program, &exit_code);
  cairn::cmd::AddShellCommand(&program, &exit_code);
  cairn::cmd::AddClientCommand(&program, &exit_code);
  cairn::cmd::AddDevCommand(&program, &exit_code);
  cairn::cmd::AddMemberCommand(&program, &exit_code);
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return program.exit(error) == 0 ? 0 : cairn::cmd::kExitUsage;
  }
  return exit_code;
}
