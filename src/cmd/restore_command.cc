#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cmd/commands.h"
#include "tools/node_client.h"
#include "tools/restore.h"
#include "tools/restore_into.h"
#include "tools/server_settings.h"

namespace cairn::cmd {
namespace {

struct Flags {
  server::RestoreOptions restore;
  std::string into;
  bool yes = false;
  std::string finish;
  std::string abort;
  std::string bytes_per_second;
  bool check_only = false;
};

int RunInto(const Flags& flags) {
  if (!flags.restore.db_path.empty() || flags.check_only) {
    std::cerr << "error: --into goes neither with a database nor with --check" << std::endl;
    return kExitUsage;
  }
  tools::RestoreIntoCommand command;
  command.restore = flags.restore;
  command.confirmed = flags.yes;
  command.finish = flags.finish;
  command.abort = flags.abort;
  Result<std::vector<std::string>> addresses = tools::ParseAddresses(flags.into);
  if (!addresses.ok()) {
    std::cerr << "error: " << addresses.status().message() << std::endl;
    return kExitUsage;
  }
  command.addresses = *std::move(addresses);
  if (!flags.bytes_per_second.empty()) {
    const Result<uint64_t> bytes = tools::ParseBytes(flags.bytes_per_second);
    if (!bytes.ok()) {
      std::cerr << "error: " << bytes.status().message() << std::endl;
      return kExitUsage;
    }
    command.bytes_per_second_max = *bytes;
  }
  tools::StopSignals signals;  // first: the client's threads must inherit the block
  const tools::RestoreIntoStreams streams{&std::cout, &std::cerr,
                                          isatty(STDERR_FILENO) != 0 ? &std::cerr : nullptr,
                                          isatty(STDIN_FILENO) != 0 ? &std::cin : nullptr};
  return flags.abort.empty() ? tools::RunRestoreInto(std::move(command), &signals, streams)
                             : tools::RunAbortOfRestore(command, &signals, streams);
}

int Run(const Flags& flags) {
  if (flags.restore.backup.empty() == flags.abort.empty()) {
    std::cerr << "error: name the backup, or the restore to give up with --abort" << std::endl;
    return kExitUsage;
  }
  if (!flags.abort.empty() && flags.into.empty()) {
    std::cerr << "error: --abort goes with --into" << std::endl;
    return kExitUsage;
  }
  if (!flags.into.empty()) return RunInto(flags);
  if (flags.restore.db_path.empty() && !flags.check_only) {
    std::cerr << "error: name the database that is made, or give --into or --check" << std::endl;
    return kExitUsage;
  }
  return tools::RunRestore(flags.restore, flags.check_only, &std::cout, &std::cerr);
}

}  // namespace

void AddRestoreCommand(CLI::App* program, int* exit_code) {
  CLI::App* command = program->add_subcommand(
      "restore",
      "Make a new cluster, of one node at first, from a backup (no node may run on DB), or replace "
      "the database of a running cluster by it (--into)");
  auto flags = std::make_shared<Flags>();
  command->add_option("backup", flags->restore.backup, "the backup, with BACKUP.sha256 beside it")
      ->type_name("BACKUP");
  command->add_option("db", flags->restore.db_path, "what 'cairn server --db' will name")
      ->type_name("DB");
  command->add_option("--id", flags->restore.node_id, "number of the node")
      ->type_name("ID")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  command
      ->add_option(
          "--into", flags->into,
          "replace the whole database of a running cluster: host:port of any node; several "
          "with commas")
      ->type_name("ADDR");
  command
      ->add_option("--bytes-per-second", flags->bytes_per_second,
                   "with --into: go no faster, such as 20MiB")
      ->type_name("BYTES");
  command->add_flag("--yes", flags->yes, "with --into: do not ask");
  command
      ->add_option("--finish", flags->finish,
                   "with --into: the name of an earlier restore whose outcome is unknown")
      ->type_name("NAME");
  command
      ->add_option("--abort", flags->abort,
                   "with --into, without a backup: give up the restore of this name")
      ->type_name("NAME");
  command->add_flag("--check", flags->check_only, "only check the backup");
  command->add_flag("--without-checksum", flags->restore.without_checksum,
                    "BACKUP.sha256 is lost: check only the sums inside the database");
  command->callback([=] { *exit_code = Run(*flags); });
}

}  // namespace cairn::cmd
