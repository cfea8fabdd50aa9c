#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>

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
  std::string endpoint;
  std::string region;
  std::string spool;
  bool no_read_back = false;
};

constexpr std::string_view kS3 = "s3://";

std::string FromEnvironment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// "s3://bucket/some/folder". The keys of the storage are in the environment, as
// its other tools have them.
Result<tools::S3TargetOptions> StorageOf(const Flags& flags) {
  tools::S3TargetOptions storage;
  const std::string rest = flags.file.substr(kS3.size());
  const size_t slash = rest.find('/');
  storage.place.bucket = rest.substr(0, slash);
  if (slash != std::string::npos) storage.prefix = rest.substr(slash + 1);
  if (!storage.prefix.empty() && !storage.prefix.ends_with('/')) storage.prefix += '/';
  if (storage.place.bucket.empty()) return InvalidArgument("name the bucket: s3://BUCKET/FOLDER");
  tools::S3Credentials& credentials = storage.place.credentials;
  credentials.access_key = FromEnvironment("AWS_ACCESS_KEY_ID");
  credentials.secret_key = FromEnvironment("AWS_SECRET_ACCESS_KEY");
  credentials.session_token = FromEnvironment("AWS_SESSION_TOKEN");
  if (credentials.access_key.empty() || credentials.secret_key.empty()) {
    return InvalidArgument(
        "the storage needs AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY in the environment");
  }
  credentials.region = flags.region.empty() ? FromEnvironment("AWS_REGION") : flags.region;
  if (credentials.region.empty()) credentials.region = "us-east-1";
  storage.place.endpoint = flags.endpoint.empty()
                               ? "https://s3." + credentials.region + ".amazonaws.com"
                               : flags.endpoint;
  storage.spool = flags.spool.empty() ? FromEnvironment("TMPDIR") : flags.spool;
  if (storage.spool.empty()) storage.spool = "/var/tmp";
  std::error_code failed;
  if (std::filesystem::is_directory(storage.spool, failed)) return storage;
  return InvalidArgument("--spool " + storage.spool + " is not a directory");
}

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
  command.read_back = !flags.no_read_back;
  if (!flags.every.empty()) {
    ASSIGN_OR_RETURN(command.every, tools::ParseEvery(flags.every));
  }
  if (flags.file.starts_with(kS3)) {
    ASSIGN_OR_RETURN(command.s3, StorageOf(flags));
    return command;
  }
  if (!flags.endpoint.empty() || !flags.region.empty() || !flags.spool.empty()) {
    return InvalidArgument("--endpoint, --region and --spool go with s3://BUCKET/FOLDER");
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
  CLI::App* command =
      program->add_subcommand("backup",
                              "Copy the database of a running cluster into a SQLite file, "
                              "with FILE.sha256 beside it");
  auto flags = std::make_shared<Flags>();
  command->add_option("address", flags->addresses, "host:port of any node; several with commas")
      ->type_name("ADDR")
      ->required();
  command
      ->add_option("file", flags->file,
                   "the backup; an older one is replaced at the end. A "
                   "directory: the file in it is "
                   "named by its time, such as cairn-20261130T030000Z.db. "
                   "s3://BUCKET/FOLDER: the same in a "
                   "storage")
      ->type_name("FILE")
      ->required();
  command->add_option("--bytes-per-second", flags->bytes_per_second, "go no faster, such as 20MiB")
      ->type_name("BYTES");
  command->add_flag("--no-read-back", flags->no_read_back,
                    "do not read what was stored again: over a link that is paid for, or with keys "
                    "that may only write");
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
  command
      ->add_option("--endpoint", flags->endpoint,
                   "of a storage that speaks S3, such as https://storage.example:9000")
      ->type_name("URL");
  command->add_option("--region", flags->region, "of the storage")->type_name("NAME");
  command
      ->add_option("--spool", flags->spool,
                   "with s3://: a directory with room for one backup, which is "
                   "sent from there")
      ->type_name("DIR");
  command->callback([=] { *exit_code = Run(*flags); });
}

}  // namespace cairn::cmd
