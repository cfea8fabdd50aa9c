// Takes CSV and JSON lines into a local database.
#include <algorithm>
#include <cctype>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/sql_name.h"
#include "rpc/proto_convert.h"
#include "tools/csv_reader.h"
#include "tools/load_sources.h"
#include "tools/sql_literal.h"

namespace cairn::tools {
namespace {

// SQLite's limit, and that of parameters.
constexpr size_t kColumnsMax = 2000;
constexpr size_t kBadMax = 1000;

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// The table in the local database, and the rows that go into it.
class RowsTaker {
 public:
  // `type`: of the columns of a new table.
  RowsTaker(LoadSource* source, const RowsOptions& options, std::string type, LocalDatabase* local,
            std::vector<std::string>* bad)
      : source_(*source), options_(options), type_(std::move(type)), local_(*local), bad_(*bad) {}

  Status Begin() {
    ASSIGN_OR_RETURN(const auto existing, source_.find_existing(options_.table));
    exists_ = existing.has_value();
    if (exists_) {
      source_.existing.insert(Lower(options_.table));
      for (const auto& column : *existing) known_.push_back(column.name);
    }
    return local_.Exec("BEGIN");
  }
  bool exists() const { return exists_; }
  const std::vector<std::string>& known() const { return known_; }

  Status CreateTable(const std::vector<std::string>& columns) {
    if (columns.empty() || columns.size() > kColumnsMax) {
      return InvalidArgument(source_.name + ": a table has 1 to " + std::to_string(kColumnsMax) +
                             " columns, not " + std::to_string(columns.size()));
    }
    std::string sql = "CREATE TABLE " + QuotedName(options_.table) + "(";
    insert_ = "INSERT INTO " + QuotedName(options_.table) + "(";
    std::string values;
    for (size_t i = 0; i < columns.size(); ++i) {
      if (!rpc::IsUtf8(columns[i]) || columns[i].empty()) {
        return InvalidArgument(source_.name + ": the name of column " + std::to_string(i + 1) +
                               " is empty or not valid UTF-8");
      }
      // A table of the cluster has types of its own.
      sql += (i == 0 ? "\n" : ",\n") + QuotedName(columns[i]) + (exists_ ? "" : type_);
      insert_ += (i == 0 ? "" : ",") + QuotedName(columns[i]);
      values += i == 0 ? "?" : ",?";
    }
    insert_ += ") VALUES(" + values + ")";
    if (Status bad = local_.Exec(sql + ")"); !bad.ok()) {
      return std::move(bad).Prefixed(source_.name + ": its first line names the columns");
    }
    return OkStatus();
  }
  // Another column of a new table.
  Status AddColumn(const std::vector<std::string>& columns) {
    RETURN_IF_ERROR(local_.Exec("ALTER TABLE " + QuotedName(options_.table) + " ADD COLUMN " +
                                QuotedName(columns.back()) + type_));
    insert_ = "INSERT INTO " + QuotedName(options_.table) + "(";
    std::string values;
    for (size_t i = 0; i < columns.size(); ++i) {
      insert_ += (i == 0 ? "" : ",") + QuotedName(columns[i]);
      values += i == 0 ? "?" : ",?";
    }
    insert_ += ") VALUES(" + values + ")";
    return OkStatus();
  }

  void Bad(size_t line, const std::string& why) {
    if (bad_.size() < kBadMax) {
      bad_.push_back(source_.name + ":" + std::to_string(line) + ": " + why);
    }
    ++bad_count_;
  }
  // After a bad row the others are only checked.
  Status Insert(const std::vector<Value>& values) {
    return bad_count_ > 0 ? OkStatus() : local_.Insert(insert_, values);
  }

  Status End() {
    if (bad_count_ == 0) return local_.Exec("COMMIT");
    local_.Exec("ROLLBACK").ok();
    return InvalidArgument(std::to_string(bad_count_) +
                           (bad_count_ == 1 ? " row is bad" : " rows are bad") +
                           ": nothing is loaded");
  }

 private:
  LoadSource& source_;
  const RowsOptions& options_;
  const std::string type_;
  LocalDatabase& local_;
  std::vector<std::string>& bad_;
  size_t bad_count_ = 0;
  bool exists_ = false;
  std::vector<std::string> known_;
  std::string insert_;
};

// The first row names columns of the table, each once.
bool NamesColumns(const std::vector<std::string>& fields, const std::vector<std::string>& known) {
  std::set<std::string> names;
  for (const std::string& name : known) names.insert(Lower(name));
  return std::all_of(fields.begin(), fields.end(),
                     [&names](const std::string& field) { return names.erase(Lower(field)) == 1; });
}

std::string BadFields(size_t fields, size_t columns) {
  return "the row has " + std::to_string(fields) + (fields == 1 ? " field" : " fields") +
         " and not " + std::to_string(columns);
}

Result<Value> ValueOf(const nlohmann::ordered_json& json) {
  switch (json.type()) {
    case nlohmann::json::value_t::null: return Value();
    case nlohmann::json::value_t::boolean: return Value(int64_t{json.get<bool>() ? 1 : 0});
    case nlohmann::json::value_t::number_integer: return Value(json.get<int64_t>());
    case nlohmann::json::value_t::number_unsigned:
      if (json.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
        return InvalidArgument("an integer is larger than 64 bits");
      }
      return Value(json.get<int64_t>());
    case nlohmann::json::value_t::number_float: return Value(json.get<double>());
    case nlohmann::json::value_t::string: return Value(json.get<std::string>());
    default: return Value(json.dump());  // an array or an object, as text
  }
}

}  // namespace

Status TakeCsv(LoadSource* source, const RowsOptions& options, LocalDatabase* local,
               std::vector<std::string>* bad) {
  // As the shell of SQLite does: text that looks like a number becomes one.
  RowsTaker taker(source, options, " ANY", local, bad);
  RETURN_IF_ERROR(taker.Begin());
  CsvReader reader(source->in);
  CsvReader::Row row;
  for (uint64_t i = 0; i < options.skip && reader.Next(&row); ++i) {
  }
  if (!reader.Next(&row)) {
    return InvalidArgument(source->name + ": there is no row" +
                           (taker.exists() ? "" : ", and no names of columns"));
  }
  std::vector<std::string> columns = taker.known();
  const bool has_names = !taker.exists() || NamesColumns(row.fields, columns);
  if (has_names) columns = row.fields;
  RETURN_IF_ERROR(taker.CreateTable(columns));
  std::vector<Value> values(columns.size());
  uint64_t bytes = 0;
  size_t rows = 0;
  for (bool more = has_names ? reader.Next(&row) : true; more; more = reader.Next(&row)) {
    if (row.trouble.empty() && row.fields.size() != columns.size()) {
      row.trouble = BadFields(row.fields.size(), columns.size());
    }
    for (size_t i = 0; i < row.fields.size() && row.trouble.empty(); ++i) {
      if (!rpc::IsUtf8(row.fields[i])) row.trouble = "a field is not valid UTF-8";
      bytes += row.fields[i].size() + 1;
      values[i] = std::move(row.fields[i]);
    }
    if (!row.trouble.empty()) {
      taker.Bad(row.line, row.trouble);
      continue;
    }
    RETURN_IF_ERROR(taker.Insert(values));
    if (++rows % 1024 == 0 && source->on_progress) source->on_progress(bytes);
  }
  return taker.End();
}

Status TakeJsonLines(LoadSource* source, const RowsOptions& options, LocalDatabase* local,
                     std::vector<std::string>* bad) {
  RowsTaker taker(source, options, "", local, bad);  // values have types of their own
  RETURN_IF_ERROR(taker.Begin());
  std::vector<std::string> columns = taker.known();
  std::map<std::string, size_t> places;
  for (size_t i = 0; i < columns.size(); ++i) places[columns[i]] = i;
  if (taker.exists()) RETURN_IF_ERROR(taker.CreateTable(columns));
  std::string line;
  uint64_t bytes = 0;
  for (size_t number = 1; std::getline(*source->in, line); ++number) {
    bytes += line.size() + 1;
    if (number % 1024 == 0 && source->on_progress) source->on_progress(bytes);
    if (number <= options.skip || line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const nlohmann::ordered_json json =
        nlohmann::ordered_json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) {
      taker.Bad(number, "the line is not a JSON object");
      continue;
    }
    std::vector<Value> values(columns.size());
    std::string trouble;
    for (const auto& [key, given] : json.items()) {
      auto place = places.find(key);
      if (place == places.end() && taker.exists()) {
        trouble = "the table has no column " + key;
        break;
      }
      if (place == places.end()) {
        place = places.emplace(key, columns.size()).first;
        columns.push_back(key);
        values.emplace_back();
        RETURN_IF_ERROR(columns.size() == 1 ? taker.CreateTable(columns)
                                            : taker.AddColumn(columns));
      }
      Result<Value> value = ValueOf(given);
      if (!value.ok()) {
        trouble = key + ": " + value.status().message();
        break;
      }
      values[place->second] = *std::move(value);
    }
    if (!trouble.empty()) {
      taker.Bad(number, trouble);
      continue;
    }
    if (!columns.empty()) RETURN_IF_ERROR(taker.Insert(values));
  }
  return taker.End();
}

}  // namespace cairn::tools
