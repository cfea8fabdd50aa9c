#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>

#include "base/text.h"
#include "cmd/commands.h"
#include "tools/cluster_view.h"
#include "tools/load_data.h"

namespace cairn::cmd {
namespace {

struct Flags {
  std::string addresses;
  std::string format;
  tools::LoadRequest request;
};

Result<std::vector<std::string>> AddressesOf(const std::string& text) {
  std::vector<std::string> addresses;
  std::istringstream list(text);
  for (std::string one; std::getline(list, one, ',');) {
    ASSIGN_OR_RETURN(std::string address, tools::ParseAddress(one));
    addresses.push_back(std::move(address));
  }
  return addresses;
}

int Run(Flags* flags) {
  Result<std::vector<std::string>> addresses = AddressesOf(flags->addresses);
  if (!addresses.ok()) {
    std::cerr << "error: " << addresses.status().message() << std::endl;
    return kExitUsage;
  }
  flags->request.addresses = *std::move(addresses);
  flags->request.format = tools::ParseLoadFormat(flags->format);
  if (isatty(STDERR_FILENO) != 0) flags->request.terminal = &std::cerr;
  const Result<tools::BulkLoadResult> loaded = tools::LoadData(flags->request, &std::cerr);
  if (!loaded.ok()) {
    std::cerr << "error: " << tools::ErrorInWords(loaded.status()) << std::endl;
    return 1;
  }
  std::cout << "ok, " << Counted(loaded->rows, "row") << " of " << Counted(loaded->tables, "table")
            << " by " << Counted(loaded->commands, "command") << std::endl;
  if (std::cout) return 0;
  std::cerr << "error: the rows are loaded, but standard output cannot be written to" << std::endl;
  return 1;
}

}  // namespace

void AddLoadCommand(CLI::App* program, int* exit_code) {
  CLI::App* command = program->add_subcommand(
      "load", "Load a dump, a file of SQLite, CSV or JSON lines into the database");
  auto flags = std::make_shared<Flags>();
  command->add_option("addresses", flags->addresses, "host:port of nodes")
      ->type_name("ADDR[,ADDR]")
      ->required();
  command->add_option("file", flags->request.path, "the file; -: standard input")
      ->type_name("FILE")
      ->required();
  command
      ->add_option("--format", flags->format, "sql, sqlite, csv or jsonl; not given: by the file")
      ->check(CLI::IsMember({"sql", "sqlite", "csv", "jsonl"}));
  command->add_option("--table", flags->request.table, "the table of CSV and JSON lines")
      ->type_name("NAME");
  command
      ->add_option("--skip", flags->request.skip,
                   "leave out so many rows at the start of CSV or "
                   "JSON lines")
      ->type_name("N");
  command->add_flag("--resume", flags->request.resume,
                    "rows for tables of the cluster, more than 64 MiB: by many commands, "
                    "not all or nothing; run it again to go on after a failure");
  command->add_flag("--unchecked", flags->request.unchecked,
                    "new tables may have rows that violate their foreign keys");
  command->callback([=] { *exit_code = Run(flags.get()); });
}

}  // namespace cairn::cmd
