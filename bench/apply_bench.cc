// The cost of apply, compared with plain SQLite that does the same inserts in one transaction on
// one core.

#include <benchmark/benchmark.h>
#include <sqlite3.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "state_machine/command.h"
#include "state_machine/sqlite/sqlite_state_machine.h"

namespace cairn::state_machine {
namespace {

constexpr char kCreate[] = "CREATE TABLE t(id INTEGER PRIMARY KEY, a INTEGER, b TEXT)";
constexpr char kInsert[] = "INSERT INTO t(a, b) VALUES(?1, ?2)";
constexpr int64_t kCommandsPerEntry = 250;

class Directory {
 public:
  Directory() {
    std::string name = (std::filesystem::temp_directory_path() / "cairn-bench-XXXXXX").string();
    CHECK(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

raft::Entry MakeEntry(uint64_t index, const std::vector<Command>& commands) {
  std::vector<std::string> encoded;
  encoded.reserve(commands.size());
  for (const Command& command : commands) encoded.push_back(EncodeCommand(command));
  auto payload = std::make_shared<std::string>();
  EncodeBatch({1'700'000'000'000, index, index, 100'000'000}, encoded, payload.get());
  return {Term(1), LogIndex(index), raft::EntryType::kNormal, payload};
}

class Machine {
 public:
  Machine() {
    SqliteOptions options;
    options.path = directory_ / "bench.db";
    options.snapshot_directory = directory_ / "snapshot";
    auto opened = OpenSqliteStateMachine(options, {});
    CHECK(opened.ok()) << opened.status().ToString();
    machine_ = std::move(opened).value();
    Apply({MakeEntry(1, {ExecuteCommand(kCreate)})});
  }
  static Command ExecuteCommand(std::string sql) {
    Command command;
    command.operation = Execute{{{std::move(sql), {}, {}}}};
    return command;
  }
  void Apply(const std::vector<raft::Entry>& entries) {
    const Status status = machine_->Apply(entries, {}, {}, [](const EntryResults& each) {
      for (const CommandResult& result : each.results) {
        CHECK(result.status.ok()) << result.status.ToString();
      }
    });
    CHECK(status.ok()) << status.ToString();
  }
  uint64_t next() const { return machine_->applied_index().value() + 1; }
  void Checkpoint() { CHECK(machine_->Checkpoint().ok()); }

 private:
  Directory directory_;
  std::unique_ptr<StateMachine> machine_;
};

// Small commands of many sessions. Each command acknowledges the answers its session has, as
// clients with requests in flight do.
void ApplySmallCommands(benchmark::State& state) {
  Machine machine;
  const auto sessions = static_cast<uint64_t>(state.range(0));
  uint64_t sent = 0;
  for (auto _ : state) {
    state.PauseTiming();
    machine.Checkpoint();
    std::vector<raft::Entry> entries;
    for (int entry = 0; entry < 16; ++entry) {
      std::vector<Command> commands;
      for (int64_t i = 0; i < kCommandsPerEntry; ++i, ++sent) {
        Command command;
        command.operation =
            Execute{{{kInsert, {static_cast<int64_t>(sent), "value of the row"}, {}}}};
        if (sessions > 0) {
          command.id = {"session-" + std::to_string(sent % sessions), sent / sessions + 1};
          command.acknowledged_below = command.id.sequence;
        }
        commands.push_back(std::move(command));
      }
      entries.push_back(MakeEntry(machine.next() + entries.size(), commands));
    }
    state.ResumeTiming();
    machine.Apply(entries);
  }
  state.SetItemsProcessed(static_cast<int64_t>(sent));
}
BENCHMARK(ApplySmallCommands)->Arg(0)->Arg(64)->Arg(256)->Unit(benchmark::kMillisecond);

void ApplyThousandRowStatements(benchmark::State& state) {
  Machine machine;
  int64_t rows = 0;
  for (auto _ : state) {
    state.PauseTiming();
    machine.Checkpoint();
    std::vector<raft::Entry> entries;
    for (int entry = 0; entry < 8; ++entry) {
      std::string sql = "INSERT INTO t(a, b) VALUES";
      for (int i = 0; i < 1000; ++i, ++rows) {
        sql += (i == 0 ? "(" : ",(") + std::to_string(rows) + ",'value of the row')";
      }
      entries.push_back(
          MakeEntry(machine.next() + entries.size(), {Machine::ExecuteCommand(std::move(sql))}));
    }
    state.ResumeTiming();
    machine.Apply(entries);
  }
  state.SetItemsProcessed(rows);
}
BENCHMARK(ApplyThousandRowStatements)->Unit(benchmark::kMillisecond);

void PlainSqlite(benchmark::State& state) {
  Directory directory;
  sqlite3* db = nullptr;
  CHECK(sqlite3_open((directory / "plain.db").c_str(), &db) == SQLITE_OK);
  sqlite3_exec(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL", nullptr, nullptr, nullptr);
  sqlite3_exec(db, kCreate, nullptr, nullptr, nullptr);
  sqlite3_stmt* insert = nullptr;
  CHECK(sqlite3_prepare_v2(db, kInsert, -1, &insert, nullptr) == SQLITE_OK);
  int64_t rows = 0;
  for (auto _ : state) {
    sqlite3_exec(db, "BEGIN", nullptr, nullptr, nullptr);
    for (int i = 0; i < 4000; ++i, ++rows) {
      sqlite3_bind_int64(insert, 1, rows);
      sqlite3_bind_text(insert, 2, "value of the row", -1, SQLITE_STATIC);
      CHECK(sqlite3_step(insert) == SQLITE_DONE);
      sqlite3_reset(insert);
    }
    sqlite3_exec(db, "COMMIT", nullptr, nullptr, nullptr);
  }
  sqlite3_finalize(insert);
  sqlite3_close(db);
  state.SetItemsProcessed(rows);
}
BENCHMARK(PlainSqlite)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace cairn::state_machine

BENCHMARK_MAIN();
