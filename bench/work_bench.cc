// How long apply takes for the work that one budget allows, for each kind of work.
//
// A budget counts steps, and the target is about two seconds for one budget whatever the SQL. Each line
// runs one statement, and shows the time that a whole budget of such work takes. A line far above the
// others names work whose price is too low (src/state_machine/sqlite/work_budget.h).

#include <sys/stat.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/check.h"
#include "state_machine/command.h"
#include "state_machine/feature_level.h"
#include "state_machine/sqlite/sqlite_state_machine.h"

namespace cairn::state_machine {
namespace {

constexpr uint64_t kBudget = 50'000'000;  // as shipped

struct Work {
  const char* name;
  std::vector<std::string> prepare;
  const char* sql;
  const char* fill = nullptr;  // run `fills` times before
  int fills = 0;
};

constexpr char kLongRows[] =
    "INSERT INTO t SELECT hex(zeroblob(1900)) || (i * 7919 % 1000003) FROM n LIMIT 5000";

// Numbers without end, to select from.
constexpr char kNumbers[] = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) ";

const Work kWorks[] = {
    {"steps alone", {"CREATE TABLE t(a)"}, "INSERT INTO t SELECT count(*) FROM n"},
    {"rows of 20 bytes", {"CREATE TABLE t(a)"}, "INSERT INTO t SELECT i FROM n"},
    {"rows of 100 bytes", {"CREATE TABLE t(a)"}, "INSERT INTO t SELECT printf('%0100d', i) FROM n"},
    {"rows of 1,000 bytes",
     {"CREATE TABLE t(a)"},
     "INSERT INTO t SELECT hex(zeroblob(495)) || (i % 10000000) FROM n"},
    {"rows of 4,000 bytes",
     {"CREATE TABLE t(a)"},
     "INSERT INTO t SELECT hex(zeroblob(1900)) || (i % 10000000) FROM n"},
    {"rows of 2,100 bytes",
     {"CREATE TABLE t(a)"},
     "INSERT INTO t SELECT hex(zeroblob(1050)) || (i % 10000000) FROM n"},
    {"keys of 10 bytes, ordered",
     {"CREATE TABLE t(a)", "CREATE INDEX k ON t(a)"},
     "INSERT INTO t SELECT i FROM n"},
    {"keys of 10 bytes, random",
     {"CREATE TABLE t(a)", "CREATE INDEX k ON t(a)"},
     "INSERT INTO t SELECT i * 7919 % 1000003 FROM n"},
    {"keys of 100 bytes, random",
     {"CREATE TABLE t(a)", "CREATE INDEX k ON t(a)"},
     "INSERT INTO t SELECT printf('%0100d', i * 7919 % 1000003) FROM n"},
    {"keys of 400 bytes, random",
     {"CREATE TABLE t(a)", "CREATE INDEX k ON t(a)"},
     "INSERT INTO t SELECT hex(zeroblob(195)) || (i * 7919 % 1000003) FROM n"},
    {"keys of 1,000 bytes, random",
     {"CREATE TABLE t(a)", "CREATE INDEX k ON t(a)"},
     "INSERT INTO t SELECT hex(zeroblob(495)) || (i * 7919 % 1000003) FROM n"},
    {"keys of 4,000 bytes, random",
     {"CREATE TABLE t(a)", "CREATE INDEX k ON t(a)"},
     "INSERT INTO t SELECT hex(zeroblob(1900)) || (i * 7919 % 1000003) FROM n"},
    {"keys of 4,000 bytes, random, WITHOUT ROWID",
     {"CREATE TABLE t(a PRIMARY KEY) WITHOUT ROWID"},
     "INSERT OR IGNORE INTO t SELECT hex(zeroblob(1900)) || (i * 7919 % 1000003) FROM n"},
    {"rows of 20 bytes, sorted",
     {"CREATE TABLE t(a)"},
     "INSERT INTO t SELECT a FROM (SELECT i * 7919 % 1000003 AS a FROM n ORDER BY a LIMIT -1 OFFSET"
     " 1) WHERE a < 0"},
    {"rows of 120 bytes, sorted",
     {"CREATE TABLE t(a)"},
     "INSERT INTO t SELECT a FROM (SELECT hex(zeroblob(55)) || (i * 7919 % 1000003) AS a FROM n"
     " ORDER BY a LIMIT -1 OFFSET 1) WHERE a < 0"},
    {"rows of 120 bytes, DISTINCT",
     {"CREATE TABLE t(a)"},
     "INSERT INTO t SELECT count(DISTINCT hex(zeroblob(55)) || (i * 7919 % 1000003)) FROM n"},
    {"rows of 120 bytes, RETURNING",
     {"CREATE TABLE t(a)"},
     "INSERT INTO t SELECT hex(zeroblob(55)) || (i * 7919 % 1000003) FROM n RETURNING 1"},
    {"stored rows of 4,000 bytes, sorted",
     {"CREATE TABLE t(a)", "CREATE TABLE u(a)"},
     "INSERT INTO u SELECT 1 FROM (SELECT a FROM t ORDER BY a LIMIT -1 OFFSET 1) WHERE length(a) < "
     "0",
     kLongRows,
     60},
    {"stored rows of 4,000 bytes, indexed",
     {"CREATE TABLE t(a)"},
     "CREATE INDEX k ON t(a)",
     kLongRows,
     8},
    {"stored rows of 20 bytes, indexed",
     {"CREATE TABLE t(a)"},
     "CREATE INDEX k ON t(a)",
     "INSERT INTO t SELECT i * 7919 % 1000003 FROM n LIMIT 200000",
     3},
    {"stored rows of 100 bytes, indexed",
     {"CREATE TABLE t(a)"},
     "CREATE INDEX k ON t(a)",
     "INSERT INTO t SELECT printf('%0100d', i * 7919 % 1000003) FROM n LIMIT 100000",
     4},
    {"stored rows of 400 bytes, indexed",
     {"CREATE TABLE t(a)"},
     "CREATE INDEX k ON t(a)",
     "INSERT INTO t SELECT printf('%0400d', i * 7919 % 1000003) FROM n LIMIT 40000",
     6},
    {"values of 4,000 bytes, compared",
     {"CREATE TABLE t(a)"},
     "INSERT INTO t SELECT i FROM n WHERE hex(zeroblob(2000)) || i < hex(zeroblob(2000)) || i"},
    {"values of 4,000 bytes, joined",
     {"CREATE TABLE t(a)"},
     "INSERT INTO t SELECT i FROM n WHERE length(hex(zeroblob(1900)) || i || i) < 0"},
    {"rows of 4,000 bytes, deleted", {"CREATE TABLE t(a)"}, "DELETE FROM t", kLongRows, 10},
    {"rows of 4,000 bytes, updated",
     {"CREATE TABLE t(a)"},
     "UPDATE t SET a = a || 'x'",
     kLongRows,
     10},
    {"keys of 4,000 bytes, deleted",
     {"CREATE TABLE t(a)", "CREATE INDEX k ON t(a)"},
     "DELETE FROM t",
     kLongRows,
     20},
    {"keys of 20 bytes, random, of a large table",
     {"CREATE TABLE t(a)", "CREATE INDEX k ON t(a)"},
     "INSERT INTO t SELECT i * 7919 % 1000003 FROM n",
     "INSERT INTO t SELECT i * 7919 % 1000003 FROM n LIMIT 200000",
     15},
};

std::string Directory() {
  std::string name = (std::filesystem::temp_directory_path() / "cairn-bench-XXXXXX").string();
  CHECK(::mkdtemp(name.data()) != nullptr);
  return name;
}

CommandResult Apply(StateMachine* machine, Operation operation) {
  Command command;
  command.operation = std::move(operation);
  const uint64_t index = machine->applied_index().value() + 1;
  auto payload = std::make_shared<std::string>();
  EncodeBatch({1'700'000'000'000, index, index, kBudget}, {EncodeCommand(command)}, payload.get());
  const raft::Entry entry{Term(1), LogIndex(index), raft::EntryType::kNormal, payload};
  CommandResult result;
  const Status status =
      machine->Apply(std::span(&entry, 1), {}, {},
                     [&result](const EntryResults& each) { result = each.results.front(); });
  CHECK(status.ok()) << status.ToString();
  return result;
}

void Run(const Work& work) {
  const std::string directory = Directory();
  SqliteOptions options;
  options.path = directory + "/bench.db";
  options.snapshot_directory = directory + "/snapshot";
  auto opened = OpenSqliteStateMachine(options, {});
  CHECK(opened.ok()) << opened.status().ToString();
  StateMachine* const machine = opened->get();
  CHECK(Apply(machine, RaiseLevel{kLevelHighest}).status.ok());
  for (const std::string& sql : work.prepare) {
    const CommandResult made = Apply(machine, Execute{{{sql, {}, {}}}});
    CHECK(made.status.ok()) << made.status.ToString();
  }
  for (int i = 0; i < work.fills; ++i) {
    const CommandResult filled =
        Apply(machine, Execute{{{kNumbers + std::string(work.fill), {}, {}}}});
    CHECK(filled.status.ok()) << filled.status.ToString();
  }
  CHECK(machine->Checkpoint().ok());
  const std::string sql =
      std::string(work.sql).starts_with("CREATE") ? work.sql : kNumbers + std::string(work.sql);
  const std::clock_t before = std::clock();
  const auto begun = std::chrono::steady_clock::now();
  const CommandResult result = Apply(machine, Execute{{{sql, {}, {}}}});
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  const double cpu = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  struct stat wal {};
  ::stat((options.path + "-wal").c_str(), &wal);
  const double budgets = static_cast<double>(result.steps) / static_cast<double>(kBudget);
  std::printf("%-44s %7.2f s a budget %7.2f s of the processor %6.2f budgets %6.0f MB of WAL  %s\n",
              work.name, seconds / budgets, cpu / budgets, budgets,
              static_cast<double>(wal.st_size) / 1e6,
              result.status.ok() ? "OK" : result.status.message().substr(0, 44).c_str());
  std::fflush(stdout);
  opened->reset();
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace cairn::state_machine

int main(int argc, char** argv) {
  for (const auto& work : cairn::state_machine::kWorks) {
    if (argc > 1 && std::string(work.name).find(argv[1]) == std::string::npos) continue;
    cairn::state_machine::Run(work);
  }
}
