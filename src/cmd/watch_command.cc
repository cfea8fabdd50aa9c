#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cmd/commands.h"
#include "tools/cluster_view.h"
#include "tools/live_query.h"
#include "tools/node_client.h"
#include "tools/retain.h"
#include "tools/watch.h"

namespace cairn::cmd {
namespace {

struct Flags {
  std::string addresses = "127.0.0.1:50051";
  std::vector<std::string> tables;
  std::vector<std::string> operations;
  std::string where;
  std::string from = "now";
  std::optional<std::string> query;
  uint32_t interval_ms = 1000;
  bool json = false;
};

Result<tools::WatchCommand> CommandOf(const Flags& flags) {
  tools::WatchCommand command;
  command.json = flags.json;
  ASSIGN_OR_RETURN(command.addresses, tools::ParseAddresses(flags.addresses));
  WatchFilter filter;
  filter.condition = flags.where;
  for (const std::string& name : flags.operations) {
    const std::optional<ChangeKind> operation = tools::ParseOperation(name);
    if (!operation) return InvalidArgument("--op knows insert, update, delete, schema and points");
    filter.operations.push_back(*operation);
  }
  if (!flags.where.empty() && flags.tables.empty()) {
    return InvalidArgument("--where needs --table: it is about the columns of a table");
  }
  for (const std::string& table : flags.tables) {
    command.watch.filters.push_back(filter);
    command.watch.filters.back().table = table;
  }
  if (flags.tables.empty()) command.watch.filters.push_back(filter);
  if (flags.from == "snapshot") {
    command.watch.from = WatchOptions::From::kSnapshot;
  } else if (flags.from != "now") {
    const std::optional<ChangePosition> after = tools::ParsePosition(flags.from);
    if (!after) return InvalidArgument("--from is now, snapshot, or a position such as 12.3");
    command.watch.from = WatchOptions::From::kPosition;
    command.watch.after = *after;
  }
  return command;
}

int RunQuery(const Flags& flags) {
  tools::LiveQueryCommand command;
  Result<std::vector<std::string>> addresses = tools::ParseAddresses(flags.addresses);
  if (!addresses.ok()) {
    std::cerr << "error: " << addresses.status().message() << std::endl;
    return kExitUsage;
  }
  command.addresses = std::move(addresses).value();
  command.sql = *flags.query;
  command.interval = std::chrono::milliseconds(flags.interval_ms);
  command.json = flags.json;
  command.for_terminal = ::isatty(STDOUT_FILENO) != 0;
  tools::StopSignals signals;  // first: the client's threads must inherit the block
  return tools::RunLiveQuery(command, &signals, &std::cout, &std::cerr);
}

int Run(const Flags& flags) {
  if (flags.query) return RunQuery(flags);
  const Result<tools::WatchCommand> command = CommandOf(flags);
  if (!command.ok()) {
    std::cerr << "error: " << command.status().message() << std::endl;
    return kExitUsage;
  }
  tools::StopSignals signals;  // first: the client's threads must inherit the block
  return tools::RunWatch(*command, &signals, &std::cout, &std::cerr);
}

struct RetainFlags {
  std::string address = "127.0.0.1:50051";
  std::string table;
  std::string age;
  uint64_t bytes_max = 0;
  uint32_t timeout_ms = 10'000;
};

int RunRetain(const RetainFlags& flags) {
  const Result<std::string> address = tools::ParseAddress(flags.address);
  if (!address.ok() || flags.table.empty() != flags.age.empty()) {
    std::cerr << "error: "
              << (address.ok() ? "say for how long, such as 24h, or off"
                               : address.status().message())
              << std::endl;
    return kExitUsage;
  }
  tools::NodeClient node(*address);
  const std::chrono::milliseconds timeout(flags.timeout_ms);
  const Status status = flags.table.empty() ? tools::ListRetained(&node, timeout, &std::cout)
                                            : tools::Retain(&node, flags.table, flags.age,
                                                            flags.bytes_max, timeout, &std::cout);
  if (status.ok()) return 0;
  std::cerr << "error: " << tools::ErrorInWords(status) << std::endl;
  return 1;
}

CLI::App* AddRetainCommand(CLI::App* watch, int* exit_code) {
  CLI::App* command = watch->add_subcommand(
      "retain",
      "Keep the changes of a table in the database, so that a watch can go on from an old "
      "position; without a table: list what is kept");
  auto flags = std::make_shared<RetainFlags>();
  command->add_option("table", flags->table, "whose changes")->type_name("TABLE");
  command->add_option("age", flags->age, "for how long: 90s, 15m, 24h, 7d; off: no longer")
      ->type_name("AGE|off");
  command->add_option("--bytes", flags->bytes_max, "at most so many, such as 256MiB")
      ->type_name("SIZE")
      ->transform(CLI::AsSizeValue(false));
  command->add_option("--node", flags->address, "host:port of any node")
      ->type_name("ADDR")
      ->capture_default_str();
  command->add_option("--timeout-ms", flags->timeout_ms, "milliseconds that the command may take")
      ->type_name("MS")
      ->check(CLI::Range(1u, 86'400'000u))
      ->capture_default_str();
  command->callback([=] { *exit_code = RunRetain(*flags); });
  return command;
}

}  // namespace

void AddWatchCommand(CLI::App* program, int* exit_code) {
  CLI::App* command = program->add_subcommand(
      "watch", "Show changes of the database as they are committed, until it is interrupted");
  auto flags = std::make_shared<Flags>();
  command
      ->add_option("addresses", flags->addresses,
                   "host:port of nodes; if one fails, the watch goes on at the next")
      ->type_name("ADDR[,ADDR]")
      ->capture_default_str();
  CLI::Option* const table =
      command->add_option("--table", flags->tables, "only this table; may be given several times")
          ->type_name("NAME")
          ->expected(1)
          ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  CLI::Option* const op = command
                              ->add_option("--op", flags->operations,
                                           "only these of insert, update, delete, schema, points")
                              ->type_name("OP[,OP]")
                              ->delimiter(',');
  CLI::Option* const where =
      command
          ->add_option(
              "--where", flags->where,
              "only rows that fulfil this condition; of an update, the old row or the new one")
          ->type_name("SQL");
  CLI::Option* const from =
      command
          ->add_option("--from", flags->from,
                       "now; snapshot: first all rows; or the position to go on after")
          ->type_name("now|snapshot|INDEX.ORDINAL")
          ->capture_default_str();
  CLI::Option* const query =
      command
          ->add_option("--query", flags->query,
                       "the result of this query, and again whenever a table that it reads changes")
          ->type_name("SQL");
  for (CLI::Option* const other : {table, op, where, from}) query->excludes(other);
  command
      ->add_option("--interval-ms", flags->interval_ms,
                   "milliseconds between two results of --query, at least")
      ->type_name("MS")
      ->check(CLI::Range(50u, 3'600'000u))
      ->capture_default_str()
      ->needs(query);
  command->add_flag("--json", flags->json, "one JSON object on each line");
  const CLI::App* const retain = AddRetainCommand(command, exit_code);
  command->callback([=] {
    if (!command->got_subcommand(retain)) *exit_code = Run(*flags);
  });
}

}  // namespace cairn::cmd
