#include "tools/load_data.h"

#include <fstream>
#include <iostream>
#include <memory>
#include <utility>

#include "base/text.h"
#include "tools/load_sources.h"
#include "tools/process_tls.h"
#include "tools/result_printer.h"

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

std::string Megabytes(uint64_t bytes) { return std::to_string(bytes >> 20) + " MB"; }

class DataLoader {
 public:
  DataLoader(const LoadRequest& request, std::ostream* err) : request_(request), err_(*err) {}

  Result<BulkLoadResult> Run() {
    ClientOptions options;
    options.tls_directory = ProcessTlsDirectory();
    options.endpoints = request_.addresses;
    options.timeout = kCallTimeout;
    ASSIGN_OR_RETURN(client_, Client::Connect(options));
    options.maintenance = true;
    ASSIGN_OR_RETURN(maintenance_, Client::Connect(options));
    const Status taken = Take();
    ClearLine();
    RETURN_IF_ERROR(taken);
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
    source_.name = request_.path == "-" ? "standard input" : request_.path;
    if (format == LoadFormat::kSqlite) {
      if (request_.path == "-") return InvalidArgument("a file of SQLite is not read from a pipe");
      ASSIGN_OR_RETURN(local_, LocalDatabase::OpenFile(request_.path));
      return OkStatus();
    }
    std::ifstream file;
    source_.in = &std::cin;
    if (request_.path != "-") {
      file.open(request_.path, std::ios::binary);
      if (!file) return ErrnoStatus("open " + request_.path, errno);
      source_.in = &file;
    }
    source_.find_existing = [this](const std::string& table) { return FindExisting(table); };
    source_.on_progress = [this](uint64_t bytes) { Show("read " + Megabytes(bytes)); };
    ASSIGN_OR_RETURN(local_, LocalDatabase::New());
    if (format == LoadFormat::kSql) return TakeDump(&source_, local_.get());
    std::vector<std::string> bad;
    const RowsOptions options{request_.table, request_.skip};
    const Status status = format == LoadFormat::kCsv
                              ? TakeCsv(&source_, options, local_.get(), &bad)
                              : TakeJsonLines(&source_, options, local_.get(), &bad);
    if (!bad.empty()) ClearLine();
    for (const std::string& line : bad) err_ << line << "\n";
    return status;
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
