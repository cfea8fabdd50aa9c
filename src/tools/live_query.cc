#include "tools/live_query.h"

#include <memory>
#include <thread>

#include "base/result.h"
#include "tools/cluster_view.h"
#include "tools/process_tls.h"
#include "tools/result_printer.h"

namespace cairn::tools {
namespace {

constexpr std::chrono::milliseconds kTurn(1000);

std::string JsonLine(const QueryResult& result) {
  std::string out = R"({"index":)" + std::to_string(result.index) + R"(,"rows":[)";
  for (size_t row = 0; row < result.rows.size(); ++row) {
    out += row == 0 ? "{" : ",{";
    for (size_t i = 0; i < result.columns.size(); ++i) {
      out += (i == 0 ? "" : ",") + JsonText(result.columns[i].name) + ":" +
             JsonText(result.rows[row][i]);
    }
    out += "}";
  }
  return out + "]}\n";
}

Status PrintResult(const LiveQueryCommand& command, const QueryResult& result, std::ostream* out) {
  if (command.json) {
    *out << JsonLine(result);
    return OkStatus();
  }
  *out << "as of " << result.index << ":\n";
  PrintStyle style;
  style.for_terminal = command.for_terminal;
  const std::unique_ptr<ResultPrinter> printer = NewResultPrinter(style, out);
  RETURN_IF_ERROR(printer->OnColumns(result.columns));
  for (const Row& row : result.rows) RETURN_IF_ERROR(printer->OnRow(row));
  printer->Finish();
  return OkStatus();
}

Status Print(const LiveQueryCommand& command, LiveQuery* live, std::ostream* out,
             std::ostream* err) {
  for (;;) {
    const Result<QueryResult> result = live->Next(kTurn);
    if (result.ok()) {
      RETURN_IF_ERROR(PrintResult(command, *result, out));
      out->flush();
    } else if (live->ended()) {
      return result.status();
    } else if (result.status().code() != StatusCode::kDeadlineExceeded) {
      *err << "no result, and tried again: " << ErrorInWords(result.status()) << std::endl;
    }
    if (!*out) return Unavailable("cannot write to standard output");
  }
}

}  // namespace

int RunLiveQuery(const LiveQueryCommand& command, StopSignals* signals, std::ostream* out,
                 std::ostream* err) {
  ClientOptions options;
  options.tls_directory = ProcessTlsDirectory();
  options.token_file = ProcessTokenFile();
  options.endpoints = command.addresses;
  const Result<std::unique_ptr<Client>> client = Client::Connect(options);
  Result<std::unique_ptr<LiveQuery>> live =
      client.ok() ? (*client)->WatchQuery({.sql = command.sql}, {.interval = command.interval})
                  : Result<std::unique_ptr<LiveQuery>>(client.status());
  if (!live.ok()) {
    *err << "error: " << ErrorInWords(live.status()) << std::endl;
    return 1;
  }
  std::thread stopper([&] {
    if (signals->Wait()) (*live)->Cancel();
  });
  const Status status = Print(command, live->get(), out, err);
  out->flush();
  signals->Cancel();
  stopper.join();
  if (status.code() == StatusCode::kCancelled) return 0;
  *err << "error: " << ErrorInWords(status) << std::endl;
  return 1;
}

}  // namespace cairn::tools
