#include "tools/watch.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <thread>
#include <utility>

#include "cairn/client.h"
#include "tools/cluster_view.h"
#include "tools/process_tls.h"
#include "tools/result_printer.h"

namespace cairn::tools {
namespace {

constexpr std::chrono::milliseconds kTurn(1000);

constexpr std::array<std::pair<ChangeKind, const char*>, 9> kNames = {
    {{ChangeKind::kInsert, "insert"},
     {ChangeKind::kUpdate, "update"},
     {ChangeKind::kDelete, "delete"},
     {ChangeKind::kSchema, "schema"},
     {ChangeKind::kCommandEnd, "end"},
     {ChangeKind::kSnapshotBegin, "snapshot_begin"},
     {ChangeKind::kRow, "row"},
     {ChangeKind::kSnapshotEnd, "snapshot_end"},
     {ChangeKind::kPoints, "points"}}};

std::string NameOf(ChangeKind kind) {
  const auto* const found = std::find_if(kNames.begin(), kNames.end(),
                                         [&](const auto& each) { return each.first == kind; });
  return found == kNames.end() ? "" : found->second;
}

std::string Text(ChangePosition position) {
  return std::to_string(position.index) + "." + std::to_string(position.ordinal);
}

const char* KindName(WatchedSchema::Kind kind) {
  switch (kind) {
    case WatchedSchema::Kind::kCreated: return "created";
    case WatchedSchema::Kind::kAltered: return "altered";
    case WatchedSchema::Kind::kDropped: return "dropped";
  }
  return "";
}

std::string ColumnName(const WatchEvent& event, size_t place) {
  const bool known = event.table != nullptr && place < event.table->columns.size();
  return known ? event.table->columns[place].name : std::to_string(place);
}

// ---- For programs

std::string JsonRow(const WatchEvent& event, const Row& row) {
  std::string out = "{";
  for (size_t i = 0; i < row.size(); ++i) {
    out += (i == 0 ? "" : ",") + JsonText(ColumnName(event, i)) + ":" + JsonText(row[i]);
  }
  return out + "}";
}

std::string JsonNames(const WatchEvent& event, const std::vector<uint32_t>& places) {
  std::string out = "[";
  for (const uint32_t place : places) {
    out += (out.size() == 1 ? "" : ",") + JsonText(ColumnName(event, place));
  }
  return out + "]";
}

std::string JsonLine(const WatchEvent& event) {
  std::string out =
      R"({"position":")" + Text(event.position) + R"(","kind":")" + NameOf(event.kind) + '"';
  if (event.kind == ChangeKind::kSchema) {
    out += std::string(R"(,"change":")") + KindName(event.schema.kind) + R"(","type":)" +
           JsonText(event.schema.type) + R"(,"name":)" + JsonText(event.schema.name) +
           R"(,"table":)" + JsonText(event.schema.table) + R"(,"sql":)" +
           JsonText(event.schema.sql);
    if (!event.schema.renamed_from.empty()) {
      out += R"(,"renamed_from":)" + JsonText(event.schema.renamed_from);
    }
    if (event.schema.begin_anew) out += R"(,"begin_anew":true)";
  }
  if (event.table != nullptr) {
    out += R"(,"table":)" + JsonText(event.table->name) + R"(,"key":)" +
           JsonNames(event, event.table->key);
    if (event.old_rowid) out += R"(,"old_rowid":)" + std::to_string(*event.old_rowid);
    if (event.new_rowid) out += R"(,"new_rowid":)" + std::to_string(*event.new_rowid);
    if (!event.old_row.empty()) out += R"(,"old":)" + JsonRow(event, event.old_row);
    if (!event.new_row.empty()) out += R"(,"new":)" + JsonRow(event, event.new_row);
    if (event.kind == ChangeKind::kUpdate) {
      out += R"(,"changed":)" + JsonNames(event, event.changed);
    }
    if (event.too_large) out += R"(,"too_large":true)";
  }
  return out + "}";
}

// ---- For people

std::string Named(const WatchEvent& event, const Row& row, size_t place) {
  return "  " + DisplayText(ColumnName(event, place)) + "=" + DisplayText(row[place]);
}

std::string RowText(const WatchEvent& event) {
  const Row& row = event.new_row.empty() ? event.old_row : event.new_row;
  std::string out;
  const auto shows = [&](size_t place) {
    if (event.kind != ChangeKind::kUpdate && !event.too_large) return true;
    const auto& key = event.table->key;
    return std::find(key.begin(), key.end(), place) != key.end();
  };
  if (event.table->key.empty() && event.kind == ChangeKind::kUpdate && event.new_rowid) {
    out += "  rowid=" + std::to_string(*event.new_rowid);
  }
  for (size_t i = 0; i < row.size(); ++i) {
    if (shows(i)) out += Named(event, row, i);
  }
  for (const uint32_t place : event.changed) {
    if (event.too_large || place >= std::min(event.old_row.size(), event.new_row.size())) break;
    out += "  " + DisplayText(ColumnName(event, place)) + ": " + DisplayText(event.old_row[place]) +
           " -> " + DisplayText(event.new_row[place]);
  }
  if (event.too_large) out += "  (the row is too large to be shown)";
  return out;
}

std::string Renamed(const WatchedSchema& schema) {
  if (schema.renamed_from.empty()) return "";
  return " (renamed from " + DisplayText(schema.renamed_from) +
         (schema.begin_anew ? ", its rows were not told: begin anew with a snapshot)" : ")");
}

std::string PlainLine(const WatchEvent& event) {
  switch (event.kind) {
    case ChangeKind::kCommandEnd: return "";
    case ChangeKind::kSnapshotBegin: return "rows as of " + Text(event.position) + ":";
    case ChangeKind::kSnapshotEnd: return Text(event.position) + "  changes:";
    case ChangeKind::kSchema:
      return Text(event.position) + "  " + KindName(event.schema.kind) + " " + event.schema.type +
             " " + DisplayText(event.schema.name) + Renamed(event.schema) +
             (event.schema.sql.empty() ? "" : ": " + DisplayText(event.schema.sql));
    default: break;
  }
  if (event.table == nullptr) return "";
  const std::string position = event.kind == ChangeKind::kRow ? "" : Text(event.position) + "  ";
  return position + NameOf(event.kind) + " " + DisplayText(event.table->name) + RowText(event);
}

Status Print(Watcher* watcher, bool json, std::ostream* out) {
  bool flushed = true;
  for (;;) {
    // Lines that come together are written together.
    const Result<WatchEvent> event = watcher->Next(flushed ? kTurn : std::chrono::milliseconds(0));
    if (!event.ok() && event.status().code() != StatusCode::kDeadlineExceeded) {
      return event.status();
    }
    if (event.ok()) {
      const std::string line = EventLine(*event, json);
      if (!line.empty()) *out << line << "\n";
      flushed = false;
    } else if (!std::exchange(flushed, true)) {
      out->flush();
    }
    if (!*out) return Unavailable("cannot write to standard output");
  }
}

}  // namespace

std::optional<ChangePosition> ParsePosition(std::string_view text) {
  ChangePosition position;
  const char* const last = text.data() + text.size();
  auto [end, error] = std::from_chars(text.data(), last, position.index);
  if (error != std::errc()) return std::nullopt;
  if (end == last) return position;
  if (*end != '.') return std::nullopt;
  const auto ordinal = std::from_chars(end + 1, last, position.ordinal);
  if (ordinal.ec != std::errc() || ordinal.ptr != last) return std::nullopt;
  return position;
}

std::optional<ChangeKind> ParseOperation(std::string_view text) {
  for (const auto& [kind, name] : kNames) {
    const bool is_operation = kind <= ChangeKind::kSchema || kind == ChangeKind::kPoints;
    if (text == name && is_operation) return kind;
  }
  return std::nullopt;
}

std::string EventLine(const WatchEvent& event, bool json) {
  return json ? JsonLine(event) : PlainLine(event);
}

int RunWatch(const WatchCommand& command, StopSignals* signals, std::ostream* out,
             std::ostream* err) {
  ClientOptions options;
  options.tls_directory = ProcessTlsDirectory();
  options.token_file = ProcessTokenFile();
  options.endpoints = command.addresses;
  const Result<std::unique_ptr<Client>> client = Client::Connect(options);
  Result<std::unique_ptr<Watcher>> watcher =
      client.ok() ? (*client)->Watch(command.watch)
                  : Result<std::unique_ptr<Watcher>>(client.status());
  if (!watcher.ok()) {
    *err << "error: " << ErrorInWords(watcher.status()) << std::endl;
    return 1;
  }
  std::thread stopper([&] {
    if (signals->Wait()) (*watcher)->Cancel();
  });
  const Status status = Print(watcher->get(), command.json, out);
  out->flush();
  signals->Cancel();
  stopper.join();
  const bool stopped = status.code() == StatusCode::kCancelled;
  if (!stopped) *err << "error: " << ErrorInWords(status) << "\n";
  if (const auto position = (*watcher)->position()) {
    *err << "to go on: --from " << Text(*position) << std::endl;
  }
  return stopped ? 0 : 1;
}

}  // namespace cairn::tools
