#include "state_machine/sqlite/replicas_test_util.h"

#include <algorithm>

#include "state_machine/sqlite/column_growth.h"
#include "state_machine/sqlite/file_system_vfs.h"

namespace cairn::state_machine {

raft::Configuration TestConfiguration() {
  raft::Configuration config;
  config.voters.insert(MemberId(1));
  config.info[MemberId(1)] = {1, "localhost:1", 7};
  config.next_member_id = 2;
  return config;
}

raft::Entry MakeEntry(LogIndex index, const BatchHeader& header,
                      const std::vector<Command>& commands) {
  std::vector<std::string> encoded;
  encoded.reserve(commands.size());
  for (const Command& command : commands) encoded.push_back(EncodeCommand(command));
  auto payload = std::make_shared<std::string>();
  EncodeBatch(header, encoded, payload.get());
  return {Term(1), index, raft::EntryType::kNormal, payload};
}

namespace {

std::vector<std::string> Encoded(const std::vector<CommandResult>& results) {
  std::vector<std::string> encoded;
  encoded.reserve(results.size());
  for (const CommandResult& each : results) {
    // The steps are no part of the answer, but decide what becomes of the commands behind.
    encoded.push_back(EncodeCommandResult(each) + std::to_string(each.steps));
  }
  return encoded;
}

}  // namespace

std::string DumpFile(const std::string& path, const char* vfs) {
  TestDatabase db(path, "", vfs);
  std::string out;
  const auto rows = [&](const std::string& sql) {
    sqlite3_stmt* stmt = nullptr;
    EXPECT_EQ(sqlite3_prepare_v2(db.handle(), sql.c_str(), -1, &stmt, nullptr), SQLITE_OK)
        << sql << ": " << sqlite3_errmsg(db.handle());
    while (sqlite3_step(stmt) == SQLITE_ROW) {
      for (int i = 0; i < sqlite3_column_count(stmt); ++i) {
        sqlite3_value* const value = sqlite3_column_value(stmt, i);
        out += std::to_string(sqlite3_value_type(value)) + ":";
        const auto* bytes = static_cast<const char*>(sqlite3_value_blob(value));
        out.append(bytes == nullptr ? "" : bytes, static_cast<size_t>(sqlite3_value_bytes(value)));
        out += "|";
      }
      out += "\n";
    }
    sqlite3_finalize(stmt);
  };
  rows("SELECT rowid, type, name, tbl_name, sql FROM sqlite_schema ORDER BY rowid");
  std::vector<std::string> tables;
  AllowFlattening(db.handle(), false);  // the list compiles every view
  sqlite3_stmt* stmt = nullptr;
  sqlite3_prepare_v2(db.handle(),
                     "SELECT name, wr FROM pragma_table_list WHERE type IN ('table', 'shadow')"
                     " AND schema = 'main' ORDER BY name",
                     -1, &stmt, nullptr);
  while (sqlite3_step(stmt) == SQLITE_ROW) {
    const std::string name = reinterpret_cast<const char*>(sqlite3_column_text(stmt, 0));
    const bool without_rowid = sqlite3_column_int(stmt, 1) != 0;
    if (name == "sqlite_schema") continue;
    out += "== " + name + "\n";
    rows((without_rowid ? "SELECT * FROM \"" : "SELECT rowid, * FROM \"") + name + "\"");
  }
  sqlite3_finalize(stmt);
  return out;
}

void TestReplica::Open() {
  SqliteOptions options;
  options.path = path();
  options.snapshot_directory = directory_ / "snapshot";
  options.file_system = files_.get();
  options.clock = clock_;
  Result<std::unique_ptr<StateMachine>> opened =
      OpenSqliteStateMachine(options, TestConfiguration());
  ASSERT_TRUE(opened.ok()) << opened.status();
  machine_ = std::move(opened).value();
}

std::string TestReplica::Dump() {
  if (files_ == nullptr) return DumpFile(path());
  // The state machine has a VFS of its own. Another VFS would not see its locks.
  Close();
  std::string dump;
  {
    FileSystemVfs vfs(*files_, SystemClock(), 1);
    dump = DumpFile(path(), vfs.name());
  }
  Open();
  return dump;
}

std::vector<EntryResults> TestReplica::Apply(std::span<const raft::Entry> entries) {
  std::vector<EntryResults> results;
  const Status status =
      machine_->Apply(entries, TestConfiguration(), LogIndex(),
                      [&](EntryResults each) { results.push_back(std::move(each)); });
  EXPECT_TRUE(status.ok()) << status;
  CheckSums();
  return results;
}

void TestReplica::CheckSums() {
  Result<std::unique_ptr<StateScan>> scan = machine_->BeginScan();
  ASSERT_TRUE(scan.ok()) << scan.status();
  const Result<bool> whole = (*scan)->Scrub(std::chrono::hours(1));
  ASSERT_TRUE(whole.ok()) << "at index " << (*scan)->index().value() << ": " << whole.status();
  EXPECT_TRUE(*whole);
}

CommandResult Replicas::Execute(std::vector<Statement> statements) {
  Command command;
  command.operation = cairn::state_machine::Execute{std::move(statements)};
  return Do(std::move(command));
}

CommandResult Replicas::Must(const std::string& sql, std::vector<Value> values) {
  CommandResult result = Execute(sql, std::move(values));
  EXPECT_TRUE(result.status.ok()) << sql << ": " << result.status;
  return result;
}

void Replicas::Maintain(const std::string& sql) {
  const CommandResult result = Do(MaintenanceCommand(sql));
  EXPECT_TRUE(result.status.ok()) << sql << ": " << result.status;
}

CommandResult Replicas::Do(Command command) {
  std::vector<Command> commands;
  commands.push_back(std::move(command));
  return DoAll(commands).at(0);
}

std::vector<CommandResult> Replicas::DoAll(const std::vector<Command>& commands) {
  header.wall_ms += 1000;
  header.random_seed += 1;
  log_.push_back(MakeEntry(LogIndex(log_.size() + 1), header, commands));
  const std::span<const raft::Entry> entry(&log_.back(), 1);
  results_.push_back(first_.Apply(entry).at(0));
  if (restarts_) {
    restarting_.Restart();
    EXPECT_EQ(Encoded(restarting_.Apply(entry).at(0).results), Encoded(results_.back().results));
  }
  return results_.back().results;
}

std::string Replicas::Query(const std::string& sql) {
  auto view = first_.machine().OpenReadView(std::chrono::seconds(5));
  EXPECT_TRUE(view.ok()) << view.status();
  RowCollector rows;
  const Status status = (*view)->Query({sql, {}, {}}, QueryLimits{}, &rows);
  EXPECT_TRUE(status.ok()) << sql << ": " << status;
  std::string out;
  for (const Row& row : rows.rows) {
    if (!out.empty()) out += ' ';
    for (size_t i = 0; i < row.size(); ++i) {
      if (i > 0) out += '|';
      if (const auto* integer = std::get_if<int64_t>(&row[i])) out += std::to_string(*integer);
      if (const auto* text = std::get_if<std::string>(&row[i])) out += *text;
      if (const auto* real = std::get_if<double>(&row[i])) out += std::to_string(*real);
    }
  }
  return out;
}

int64_t Replicas::Version(const std::string& table) {
  auto view = first_.machine().OpenReadView(std::chrono::seconds(5));
  EXPECT_TRUE(view.ok()) << view.status();
  return (*view)->Version(table).value();
}

TxInfo Replicas::Transaction(const std::string& tx_id) {
  auto view = first_.machine().OpenReadView(std::chrono::seconds(5));
  EXPECT_TRUE(view.ok()) << view.status();
  return (*view)->Transaction(tx_id).value();
}

void Replicas::Check() {
  TestReplica batched(disk_);
  Rng rng(log_.size());
  std::vector<EntryResults> results;
  for (size_t done = 0; done < log_.size();) {
    const size_t take = std::min<size_t>(log_.size() - done, rng.Between(1, 12));
    for (EntryResults& each : batched.Apply(std::span(log_).subspan(done, take))) {
      results.push_back(std::move(each));
    }
    done += take;
  }
  ASSERT_EQ(results.size(), results_.size());
  for (size_t i = 0; i < results.size(); ++i) {
    EXPECT_EQ(Encoded(results[i].results), Encoded(results_[i].results)) << "of entry " << i + 1;
  }
  const std::string dump = first_.Dump();
  EXPECT_EQ(dump, batched.Dump()) << "batch boundaries show";
  if (!restarts_) return;
  EXPECT_EQ(dump, restarting_.Dump()) << "restarts show";
}

Command ExecuteCommand(const std::string& sql, std::vector<Value> values) {
  Command command;
  command.operation = Execute{{{sql, std::move(values), {}}}};
  return command;
}

Command MaintenanceCommand(const std::string& sql) {
  Command command = ExecuteCommand(sql);
  std::get<Execute>(command.operation).maintenance = true;
  return command;
}

Command WithId(Command command, std::string session, uint64_t sequence,
               uint64_t acknowledged_below) {
  command.id = {std::move(session), sequence};
  command.acknowledged_below = acknowledged_below;
  return command;
}

std::vector<std::vector<Command>> MixedWorkload() {
  std::vector<std::vector<Command>> entries;
  const auto add = [&](const std::string& sql) { entries.push_back({ExecuteCommand(sql)}); };
  add("CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, x UNIQUE, at DEFAULT "
      "CURRENT_TIMESTAMP)");
  add("CREATE TABLE log(x, r DEFAULT (random()))");
  add("CREATE INDEX log_x ON log(x)");
  add("CREATE TRIGGER tr AFTER DELETE ON t BEGIN INSERT INTO log(x) VALUES(old.x); END");
  add("CREATE VIRTUAL TABLE f USING fts5(body)");
  for (int i = 0; i < 8; ++i) {
    const std::string n = std::to_string(i);
    const auto sequence = static_cast<uint64_t>(i) + 1;
    Command prepare;
    prepare.operation = Prepare{"tx" + n, {"INSERT INTO log(x) VALUES('tx" + n + "')", {}, {}}, 0};
    Command end;
    end.operation = Commit{"tx" + n};
    if (i % 3 == 2) end.operation = Rollback{"tx" + n};
    entries.push_back(
        {WithId(ExecuteCommand("INSERT INTO t(x) VALUES('" + n + "')"), "s", sequence),
         ExecuteCommand("INSERT INTO t(x) VALUES('" + n + "')"),
         WithId(ExecuteCommand("INSERT INTO f VALUES('word" + n + " and some others')"), "f" + n,
                /*sequence=*/0)});
    entries.push_back({prepare, ExecuteCommand("INSERT INTO log(x) VALUES(zeroblob(9000))"),
                       ExecuteCommand("INSERT INTO t(x) VALUES(randomblob(3000))")});
    entries.push_back({end, ExecuteCommand("DELETE FROM t WHERE id % 5 = " + n),
                       ExecuteCommand("INSERT OR ROLLBACK INTO t(x) VALUES('" + n + "')")});
  }
  add("ALTER TABLE log RENAME TO journal");
  add("UPDATE t SET x = x || '!'");
  add("DELETE FROM f WHERE f MATCH 'word3'");
  entries.push_back({MaintenanceCommand("INSERT INTO f(f) VALUES('optimize')")});
  return entries;
}

}  // namespace cairn::state_machine
