#include <unistd.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>

#include "cmd/commands.h"
#include "tools/backup.h"
#include "tools/node_client.h"
#include "tools/server_settings.h"

namespace cairn::cmd {
namespace {

struct Flags {
  std::string addresses;
  std::string file;
  std::string bytes_per_second;
  bool stale = false;
  std::string every;
  size_t keep = 0;
};

Result<tools::BackupCommand> CommandOf(const Flags& flags) {
  tools::BackupCommand command;
  ASSIGN_OR_RETURN(command.addresses, tools::ParseAddresses(flags.addresses));
  command.backup.path = flags.file;
  command.backup.stale = flags.stale;
  if (!flags.bytes_per_second.empty()) {
    ASSIGN_OR_RETURN(command.backup.bytes_per_second_max,
                     tools::ParseBytes(flags.bytes_per_second));
  }
  command.keep = flags.keep;
  if (!flags.every.empty()) {
    ASSIGN_OR_RETURN(command.every, tools::ParseEvery(flags.every));
  }
  std::error_code failed;
  command.in_directory = std::filesystem::is_directory(flags.file, failed);
  if (!command.in_directory && (!flags.every.empty() || flags.keep != 0)) {
    return InvalidArgument("with --every or --keep, FILE is a directory; make " + flags.file +
                           " first");
  }
  return command;
}

int Run(const Flags& flags) {
  const Result<tools::BackupCommand> command = CommandOf(flags);
  if (!command.ok()) {
    std::cerr << "error: " << command.status().message() << std::endl;
    return kExitUsage;
  }
  tools::StopSignals signals;  // first: the client's threads must inherit the block
  return tools::RunBackup(
      *command, &signals,
      {&std::cout, &std::cerr, isatty(STDERR_FILENO) != 0 ? &std::cerr : nullptr});
}

}  // namespace

void AddBackupCommand(CLI::App* program, int* exit_code) {
  CLI::App* command = program->add_subcommand(
      "backup",
      "Copy the database of a running cluster into a SQLite file, with FILE.sha256 beside it");
  auto flags = std::make_shared<Flags>();
  command->add_option("address", flags->addresses, "host:port of any node; several with commas")
      ->type_name("ADDR")
      ->required();
  command
      ->add_option(
          "file", flags->file,
          "the backup; an older one is replaced at the end. A directory: the file in it is "
          "named by its time, such as cairn-20261130T030000Z.db")
      ->type_name("FILE")
      ->required();
  command->add_option("--bytes-per-second", flags->bytes_per_second, "go no faster, such as 20MiB")
      ->type_name("BYTES");
  command->add_flag("--stale", flags->stale,
                    "take what the node holds, for a cluster that has lost its majority");
  command
      ->add_option("--every", flags->every,
                   "go on making backups into a directory, such as every 24h")
      ->type_name("TIME");
  command
      ->add_option("--keep", flags->keep,
                   "of the backups in the directory, so many of the latest stay")
      ->type_name("N")
      ->check(CLI::Range(1, 100'000));
  command->callback([=] { *exit_code = Run(*flags); });
}

}  // namespace cairn::cmd
