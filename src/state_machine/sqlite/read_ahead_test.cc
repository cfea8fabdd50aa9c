#include "state_machine/sqlite/read_ahead.h"

#include <gtest/gtest.h>

#include "base/fault_file_system.h"
#include "state_machine/sqlite/file_system_vfs.h"
#include "state_machine/sqlite/immutable_database.h"
#include "state_machine/sqlite/replicas_test_util.h"

namespace cairn::state_machine {
namespace {

constexpr int kRows = 3000;
constexpr size_t kCacheBytes = 64 << 10;  // far less than the file has

// A file of about 7 MB: rows with overflow pages, and an index in another order than that of the
// rows.
class ReadAheadTest : public testing::Test {
 protected:
  ReadAheadTest() {
    EXPECT_TRUE(fs_.CreateDirectories("/d").ok());
    TestDatabase db("/d/f", "", vfs_.name());
    db.Run(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, mixed, body); CREATE INDEX i ON t(mixed, body);"
        "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT " +
        std::to_string(kRows) +
        ") SELECT i, (i * 7919) % 3001, CAST(printf('%.*c', 300 + i % 1500, 'a' + i % 26)"
        " AS BLOB) FROM n");
    pages_ = db.Number("PRAGMA page_count");
  }
  // What `sql` gives as its first column, or the error.
  Result<std::string> Ask(const std::string& sql) {
    std::string answer;
    const auto asked = WithImmutableDatabase(
        vfs_.name(), "/d/f", kCacheBytes, [&](sqlite3* db) -> Result<raft::SnapshotMeta> {
          sqlite3_stmt* statement = nullptr;
          sqlite3_prepare_v2(db, sql.c_str(), -1, &statement, nullptr);
          const int rc = sqlite3_step(statement);
          if (rc == SQLITE_ROW) {
            answer = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
          }
          sqlite3_finalize(statement);
          if (rc != SQLITE_ROW) return Internal("code " + std::to_string(rc));
          return raft::SnapshotMeta();
        });
    if (!asked.ok()) return asked.status();
    return answer;
  }

  FaultFileSystem fs_{1};
  ManualClock clock_;
  FileSystemVfs vfs_{fs_, clock_, 1};
  int64_t pages_ = 0;
};

TEST_F(ReadAheadTest, ATableIsReadInLargePieces) {
  const uint64_t before = fs_.reads();
  EXPECT_EQ(Ask("SELECT count(body) FROM t NOT INDEXED").value(), std::to_string(kRows));
  EXPECT_LT(fs_.reads() - before, static_cast<uint64_t>(pages_) / 4);
}

// SQLite then holds pages of many pieces at a time, and comes back to pieces that are gone.
TEST_F(ReadAheadTest, PagesInNoOrderAreThoseOfTheFile) {
  const std::string by_index = Ask("SELECT sum(id * length(body) * (1 + instr(body, x'63'))) FROM"
                                   " (SELECT id, body FROM t INDEXED BY i ORDER BY mixed)")
                                   .value();
  TestDatabase plain("/d/f", "", vfs_.name());
  EXPECT_EQ(plain.Text("SELECT sum(id * length(body) * (1 + instr(body, x'63'))) FROM t"),
            by_index);
  EXPECT_EQ(Ask("SELECT sum(length(a.body || b.body)) FROM t a JOIN t b ON b.id = a.mixed").value(),
            plain.Text("SELECT sum(length(a.body || b.body)) FROM t a JOIN t b ON b.id = a.mixed"));
}

TEST_F(ReadAheadTest, PagesInNoOrderCostNoMoreReadsThanPages) {
  const uint64_t before = fs_.reads();
  EXPECT_EQ(Ask("PRAGMA quick_check").value(), "ok");
  EXPECT_LT(fs_.reads() - before, static_cast<uint64_t>(pages_));
}

TEST_F(ReadAheadTest, AReadThatFailsGivesAnErrorOrIsMadeAgain) {
  const std::string sql = "SELECT sum(length(body)) FROM t NOT INDEXED";
  const uint64_t before = fs_.reads();
  const std::string right = Ask(sql).value();
  const uint64_t reads = fs_.reads() - before;
  for (uint64_t k = 1; k <= reads; ++k) {
    const uint64_t failed = fs_.failed_reads();
    fs_.InjectRead(k);
    const Result<std::string> answer = Ask(sql);
    EXPECT_EQ(fs_.failed_reads(), failed + 1) << k;
    if (answer.ok()) {
      EXPECT_EQ(*answer, right) << k;
    }
  }
}

}  // namespace
}  // namespace cairn::state_machine
