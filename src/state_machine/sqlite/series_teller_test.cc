// What of time series is told: one change for each command and series.

#include "state_machine/sqlite/series_teller.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "state_machine/sqlite/retention_test_util.h"
#include "state_machine/sqlite/watched_test_util.h"
#include "timeseries/block.h"

namespace cairn::state_machine {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr char kCreate[] =
    "CREATE VIRTUAL TABLE m USING timeseries(device TEXT TAG, n INTEGER TAG, ts TIMESTAMP_MS, "
    "value REAL, retention='1h', rollups='1m')";

class SeriesTellerTest : public testing::Test {
 protected:
  void SetUp() override {
    watched.RunAll({Raise()});
    EXPECT_THAT(watched.ToldOf(kCreate), Contains("created table m"));
  }
  Watched watched;
};

TEST_F(SeriesTellerTest, TellsEachSeriesOfACommandOnceWithItsTimes) {
  watched.Run(
      {{"INSERT INTO m VALUES('a', 1, 5000, 1), ('b', 2, 9000, 2), ('a', 1, 1000, 3)", {}, {}},
       {"INSERT INTO m VALUES('a', 1, 7000, 4)", {}, {}}});
  EXPECT_TRUE(watched.last.ok()) << watched.last;
  EXPECT_THAT(watched.Told(),
              ElementsAre("m points 'a'|1|1000|7000", "m points 'b'|2|9000|9000", "end"));
  EXPECT_THAT(watched.ToldOf("UPDATE m SET value = 0 WHERE device = 'a' AND ts >= 5000"),
              ElementsAre("m points 'a'|1|5000|7000", "end"));
  EXPECT_THAT(watched.ToldOf("UPDATE m SET device = 'c' WHERE device = 'b'"),
              ElementsAre("m points 'b'|2|9000|9000", "m points 'c'|2|9000|9000", "end"));
  EXPECT_THAT(watched.ToldOf("DELETE FROM m WHERE ts < 6000"),
              ElementsAre("m points 'a'|1|1000|5000", "end"));
  EXPECT_THAT(watched.ToldOf("DELETE FROM m WHERE ts < 6000"), IsEmpty());
  EXPECT_THAT(watched.ToldOf("INSERT OR IGNORE INTO m VALUES('a', 1, 7000, 9)"), IsEmpty());
}

TEST_F(SeriesTellerTest, TellsRowsOfOtherTablesBeforeAndNothingOfTheStorage) {
  watched.Must("CREATE TABLE t(x)");
  watched.Take();
  watched.Run(
      {{"INSERT INTO m VALUES('a', 1, 5000, 1)", {}, {}}, {"INSERT INTO t VALUES(1)", {}, {}}});
  EXPECT_THAT(watched.Told(), ElementsAre("t +1", "m points 'a'|1|5000|5000", "end"));
  std::string many = "INSERT INTO m VALUES('a', 1, 6000, 1)";
  for (int i = 1; i < 2000; ++i) many += ", ('a', 1, " + std::to_string(6000 + i * 1000) + ", 1)";
  EXPECT_THAT(watched.ToldOf(many), ElementsAre("m points 'a'|1|6000|2005000", "end"))
      << "points are sealed, and rollups made";
}

TEST_F(SeriesTellerTest, TellsABlockAsOne) {
  timeseries::Block block;
  for (int i = 0; i < 500; ++i) block.times.push_back(1000 + i * 1000);
  timeseries::BlockColumn column;
  column.type = timeseries::ColumnType::kReal;
  column.reals.assign(500, 1.5);
  block.columns.push_back(column);
  std::string bytes;
  ASSERT_TRUE(timeseries::EncodeBlock(block, &bytes).ok());
  watched.Run({{"INSERT INTO m(device, n, block) VALUES('a', 1, ?1)", {Blob{bytes}}, {}}});
  EXPECT_TRUE(watched.last.ok()) << watched.last;
  EXPECT_THAT(watched.Told(), ElementsAre("m points 'a'|1|1000|500000", "end"));
}

TEST_F(SeriesTellerTest, TellsNothingOfWhatIsUndoneOrTakenByRetention) {
  watched.Run({{"INSERT INTO m VALUES('a', 1, 5000, 1)", {}, {}},
               {"INSERT INTO nowhere VALUES(1)", {}, {}}});
  EXPECT_FALSE(watched.last.ok());
  EXPECT_THAT(watched.Told(), IsEmpty());
  EXPECT_THAT(watched.ToldOf("INSERT INTO m VALUES('b', 2, 5000, 1)"),
              ElementsAre("m points 'b'|2|5000|5000", "end"));
  watched.Must("DELETE FROM m");
  const int64_t hour = 3'600'000;
  const int64_t now = watched.header.wall_ms;
  watched.Must("INSERT INTO m VALUES('a', 1, " + std::to_string(now - 3 * hour) +
               ", 1), ('a', 1, " + std::to_string(now) + ", 1)");
  watched.Take();
  for (int i = 0; i < 40; ++i) {
    watched.header.wall_ms += 300'000;
    EXPECT_THAT(watched.ToldOf("INSERT INTO m(m) VALUES('expire')"), IsEmpty());
  }
  EXPECT_EQ(watched.Select("SELECT count(*) FROM m").at(0).at(0), Value(int64_t{1}));
}

TEST_F(SeriesTellerTest, KnowsTheTagsOfATableThatIsMadeAnew) {
  watched.Must("INSERT INTO m VALUES('a', 1, 5000, 1)");
  watched.Must("DROP TABLE m");
  watched.Must(
      "CREATE VIRTUAL TABLE m USING timeseries(first_time INTEGER TAG, ts TIMESTAMP_MS, v REAL)");
  watched.Take();
  watched.Must("INSERT INTO m VALUES(7, 5000, 1)");
  const std::vector<Change> changes = watched.Take();
  ASSERT_EQ(changes.size(), 2U);
  EXPECT_EQ(TextOf(changes[0]), "m points 7|5000|5000");
  ASSERT_EQ(changes[0].table->columns.size(), 3U);
  EXPECT_EQ(changes[0].table->columns[0].name, "first_time");
  EXPECT_EQ(changes[0].table->columns[1].name, "_first_time");
  EXPECT_EQ(changes[0].table->columns[2].name, "last_time");
  EXPECT_THAT(changes[0].table->key, ElementsAre(0));
}

TEST_F(SeriesTellerTest, KnowsATableThatIsMadeAnewWithinACommand) {
  watched.Run(
      {{"INSERT INTO m VALUES('a', 1, 5000, 1)", {}, {}},
       {"DROP TABLE m", {}, {}},
       {"CREATE VIRTUAL TABLE m USING timeseries(room TEXT TAG, ts TIMESTAMP_MS, v REAL)", {}, {}},
       {"INSERT INTO m VALUES('b', 9000, 1)", {}, {}}});
  EXPECT_TRUE(watched.last.ok()) << watched.last;
  const std::vector<Change> changes = watched.Take();
  ASSERT_GE(changes.size(), 3U);
  const Change& old = changes[changes.size() - 3];
  const Change& anew = changes[changes.size() - 2];
  EXPECT_EQ(TextOf(old), "m points 'a'|1|5000|5000");
  EXPECT_EQ(TextOf(anew), "m points 'b'|9000|9000");
  EXPECT_EQ(anew.table->columns[0].name, "room");
}

TEST(SeriesTeller, LosesTheEntryOfACommandThatTouchesTooManySeries) {
  Watched watched(/*ring_bytes=*/256 << 20);
  watched.header.command_steps_max = 2'000'000'000;
  watched.RunAll({Raise()});
  watched.Must("CREATE VIRTUAL TABLE m USING timeseries(n INTEGER TAG, ts TIMESTAMP_MS, v REAL)");
  watched.Must("CREATE TABLE n(i)");
  watched.Must(
      "INSERT INTO n WITH RECURSIVE i(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM i WHERE "
      "n < 59999) SELECT n FROM i");
  watched.Take();
  watched.Must("INSERT INTO m SELECT i, 5000, 1 FROM n WHERE i < 30000");
  EXPECT_EQ(watched.Take().size(), 30'001U);
  const LogIndex before = watched.machine().applied_index();
  watched.Must("INSERT INTO m SELECT i, 6000, 1 FROM n");
  const auto lost = watched.machine().changes()->After(EndOf(before), 1000);
  EXPECT_EQ(lost.status().code(), StatusCode::kOutOfRange);
}

TEST(SeriesTable, IsTheSameOfTheTextAsOfTheDeclaration) {
  const auto table =
      SeriesTable("m",
                  "CREATE VIRTUAL TABLE \"m\" USING timeseries (a TEXT TAG,\n b INTEGER "
                  "TAG , ts TIMESTAMP_US,v REAL, retention='1d')");
  ASSERT_TRUE(table.has_value());
  ASSERT_EQ(table->columns.size(), 4U);
  EXPECT_EQ(table->columns[0].name, "a");
  EXPECT_EQ(table->columns[1].decl_type, "INTEGER");
  EXPECT_EQ(table->columns[3].name, "last_time");
  EXPECT_FALSE(SeriesTable("m", "CREATE VIRTUAL TABLE m USING fts5(a)").has_value());
  EXPECT_FALSE(SeriesTable("m", "CREATE TABLE m(a)").has_value());
  EXPECT_FALSE(SeriesTable("m", "").has_value());
}

// ---- Retained -----------------------------------------------------------------------------------

TEST_F(Retention, PointsAreRetainedAndToldTheSame) {
  replicas.Must(kCreate);
  ASSERT_TRUE(Retain("m", kDayMs).ok());
  EXPECT_EQ(Retain("m_tail", kDayMs).code(), StatusCode::kInvalidArgument);
  replicas.Must("INSERT INTO m VALUES('a', 1, 5000, 1), ('b', 2, 9000, 2), ('a', 1, 1000, 3)");
  replicas.Execute(
      {{"INSERT INTO m VALUES('a', 1, 8000, 1)", {}, {}}, {"INSERT INTO no VALUES(1)", {}, {}}});
  replicas.Execute(
      {{"INSERT INTO t VALUES(1, 1)", {}, {}}, {"DELETE FROM m WHERE device = 'a'", {}, {}}});
  EXPECT_THAT(AllOf("m"),
              ElementsAre("7.1 m points 'a'|1|1000|5000", "7.2 m points 'b'|2|9000|9000", "7.3 end",
                          "9.2 m points 'a'|1|1000|5000", "9.3 end"));
  replicas.Check();
}

}  // namespace
}  // namespace cairn::state_machine
