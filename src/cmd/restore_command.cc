#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>

#include "cmd/commands.h"
#include "tools/restore.h"

namespace cairn::cmd {
namespace {

struct Flags {
  server::RestoreOptions restore;
  bool check_only = false;
};

int Run(const Flags& flags) {
  if (flags.restore.db_path.empty() && !flags.check_only) {
    std::cerr << "error: name the database that is made, or give --check" << std::endl;
    return kExitUsage;
  }
  return tools::RunRestore(flags.restore, flags.check_only, &std::cout, &std::cerr);
}

}  // namespace

void AddRestoreCommand(CLI::App* program, int* exit_code) {
  CLI::App* command = program->add_subcommand(
      "restore", "Make a new cluster, of one node at first, from a backup; no node may run on DB");
  auto flags = std::make_shared<Flags>();
  command->add_option("backup", flags->restore.backup, "the backup, with BACKUP.sha256 beside it")
      ->type_name("BACKUP")
      ->required();
  command->add_option("db", flags->restore.db_path, "what 'cairn server --db' will name")
      ->type_name("DB");
  command->add_option("--id", flags->restore.node_id, "number of the node")
      ->type_name("ID")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  command->add_flag("--check", flags->check_only, "only check the backup");
  command->add_flag("--without-checksum", flags->restore.without_checksum,
                    "BACKUP.sha256 is lost: check only the sums inside the database");
  command->callback([=] { *exit_code = Run(*flags); });
}

}  // namespace cairn::cmd
