// Vector indexes in replicated tables: replicas that live different lives give the same results.

#include <gtest/gtest.h>

#include <random>

#include "state_machine/feature_level.h"
#include "state_machine/sqlite/immutable_database.h"
#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/replicas_test_util.h"
#include "state_machine/sqlite/two_phase_test_util.h"

namespace cairn::state_machine {
namespace {

class VectorIndexTest : public ::testing::Test {
 protected:
  VectorIndexTest() { replicas_.Do({{}, 0, RaiseLevel{kLevelDataPlatform}}); }
  void MakeMovies() {
    replicas_.Must("CREATE TABLE movie(title TEXT, embedding F32_BLOB(3))");
    replicas_.Must("CREATE INDEX i ON movie(libsql_vector_idx(embedding, 'metric=cosine'))");
    replicas_.Must(
        "INSERT INTO movie VALUES('a', vector32('[1,2,3]')), ('b', vector32('[10,11,12]')),"
        " ('c', vector32('[7,8,9]')), ('d', vector32('[4,5,6]'))");
  }
  std::string Refused(const std::string& sql) {
    const CommandResult result = replicas_.Execute(sql);
    EXPECT_EQ(result.status.outcome(), Outcome::kApplied) << result.status;
    return result.status.message();
  }

  Replicas replicas_;
};

TEST_F(VectorIndexTest, AnInsertOfAWrongDimensionIsRefusedTheSameOnEveryNode) {
  MakeMovies();
  EXPECT_EQ(Refused("INSERT INTO movie VALUES('x', vector32('[1,2]'))"),
            "the index takes vectors of 3 dimensions, and this one has 2");
  EXPECT_EQ(Refused("INSERT OR IGNORE INTO movie VALUES('x', x'00')").substr(0, 9), "a blob of");
  EXPECT_EQ(Refused("CREATE INDEX j ON movie(libsql_vector_idx(title))"),
            "a vector index needs a column with a type like F32_BLOB(3), and not 'TEXT'");
  replicas_.Must("CREATE TABLE w(a PRIMARY KEY, v F32_BLOB(1)) WITHOUT ROWID");
  EXPECT_EQ(Refused("CREATE INDEX j ON w(libsql_vector_idx(v))"),
            "a vector index needs a table with rowids, so it is not WITHOUT ROWID");
  replicas_.Must("CREATE TABLE named(rowid PRIMARY KEY, v F32_BLOB(1)) WITHOUT ROWID");
  EXPECT_EQ(Refused("CREATE INDEX j ON named(libsql_vector_idx(v))"),
            "a vector index needs a table with rowids, so it is not WITHOUT ROWID");
  EXPECT_EQ(Refused("CREATE INDEX j ON movie(libsql_vector_idx('embedding'))").substr(0, 19),
            "libsql_vector_idx()");
  replicas_.Must("UPDATE movie SET title = title || 'libsql_vector_idx' WHERE 0");
  EXPECT_EQ(Refused("CREATE INDEX j ON movie(libsql_vector_idx(nowhere))"),
            "no such column: nowhere");
  EXPECT_EQ(replicas_.Query("SELECT count(*) FROM movie"), "4");
  replicas_.Check();
}

TEST_F(VectorIndexTest, TheSchemaTellsTheTypeOfTheColumn) {
  MakeMovies();
  EXPECT_EQ(replicas_.Query("SELECT sql FROM sqlite_schema WHERE name = 'i'"),
            "CREATE INDEX i ON movie(libsql_vector_idx(embedding, 'metric=cosine', "
            "'column=f32_blob(3)'))");
  // As a dump of the schema says it.
  replicas_.Must("DROP INDEX i");
  replicas_.Must("CREATE INDEX i ON movie(libsql_vector_idx(embedding, 'column=f32_blob(3)'))");
  replicas_.Check();
}

TEST_F(VectorIndexTest, QueriesAndWritesFindTheSameNeighbors) {
  MakeMovies();
  const std::string nearest = "SELECT id FROM vector_top_k('i', '[4,5,6]', 3)";
  EXPECT_EQ(replicas_.Query(nearest), "4 3 2");
  EXPECT_EQ(replicas_.Query("SELECT title FROM vector_top_k('i', '[4,5,6]', 3) JOIN movie ON"
                            " movie.rowid = id WHERE title <> 'c'"),
            "d b");
  replicas_.Must("CREATE TABLE found(place INTEGER PRIMARY KEY, id)");
  replicas_.Must("INSERT INTO found(id) " + nearest);
  replicas_.Must(
      "DELETE FROM movie WHERE rowid IN (SELECT id FROM vector_top_k('i', '[4,5,6]', 1))");
  replicas_.Must("INSERT INTO found(id) " + nearest);
  EXPECT_EQ(replicas_.Query("SELECT group_concat(id) FROM found"), "4,3,2,3,2,1");
  // By a view and by a trigger, too.
  replicas_.Must("CREATE VIEW close AS SELECT id FROM vector_top_k('i', '[1,2,3]', 1)");
  replicas_.Must(
      "CREATE TRIGGER follow AFTER INSERT ON movie BEGIN INSERT INTO found(id) SELECT id FROM "
      "vector_top_k('i', new.embedding, 2); END");
  replicas_.Must("INSERT INTO found(id) SELECT id FROM close");
  replicas_.Must("INSERT INTO movie VALUES('e', vector32('[7,8,9.5]'))");
  EXPECT_EQ(replicas_.Query("SELECT group_concat(id) FROM found WHERE place > 6"), "1,4,3");
  replicas_.Check();
}

TEST_F(VectorIndexTest, SearchesInWritesAreChargedByTheVectorsThatTheyRead) {
  replicas_.Must("CREATE TABLE t(v F32_BLOB(256))");
  replicas_.Must("CREATE INDEX i ON t(libsql_vector_idx(v))");
  replicas_.Must("CREATE TABLE found(id)");
  const std::string add =
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300) INSERT INTO t "
      "SELECT CAST(zeroblob(1020) || x'0000803f' AS BLOB) FROM n";
  const std::string search =
      "INSERT INTO found SELECT id FROM vector_top_k('i', (SELECT v FROM t LIMIT 1), 1)";
  replicas_.Must(add);
  const uint64_t few = replicas_.Must(search).steps;
  replicas_.Must(add);
  replicas_.Must(add);
  const uint64_t many = replicas_.Must(search).steps;
  EXPECT_GT(many - few, 600 * (1024 / 32));
  replicas_.header.command_steps_max = (few + many) / 2;
  EXPECT_EQ(replicas_.Execute(search).status.code(), StatusCode::kResourceExhausted);
  replicas_.Check();
}

TEST_F(VectorIndexTest, ManySearchesThatAreDearToCompileExhaustTheWork) {
  replicas_.Must("CREATE TABLE t(a, v F32_BLOB(1))");
  std::string where = "a > 0 AND CASE WHEN a < 0 THEN a NOT IN (0";
  for (int i = 1; i < 700; ++i) where += "," + std::to_string(i);
  replicas_.Must("CREATE INDEX i ON t(libsql_vector_idx(v)) WHERE " + where + ") ELSE 1 END");
  replicas_.Must("CREATE TABLE found(id)");
  replicas_.header.command_steps_max = 5'000'000;
  EXPECT_EQ(
      replicas_
          .Execute(
              "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT "
              "40000) INSERT INTO found SELECT id FROM n, vector_top_k('i', '[' || i || ']', 1)")
          .status.code(),
      StatusCode::kResourceExhausted);
  replicas_.Check();
}

TEST_F(VectorIndexTest, APreparedSearchHoldsTheTablesThatItMayHaveRead) {
  MakeMovies();
  replicas_.Must("CREATE TABLE found(id)");
  ASSERT_TRUE(replicas_
                  .Do(PrepareCommand("tx",
                                     "INSERT INTO found SELECT id FROM vector_top_k('i', "
                                     "'[4,5,6]', 1)"))
                  .status.ok());
  EXPECT_EQ(replicas_.Execute("DELETE FROM movie").status.code(), StatusCode::kAborted);
  EXPECT_TRUE(replicas_.Do(CommitCommand("tx")).status.ok());
  EXPECT_EQ(replicas_.Query("SELECT id FROM found"), "4");
  replicas_.Check();
}

TEST_F(VectorIndexTest, RandomWritesAndSearchesAreTheSameOnEveryNode) {
  replicas_.Must("CREATE TABLE t(id INTEGER PRIMARY KEY, v F16_BLOB(5), tag INTEGER)");
  replicas_.Must("CREATE INDEX i ON t(libsql_vector_idx(v, 'metric=l2')) WHERE tag < 7");
  replicas_.Must("CREATE TABLE found(id, near)");
  std::mt19937_64 random(5);
  for (int i = 0; i < 60; ++i) {
    std::string vector = "[";
    for (int j = 0; j < 5; ++j) vector += std::to_string(random() % 9) + (j < 4 ? "," : "]");
    const std::string id = std::to_string(random() % 40);
    switch (random() % 5) {
      case 0: replicas_.Execute("DELETE FROM t WHERE id = " + id); break;
      case 1:
        replicas_.Execute("UPDATE t SET v = vector16('" + vector + "'), tag = tag + 1 WHERE id < " +
                          id);
        break;
      case 2:
        replicas_.Must("INSERT INTO found SELECT id, vector_distance_l2(v, vector16('" + vector +
                       "')) FROM t WHERE id IN (SELECT id FROM vector_top_k('i', '" + vector +
                       "', 3))");
        break;
      default:
        replicas_.Execute("INSERT OR REPLACE INTO t VALUES(" + id + ", vector16('" + vector +
                          "'), " + id + " % 10)");
    }
  }
  EXPECT_NE(replicas_.Query("SELECT count(*) FROM found"), "0");
  replicas_.Check();
}

// The look through a snapshot evaluates CHECKs.
TEST_F(VectorIndexTest, AFileWhoseSchemaCallsTheFunctionsIsFoundSound) {
  MakeMovies();
  replicas_.Must(
      "CREATE TABLE near(v F32_BLOB(2) CHECK (vector_distance_l2(v, '[0,0]') < 10),"
      " length AS (vector_distance_l2(v, '[0,0]')))");
  replicas_.Must("CREATE INDEX near_length ON near(length)");
  replicas_.Must("INSERT INTO near VALUES(vector32('[3,4]'))");
  EXPECT_EQ(Refused("INSERT INTO near VALUES(vector32('[30,4]'))").substr(0, 5), "CHECK");
  EXPECT_EQ(replicas_.Query("SELECT length FROM near"), "5.000000");
  ASSERT_TRUE(replicas_.first().machine().Checkpoint().ok());
  const auto sound = WithImmutableDatabase(nullptr, replicas_.first().path(), 1 << 20,
                                           [](sqlite3* db) -> Result<raft::SnapshotMeta> {
                                             RETURN_IF_ERROR(CheckPages(db));
                                             return raft::SnapshotMeta();
                                           });
  EXPECT_TRUE(sound.ok()) << sound.status();
  replicas_.Must("DROP TABLE near");  // the test's own connections do not know the functions
  replicas_.Check();
}

TEST(VectorIndexBelowItsLevel, SqliteKnowsNothingOfIt) {
  Replicas replicas;
  replicas.Do({{}, 0, RaiseLevel{kLevelExpectations}});
  replicas.Must("CREATE TABLE t(v F32_BLOB(2), w)");
  EXPECT_EQ(replicas.Execute("CREATE INDEX i ON t(libsql_vector_idx(w))").status.message(),
            "no such function: libsql_vector_idx");
  EXPECT_EQ(replicas.Execute("INSERT INTO t(w) SELECT id FROM vector_top_k('i', '[1]', 1)")
                .status.message(),
            "no such table: vector_top_k");
  replicas.Check();
}

}  // namespace
}  // namespace cairn::state_machine
