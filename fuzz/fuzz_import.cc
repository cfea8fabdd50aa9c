// What `cairn load` reads: any dump, CSV or JSON lines are refused or taken into a database of this
// process, and mean the same however they are cut into pieces.
#include <sstream>

#include "base/check.h"
#include "fuzz_input.h"
#include "tools/csv_reader.h"
#include "tools/json_row.h"
#include "tools/load_sources.h"
#include "tools/sql_text.h"

namespace cairn::tools {
namespace {

// SQLite runs a dump. One that computes for long is no find.
constexpr int kOperationsMax = 200'000;

using Fields = std::vector<std::vector<std::string>>;

Fields RowsOf(const std::string& text) {
  std::istringstream in(text);
  CsvReader reader(&in);
  CsvReader::Row row;
  Fields rows;
  size_t line = 0;
  while (reader.Next(&row)) {
    CHECK(row.line > line) << "each row begins on a later line";
    line = row.line;
    if (row.trouble.empty()) rows.push_back(row.fields);
  }
  return rows;
}

void TryCsv(const std::string& text) {
  const Fields rows = RowsOf(text);
  std::string quoted;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      quoted += i == 0 ? "\"" : ",\"";
      for (const char c : row[i]) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
      quoted += '"';
    }
    quoted += "\n";
  }
  CHECK(RowsOf(quoted) == rows) << "fields that are quoted are the same fields";
}

std::vector<StatementSplitter::Statement> StatementsOf(const std::string& text, size_t piece) {
  StatementSplitter splitter;
  std::vector<StatementSplitter::Statement> out;
  for (size_t at = 0; at < text.size(); at += piece) {
    splitter.Append(std::string_view(text).substr(at, piece));
    while (auto statement = splitter.Next()) out.push_back(*std::move(statement));
  }
  if (splitter.HasRest()) out.push_back(splitter.TakeRest());
  return out;
}

void TryStatements(const std::string& text, size_t piece) {
  const auto whole = StatementsOf(text, text.size() + 1);
  const auto pieces = StatementsOf(text, piece);
  CHECK(whole.size() == pieces.size());
  for (size_t i = 0; i < whole.size(); ++i) {
    CHECK(whole[i].sql == pieces[i].sql && whole[i].line == pieces[i].line);
    IsQuery(whole[i].sql);
    IsPlainChange(whole[i].sql);
    ParametersOf(whole[i].sql);
    (void)ParseSlices(whole[i].sql, 1000, 1'000'000);
  }
}

void TryJson(const std::string& line) {
  const Result<JsonRow> row = ParseJsonRow(line);
  if (!row.ok()) return;
  for (const auto& [name, value] : row->fields) {
    const auto* const text = std::get_if<std::string>(&value);
    CHECK(text == nullptr || text->size() <= 6 * line.size() + 2);
  }
}

// As `cairn load` takes an input into a cluster that has the table `there`.
void TryLoad(const std::string& text, uint64_t format) {
  Result<std::unique_ptr<LocalDatabase>> local = LocalDatabase::New();
  CHECK(local.ok()) << local.status();
  sqlite3* const db = (*local)->handle();
  sqlite3_limit(db, SQLITE_LIMIT_LENGTH, 1 << 20);
  int left = kOperationsMax / 1000;
  const auto proceed = [](void* operations) {
    return --*static_cast<int*>(operations) < 0 ? 1 : 0;
  };
  sqlite3_progress_handler(db, 1000, proceed, &left);
  std::istringstream in(text);
  LoadSource source;
  source.name = "input";
  source.in = &in;
  source.find_existing = [](const std::string& table) {
    using Found = Result<std::optional<LoadSource::ExistingTable>>;
    if (table != "there") return Found(std::nullopt);
    return Found(LoadSource::ExistingTable{{"a", ""}, {"b", "1 + 1"}});
  };
  source.on_progress = [](uint64_t) {};
  std::vector<std::string> bad;
  if (format == 0) (void)TakeDump(&source, local->get());
  if (format == 1) (void)TakeCsv(&source, {"there", 0}, local->get(), &bad);
  if (format == 2) (void)TakeCsv(&source, {"new", 0}, local->get(), &bad);
  if (format == 3) (void)TakeJsonLines(&source, {"there", 0}, local->get(), &bad);
  if (format == 4) (void)TakeJsonLines(&source, {"new", 0}, local->get(), &bad);
}

}  // namespace
}  // namespace cairn::tools

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn::tools;  // NOLINT: a function's
  cairn::fuzz::Decisions decisions(data, size);
  const uint64_t what = decisions.Below(8);
  const size_t piece = what == 1 ? 1 + decisions.Below(16) : 1;
  const std::string rest = decisions.Rest();
  if (what == 0) TryCsv(rest);
  if (what == 1) TryStatements(rest, piece);
  if (what == 2) TryJson(rest);
  if (what >= 3) TryLoad(rest, what - 3);
  return 0;
}
