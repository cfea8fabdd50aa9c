#include "sim/digest.h"

#include <sqlite3.h>

#include <cstdlib>
#include <functional>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "state_machine/sqlite/file_system_vfs.h"

namespace cairn::sim {
namespace {

using OnBytes = std::function<void(std::string_view)>;

class Connection {
 public:
  Connection(const FaultFileSystem& disk, const std::string& path)
      : files_(1), vfs_(files_, SystemClock(), 1) {
    for (const char* suffix : {"", "-wal"}) {
      if (disk.Holds(path + suffix))
        files_.SetContents(path + suffix, disk.Contents(path + suffix));
    }
    code_ = sqlite3_open_v2(path.c_str(), &db_, SQLITE_OPEN_READWRITE, vfs_.name());
    sqlite3_db_config(db_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  }
  ~Connection() { sqlite3_close(db_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  Status status() const {
    if (code_ == SQLITE_OK) return OkStatus();
    return Internal(std::string("digest: ") + sqlite3_errmsg(db_));
  }

  // Passes the type and the bytes of each value to `out`.
  Status Rows(const std::string& sql, const OnBytes& out) {
    sqlite3_stmt* stmt = nullptr;
    code_ = sqlite3_prepare_v2(db_, sql.c_str(), -1, &stmt, nullptr);
    RETURN_IF_ERROR(status());
    while ((code_ = sqlite3_step(stmt)) == SQLITE_ROW) {
      for (int i = 0; i < sqlite3_column_count(stmt); ++i) {
        const char type = static_cast<char>('0' + sqlite3_column_type(stmt, i));
        out({&type, 1});
        const auto* bytes = static_cast<const char*>(sqlite3_column_blob(stmt, i));
        out({bytes == nullptr ? "" : bytes, static_cast<size_t>(sqlite3_column_bytes(stmt, i))});
        out("|");
      }
      out("\n");
    }
    sqlite3_finalize(stmt);
    if (code_ == SQLITE_DONE) code_ = SQLITE_OK;
    return status();
  }

 private:
  FaultFileSystem files_;
  state_machine::FileSystemVfs vfs_;
  sqlite3* db_ = nullptr;
  int code_ = SQLITE_OK;
};

Status ReadAll(const FaultFileSystem& disk, const std::string& path, LogIndex* applied,
               const OnBytes& out) {
  Connection db(disk, path);
  RETURN_IF_ERROR(db.status());
  std::string index;
  RETURN_IF_ERROR(db.Rows("SELECT applied_index FROM _cairn_state",
                          [&](std::string_view bytes) { index.append(bytes); }));
  // The type precedes the number.
  if (index.size() > 1) *applied = LogIndex(std::strtoull(index.c_str() + 1, nullptr, 10));
  RETURN_IF_ERROR(db.Rows("SELECT rowid, type, name, tbl_name, sql FROM sqlite_schema", out));
  std::vector<std::string> queries;
  std::string text;
  RETURN_IF_ERROR(
      db.Rows("SELECT CASE wr WHEN 0 THEN 'rowid, * FROM ' ELSE '* FROM ' END || '\"' || name || "
              "'\"' FROM pragma_table_list WHERE type IN ('table', 'shadow') AND schema = 'main' "
              "AND name != 'sqlite_schema' ORDER BY name",
              [&](std::string_view bytes) {
                if (bytes == "\n") {
                  // The value is a type, the text and a bar.
                  queries.push_back(text.substr(1, text.size() - 2));
                  text.clear();
                } else {
                  text.append(bytes);
                }
              }));
  for (const std::string& query : queries) {
    out("== " + query + "\n");
    RETURN_IF_ERROR(db.Rows("SELECT " + query, out));
  }
  return OkStatus();
}

}  // namespace

Result<DatabaseDigest> DigestOfDatabase(const FaultFileSystem& disk, const std::string& path) {
  DatabaseDigest result;
  uint64_t hash = 0xcbf29ce484222325ULL;
  RETURN_IF_ERROR(ReadAll(disk, path, &result.applied, [&](std::string_view bytes) {
    for (const char c : bytes) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3ULL;
  }));
  result.digest = hash;
  return result;
}

Result<std::string> DumpOfDatabase(const FaultFileSystem& disk, const std::string& path) {
  std::string dump;
  LogIndex applied;
  RETURN_IF_ERROR(
      ReadAll(disk, path, &applied, [&](std::string_view bytes) { dump.append(bytes); }));
  return dump;
}

}  // namespace cairn::sim
