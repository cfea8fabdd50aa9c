#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "cmd/commands.h"
#include "tools/cluster_view.h"
#include "tools/dump.h"

namespace cairn::cmd {
namespace {

struct Flags {
  std::string address = "127.0.0.1:50051";
  std::vector<std::string> tables;
};

int Run(const Flags& flags) {
  const Result<std::string> address = tools::ParseAddress(flags.address);
  if (!address.ok()) {
    std::cerr << "error: " << address.status().message() << std::endl;
    return kExitUsage;
  }
  tools::NodeClient node(*address);
  const Status status = tools::DumpSql(&node, flags.tables, tools::kAsLongAsItTakes, &std::cout);
  if (!status.ok()) {
    std::cerr << "error: " << tools::ErrorInWords(status) << std::endl;
    return 1;
  }
  if (!std::cout.flush()) {
    std::cerr << "error: the dump cannot be written to standard output" << std::endl;
    return 1;
  }
  return 0;
}

}  // namespace

void AddDumpCommand(CLI::App* program, int* exit_code) {
  CLI::App* command = program->add_subcommand(
      "dump",
      "Print the database, or some tables, as SQL that SQLite and Cairn can read. It is one query, "
      "which a node ends after 60 s, or when the WAL has grown too far meanwhile. `cairn backup` "
      "is "
      "for large databases");
  auto flags = std::make_shared<Flags>();
  command->add_option("address", flags->address, "host:port of any node")
      ->type_name("ADDR")
      ->capture_default_str();
  command->add_option("tables", flags->tables, "names, or patterns as LIKE takes them")
      ->type_name("TABLE");
  command->callback([=] { *exit_code = Run(*flags); });
}

}  // namespace cairn::cmd
