// snippet(), highlight() and bm25() of FTS5: as SQLite's own, and no reader is held past its deadline.
#include "state_machine/sqlite/full_text_functions.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "state_machine/sqlite/statement.h"

namespace cairn::state_machine {
namespace {

struct CloseDatabase {
  void operator()(sqlite3* db) const { sqlite3_close(db); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;

Database Open() {
  sqlite3* db = nullptr;
  EXPECT_EQ(sqlite3_open(":memory:", &db), SQLITE_OK);
  return Database(db);
}

// All cells of all rows, or the error.
std::string Ask(sqlite3* db, const std::string& sql,
                const std::vector<std::string>& parameters = {}) {
  sqlite3_stmt* made = nullptr;
  if (sqlite3_prepare_v2(db, sql.c_str(), -1, &made, nullptr) != SQLITE_OK) {
    return sqlite3_errmsg(db);
  }
  const StatementPtr stmt(made);
  for (size_t i = 0; i < parameters.size(); ++i) {
    sqlite3_bind_text64(made, static_cast<int>(i) + 1, parameters[i].data(), parameters[i].size(),
                        SQLITE_STATIC, SQLITE_UTF8);
  }
  std::string all;
  int rc = sqlite3_step(made);
  for (; rc == SQLITE_ROW; rc = sqlite3_step(made)) {
    for (int i = 0; i < sqlite3_column_count(made); ++i) {
      const auto* const bytes = static_cast<const char*>(sqlite3_column_blob(made, i));
      all += std::to_string(sqlite3_column_type(made, i)) + ":";
      all += std::string(bytes == nullptr ? "" : bytes,
                         static_cast<size_t>(sqlite3_column_bytes(made, i)));
      all += "|";
    }
    all += "\n";
  }
  return rc == SQLITE_DONE ? all : all + sqlite3_errmsg(db);
}

// Texts, queries and arguments out of few words, so that hits are many and overlap.
class Generator {
 public:
  explicit Generator(uint32_t seed) : random_(seed) {}
  size_t Below(size_t n) { return random_() % n; }
  std::string Word() { return std::string(1, static_cast<char>('a' + Below(5))); }
  std::string Text() {
    constexpr const char* kBetween[] = {" ", " ", " ", ". ", ": ", "\n", ", ", ".", " \xc3\xa9 "};
    std::string text;
    for (size_t words = Below(60); words > 0; --words) text += Word() + kBetween[Below(9)];
    if (Below(20) == 0) text += std::string("\0 a b", 5);
    return text;
  }
  std::string Phrase() {
    std::string phrase = "\"" + Word();
    for (size_t more = Below(3); more > 0; --more) phrase += " " + Word();
    return phrase + "\"" + (Below(4) == 0 ? "*" : "");
  }
  std::string Query(bool phrases) {
    std::string query = phrases ? Phrase() : Word();
    constexpr const char* kBetween[] = {" OR ", " OR ", " AND ", " NOT "};
    for (size_t more = Below(4); more > 0; --more) {
      query += kBetween[Below(4)];
      query += phrases ? Phrase() : Word();
    }
    if (phrases && Below(5) == 0) query = "NEAR(" + Word() + " " + Word() + ", 3) OR " + query;
    return query;
  }
  std::string Number(int least, int most) {
    return std::to_string(least + static_cast<int>(Below(static_cast<size_t>(most - least + 1))));
  }

 private:
  std::mt19937 random_;
};

// The same rows in SQLite and in a connection with Cairn's functions.
TEST(FullTextFunctions, GiveWhatThoseOfSqliteGive) {
  int told_apart = 0;
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    Generator generator(seed);
    const bool whole = seed % 3 != 0;
    const std::string options[] = {
        "", "", ", detail=column", ", tokenize=porter", "", ", detail=none"};
    const Database stock = Open();
    const Database own = Open();
    FullTextFunctions functions([] { return true; });
    ASSERT_TRUE(functions.Install(own.get()).ok());
    const std::string table = "CREATE VIRTUAL TABLE f USING fts5(x, y, z" + options[seed % 6] + ")";
    for (sqlite3* db : {stock.get(), own.get()}) ASSERT_EQ(Ask(db, table), "");
    for (int i = 0; i < 12; ++i) {
      const std::vector<std::string> row = {generator.Text(), generator.Text(), generator.Text()};
      for (sqlite3* db : {stock.get(), own.get()}) {
        ASSERT_EQ(Ask(db, "INSERT INTO f VALUES(?1, ?2, ?3)", row), "");
      }
    }
    for (int i = 0; i < 60; ++i) {
      const std::string column = generator.Number(-2, 3);
      const std::string sql = "SELECT rowid, highlight(f, " + column + ", '[', ']'), snippet(f, " +
                              column + ", '<', NULL, '...', " + generator.Number(-1, 70) +
                              "), bm25(f), bm25(f, 2.0, 0.5), rank FROM f WHERE f MATCH ?1";
      const std::string query = generator.Query(whole);
      const std::string expected = Ask(stock.get(), sql, {query});
      ASSERT_EQ(Ask(own.get(), sql, {query}), expected) << seed << ": " << query << ": " << sql;
      if (expected.find('<') != std::string::npos) ++told_apart;
    }
  }
  EXPECT_GT(told_apart, 1000) << "the queries find nothing";
}

TEST(FullTextFunctions, RefuseWrongArgumentsAsSqliteDoes) {
  const Database db = Open();
  FullTextFunctions functions([] { return true; });
  ASSERT_TRUE(functions.Install(db.get()).ok());
  ASSERT_EQ(Ask(db.get(), "CREATE VIRTUAL TABLE f USING fts5(x)"), "");
  ASSERT_EQ(Ask(db.get(), "INSERT INTO f VALUES('a')"), "");
  EXPECT_EQ(Ask(db.get(), "SELECT snippet(f, 0) FROM f('a')"),
            "wrong number of arguments to function snippet()");
  EXPECT_EQ(Ask(db.get(), "SELECT highlight(f, 0) FROM f('a')"),
            "wrong number of arguments to function highlight()");
}

// A row of `words` times "a b".
std::string Pairs(size_t words) {
  std::string text;
  for (size_t i = 0; i < words; ++i) text += "a b ";
  return text;
}

// The work between two questions is bounded, so the number of questions grows with the work. SQLite's
// own snippet() took 7 s for 16,000 hits, and the square of that for more.
TEST(FullTextFunctions, AskInTimeOfTheHits) {
  const Database db = Open();
  size_t asked = 0;
  FullTextFunctions functions([&asked] { return ++asked < 1'000'000; });
  ASSERT_TRUE(functions.Install(db.get()).ok());
  ASSERT_EQ(Ask(db.get(), "CREATE VIRTUAL TABLE f USING fts5(x)"), "");
  constexpr size_t kHits = 1 << 18;
  ASSERT_EQ(Ask(db.get(), "INSERT INTO f VALUES(?1)", {Pairs(kHits)}), "");
  for (const std::string function :
       {"snippet(f, 0, '', '', '', 10)", "highlight(f, 0, '', '')", "bm25(f)"}) {
    asked = 0;
    const std::string all = Ask(db.get(), "SELECT " + function + " FROM f('a')");
    EXPECT_NE(all.find('|'), std::string::npos) << function << ": " << all;
    EXPECT_GE(asked, kHits / kHitsPerAsk) << function;
    // Each hit, each word of two passes, and each hit again for its snippet.
    EXPECT_LE(asked, 8 * kHits / kHitsPerAsk) << function << ": not linear";
  }
}

TEST(FullTextFunctions, EndWhenTheQueryMustEnd) {
  const Database db = Open();
  size_t asks_left = 0;
  FullTextFunctions functions([&asks_left] { return asks_left-- > 0; });
  ASSERT_TRUE(functions.Install(db.get()).ok());
  ASSERT_EQ(Ask(db.get(), "CREATE VIRTUAL TABLE f USING fts5(x)"), "");
  ASSERT_EQ(Ask(db.get(), "INSERT INTO f VALUES(?1)", {Pairs(50'000)}), "");
  for (const std::string function :
       {"snippet(f, 0, '', '', '', 10)", "highlight(f, 0, '', '')", "bm25(f)"}) {
    for (const size_t asks : {0, 1, 5, 9}) {
      asks_left = asks;
      EXPECT_EQ(Ask(db.get(), "SELECT " + function + " FROM f('a')"), "interrupted")
          << function << " after " << asks;
    }
  }
}

TEST(FullTextFunctions, RefuseManyPhrasesInALongRow) {
  const Database db = Open();
  FullTextFunctions functions([] { return true; });
  ASSERT_TRUE(functions.Install(db.get()).ok());
  ASSERT_EQ(Ask(db.get(), "CREATE VIRTUAL TABLE f USING fts5(x)"), "");
  ASSERT_EQ(Ask(db.get(), "INSERT INTO f VALUES(?1)", {Pairs(1'000'000)}), "");
  std::string query = "a";
  for (int i = 0; i < 300; ++i) query += " OR w" + std::to_string(i);
  const std::string sql = "SELECT length(highlight(f, 0, '', '')) FROM f WHERE f MATCH ?1";
  EXPECT_NE(Ask(db.get(), sql, {query}).find("look for fewer"), std::string::npos);
  EXPECT_EQ(Ask(db.get(), sql, {"a OR b OR c"}), "1:4000000|\n");
}

}  // namespace
}  // namespace cairn::state_machine
