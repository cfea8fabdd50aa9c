#include "tools/load_checks.h"

#include <cctype>
#include <set>
#include <string_view>
#include <utility>

#include "base/sha256.h"
#include "base/sql_name.h"
#include "base/text.h"
#include "rpc/proto_convert.h"
#include "tools/command_maker.h"
#include "tools/load_commands.h"
#include "tools/result_printer.h"

namespace cairn::tools {
namespace {

constexpr size_t kOrphansShown = 10;

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

Result<int64_t> NumberOf(const LoadContext& load, const std::string& sql) {
  ASSIGN_OR_RETURN(const QueryResult result, load.client->Query({sql, {}, {}}));
  return std::get<int64_t>(result.rows.at(0).at(0));
}

// Adds the value so that no two rows give the same bytes.
void AddTo(Sha256* digest, const Value& value) {
  const std::string bytes = PlainText(value);
  digest->Add(std::to_string(value.index()) + ":" + std::to_string(bytes.size()) + ":");
  digest->Add(bytes);
}

Status CheckRow(const LoadContext& load, const LoadTable& table, const Row& row, uint64_t number) {
  for (size_t i = 0; i < row.size(); ++i) {
    const auto* const text = std::get_if<std::string>(&row[i]);
    if (text == nullptr || rpc::IsUtf8(*text)) continue;
    return InvalidArgument(RowName(load, number) + ": the text in column " + table.columns[i] +
                           " is not valid UTF-8: mend it, or make it a BLOB by CAST(" +
                           table.columns[i] + " AS BLOB)");
  }
  const size_t bytes = RequestBytesOf(row);
  if (bytes <= kRowBytesMax) return OkStatus();
  return InvalidArgument(RowName(load, number) + " has " + std::to_string(bytes) +
                         " bytes; at most 15 MiB fit in a command");
}

}  // namespace

Result<ClusterSchema> ReadClusterSchema(const LoadContext& load) {
  ClusterSchema schema;
  ASSIGN_OR_RETURN(
      const QueryResult found,
      load.client->Query({"SELECT type, name, sql FROM sqlite_schema ORDER BY rowid", {}, {}}));
  for (const Row& row : found.rows) {
    schema.objects.push_back({PlainText(row.at(0)), PlainText(row.at(1)), PlainText(row.at(2))});
  }
  ASSIGN_OR_RETURN(schema.user_version, NumberOf(load, "PRAGMA user_version"));
  ASSIGN_OR_RETURN(schema.application_id, NumberOf(load, "PRAGMA application_id"));
  return schema;
}

Status CheckNames(const LoadContext& load, const ClusterSchema& schema) {
  if (load.plan.tables.empty()) {
    return InvalidArgument(load.options->source + ": there is no table in it");
  }
  // Triggers have names of their own.
  std::set<std::string> names;
  std::set<std::string> triggers;
  for (const LoadTable& table : load.plan.tables) {
    if (Lower(table.name).starts_with("_cairn_")) {
      return InvalidArgument(load.options->source + ": the table " + table.name +
                             " has a name of Cairn's own. `cairn restore` takes a backup of a "
                             "cluster; `cairn load` takes a dump of one");
    }
    if (!table.exists) names.insert(Lower(table.name));
  }
  for (const LoadObject& object : load.plan.objects) {
    (object.type == "trigger" ? triggers : names).insert(Lower(object.name));
  }
  std::string left;
  for (const ClusterSchema::Object& object : schema.objects) {
    const bool taken = (object.type == "trigger" ? triggers : names).contains(Lower(object.name));
    if (taken) {
      return FailedPrecondition("the cluster has " + object.name + " already (" + object.type +
                                "): drop or rename it, or load rows alone");
    }
    if (object.type != "table" || !IsStageName(object.name)) continue;
    // Tables that a module made have the name in single quotes. They go with its table.
    const bool is_shadow = object.sql.starts_with("CREATE TABLE '") ||
                           object.sql.starts_with("CREATE TABLE \"main\".");
    if (!is_shadow) left += " DROP TABLE " + QuotedName(object.name) + ";";
  }
  if (!left.empty() && load.options->tell) {
    load.options->tell("note: a load that was killed has left tables, unless it runs now:" + left);
  }
  return OkStatus();
}

Status CheckRenames(LoadContext* load) {
  const std::string name = std::string(kStagePrefix) + "00000000_";
  const std::string old_name = QuotedName(name + "a");
  const std::string new_name = QuotedName(name + "b");
  CommandMaker maker;
  maker.Add("CREATE TABLE " + old_name + "(x)");
  maker.Add("ALTER TABLE " + old_name + " RENAME TO " + new_name);
  maker.Add("DROP TABLE " + new_name);
  Status renamed = LoadCommands(load).Must(maker.Take(), ForeignKeys::kEnforced, 0);
  if (renamed.ok() || renamed.code() != StatusCode::kInvalidArgument) return renamed;
  return FailedPrecondition(
      renamed.message() +
      ". More than one command takes goes into tables that are renamed at the "
      "end, and SQLite renames none now. Drop what the message names before "
      "the load, and make it anew afterwards");
}

Result<std::string> CheckRows(const LoadContext& load) {
  Sha256 digest;
  uint64_t number = 0;
  for (const LoadTable& table : load.plan.tables) {
    AddTo(&digest, table.name);
    for (const std::string& column : table.columns) AddTo(&digest, column);
    const Status read = EachRow(load.local, table, 0, [&](const Row& row) {
      if (load.options->resume) {
        for (const Value& value : row) AddTo(&digest, value);
      }
      return CheckRow(load, table, row, ++number);
    });
    if (!read.ok()) return read;
  }
  return digest.Hex();
}

Result<bool> CheckReferences(const LoadContext& load) {
  if (!load.plan.has_foreign_keys) return false;
  std::set<std::string> here;
  for (const LoadTable& table : load.plan.tables) {
    if (!table.exists) here.insert(Lower(table.name));
  }
  std::string found;
  size_t count = 0;
  bool asks_cluster = false;
  Status checked = load.local->Query("PRAGMA foreign_key_check", [&](const Row& row) {
    if (!here.contains(Lower(PlainText(row.at(2))))) {
      asks_cluster = true;
    } else if (++count <= kOrphansShown) {
      found += "\n  row " + PlainText(row.at(1)) + " of " + PlainText(row.at(0)) +
               " refers to no row of " + PlainText(row.at(2));
    }
    return OkStatus();
  });
  // A table that stands for one of the cluster has no key to refer to.
  if (!checked.ok() && !load.options->existing.empty()) return true;
  if (!checked.ok()) return std::move(checked).Prefixed(load.options->source);
  if (count == 0) return asks_cluster;
  return FailedPrecondition(load.options->source + ": " + Counted(count, "row") +
                            " violate foreign keys; --unchecked loads them as they are" + found);
}

}  // namespace cairn::tools
