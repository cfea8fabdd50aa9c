#include <sys/prctl.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "cmd/commands.h"
#include "tools/process_tls.h"

namespace {

// The chosen command with its place in the tree, such as "cairn member add".
std::pair<const CLI::App*, std::string> Chosen(const CLI::App* program) {
  const CLI::App* at = program;
  std::string name = program->get_name();
  while (!at->get_subcommands().empty()) {
    at = at->get_subcommands().front();
    name += " " + at->get_name();
  }
  return {at, name};
}

std::string InWords(const CLI::App* program, const CLI::Error& error) {
  const auto [at, name] = Chosen(program);
  std::string what = error.what();
  // CLI11 does not name an unknown command, but says that a command is missing.
  const std::vector<std::string> strangers = at->remaining();
  if (!strangers.empty()) {
    std::string kind = at->get_subcommands({}).empty() ? "argument" : "command";
    if (strangers.front().starts_with("-")) kind = "flag";
    what = "unknown " + kind + " '" + strangers.front() + "'";
  }
  return "error: " + what + "\n'" + name + " --help' lists what there is.\n";
}

}  // namespace

int main(int argc, char** argv) {
  // `ps` and `pgrep` show this name, however the program was started.
  prctl(PR_SET_NAME, "cairn");
  cairn::tools::SilenceGrpc();
  CLI::App program{"Cairn: a strongly consistent SQLite, replicated by Raft", "cairn"};
  program.set_version_flag("--version", "cairn " CAIRN_VERSION);
  program.require_subcommand(1);
  program.failure_message(InWords);
  int exit_code = 0;
  cairn::cmd::AddServerCommand(&program, &exit_code);
  cairn::cmd::AddShellCommand(&program, &exit_code);
  cairn::cmd::AddClientCommand(&program, &exit_code);
  cairn::cmd::AddDevCommand(&program, &exit_code);
  cairn::cmd::AddMemberCommand(&program, &exit_code);
  cairn::cmd::AddAccessCommands(&program, &exit_code);
  cairn::cmd::AddAuditCommand(&program, &exit_code);
  cairn::cmd::AddDoctorCommand(&program, &exit_code);
  cairn::cmd::AddWatchCommand(&program, &exit_code);
  cairn::cmd::AddBackupCommand(&program, &exit_code);
  cairn::cmd::AddRestoreCommand(&program, &exit_code);
  cairn::cmd::AddDumpCommand(&program, &exit_code);
  cairn::cmd::AddLoadCommand(&program, &exit_code);
  cairn::cmd::AddCertCommand(&program, &exit_code);
  cairn::cmd::AddTokenCommand(&program, &exit_code);
  cairn::cmd::AddOperationsCommands(&program, &exit_code);
  cairn::cmd::AddConfigCommand(&program, &exit_code);
  cairn::cmd::AddManualCommands(&program, &exit_code);
  cairn::cmd::AddTlsFlags(&program, {"shell", "client", "member", "watch", "backup", "restore",
                                     "dump", "load", "doctor", "grant", "revoke", "access", "audit",
                                     "token", "events", "log-level", "support-bundle"});
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    exit_code = program.exit(error) == 0 ? 0 : cairn::cmd::kExitUsage;
  }
  // A script that reads the output must learn that the output is not complete.
  if (std::cout.flush()) return exit_code;
  std::cerr << "error: cannot write to standard output" << std::endl;
  return exit_code == 0 ? 1 : exit_code;
}
