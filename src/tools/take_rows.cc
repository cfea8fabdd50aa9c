// Takes CSV and JSON lines into a local database.
#include <algorithm>
#include <cctype>
#include <map>
#include <optional>
#include <utility>

#include "base/sql_name.h"
#include "rpc/proto_convert.h"
#include "tools/csv_reader.h"
#include "tools/json_row.h"
#include "tools/load_plan.h"
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

bool IsName(const std::string& text) {
  return !text.empty() && text.find('\0') == std::string::npos;
}

// The table in the local database, and the rows that go into it.
class RowsTaker {
 public:
  // `type`: of the columns of a new table.
  RowsTaker(LoadSource* source, const RowsOptions& options, std::string type, LocalDatabase* local,
            std::vector<std::string>* bad)
      : source_(*source), options_(options), type_(std::move(type)), local_(*local), bad_(*bad) {}

  Status Begin() {
    ASSIGN_OR_RETURN(existing_, source_.find_existing(options_.table));
    if (existing_) source_.existing.insert(Lower(options_.table));
    return local_.Exec("BEGIN");
  }
  bool exists() const { return existing_.has_value(); }
  // The columns of the table in the cluster.
  std::vector<std::string> known() const {
    std::vector<std::string> names;
    for (const auto& column : existing_.value_or(LoadSource::ExistingTable())) {
      names.push_back(column.name);
    }
    return names;
  }

  Status CreateTable(const std::vector<std::string>& columns) {
    if (columns.empty() || columns.size() > kColumnsMax) {
      return InvalidArgument(source_.name + ": a table has 1 to " + std::to_string(kColumnsMax) +
                             " columns, not " + std::to_string(columns.size()));
    }
    std::string sql = "CREATE TABLE " + QuotedName(options_.table) + "(";
    for (size_t i = 0; i < columns.size(); ++i) {
      if (!rpc::IsUtf8(columns[i]) || !IsName(columns[i])) {
        return InvalidArgument(source_.name + ": the name of column " + std::to_string(i + 1) +
                               " is empty, has a NUL byte or is not valid UTF-8");
      }
      sql += (i == 0 ? "\n" : ",\n") + QuotedName(columns[i]) + TypeOf(columns[i]);
    }
    if (exists()) rowid_ = RowidName(columns);
    if (Status bad = local_.Exec(sql + ")"); !bad.ok()) {
      return std::move(bad).Prefixed(source_.name + ": its first line names the columns");
    }
    has_table_ = true;
    return OkStatus();
  }
  bool has_table() const { return has_table_; }
  // Another column of a new table.
  Status AddColumn(const std::string& column) {
    return local_.Exec("ALTER TABLE " + QuotedName(options_.table) + " ADD COLUMN " +
                       QuotedName(column) + type_);
  }

  void Bad(size_t line, const std::string& why) {
    if (bad_.size() < kBadMax) {
      bad_.push_back(source_.name + ":" + std::to_string(line) + ": " + why);
    }
    ++bad_count_;
  }
  // After a bad row the others are only checked. `line`: where the row stands.
  Status Insert(size_t line, const std::vector<std::string>& columns, std::vector<Value> values) {
    if (bad_count_ > 0) return OkStatus();
    std::string sql = "INSERT INTO " + QuotedName(options_.table);
    std::string places;
    const auto add = [&](const std::string& column) {
      sql += (places.empty() ? "(" : ",") + QuotedName(column);
      places += places.empty() ? "?" : ",?";
    };
    for (const std::string& column : columns) add(column);
    if (!rowid_.empty()) {
      add(rowid_);
      values.emplace_back(static_cast<int64_t>(line));
    }
    sql += places.empty() ? " DEFAULT VALUES" : ") VALUES(" + places + ")";
    Status done = local_.Insert(sql, values);
    if (done.ok()) return done;
    return std::move(done).Prefixed(source_.name + ":" + std::to_string(line));
  }

  Status End() {
    if (bad_count_ == 0) return local_.Exec("COMMIT");
    local_.Exec("ROLLBACK").ok();
    return InvalidArgument(std::to_string(bad_count_) +
                           (bad_count_ == 1 ? " row is bad" : " rows are bad") +
                           ": nothing is loaded");
  }

 private:
  // A table of the cluster has types of its own, and gives its defaults.
  std::string TypeOf(const std::string& name) const {
    if (!exists()) return type_;
    for (const auto& column : *existing_) {
      const bool found = Lower(column.name) == Lower(name) && !column.default_sql.empty();
      if (found) return " DEFAULT (" + column.default_sql + ")";
    }
    return "";
  }

  LoadSource& source_;
  const RowsOptions& options_;
  const std::string type_;
  LocalDatabase& local_;
  std::vector<std::string>& bad_;
  size_t bad_count_ = 0;
  std::optional<LoadSource::ExistingTable> existing_;
  std::string rowid_;  // gets the number of the line; empty: nothing does
  bool has_table_ = false;
};

// How many fields of the first row name a column of the table, each column once.
size_t NamesOfColumns(const std::vector<std::string>& fields,
                      const std::vector<std::string>& known) {
  std::set<std::string> names;
  for (const std::string& name : known) names.insert(Lower(name));
  return static_cast<size_t>(
      std::count_if(fields.begin(), fields.end(),
                    [&names](const std::string& field) { return names.erase(Lower(field)) == 1; }));
}

// Whether the first row names the columns.
Result<bool> HasNames(const std::string& source, const CsvReader::Row& row,
                      const std::vector<std::string>& known) {
  const size_t names = NamesOfColumns(row.fields, known);
  if (names == row.fields.size()) return true;
  if (names == 0) return false;
  std::string list;
  for (const std::string& name : known) list += (list.empty() ? "" : ", ") + name;
  return InvalidArgument(source + ":" + std::to_string(row.line) + ": " + std::to_string(names) +
                         " of " + std::to_string(row.fields.size()) +
                         " fields of the first row name columns. The table has the "
                         "columns " +
                         list +
                         ". Mend the names, or leave the row out with --skip; if it is data, put a "
                         "line with the names of the columns before it");
}

std::string BadFields(size_t fields, size_t columns) {
  return "the row has " + std::to_string(fields) + (fields == 1 ? " field" : " fields") +
         " and not " + std::to_string(columns);
}

// The columns that the keys of JSON lines name.
class JsonColumns {
 public:
  explicit JsonColumns(RowsTaker* taker) : taker_(*taker) {}

  Status Begin() {
    if (!taker_.exists()) return OkStatus();
    for (const std::string& name : taker_.known()) names_[Lower(name)] = name;
    return taker_.CreateTable(taker_.known());
  }

  // The row as values for the columns of_row(). Returns why the row is bad, or nothing.
  Result<std::string> Place(JsonRow* row, std::vector<Value>* values) {
    of_row_.clear();
    for (auto& [key, value] : row->fields) {
      const std::string lower = Lower(key);
      if (!names_.contains(lower)) {
        if (taker_.exists()) return "the table has no column " + key;
        if (!IsName(key)) return std::string("a name is empty or has a NUL byte");
        RETURN_IF_ERROR(Add(key));
        names_[lower] = key;
      }
      of_row_.push_back(names_[lower]);
      values->push_back(std::move(value));
    }
    if (!taker_.has_table())
      return std::string("the object is empty, and no line names a column yet");
    return std::string();
  }
  const std::vector<std::string>& of_row() const { return of_row_; }

 private:
  Status Add(const std::string& column) {
    if (names_.size() == kColumnsMax) {
      return InvalidArgument("a table has at most " + std::to_string(kColumnsMax) + " columns");
    }
    return taker_.has_table() ? taker_.AddColumn(column) : taker_.CreateTable({column});
  }

  RowsTaker& taker_;
  std::map<std::string, std::string> names_;  // by the name in lower case
  std::vector<std::string> of_row_;
};

}  // namespace

Status TakeCsv(LoadSource* source, const RowsOptions& options, LocalDatabase* local,
               std::vector<std::string>* bad) {
  // As the shell of SQLite does: text that looks like a number becomes one.
  RowsTaker taker(source, options, " ANY", local, bad);
  RETURN_IF_ERROR(taker.Begin());
  CsvReader reader(source->in, options.separator);
  CsvReader::Row row;
  for (uint64_t i = 0; i < options.skip && reader.Next(&row); ++i) {
  }
  if (!reader.Next(&row)) {
    return InvalidArgument(source->name + ": there is no row" +
                           (taker.exists() ? "" : ", and no names of columns"));
  }
  std::vector<std::string> columns = taker.known();
  bool has_names = true;
  if (taker.exists()) {
    ASSIGN_OR_RETURN(has_names, HasNames(source->name, row, columns));
  }
  if (has_names && !row.trouble.empty()) {
    return InvalidArgument(source->name + ":" + std::to_string(row.line) + ": " + row.trouble);
  }
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
    RETURN_IF_ERROR(taker.Insert(row.line, columns, values));
    if (++rows % 1024 == 0 && source->on_progress) source->on_progress(bytes);
  }
  return taker.End();
}

Status TakeJsonLines(LoadSource* source, const RowsOptions& options, LocalDatabase* local,
                     std::vector<std::string>* bad) {
  RowsTaker taker(source, options, "", local, bad);  // values have types of their own
  RETURN_IF_ERROR(taker.Begin());
  JsonColumns columns(&taker);
  RETURN_IF_ERROR(columns.Begin());
  std::string line;
  uint64_t bytes = 0;
  for (size_t number = 1;; ++number) {
    const LineRead read = ReadLine(source->in, kLineBytesMax, &line);
    if (read == LineRead::kEnd) return taker.End();
    if (read == LineRead::kTooLong) {
      return InvalidArgument(source->name + ":" + std::to_string(number) +
                             ": a line is longer than 64 MiB; each line is an object of its own");
    }
    bytes += line.size() + 1;
    if (number % 1024 == 0 && source->on_progress) source->on_progress(bytes);
    if (number <= options.skip || line.find_first_not_of(" \t\r") == std::string::npos) continue;
    Result<JsonRow> row = ParseJsonRow(line);
    std::vector<Value> values;
    if (row.ok()) {
      ASSIGN_OR_RETURN(const std::string trouble, columns.Place(&*row, &values));
      if (trouble.empty()) {
        RETURN_IF_ERROR(taker.Insert(number, columns.of_row(), std::move(values)));
        continue;
      }
      row = InvalidArgument(trouble);
    }
    taker.Bad(number, row.status().message());
  }
}

}  // namespace cairn::tools
