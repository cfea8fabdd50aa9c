#include "tools/staged_load.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <random>
#include <utility>

#include "base/sql_name.h"
#include "tools/sql_literal.h"

namespace cairn::tools {
namespace {

// A virtual table is made with its rows at the end if other tables are its content.
bool IsStaged(const LoadTable& table) { return table.kind.has_rows; }

// The columns of the stage of a table that the cluster has. They have no type, so that the values stay
// as they are until the table itself takes them.
std::vector<std::string> StageColumns(const LoadTable& table) {
  std::vector<std::string> names;
  for (size_t i = 0; i < table.columns.size(); ++i) names.push_back("c" + std::to_string(i));
  return names;
}

std::string Listed(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + QuotedName(name);
  return list;
}

class StagedLoad {
 public:
  StagedLoad(LoadContext* load, std::vector<Statement> end, ForeignKeys end_keys)
      : load_(*load), end_(std::move(end)), end_keys_(end_keys), commands_(load) {
    std::random_device random;
    char digits[16];
    std::snprintf(digits, sizeof(digits), "%08x_", static_cast<unsigned>(random()));
    stage_ = std::string(kStagePrefix) + digits;
  }

  Status Run() {
    Status status = CreateTables();
    if (status.ok()) status = SendRows();
    if (status.ok()) status = CreateIndexes();
    if (status.ok()) status = RenameTables();
    if (status.ok()) return status;
    if (status.outcome() == Outcome::kUnknown && renaming_) {
      return std::move(status).Prefixed(
          "whether the rows came from tables " + stage_ +
          "... to their own is not known: they did if .tables shows none of those");
    }
    commands_.Wait().ok();  // a late row must not meet a table that is gone
    DropStaged();
    return status;
  }

 private:
  // The number keeps a table from a name by which SQLite takes it for a part of a virtual table.
  std::string StageName(const LoadTable& table) const {
    const auto place = static_cast<size_t>(&table - load_.plan.tables.data());
    return stage_ + std::to_string(place) + "_" + table.name;
  }
  ForeignKeys Keys() const {
    return load_.plan.has_foreign_keys ? ForeignKeys::kUnchecked : ForeignKeys::kEnforced;
  }

  // CREATE TABLE and CREATE INDEX of a table under its name of the stage. SQLite itself renames the
  // table, since its constraints and the terms of its indexes may name it, too.
  std::vector<std::string> StageSql(const LoadTable& table) const {
    std::vector<std::string> out = {WithTable(table.sql, StageName(table))};
    for (const LoadObject& object : load_.plan.objects) {
      if (!IsIndexOf(object, table)) continue;
      out.push_back(WithTable(object.sql, StageName(table)));
    }
    if (table.is_virtual) return out;
    const Result<std::unique_ptr<LocalDatabase>> scratch = LocalDatabase::New();
    if (!scratch.ok()) return out;
    bool made = (*scratch)->Exec(table.sql).ok();
    for (const LoadObject& object : load_.plan.objects) {
      if (IsIndexOf(object, table)) made = made && (*scratch)->Exec(object.sql).ok();
    }
    made = made && (*scratch)
                       ->Exec("ALTER TABLE " + QuotedName(table.name) + " RENAME TO " +
                              QuotedName(StageName(table)))
                       .ok();
    const Result<std::vector<Row>> renamed = (*scratch)->All(
        "SELECT sql FROM sqlite_schema WHERE sql NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE "
        "'\\' ORDER BY type = 'index', rowid");
    // A function that only Cairn knows, perhaps: the cluster judges the statements as they are.
    if (!made || !renamed.ok() || renamed->size() != out.size()) return out;
    for (size_t i = 0; i < out.size(); ++i) out[i] = std::get<std::string>((*renamed)[i].at(0));
    return out;
  }
  static bool IsIndexOf(const LoadObject& object, const LoadTable& table) {
    return object.type == "index" && object.table == table.name;
  }

  Status CreateTables() {
    CommandMaker maker;
    for (const LoadTable& table : load_.plan.tables) {
      if (!IsStaged(table)) continue;
      if (table.exists) {
        maker.Add("CREATE TABLE " + QuotedName(StageName(table)) + "(" +
                  Listed(StageColumns(table)) + ")");
        continue;
      }
      if (table.is_virtual) {
        AddVirtualTable(table, StageName(table), &maker);
        continue;
      }
      std::vector<std::string> sql = StageSql(table);
      maker.Add(sql[0]);
      for (size_t i = 1; i < sql.size(); ++i) indexes_.push_back({table.name, sql[i]});
    }
    const Status created = commands_.Must(maker.Take(), Keys(), 0);
    staged_ = created.ok() || created.outcome() == Outcome::kUnknown;
    return created;
  }

  Status SendRows() {
    CommandMaker maker;
    for (const LoadTable& table : load_.plan.tables) {
      if (!IsStaged(table)) continue;
      maker.BeginTable(StageName(table), table.exists ? StageColumns(table) : table.columns,
                       kRowsPerStatement);
      const Status sent = EachRow(load_.local, table, 0, [&](const Row& row) {
        // Together with the rows before it, a large row may be more than a request takes.
        if (maker.bytes() + RequestBytesOf(row) > kCommandBytes) {
          RETURN_IF_ERROR(SendSome(&maker));
        }
        maker.Add(row);
        ++load_.result.rows;
        return maker.IsFull(kCommandBytes) ? SendSome(&maker) : OkStatus();
      });
      if (!sent.ok()) return sent;
    }
    RETURN_IF_ERROR(SendSome(&maker));
    return commands_.Wait();
  }

  Status SendSome(CommandMaker* maker) {
    bytes_ += maker->bytes();
    Command command = maker->Take();
    if (command.statements.empty()) return OkStatus();
    const uint64_t before = std::exchange(sent_, load_.result.rows);
    if (load_.options->on_progress) {
      load_.options->on_progress(load_.result.rows, load_.plan.rows, bytes_);
    }
    return commands_.Send(std::move(command), Keys(), before);
  }

  Status CreateIndexes() {
    for (const auto& [table, sql] : indexes_) {
      if (load_.options->tell) load_.options->tell("index of " + table);
      RETURN_IF_ERROR(commands_.Must({sql, {}, {}}, Keys()));
    }
    return OkStatus();
  }

  Status RenameTables() {
    CommandMaker maker;
    for (const LoadTable& table : load_.plan.tables) {
      if (!IsStaged(table)) {
        AddVirtualTable(table, table.name, &maker);
        continue;
      }
      if (table.exists) {
        MoveRows(table, &maker);
        continue;
      }
      maker.Add("ALTER TABLE " + QuotedName(StageName(table)) + " RENAME TO " +
                QuotedName(table.name));
    }
    for (Statement& statement : end_) {
      maker.Add(std::move(statement.sql), std::move(statement.positional));
    }
    for (const LoadObject& object : load_.plan.objects) {
      const bool is_made = std::any_of(
          load_.plan.tables.begin(), load_.plan.tables.end(),
          [&](const auto& table) { return IsStaged(table) && IsIndexOf(object, table); });
      if (!is_made) maker.Add(object.sql);
    }
    renaming_ = true;
    return Finish(maker.Take());
  }

  // Whoever writes waits for the last command. To make tables anew takes little, but for indexes that
  // nobody uses yet. The bad schedule for tables in use: 840,000 short rows and four indexes held up
  // each writer for 45 s, although nobody had asked for maintenance.
  Status Finish(const Command& last) {
    const bool moves =
        std::any_of(load_.plan.tables.begin(), load_.plan.tables.end(),
                    [](const auto& table) { return IsStaged(table) && table.exists; });
    if (!moves) return commands_.Must(last, end_keys_, 0);
    const Status moved = commands_.Must(last, end_keys_, 0, LoadCommands::Work::kOneRequest);
    if (moved.code() != StatusCode::kResourceExhausted) return moved;
    return Status(moved).Prefixed(
        "these rows are more work for the tables that the cluster has than one request may do, "
        "which "
        "all writers would wait for: load them in parts, with --resume");
  }

  void MoveRows(const LoadTable& table, CommandMaker* maker) const {
    const std::string stage = QuotedName(StageName(table));
    maker->Add("INSERT INTO " + QuotedName(table.name) + "(" + Listed(table.columns) + ") SELECT " +
               Listed(StageColumns(table)) + " FROM " + stage + " ORDER BY rowid");
    maker->Add("DROP TABLE " + stage);
  }

  void DropStaged() {
    if (!staged_) return;
    for (const LoadTable& table : load_.plan.tables) {
      if (!IsStaged(table)) continue;
      const Statement drop{"DROP TABLE IF EXISTS " + QuotedName(StageName(table)), {}, {}};
      const Status dropped = commands_.Must(drop, Keys());
      if (!dropped.ok() && load_.options->tell) {
        load_.options->tell("note: " + drop.sql + " failed: " + dropped.message());
      }
    }
  }

  LoadContext& load_;
  std::vector<Statement> end_;
  const ForeignKeys end_keys_;
  LoadCommands commands_;
  std::string stage_;
  std::vector<std::pair<std::string, std::string>> indexes_;  // table and SQL
  bool staged_ = false;
  bool renaming_ = false;
  uint64_t bytes_ = 0;
  uint64_t sent_ = 0;  // rows
};

}  // namespace

void AddVirtualTable(const LoadTable& table, const std::string& name, CommandMaker* maker) {
  maker->Add(WithTable(table.sql, name));
  for (const Row& setting : table.settings) {
    // Literals: by those a node tells settings from commands that take long.
    maker->Add("INSERT INTO " + QuotedName(name) + "(" + QuotedName(name) + ",rank) VALUES(" +
               LiteralText(setting.at(0)) + "," + LiteralText(setting.at(1)) + ")");
  }
}

std::vector<Statement> EndOfLoad(const LoadContext& load, const ClusterSchema& schema) {
  std::vector<Statement> end;
  for (const LoadTable& table : load.plan.tables) {
    if (table.exists) continue;
    if (table.sequence >= 0) {
      // A table without rows has no entry yet.
      end.push_back({"DELETE FROM sqlite_sequence WHERE name = ?1", {table.name}, {}});
      end.push_back(
          {"INSERT INTO sqlite_sequence VALUES(?1, ?2)", {table.name, table.sequence}, {}});
    }
    if (table.kind.rebuilds) {
      const std::string name = QuotedName(table.name);
      end.push_back({"INSERT INTO " + name + "(" + name + ") VALUES('rebuild')", {}, {}});
    }
  }
  const auto set = [&end](const std::string& pragma, int64_t here, int64_t there) {
    if (here == 0 || there != 0) return;
    end.push_back({"PRAGMA " + pragma + " = " + std::to_string(here), {}, {}});
  };
  set("user_version", load.plan.user_version, schema.user_version);
  set("application_id", load.plan.application_id, schema.application_id);
  return end;
}

Status LoadStaged(LoadContext* load, std::vector<Statement> end, ForeignKeys end_keys) {
  return StagedLoad(load, std::move(end), end_keys).Run();
}

}  // namespace cairn::tools
