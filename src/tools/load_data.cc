#include "tools/load_data.h"

#include <fstream>
#include <istream>
#include <memory>
#include <utility>

#include "base/text.h"
#include "tools/input_file.h"
#include "tools/load_plan.h"
#include "tools/load_sources.h"
#include "tools/process_tls.h"
#include "tools/result_printer.h"
#include "tools/sql_literal.h"

namespace cairn::tools {
namespace {

constexpr std::chrono::minutes kCallTimeout{30};
constexpr std::string_view kSqliteMagic = "SQLite format 3";

bool EndsWith(const std::string& path, std::string_view end) { return path.ends_with(end); }

bool IsSqliteFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  char bytes[kSqliteMagic.size()] = {};
  file.read(bytes, sizeof(bytes));
  return std::string_view(bytes, sizeof(bytes)) == kSqliteMagic;
}

LoadFormat FormatOf(const LoadRequest& request) {
  if (request.format) return *request.format;
  if (request.path != "-" && IsSqliteFile(request.path)) return LoadFormat::kSqlite;
  for (const char* end : {".jsonl", ".ndjson", ".json"}) {
    if (EndsWith(request.path, end)) return LoadFormat::kJsonLines;
  }
  const bool csv = EndsWith(request.path, ".csv") || !request.table.empty();
  return csv ? LoadFormat::kCsv : LoadFormat::kSql;
}

bool IsReserved(std::string table) {
  for (char& c : table) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return table.starts_with(kStagePrefix);
}

std::string Megabytes(uint64_t bytes) { return std::to_string(bytes >> 20) + " MB"; }

class DataLoader {
 public:
  DataLoader(const LoadRequest& request, std::ostream* err) : request_(request), err_(*err) {}

  Result<BulkLoadResult> Run() {
    ClientOptions options;
    options.tls_directory = ProcessTlsDirectory();
    options.token_file = ProcessTokenFile();
    options.endpoints = request_.addresses;
    options.timeout = kCallTimeout;
    ASSIGN_OR_RETURN(client_, Client::Connect(options));
    options.maintenance = true;
    ASSIGN_OR_RETURN(maintenance_, Client::Connect(options));
    const Status taken = Take();
    ClearLine();
    RETURN_IF_ERROR(taken);
    RETURN_IF_ERROR(TellOfDrops());
    BulkLoadOptions load;
    load.source = source_.name;
    load.existing = source_.existing;
    load.rows_are_lines = !request_.table.empty();
    load.resume = request_.resume;
    load.unchecked = request_.unchecked;
    load.tell = [this](const std::string& line) {
      ClearLine();
      err_ << line << std::endl;
    };
    load.on_progress = [this](uint64_t rows, uint64_t rows_all, uint64_t bytes) {
      const uint64_t percent = rows_all == 0 ? 100 : rows * 100 / rows_all;
      Show(std::string(percent / 5, '#') + std::string(20 - percent / 5, '.') + " " +
           std::to_string(percent) + " %, " + Counted(rows, "row") + ", " + Megabytes(bytes));
    };
    Result<BulkLoadResult> result = BulkLoad(local_.get(), client_.get(), maintenance_.get(), load);
    ClearLine();
    return result;
  }

 private:
  // The input, in the local database.
  Status Take() {
    const LoadFormat format = FormatOf(request_);
    const bool rows = format == LoadFormat::kCsv || format == LoadFormat::kJsonLines;
    if (rows == request_.table.empty()) {
      return InvalidArgument(rows ? "--table names the table of CSV and JSON lines"
                                  : "--table is for CSV and JSON lines");
    }
    if (IsReserved(request_.table)) {
      return InvalidArgument(
          "names that begin with " + std::string(kStagePrefix) +
          " are reserved: `cairn load` takes such a table for one that a load has "
          "left");
    }
    source_.name = request_.path == "-" ? "standard input" : request_.path;
    if (format == LoadFormat::kSqlite) {
      if (request_.path == "-") return InvalidArgument("a file of SQLite is not read from a pipe");
      ASSIGN_OR_RETURN(local_, LocalDatabase::OpenFile(request_.path));
      return OkStatus();
    }
    std::unique_ptr<InputFile> file = InputFile::StandardInput();
    if (request_.path != "-") {
      ASSIGN_OR_RETURN(file, InputFile::Open(request_.path));
    }
    std::istream in(file.get());
    source_.in = &in;
    source_.find_existing = [this](const std::string& table) { return FindExisting(table); };
    source_.on_progress = [this](uint64_t bytes) { Show("read " + Megabytes(bytes)); };
    ASSIGN_OR_RETURN(local_, LocalDatabase::New());
    std::vector<std::string> bad;
    const Status taken = TakeFrom(format, &bad);
    source_.in = nullptr;
    // What seems to be cut off is only not read.
    RETURN_IF_ERROR(file->failure());
    if (!bad.empty()) ClearLine();
    for (const std::string& line : bad) err_ << line << "\n";
    return taken;
  }

  Status TakeFrom(LoadFormat format, std::vector<std::string>* bad) {
    if (format == LoadFormat::kSql) return TakeDump(&source_, local_.get());
    const RowsOptions options{request_.table, request_.skip, request_.separator};
    return format == LoadFormat::kCsv ? TakeCsv(&source_, options, local_.get(), bad)
                                      : TakeJsonLines(&source_, options, local_.get(), bad);
  }

  Result<std::optional<LoadSource::ExistingTable>> FindExisting(const std::string& table) {
    ASSIGN_OR_RETURN(
        const QueryResult columns,
        client_->Query(
            {"SELECT x.name, x.dflt_value FROM sqlite_schema AS s, "
             "pragma_table_xinfo(s.name) AS x WHERE s.type = 'table' AND lower(s.name) = "
             "lower(?1) AND x.hidden = 0 ORDER BY x.cid",
             {table},
             {}}));
    if (columns.rows.empty()) return std::optional<LoadSource::ExistingTable>();
    LoadSource::ExistingTable found;
    for (const Row& row : columns.rows) {
      found.push_back({PlainText(row.at(0)), PlainText(row.at(1))});
    }
    return std::optional<LoadSource::ExistingTable>(std::move(found));
  }

  // The input drops a table if it exists, and does not make it. In the cluster it exists.
  Status TellOfDrops() {
    for (const std::string& table : source_.drops) {
      ASSIGN_OR_RETURN(const std::vector<Row> made,
                       local_->All("SELECT 1 FROM sqlite_schema WHERE lower(name) = lower(" +
                                   LiteralText(table) + ")"));
      if (!made.empty()) continue;
      ASSIGN_OR_RETURN(const auto columns, FindExisting(table));
      if (!columns.has_value()) continue;
      err_ << "note: DROP TABLE IF EXISTS " << NameText(table)
           << " does nothing: a load drops no table of the cluster. `cairn shell` does"
           << std::endl;
    }
    return OkStatus();
  }

  void Show(const std::string& line) {
    if (request_.terminal == nullptr) return;
    *request_.terminal << "\r\x1b[K" << line << std::flush;
    shown_ = true;
  }
  void ClearLine() {
    if (shown_) *request_.terminal << "\r\x1b[K" << std::flush;
    shown_ = false;
  }

  const LoadRequest& request_;
  std::ostream& err_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<Client> maintenance_;
  LoadSource source_;
  std::unique_ptr<LocalDatabase> local_;
  bool shown_ = false;
};

}  // namespace

std::optional<LoadFormat> ParseLoadFormat(const std::string& name) {
  if (name == "sql") return LoadFormat::kSql;
  if (name == "sqlite") return LoadFormat::kSqlite;
  if (name == "csv") return LoadFormat::kCsv;
  if (name == "jsonl") return LoadFormat::kJsonLines;
  return std::nullopt;
}

Result<BulkLoadResult> LoadData(const LoadRequest& request, std::ostream* err) {
  return DataLoader(request, err).Run();
}

}  // namespace cairn::tools
