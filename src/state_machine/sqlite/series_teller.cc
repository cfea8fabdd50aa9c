#include "state_machine/sqlite/series_teller.h"

#include <algorithm>

#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/schema_catalog.h"
#include "state_machine/sqlite/sql_tokens.h"
#include "state_machine/sqlite/statement.h"
#include "state_machine/value_bytes.h"

namespace cairn::state_machine {
namespace {

// The arguments of the module, as SQLite hands them over. None: it is another module.
std::optional<std::vector<std::string_view>> ArgumentsOf(std::string_view create_sql) {
  const std::vector<Token> tokens = TokensOf(create_sql);
  size_t i = 0;
  while (i + 2 < tokens.size() && !IsWord(tokens[i], "USING")) ++i;
  if (i + 2 >= tokens.size() || NameOf(tokens[i + 1]) != "timeseries") return std::nullopt;
  std::vector<std::string_view> arguments;
  const char* begin = nullptr;
  const char* end = nullptr;
  int depth = 0;
  const auto cut = [&] {
    if (begin != nullptr) arguments.emplace_back(begin, static_cast<size_t>(end - begin));
    begin = nullptr;
  };
  for (i += 2; i < tokens.size() && tokens[i].type != TokenType::kEnd; ++i) {
    const Token& token = tokens[i];
    if (token.type == TokenType::kOpen && ++depth == 1) continue;
    if (token.type == TokenType::kClose && --depth == 0) break;
    if (depth == 1 && token.text == ",") {
      cut();
      continue;
    }
    if (begin == nullptr) begin = token.text.data();
    end = token.text.data() + token.text.size();
  }
  cut();
  return arguments;
}

}  // namespace

ChangedTable SeriesTable(const std::string& name, const timeseries::Declaration& declaration) {
  ChangedTable table;
  table.name = name;
  for (size_t i = 0; i < declaration.tags.size(); ++i) {
    const timeseries::DeclaredColumn& tag = declaration.Tag(i);
    table.key.push_back(static_cast<uint32_t>(i));
    table.columns.push_back({tag.name, timeseries::SqlType(tag.type)});
  }
  for (std::string column : {"first_time", "last_time"}) {
    const auto is_taken = [&](const Column& other) { return LowerCase(other.name) == column; };
    while (std::any_of(table.columns.begin(), table.columns.end(), is_taken)) {
      column.insert(0, "_");
    }
    table.columns.push_back({column, "INTEGER"});
  }
  return table;
}

std::optional<ChangedTable> SeriesTable(const std::string& name, std::string_view create_sql) {
  const auto arguments = ArgumentsOf(create_sql);
  if (!arguments.has_value()) return std::nullopt;
  const Result<timeseries::Declaration> declaration = timeseries::ParseDeclaration(*arguments);
  if (!declaration.ok()) return std::nullopt;
  return SeriesTable(name, *declaration);
}

const std::shared_ptr<const ChangedTable>& SeriesTeller::TableOf(
    const timeseries::Storage& storage) {
  std::shared_ptr<const ChangedTable>& table = tables_[storage.name()];
  if (table == nullptr) {
    table =
        std::make_shared<const ChangedTable>(SeriesTable(storage.name(), storage.declaration()));
  }
  return table;
}

Result<Row> SeriesTeller::ReadTags(timeseries::Storage* storage, int64_t series) const {
  const size_t tags = storage->declaration().tags.size();
  std::string sql = "SELECT id";
  for (size_t i = 0; i < tags; ++i) sql += ", t" + std::to_string(i);
  timeseries::PooledStatement read;
  int rc = storage->Take(sql + " FROM {series} WHERE id = ?1", &read);
  if (rc == SQLITE_OK) rc = read.Int(1, series).Step();
  if (rc != SQLITE_ROW) {
    const bool on_all_nodes = rc == SQLITE_DONE || rc == SQLITE_ERROR;
    return on_all_nodes
               ? OutOfRange("the tags of a series of " + storage->name() + " are not there")
               : SqliteTrouble(storage->db(), rc, "read the tags of a series");
  }
  Row row;
  for (size_t i = 0; i < tags; ++i) {
    row.push_back(ColumnValue(read.get(), static_cast<int>(i) + 1));
  }
  return row;
}

Result<size_t> SeriesTeller::Note(const timeseries::WrittenPoints& points) {
  const std::string& name = points.storage->name();
  const bool is_last =
      last_place_ != nullptr && last_place_->series == points.series && last_place_->table == name;
  if (!is_last) {
    const auto known = places_.find({name, points.series});
    if (known == places_.end()) {
      if (bytes_ > kBytesMax) return OutOfRange("the command touches too many series");
      ASSIGN_OR_RETURN(Row row, ReadTags(points.storage, points.series));
      row.emplace_back(points.first_time);
      row.emplace_back(points.last_time);
      const size_t bytes = HeldBytes(row);
      bytes_ += kBytesOfSeries + bytes;
      touched_.push_back({TableOf(*points.storage), std::move(row)});
      last_ = touched_.size() - 1;
      last_place_ = &places_.emplace(Place{name, points.series}, last_).first->first;
      return bytes;
    }
    last_place_ = &known->first;
    last_ = known->second;
  }
  Row& row = touched_[last_].row;
  auto& first = std::get<int64_t>(row[row.size() - 2]);
  auto& last = std::get<int64_t>(row.back());
  first = std::min(first, points.first_time);
  last = std::max(last, points.last_time);
  return 0;
}

std::vector<SeriesTeller::Touched> SeriesTeller::Take() {
  std::vector<Touched> touched = std::move(touched_);
  Clear();
  return touched;
}

void SeriesTeller::Clear() {
  last_place_ = nullptr;
  places_.clear();
  touched_.clear();
  bytes_ = 0;
}

// A table that was made anew gives the numbers of its series again.
void SeriesTeller::Forget() {
  tables_.clear();
  places_.clear();
  last_place_ = nullptr;
}

}  // namespace cairn::state_machine
