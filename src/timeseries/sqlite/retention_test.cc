// Retention: what goes, when, and what no clock alone can delete.

#include "timeseries/sqlite/retention.h"

#include "timeseries/sqlite/connection_test_util.h"

namespace cairn::timeseries {
namespace {

constexpr int64_t kMinute = 60'000;
constexpr int64_t kHour = 60 * kMinute;
constexpr int64_t kDay = 24 * kHour;
constexpr int64_t kBegin = 1'700'000'000'000;

// A VFS whose clock the test sets.
int64_t now_ms = 0;
int CurrentTime(sqlite3_vfs* /*vfs*/, sqlite3_int64* time) {
  *time = now_ms + 210866760000000;
  return SQLITE_OK;
}

class RetentionTest : public ::testing::Test {
 protected:
  RetentionTest() : vfs_(*sqlite3_vfs_find(nullptr)) {
    vfs_.zName = "of the test";
    vfs_.xCurrentTimeInt64 = &CurrentTime;
    sqlite3_vfs_register(&vfs_, /*makeDflt=*/1);
    now_ms = kBegin;
    c_ = std::make_unique<Connection>();
  }
  ~RetentionTest() override {
    c_ = nullptr;
    sqlite3_vfs_unregister(&vfs_);
  }

  void Create(const std::string& options) {
    c_->Must("CREATE VIRTUAL TABLE m USING timeseries(device TEXT TAG, ts TIMESTAMP_MS, v REAL" +
             options + ")");
  }
  // A point a minute, from `from` to before `until`.
  void Fill(const std::string& device, int64_t from, int64_t until) {
    c_->Must("INSERT INTO m WITH RECURSIVE i(t) AS (SELECT " + std::to_string(from) +
             " UNION ALL SELECT t + 60000 FROM i WHERE t + 60000 < " + std::to_string(until) +
             ") SELECT '" + device + "', t, t % 1000 / 8.0 FROM i");
  }
  bool Expire() {
    c_->Must("INSERT INTO m(m) VALUES('expire')");
    return c_->module().expired().more;
  }
  // As the leader of a cluster does it, for so many minutes.
  void Live(int minutes) {
    for (int i = 0; i < minutes; ++i) {
      now_ms += kMinute;
      for (int slices = 0; Expire(); ++slices) ASSERT_LT(slices, 10'000);
    }
  }
  int64_t Int(const std::string& sql) { return std::stoll(c_->Run(sql)); }
  int64_t Oldest() { return Int("SELECT min(ts) FROM m"); }
  std::string Bound() { return c_->Run("SELECT v FROM m_config WHERE k = 'expired_before'"); }

  sqlite3_vfs vfs_;
  std::unique_ptr<Connection> c_;
};

TEST_F(RetentionTest, AWrongOneSaysWhatIsRight) {
  const auto create = [&](const std::string& retention) {
    return c_->Run("CREATE VIRTUAL TABLE m USING timeseries(ts TIMESTAMP_MS, v REAL, retention=" +
                   retention + ")");
  };
  EXPECT_EQ(create("'0d'"),
            "error: a retention of '0d' would delete every point: DELETE them, or name a longer "
            "one");
  EXPECT_EQ(create("'5s'"), "error: a retention is at least '1m'");
  EXPECT_EQ(create("'long'"),
            "error: a retention is a text such as '90d' (m, h, d, w, y), not 'long'");
  EXPECT_EQ(create("'-3d'"),
            "error: a retention is a text such as '90d' (m, h, d, w, y), not '-3d'");
  EXPECT_EQ(create("'5y'"), "");
  EXPECT_EQ(c_->Run("INSERT INTO m(m) VALUES('optimize')"),
            "error: the commands of a time series are 'retention=90d' (or another time), "
            "'retention_1h=5y' (of a rollup), 'retention=none' and 'expire'");
  EXPECT_EQ(c_->Run("INSERT INTO m(m, v) VALUES('expire', 1)"),
            "error: a command of a time series comes alone: INSERT INTO m(m) VALUES('...')");
  EXPECT_EQ(c_->Run("CREATE VIRTUAL TABLE v USING timeseries(ts TIMESTAMP_MS, v REAL)"),
            "error: no column of a time series has the name of the table, which is that of the "
            "column for commands");
  EXPECT_EQ(c_->Run("ALTER TABLE m RENAME TO ts").substr(0, 6), "error:");
}

TEST_F(RetentionTest, IsReadAndChangedByCommands) {
  Create(", retention='7d'");
  EXPECT_EQ(c_->Run("SELECT k, v FROM m_config"), "retention_ms|604800000\n");
  c_->Must("INSERT INTO m(m) VALUES('retention=2w')");
  EXPECT_EQ(c_->Run("SELECT k, v FROM m_config"), "retention_ms|1209600000\n");
  c_->Must("ALTER TABLE m RENAME TO other; INSERT INTO other(other) VALUES('retention=none')");
  EXPECT_EQ(c_->Run("SELECT k, v FROM other_config"), "retention_ms|0\n");
}

TEST_F(RetentionTest, OldPointsGoAndTheRestStays) {
  Create(", retention='2d'");
  Fill("a", kBegin - 10 * kDay, kBegin);
  Fill("b", kBegin - 3 * kDay, kBegin);
  Fill("gone", kBegin - 9 * kDay, kBegin - 8 * kDay);
  const std::string young =
      "SELECT count(*), sum(v) FROM m WHERE ts >= " + std::to_string(kBegin - 2 * kDay) +
      " AND device < 'c'";
  const std::string before = c_->Run(young);
  Live(600);
  EXPECT_EQ(c_->Run(young), before);
  // To a part of the retention.
  EXPECT_LE(Oldest(), kBegin - 2 * kDay);
  EXPECT_GE(Oldest(), kBegin - 2 * kDay - 2 * kDay / 128);
  EXPECT_EQ(c_->Run("SELECT count(*) FROM m WHERE device = 'gone'"), "0\n");
  EXPECT_EQ(c_->Run("SELECT device FROM m WHERE is_last = 1"), "a\nb\n");
  // What is hidden is deleted, but for a part of one block for each series.
  EXPECT_LE(Int("SELECT count(*) FROM m_blocks WHERE first < " + std::to_string(Oldest())), 2);
  EXPECT_EQ(Int("SELECT count(*) FROM m_tail WHERE time < " + std::to_string(Oldest())), 0);
}

// Deletes and updates of ranges do not see what is hidden, and inserts do not bring it back.
TEST_F(RetentionTest, ExpiredPointsAreNeitherReadNorWritten) {
  Create(", retention='1d'");
  Fill("a", kBegin - 3 * kDay, kBegin);
  Live(300);
  const int64_t oldest = Oldest();
  ASSERT_GT(oldest, kBegin - 2 * kDay);
  const std::string late = std::to_string(oldest - kDay);
  EXPECT_EQ(c_->Run("INSERT INTO m VALUES('a', " + late + ", 1)"),
            "error: the time " + late + " is older than the retention of the time series, which " +
                "has come to " + Bound().substr(0, 13) +
                "; INSERT OR IGNORE leaves such points out");
  EXPECT_EQ(
      c_->Run("UPDATE m SET ts = ts - 86400000 WHERE ts = " + std::to_string(oldest)).substr(0, 15),
      "error: the time");
  c_->Must("INSERT OR IGNORE INTO m VALUES('a', " + late + ", 1), ('a', " + std::to_string(kBegin) +
           ", 2)");
  EXPECT_EQ(Oldest(), oldest);
  EXPECT_EQ(c_->Run("SELECT v FROM m WHERE ts = " + std::to_string(kBegin)), "2.0\n");
  EXPECT_EQ(c_->Run("SELECT count(*) FROM m WHERE ts < " + std::to_string(oldest)), "0\n");
}

// A node whose clock is far ahead leads.
TEST_F(RetentionTest, AClockThatIsAheadDeletesNothingYoung) {
  Create(", retention='2d'");
  Fill("a", kBegin - 4 * kDay, kBegin);
  now_ms = kBegin + 70 * 365 * kDay;
  Live(600);
  EXPECT_EQ(Int("SELECT count(*) FROM m WHERE ts >= " + std::to_string(kBegin - 2 * kDay)),
            2 * 24 * 60);
}

TEST_F(RetentionTest, AClockThatIsBehindDeletesNothing) {
  Create(", retention='2d'");
  Fill("a", kBegin - 4 * kDay, kBegin);
  now_ms = 0;
  Live(100);
  EXPECT_EQ(Int("SELECT count(*) FROM m"), 4 * 24 * 60);
}

// A sensor whose clock is far ahead sends one point.
TEST_F(RetentionTest, APointThatIsAheadDeletesNothingYoung) {
  Create(", retention='2d'");
  Fill("a", kBegin - 4 * kDay, kBegin);
  c_->Must("INSERT INTO m VALUES('wrong', 4000000000000, 1)");
  Live(400);
  EXPECT_GE(Int("SELECT count(*) FROM m WHERE ts >= " + std::to_string(kBegin - 2 * kDay)),
            2 * 24 * 60 - 400);
}

// Both at once: an hour to notice.
TEST_F(RetentionTest, TheBoundMovesByPartsOfTheRetention) {
  Create(", retention='2d'");
  Fill("a", kBegin - 2 * kDay, kBegin);
  now_ms = kBegin + 70 * 365 * kDay;
  c_->Must("INSERT INTO m VALUES('wrong', " + std::to_string(now_ms) + ", 1)");
  Live(31);
  EXPECT_GE(Int("SELECT count(*) FROM m WHERE device = 'a'"), 24 * 60);
  c_->Must("INSERT INTO m(m) VALUES('retention=none')");
  const int64_t oldest = Oldest();
  Live(100);
  EXPECT_EQ(Oldest(), oldest);
}

// A gap in the times costs no time.
TEST_F(RetentionTest, TheBoundCrossesGapsAtOnce) {
  Create(", retention='1d'");
  c_->Must("INSERT INTO m VALUES('a', 5, 1)");  // by a node whose clock was not set yet
  Fill("a", kBegin - kDay, kBegin);
  Live(5);
  EXPECT_EQ(Oldest(), kBegin - kDay);
}

TEST_F(RetentionTest, ASliceIsBounded) {
  Create(", retention='1h'");
  for (int i = 0; i < 30; ++i) {
    c_->Must("INSERT INTO m SELECT 'd' || value, " + std::to_string(kBegin - 5 * kHour) +
             " + value % 7 * 60000, 1 FROM (WITH RECURSIVE i(value) AS (SELECT " +
             std::to_string(i * 100) +
             " UNION ALL SELECT value + 1 FROM i LIMIT 100) SELECT value "
             "FROM i)");
  }
  c_->Must("INSERT INTO m VALUES('young', " + std::to_string(kBegin) + ", 1)");
  int slices = 0;
  int64_t rows = Int("SELECT count(*) FROM m_tail");
  for (int minute = 0; minute < 100; ++minute) {
    now_ms += kMinute;
    for (bool more = true; more; ++slices) {
      more = Expire();
      const int64_t left = Int("SELECT count(*) FROM m_tail");
      EXPECT_LE(rows - left, Retention::kSliceRowsMax);
      rows = left;
    }
  }
  EXPECT_EQ(rows, 1);
  EXPECT_GT(slices, 100);
}

// The rollups keep what the points were, also of tails that are never sealed. Late points are
// refused where the points of their bucket may be gone.
TEST_F(RetentionTest, RollupsOutliveThePoints) {
  Create(", retention='2d', rollups='1m:5d,1h,1d'");
  Fill("a", kBegin - 10 * kDay, kBegin);
  Fill("b", kBegin - 3 * kDay, kBegin);
  Fill("short", kBegin - 9 * kDay, kBegin - 9 * kDay + 3 * kHour);
  const auto rows = [&](const std::string& rollup, int64_t from) {
    return c_->Run("SELECT device, ts, points, v_sum, v_min, v_max, v_first, v_last FROM m_" +
                   rollup + " WHERE ts >= " + std::to_string(from) + " ORDER BY device, ts");
  };
  const std::string hours = rows("1h", 0);
  const std::string days = rows("1d", 0);
  const std::string minutes = rows("1m", kBegin - 5 * kDay);
  for (int i = 0; i < 40; ++i) {
    Live(10);
    ASSERT_EQ(rows("1h", 0), hours);
    ASSERT_EQ(rows("1d", 0), days);
    ASSERT_EQ(rows("1m", kBegin - 5 * kDay), minutes);
  }
  EXPECT_EQ(c_->Run("SELECT count(*) FROM m WHERE device = 'short'"), "0\n");
  EXPECT_NE(c_->Run("SELECT count(*) FROM m_1h WHERE device = 'short'"), "0\n");
  EXPECT_EQ(c_->Run("SELECT count(*) FROM m_1m WHERE device = 'short'"), "0\n");
  const int64_t bound = std::stoll(Bound());
  EXPECT_GT(bound, kBegin - 4 * kDay);
  EXPECT_EQ(bound % kDay, 0) << "whole buckets of the widest rollup";
  EXPECT_GT(Int("SELECT min(ts) FROM m_1m"), kBegin - 6 * kDay);
  // The oldest bucket of the widest rollup is made of all its points.
  c_->Must("INSERT INTO m VALUES('a', " + std::to_string(bound + 1) + ", 1000)");
  EXPECT_EQ(c_->Run("SELECT points, v_max FROM m_1d WHERE device = 'a' AND ts = " +
                    std::to_string(bound)),
            "1441|1000.0\n");
  EXPECT_EQ(
      c_->Run("INSERT INTO m VALUES('a', " + std::to_string(bound - 1) + ", 1)").substr(0, 15),
      "error: the time");
  EXPECT_EQ(c_->Run("INSERT INTO m(m) VALUES('retention=9d')"),
            "error: a rollup lives at least as long as the points: name other retentions");
  c_->Must("INSERT INTO m(m) VALUES('retention_1m=20d')");
  c_->Must("INSERT INTO m(m) VALUES('retention=9d')");
}

}  // namespace
}  // namespace cairn::timeseries
