// For the tests of this folder: a directory, and a WAL database as the writer keeps it.
#pragma once

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "base/ids.h"
#include "base/result.h"
#include "raft/types.h"
#include "state_machine/state_machine.h"

namespace cairn::state_machine {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "cairn-test-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// A connection that checks everything it does.
class TestDatabase {
 public:
  explicit TestDatabase(const std::string& path, const char* uri_suffix = "",
                        const char* vfs = nullptr) {
    const std::string uri = "file:" + path + uri_suffix;
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI;
    EXPECT_EQ(sqlite3_open_v2(uri.c_str(), &db_, flags, vfs), SQLITE_OK);
  }
  ~TestDatabase() { EXPECT_EQ(sqlite3_close(db_), SQLITE_OK); }
  TestDatabase(const TestDatabase&) = delete;
  TestDatabase& operator=(const TestDatabase&) = delete;

  // Makes the file a database as the state machine does: in WAL mode, with a row that holds the
  // index.
  void MakeCairn() {
    Run("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0");
    Run("CREATE TABLE _cairn_meta(id INTEGER PRIMARY KEY CHECK(id = 1), applied, term)");
    Run("INSERT INTO _cairn_meta VALUES(1, 0, 0)");
  }
  void SetApplied(uint64_t index, uint64_t term = 1) {
    Run("UPDATE _cairn_meta SET applied = " + std::to_string(index) +
        ", term = " + std::to_string(term));
  }

  void Run(const std::string& sql) {
    char* error = nullptr;
    EXPECT_EQ(sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, &error), SQLITE_OK)
        << sql << ": " << (error != nullptr ? error : "");
    sqlite3_free(error);
  }
  int64_t Number(const std::string& sql) {
    sqlite3_stmt* stmt = nullptr;
    EXPECT_EQ(sqlite3_prepare_v2(db_, sql.c_str(), -1, &stmt, nullptr), SQLITE_OK)
        << sql << ": " << sqlite3_errmsg(db_);
    EXPECT_EQ(sqlite3_step(stmt), SQLITE_ROW) << sql;
    const int64_t n = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return n;
  }
  std::string Text(const std::string& sql) {
    sqlite3_stmt* stmt = nullptr;
    EXPECT_EQ(sqlite3_prepare_v2(db_, sql.c_str(), -1, &stmt, nullptr), SQLITE_OK)
        << sql << ": " << sqlite3_errmsg(db_);
    EXPECT_EQ(sqlite3_step(stmt), SQLITE_ROW) << sql;
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(stmt, 0));
    std::string out = text == nullptr ? "NULL" : text;
    sqlite3_finalize(stmt);
    return out;
  }
  sqlite3* handle() { return db_; }

 private:
  sqlite3* db_ = nullptr;
};

inline constexpr char kAppliedSql[] = "SELECT applied FROM _cairn_meta";

inline Result<raft::SnapshotMeta> ReadTestMeta(sqlite3* db) {
  sqlite3_stmt* stmt = nullptr;
  raft::SnapshotMeta meta;
  if (sqlite3_prepare_v2(db, "SELECT applied, term FROM _cairn_meta", -1, &stmt, nullptr) !=
          SQLITE_OK ||
      sqlite3_step(stmt) != SQLITE_ROW) {
    sqlite3_finalize(stmt);
    return FailedPrecondition("not a Cairn database");
  }
  meta.index = LogIndex(static_cast<uint64_t>(sqlite3_column_int64(stmt, 0)));
  meta.term = Term(static_cast<uint64_t>(sqlite3_column_int64(stmt, 1)));
  sqlite3_finalize(stmt);
  return meta;
}

// The real file system. A test overrides the calls that it wants to see or to change.
class ForwardingFileSystem : public FileSystem {
 public:
  Result<std::unique_ptr<File>> Open(const std::string& path, bool create) override {
    return fs_.Open(path, create);
  }
  Result<bool> Exists(const std::string& path) override { return fs_.Exists(path); }
  Result<std::vector<std::string>> List(const std::string& directory) override {
    return fs_.List(directory);
  }
  Status CreateDirectories(const std::string& path) override { return fs_.CreateDirectories(path); }
  Status Rename(const std::string& from, const std::string& to) override {
    return fs_.Rename(from, to);
  }
  Status CopyMode(const std::string& from, const std::string& to) override {
    return fs_.CopyMode(from, to);
  }
  Status Remove(const std::string& path) override { return fs_.Remove(path); }
  Status SyncDirectory(const std::string& directory) override {
    return fs_.SyncDirectory(directory);
  }
  Result<uint64_t> FreeBytes(const std::string& path) override { return fs_.FreeBytes(path); }

 private:
  FileSystem& fs_ = PosixFileSystem();
};

// Keeps what a query gives.
class RowCollector : public RowSink {
 public:
  Status OnColumns(const std::vector<Column>& c) override {
    columns = c;
    ++columns_calls;
    return OkStatus();
  }
  Status OnRow(Row row) override {
    rows.push_back(std::move(row));
    return OkStatus();
  }
  std::vector<Column> columns;
  int columns_calls = 0;
  std::vector<Row> rows;
};

}  // namespace cairn::state_machine
