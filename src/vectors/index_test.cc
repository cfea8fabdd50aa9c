// Vector indexes and vector_top_k(), on a connection of SQLite alone.

#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "vectors/functions.h"
#include "vectors/index_definition.h"
#include "vectors/index_function.h"
#include "vectors/index_search.h"
#include "vectors/top_k.h"

namespace cairn::vectors {
namespace {

class IndexTest : public ::testing::Test {
 protected:
  IndexTest() {
    EXPECT_EQ(sqlite3_open(":memory:", &db_), SQLITE_OK);
    Add({});
  }
  ~IndexTest() override { sqlite3_close(db_); }

  void Add(const WorkGate& gate) {
    EXPECT_TRUE(AddFunctions(db_, gate).ok());
    EXPECT_TRUE(AddIndexFunction(db_, gate).ok());
    EXPECT_TRUE(AddTopK(db_, gate, {}, {}).ok());
  }
  // The values of all rows with spaces between them, or the error.
  std::string Run(const std::string& text) {
    const auto type_of = [this](const std::string& table, const std::string& column) {
      const char* type = nullptr;
      const bool found =
          sqlite3_table_column_metadata(db_, "main", table.c_str(), column.c_str(), &type, nullptr,
                                        nullptr, nullptr, nullptr) == SQLITE_OK;
      return found ? std::optional<std::string>(type == nullptr ? "" : type) : std::nullopt;
    };
    const auto sql = WithColumnType(text, type_of);
    if (!sql.ok()) return "error: " + sql.status().message();
    sqlite3_stmt* stmt = nullptr;
    std::string result;
    int rc = sqlite3_prepare_v2(db_, sql->c_str(), -1, &stmt, nullptr);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
      rc = sqlite3_step(stmt);
      for (int i = 0; rc == SQLITE_ROW && i < sqlite3_column_count(stmt); ++i) {
        const auto* const value = reinterpret_cast<const char*>(sqlite3_column_text(stmt, i));
        result += (result.empty() ? "" : " ") + std::string(value == nullptr ? "NULL" : value);
      }
    }
    if (rc != SQLITE_DONE) result = std::string("error: ") + sqlite3_errmsg(db_);
    sqlite3_finalize(stmt);
    return result;
  }
  void MakeMovies() {
    Run("CREATE TABLE movie(title TEXT, year INTEGER, embedding F32_BLOB(3))");
    EXPECT_EQ(Run("CREATE INDEX movie_idx ON movie(libsql_vector_idx(embedding))"), "");
    Run("INSERT INTO movie VALUES('Napoleon', 2023, vector32('[1,2,3]')),"
        " ('Black Hawk Down', 2001, vector32('[10,11,12]')),"
        " ('Gladiator', 2000, vector32('[7,8,9]')),"
        " ('Blade Runner', 1982, vector32('[4,5,6]')), ('Nothing', 0, NULL)");
  }

  sqlite3* db_ = nullptr;
};

TEST_F(IndexTest, FindsWhatLibsqlUsersAsk) {
  MakeMovies();
  EXPECT_EQ(
      Run("SELECT title, year FROM vector_top_k('movie_idx', vector32('[4,5,6]'), 3) JOIN movie"
          " ON movie.rowid = id WHERE year >= 2000"),
      "Gladiator 2000 Black Hawk Down 2001");
  EXPECT_EQ(Run("SELECT id FROM vector_top_k('movie_idx', '[4,5,6]', 2)"), "4 3");
  EXPECT_EQ(Run("SELECT title FROM movie WHERE rowid IN vector_top_k('movie_idx', '[4,5,6]', 1)"),
            "Blade Runner");
  // More than there are gives all.
  EXPECT_EQ(Run("SELECT count(*) FROM vector_top_k('movie_idx', '[4,5,6]', 100)"), "4");
}

TEST_F(IndexTest, RefusesVectorsThatItDoesNotTake) {
  MakeMovies();
  EXPECT_EQ(Run("INSERT INTO movie VALUES('x', 1, vector32('[1,2]'))"),
            "error: the index takes vectors of 3 dimensions, and this one has 2");
  EXPECT_EQ(Run("UPDATE movie SET embedding = vector64('[1,2,3]')"),
            "error: the index takes vectors of kind float32, and this one is float64; convert it, "
            "for example with vector32()");
  EXPECT_EQ(Run("INSERT INTO movie VALUES('x', 1, x'0000c07f0000803f0000803f')"),
            "error: element 0 of the vector is infinite or not a number; give finite numbers");
  EXPECT_NE(Run("INSERT INTO movie VALUES('x', 1, 'words')").find("the text is no vector"),
            std::string::npos);
  EXPECT_EQ(Run("SELECT count(*) FROM movie"), "5");
  // Rows that are there already are checked, too.
  Run("CREATE TABLE old(v F32_BLOB(2))");
  Run("INSERT INTO old VALUES(vector32('[1]'))");
  EXPECT_EQ(Run("CREATE INDEX i ON old(libsql_vector_idx(v))"),
            "error: the index takes vectors of 2 dimensions, and this one has 1");
}

TEST_F(IndexTest, SaysWhatIsWrongWithADefinition) {
  Run("CREATE TABLE t(a, v F32_BLOB(2), w TEXT, b F1BIT_BLOB(8), z F8_BLOB(0))");
  EXPECT_EQ(Run("CREATE INDEX i ON t(libsql_vector_idx(w))"),
            "error: a vector index needs a column with a type like F32_BLOB(3), and not 'TEXT'");
  EXPECT_EQ(
      Run("CREATE INDEX i ON t(libsql_vector_idx(z))"),
      "error: the type of a column of vectors tells their dimensions, 1 to 65536: F32_BLOB(3)");
  EXPECT_EQ(Run("CREATE INDEX i ON t(libsql_vector_idx(v, 'metric=dot'))"),
            "error: a vector index has 'metric=cosine' or 'metric=l2', and not 'metric=dot'");
  EXPECT_EQ(Run("CREATE INDEX i ON t(libsql_vector_idx(v, 'speed=high'))"),
            "error: libsql_vector_idx() does not know 'speed=high'; it knows 'metric=cosine' and "
            "'metric=l2'");
  EXPECT_EQ(Run("CREATE INDEX i ON t(libsql_vector_idx(b, 'metric=l2'))"),
            "error: vectors of bits have no Euclidean distance: use 'metric=cosine'");
  EXPECT_EQ(Run("CREATE INDEX i ON t(libsql_vector_idx(v, 'column=F32_BLOB(3)'))"),
            "error: the column of the vector index is of type F32_BLOB(2), and the index says "
            "otherwise");
  for (const char* each :
       {"CREATE UNIQUE INDEX i ON t(libsql_vector_idx(v))",
        "CREATE INDEX i ON t(a, libsql_vector_idx(v))",
        "CREATE INDEX i ON t(libsql_vector_idx(v), a)",
        "CREATE INDEX i ON t(libsql_vector_idx(v) COLLATE nocase)",
        "CREATE INDEX i ON t(libsql_vector_idx(v || a))",
        "CREATE INDEX i ON t(libsql_vector_idx('v'))", "SELECT libsql_vector_idx(1)"}) {
    EXPECT_NE(Run(each).find("makes a vector index and is good for nothing else"),
              std::string::npos)
        << each << ": " << Run(each);
  }
}

TEST_F(IndexTest, TakesTheSettingsOfLibsql) {
  Run("CREATE TABLE \"my table\"(\"my vector\" FLOAT32(2))");
  EXPECT_EQ(Run("CREATE INDEX IF NOT EXISTS main.\"my index\" ON \"my table\" ( -- like this\n"
                "libsql_vector_idx(\"my vector\", 'type=diskann', 'metric=l2', 'max_neighbors=20',"
                " 'compress_neighbors=float8', 'alpha=1.2', 'search_l=200', 'insert_l=70') );"),
            "");
  Run("INSERT INTO \"my table\" VALUES('[1,1]'), (vector32('[9,9]'))");
  EXPECT_EQ(Run("SELECT id FROM vector_top_k('my index', '[8,8]', 1)"), "2");
  EXPECT_EQ(Run("SELECT id FROM vector_top_k('MAIN.my index', '[8,8]', 1)").substr(0, 5), "error");
  EXPECT_EQ(Run("SELECT id FROM vector_top_k('main.my index', '[0,0]', 1)"), "1");
}

TEST_F(IndexTest, SearchesTheRowsOfItsWhereAlone) {
  Run("CREATE TABLE t(rowid TEXT, v F64_BLOB(1), here INTEGER)");
  EXPECT_EQ(Run("CREATE INDEX i ON t(libsql_vector_idx(v, 'metric=l2')) WHERE here = 1 -- so\n"),
            "");
  EXPECT_EQ(Run("INSERT INTO t VALUES('a', vector64('[1]'), 1), ('b', vector64('[2]'), 0),"
                " ('c', vector64('[3]'), 1), ('d', x'00', 0)"),
            "");
  EXPECT_EQ(Run("SELECT id FROM vector_top_k('i', '[2.1]', 9)"), "3 1");
  EXPECT_EQ(Run("UPDATE t SET here = 1 WHERE rowid = 'd'").substr(0, 5), "error");
}

TEST_F(IndexTest, FollowsARenameOfTableAndColumn) {
  MakeMovies();
  EXPECT_EQ(Run("ALTER TABLE movie RENAME TO film"), "");
  EXPECT_EQ(Run("ALTER TABLE film RENAME COLUMN embedding TO \"the vector\""), "");
  EXPECT_EQ(Run("SELECT id FROM vector_top_k('movie_idx', '[4,5,6]', 1)"), "4");
  EXPECT_EQ(Run("INSERT INTO film VALUES('x', 1, vector32('[1]'))").substr(0, 5), "error");
  EXPECT_EQ(Run("DROP INDEX movie_idx"), "");
  EXPECT_EQ(Run("INSERT INTO film VALUES('x', 1, vector32('[1]'))"), "");
}

TEST_F(IndexTest, SaysWhatIsWrongWithASearch) {
  MakeMovies();
  EXPECT_EQ(Run("SELECT id FROM vector_top_k('nowhere', '[1,2,3]', 1)"),
            "error: there is no vector index nowhere; CREATE INDEX name ON "
            "table(libsql_vector_idx(column)) makes one");
  EXPECT_EQ(Run("SELECT id FROM vector_top_k('movie_idx', '[1,2]', 1)"),
            "error: the vector has 2 dimensions, and those of the index have 3");
  for (const char* k : {"0", "-1", "1.5", "'x'", "1000001"}) {
    EXPECT_EQ(Run(std::string("SELECT id FROM vector_top_k('movie_idx', '[1,2,3]', ") + k + ")"),
              "error: the number of rows of vector_top_k() is 1 to 1000000");
  }
  EXPECT_EQ(Run("SELECT id FROM vector_top_k('movie_idx', '[1,2,3]')").substr(0, 37),
            "error: vector_top_k() takes three arg");
  EXPECT_EQ(Run("SELECT id FROM vector_top_k('movie_idx', NULL, 1)"), "");
}

// Against ORDER BY: every kind, both metrics, ties and zero vectors included.
TEST_F(IndexTest, EqualsTheOrderOfTheDistances) {
  std::mt19937_64 random(3);
  const char* const types[][2] = {{"F32_BLOB", "vector32"}, {"F64_BLOB", "vector64"},
                                  {"F16_BLOB", "vector16"}, {"FB16_BLOB", "vectorb16"},
                                  {"F8_BLOB", "vector8"},   {"F1BIT_BLOB", "vector1bit"}};
  for (const auto& [type, make] : types) {
    for (const std::string metric : {"cosine", "l2"}) {
      if (metric == "l2" && make == std::string("vector1bit")) continue;
      Run("DROP TABLE IF EXISTS t");
      Run(std::string("CREATE TABLE t(v ") + type + "(4))");
      ASSERT_EQ(Run("CREATE INDEX i ON t(libsql_vector_idx(v, 'metric=" + metric + "'))"), "");
      const auto text = [&random] {
        std::string vector = "'[";
        for (int i = 0; i < 4; ++i) vector += std::to_string(random() % 4) + (i < 3 ? "," : "]'");
        return vector;
      };
      for (int i = 0; i < 200; ++i) {
        ASSERT_EQ(Run(std::string("INSERT INTO t VALUES(") + make + "(" + text() + "))"), "");
      }
      Run("DELETE FROM t WHERE rowid % 7 = 0");
      const std::string query = std::string(make) + "('[1,2,0,3]')";
      const std::string function = metric == "l2" ? "vector_distance_l2" : "vector_distance_cos";
      EXPECT_EQ(Run("SELECT id FROM vector_top_k('i', " + query + ", 50)"),
                Run("SELECT rowid FROM t ORDER BY ifnull(" + function + "(v, " + query +
                    "), 9e999), rowid LIMIT 50"))
          << type << " " << metric;
    }
  }
}

TEST_F(IndexTest, AsksForEachVectorThatASearchReads) {
  MakeMovies();
  uint64_t asked = 0;
  uint64_t allowed = UINT64_MAX;
  Add([&](uint64_t steps) { return (asked += steps) <= allowed; });
  EXPECT_EQ(Run("SELECT id FROM vector_top_k('movie_idx', '[4,5,6]', 1)"), "4");
  const uint64_t first = asked;
  asked = 0;
  EXPECT_EQ(Run("SELECT id FROM vector_top_k('movie_idx', '[4,5,6]', 1)"), "4");
  EXPECT_EQ(asked, first);
  asked = 0;
  allowed = first - 1;
  EXPECT_EQ(Run("SELECT id FROM vector_top_k('movie_idx', '[4,5,6]', 1)"),
            std::string("error: ") + kNotAllowed);
}

TEST_F(IndexTest, ASearchCostsWhatItsWhereCostsToCompile) {
  Run("CREATE TABLE t(a, v F32_BLOB(1), g AS (a + 1))");
  std::string in = "a NOT IN (0";
  for (int i = 1; i < 700; ++i) in += "," + std::to_string(i);
  EXPECT_EQ(Run("CREATE INDEX plain ON t(libsql_vector_idx(v)) WHERE a > 0"), "");
  EXPECT_EQ(Run("CREATE INDEX lists ON t(libsql_vector_idx(v)) WHERE " + in + ")"), "");
  EXPECT_EQ(Run("CREATE INDEX generated ON t(libsql_vector_idx(v)) WHERE g > 0"), "");
  uint64_t asked = 0;
  Add([&asked](uint64_t steps) {
    asked += steps;
    return true;
  });
  const auto price = [&](const std::string& name) {
    asked = 0;
    EXPECT_EQ(Run("SELECT count(*) FROM vector_top_k('" + name + "', '[1]', 1)"), "0");
    return asked;
  };
  EXPECT_GE(price("plain"), 5000u);
  EXPECT_LT(price("plain"), 7000u);
  EXPECT_GE(price("lists"), 700u * 700 / 2);
  EXPECT_GE(price("generated"), 125'000u);
}

TEST_F(IndexTest, RefusesADefinitionThatIsLongToCompile) {
  Run("CREATE TABLE t(a, v F32_BLOB(1))");
  const std::string create = "CREATE INDEX i ON t(libsql_vector_idx(v)) WHERE a > 0";
  const std::string spaces(kDefinitionBytesMax - create.size(), ' ');
  EXPECT_EQ(
      Run(create + spaces + " "),
      "error: the text of a vector index has at most 4096 bytes, because each search compiles "
      "its WHERE; shorten the WHERE");
  EXPECT_EQ(Run(create + spaces), "");
}

// The engine's own tables are younger on one node than on another.
TEST_F(IndexTest, ThePriceOfASearchDoesNotDependOnTheOrderOfTheSchema) {
  bool counting = true;
  uint64_t steps = 0;
  struct Counter {
    bool* counting;
    uint64_t* steps;
  } counter = {&counting, &steps};
  const auto cost = [&](const std::vector<std::string>& schema) {
    sqlite3_close(db_);
    EXPECT_EQ(sqlite3_open(":memory:", &db_), SQLITE_OK);
    Add({});
    for (const std::string& each : schema) EXPECT_EQ(Run(each), "") << each;
    EXPECT_TRUE(AddTopK(
                    db_,
                    [&steps](uint64_t more) {
                      steps += more;
                      return true;
                    },
                    [&counting](const std::function<void()>& work) {
                      counting = false;
                      work();
                      counting = true;
                    },
                    {})
                    .ok());
    const auto count = [](void* at) {
      auto* const to = static_cast<Counter*>(at);
      if (*to->counting) ++*to->steps;
      return 0;
    };
    steps = 0;
    sqlite3_progress_handler(db_, 1, count, &counter);
    EXPECT_EQ(Run("SELECT id FROM vector_top_k('i', '[1]', 1)"), "");
    return steps;
  };
  const std::string t = "CREATE TABLE t(v F32_BLOB(1))";
  const std::string i = "CREATE INDEX i ON t(libsql_vector_idx(v))";
  const std::string other = "CREATE TABLE other(a)";
  const std::string own = "CREATE TABLE _cairn_digest(a UNIQUE)";
  const uint64_t expected = cost({t, i, other});
  EXPECT_GT(expected, 0u);
  EXPECT_EQ(cost({other, t, i}), expected);
  EXPECT_EQ(cost({own, other, t, i}), expected);
  EXPECT_EQ(cost({t, i, other, own}), expected);
}

TEST_F(IndexTest, OpenSearchesShareABoundOnTheirRows) {
  Run("CREATE TABLE t(v F32_BLOB(1))");
  Run("CREATE INDEX i ON t(libsql_vector_idx(v))");
  EXPECT_EQ(Run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 500001)"
                " INSERT INTO t SELECT x'0000803f' FROM n"),
            "");
  const std::string all = "vector_top_k('i', '[1]', 1000000)";
  EXPECT_EQ(Run("SELECT count(*) FROM " + all), "500001");
  EXPECT_EQ(Run("SELECT count(*) FROM " + all + " AS a, " + all + " AS b"),
            "error: the searches of vector_top_k() that are open at once hold at most 1000000 rows "
            "together: ask for fewer rows");
  // The rows of searches that ended do not count.
  EXPECT_EQ(Run("SELECT count(*) FROM " + all), "500001");
  EXPECT_EQ(Run("SELECT count(*) FROM vector_top_k('i', '[1]', 1) AS a, " + all + " AS b"),
            "500001");
}

TEST_F(IndexTest, TheTableHasANameForItsRowid) {
  Run("CREATE TABLE w(rowid PRIMARY KEY, v F32_BLOB(3)) WITHOUT ROWID");
  Run("CREATE TABLE keyed(a TEXT PRIMARY KEY, v F32_BLOB(3))");
  Run("CREATE TABLE two(rowid, OID, v F32_BLOB(3))");
  Run("CREATE TABLE three(rowid, OID, _rowid_, v F32_BLOB(3))");
  EXPECT_EQ(CheckTable(db_, "w").message(),
            "a vector index needs a table with rowids, so it is not WITHOUT ROWID");
  EXPECT_TRUE(CheckTable(db_, "keyed").ok());
  EXPECT_TRUE(CheckTable(db_, "two").ok());
  EXPECT_EQ(CheckTable(db_, "three").message(),
            "a vector index needs a name for the rowid, and the table three has columns of all "
            "three names: rename one of rowid, _rowid_ and oid");
}

TEST_F(IndexTest, TheColumnIsAName) {
  Run("CREATE TABLE t(v F32_BLOB(3))");
  EXPECT_NE(Run("CREATE INDEX i ON t(libsql_vector_idx('v'))").find("good for nothing else"),
            std::string::npos);
  EXPECT_EQ(Run("CREATE INDEX i ON t(libsql_vector_idx(\"nowhere\", 'column=f32_blob(3)'))"),
            "error: the table t has no column nowhere");
  EXPECT_EQ(Run("CREATE INDEX i ON t(libsql_vector_idx(\"v\"))"), "");
}

TEST_F(IndexTest, LooksAtTheColumnsOfACreateIndexAlone) {
  Run("CREATE TABLE t(v F32_BLOB(3), title)");
  for (const std::string each :
       {"UPDATE t SET title = \"libsql_vector_idx\"", "SELECT libsql_vector_idx(v) FROM t",
        "CREATE TABLE libsql_vector_idx(a)",
        "CREATE INDEX i ON t(title) WHERE title <> \"libsql_vector_idx\"", "CREATE", ""}) {
    const auto index = ParseIndexDefinition(each);
    EXPECT_TRUE(index.ok()) << each << ": " << index.status();
    EXPECT_FALSE(index.ok() && index->has_value()) << each;
  }
  std::string many = "CREATE UNIQUE INDEX i ON t(title";
  for (int i = 0; i < 200; ++i) many += ", title";
  EXPECT_FALSE(ParseIndexDefinition(many + ", libsql_vector_idx(v))").ok());
}

// The statements of docs/vectors.md, in their order.
TEST_F(IndexTest, TheManualsExamplesRun) {
  std::ifstream page(CAIRN_SOURCE_DIR "/docs/vectors.md");
  std::string statement;
  int statements = 0;
  for (std::string line; std::getline(page, line);) {
    if (!line.starts_with("    ")) continue;
    statement += line.substr(4) + "\n";
    if (!line.ends_with(";")) continue;
    EXPECT_FALSE(Run(statement).starts_with("error")) << statement << Run(statement);
    statement.clear();
    ++statements;
  }
  EXPECT_GT(statements, 5);
  EXPECT_EQ(statement, "");
}

TEST_F(IndexTest, IsGoneWhenItIsRemoved) {
  EXPECT_TRUE(RemoveTopK(db_).ok());
  EXPECT_TRUE(RemoveIndexFunction(db_).ok());
  EXPECT_EQ(Run("SELECT id FROM vector_top_k('i', '[1]', 1)"),
            "error: no such table: vector_top_k");
  Run("CREATE TABLE t(v F32_BLOB(2))");
  EXPECT_EQ(Run("CREATE INDEX i ON t(libsql_vector_idx(v))"),
            "error: no such function: libsql_vector_idx");
}

}  // namespace
}  // namespace cairn::vectors
