// For the tests of changes: a replica that is watched, and changes as text.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "state_machine/change_ring.h"
#include "state_machine/sqlite/database_test_util.h"
#include "state_machine/sqlite/replicas_test_util.h"

namespace cairn::state_machine {

inline std::string TextOf(const Value& value) {
  if (const auto* integer = std::get_if<int64_t>(&value)) return std::to_string(*integer);
  if (const auto* real = std::get_if<double>(&value)) return "r" + std::to_string(*real);
  if (const auto* text = std::get_if<std::string>(&value)) return "'" + *text + "'";
  if (const auto* blob = std::get_if<Blob>(&value)) {
    return "x'" + std::to_string(blob->bytes.size()) + "." + blob->bytes + "'";
  }
  return "NULL";
}

inline std::string TextOf(const Row& row) {
  std::string text;
  for (const Value& value : row) text += (text.empty() ? "" : "|") + TextOf(value);
  return text;
}

inline std::string TextOf(const Change& change) {
  const std::string name = change.table == nullptr ? "" : change.table->name + " ";
  switch (change.kind) {
    case ChangeKind::kInsert: return name + "+" + TextOf(change.new_row);
    case ChangeKind::kUpdate:
      return name + TextOf(change.old_row) + " -> " + TextOf(change.new_row);
    case ChangeKind::kDelete: return name + "-" + TextOf(change.old_row);
    case ChangeKind::kPoints: return name + "points " + TextOf(change.new_row);
    case ChangeKind::kCommandEnd: return "end";
    case ChangeKind::kSchema: break;
  }
  const char* const kinds[] = {"created", "altered", "dropped"};
  const SchemaChange& schema = change.schema;
  return std::string(kinds[static_cast<size_t>(schema.kind)]) + " " + schema.type + " " +
         schema.name + (schema.old_name.empty() ? "" : " was " + schema.old_name);
}

// A replica that is watched from its first entry on.
class Watched {
 public:
  explicit Watched(size_t ring_bytes = 16 << 20) {
    SqliteOptions options;
    options.path = directory_ / "test.db";
    options.snapshot_directory = directory_ / "snapshot";
    options.change_ring_bytes = ring_bytes;
    auto opened = OpenSqliteStateMachine(options, TestConfiguration());
    EXPECT_TRUE(opened.ok()) << opened.status();
    machine_ = std::move(opened).value();
    member_ = machine_->changes()->Join();
  }

  void Apply(std::span<const raft::Entry> entries) {
    const Status status =
        machine_->Apply(entries, TestConfiguration(), LogIndex(), [this](const EntryResults& each) {
          for (const CommandResult& result : each.results) last = result.status;
        });
    ASSERT_TRUE(status.ok()) << status;
  }
  // One entry with one command.
  void Run(std::vector<Statement> statements) {
    Command command;
    command.operation = Execute{std::move(statements)};
    RunAll({command});
  }
  void RunAll(const std::vector<Command>& commands) {
    const std::vector<raft::Entry> entries = {
        MakeEntry(machine_->applied_index() + 1, header, commands)};
    Apply(entries);
  }
  // Fails the test if the statement fails.
  void Must(const std::string& sql) {
    Run({{sql, {}, {}}});
    EXPECT_TRUE(last.ok()) << sql << ": " << last;
  }

  // The changes since the last call.
  std::vector<Change> Take() {
    std::vector<Change> changes;
    const auto read = machine_->changes()->After(seen_, size_t{1} << 30);
    EXPECT_TRUE(read.ok()) << read.status();
    if (!read.ok()) return changes;
    for (const auto& command : read->commands) {
      changes.insert(changes.end(), command->changes.begin(), command->changes.end());
    }
    seen_ = read->through;
    return changes;
  }
  std::vector<std::string> Told() {
    std::vector<std::string> told;
    for (const Change& change : Take()) told.push_back(TextOf(change));
    return told;
  }
  // Runs the statement and says what was told of it.
  std::vector<std::string> ToldOf(const std::string& sql) {
    Take();
    Must(sql);
    return Told();
  }
  std::vector<Row> Select(const std::string& sql) {
    auto view = machine_->OpenReadView(std::chrono::seconds(5));
    EXPECT_TRUE(view.ok()) << view.status();
    RowCollector rows;
    const Statement query{sql, {}, {}};
    const Status status = (*view)->Query(query, {}, &rows);
    EXPECT_TRUE(status.ok()) << sql << ": " << status;
    return std::move(rows.rows);
  }
  // The values of the first column, which is text.
  std::vector<std::string> Names(const std::string& sql) {
    std::vector<std::string> names;
    for (const Row& row : Select(sql)) names.push_back(std::get<std::string>(row.at(0)));
    return names;
  }
  StateMachine& machine() { return *machine_; }

  BatchHeader header{1'700'000'000'000, 1, 1'000, 50'000'000};
  Status last;

 private:
  TemporaryDirectory directory_;
  std::unique_ptr<StateMachine> machine_;
  std::unique_ptr<ChangeRing::Membership> member_;
  ChangePosition seen_ = EndOf(LogIndex());
};

}  // namespace cairn::state_machine
