// Functions that must not keep the reader of a query busy.
#include "state_machine/sqlite/reader_functions.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>

#include "state_machine/sqlite/database_test_util.h"
#include "state_machine/sqlite/read_pool.h"

namespace cairn::state_machine {
namespace {

Statement Sql(std::string sql, std::vector<Value> positional = {},
              std::vector<NamedValue> named = {}) {
  return Statement{std::move(sql), std::move(positional), std::move(named)};
}

class ReaderFunctionsTest : public testing::Test {
 protected:
  ReaderFunctionsTest() : writer_(directory_ / "db") {
    writer_.MakeCairn();
    writer_.Run("CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT)");
    writer_.SetApplied(7);
  }
  ReadPoolOptions Options() {
    ReadPoolOptions options;
    options.path = directory_ / "db";
    options.readers_max = 4;
    options.applied_sql = kAppliedSql;
    return options;
  }
  static std::unique_ptr<ReadTransaction> MustOpen(ReadPool& pool) {
    Result<std::unique_ptr<ReadTransaction>> view = pool.Open(std::chrono::seconds(1));
    EXPECT_TRUE(view.ok()) << view.status();
    return std::move(view).value();
  }
  // Runs one query in a view of its own.
  Status Ask(const Statement& statement, RowCollector* out = nullptr) {
    RowCollector unused;
    return MustOpen(pool_)->Query(statement, {}, out == nullptr ? &unused : out);
  }
  Value One(const Statement& statement) {
    RowCollector out;
    const Status status = Ask(statement, &out);
    EXPECT_TRUE(status.ok()) << statement.sql << ": " << status;
    return out.rows.at(0).at(0);
  }

  TemporaryDirectory directory_;
  TestDatabase writer_;
  ManualClock clock_;
  ReadPool pool_{Options(), clock_};
};

// A pattern of 1,000 bytes in a text of 16 MiB took half a minute in one operation of SQLite's
// machine, which no deadline ends. The product of both lengths has a bound.
TEST_F(ReaderFunctionsTest, TheLongerTheTextTheShorterThePatternThatMayBeLookedForInIt) {
  const std::string pattern = "%" + std::string(900, 'a') + "b%";
  const auto ask = [this, &pattern](const std::string& sql, int64_t bytes) {
    return Ask(Sql(sql, {bytes, pattern})).code();
  };
  const std::string made = "SELECT hex(zeroblob(?1 / 2)) LIKE ?2, hex(zeroblob(?1 / 2)) GLOB ?2";
  EXPECT_EQ(ask(made, 100'000), StatusCode::kOk);
  EXPECT_EQ(ask(made, 4 << 20), StatusCode::kInvalidArgument);
  EXPECT_EQ(Ask(Sql("SELECT ?1 LIKE ?2", {std::string(4 << 20, 'a'), pattern})).code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(
      Ask(Sql("SELECT :t LIKE :p", {}, {{"t", std::string(4 << 20, 'a')}, {"p", pattern}})).code(),
      StatusCode::kInvalidArgument);
  // A text that is stored, and one that another statement of the view has made.
  writer_.Run("CREATE TABLE long(x); INSERT INTO long VALUES(hex(zeroblob(2000000)))");
  EXPECT_EQ(ask("SELECT x LIKE ?2 OR ?1 FROM long", 0), StatusCode::kInvalidArgument);
  EXPECT_EQ(Ask(Sql("SELECT x LIKE '%b' || 'b%' FROM long")).code(), StatusCode::kOk)
      << "a short pattern";
  const auto view = MustOpen(pool_);
  RowCollector out;
  EXPECT_TRUE(view->Query(Sql("SELECT x FROM long"), {}, &out).ok());
  EXPECT_FALSE(view->Query(Sql("SELECT 'x' LIKE ?1", {pattern}), {}, &out).ok());
  EXPECT_EQ(ask("SELECT 'x' LIKE ?2 OR ?1", 0), StatusCode::kOk) << "the next view is free of it";
}

// With a function of Cairn's own SQLite would read all rows.
TEST_F(ReaderFunctionsTest, APatternThatBeginsWithLettersUsesAnIndex) {
  writer_.Run("CREATE INDEX by_name ON t(name)");
  RowCollector out;
  ASSERT_TRUE(Ask(Sql("EXPLAIN QUERY PLAN SELECT id FROM t WHERE name GLOB 'on*'"), &out).ok());
  EXPECT_NE(std::get<std::string>(out.rows.at(0).at(3)).find("SEARCH"), std::string::npos);
}

// json_patch() takes time in the product of the lengths of its arguments: hours for two of 16 MiB.
TEST_F(ReaderFunctionsTest, JsonPatchOfTwoLongValuesIsRefused) {
  const std::string patch = "SELECT length(json_patch(json_object('a', hex(zeroblob(?1))), ?2))";
  const std::string small = R"({"b":{"c":1}})";
  EXPECT_EQ(std::get<int64_t>(One(Sql("SELECT length(json_patch('{\"a\":1}', '{\"b\":2}'))"))), 13);
  EXPECT_EQ(std::get<std::string>(One(Sql("SELECT json_array(json_patch('{}', '{}'))"))), "[{}]")
      << "its result is JSON";
  EXPECT_TRUE(Ask(Sql(patch, {int64_t{2 << 20}, small})).ok());
  const std::string large = "{\"b\":\"" + std::string(200'000, 'x') + "\"}";
  EXPECT_EQ(Ask(Sql(patch, {int64_t{100'000}, large})).code(), StatusCode::kInvalidArgument);
}

// One call looked for 126 paths in 16 MiB, 5 s after its deadline.
TEST_F(ReaderFunctionsTest, ManyPathsInALongJsonValueAreRefused) {
  const auto ask = [](const std::string& function, int paths, const std::string& more) {
    std::string sql = "SELECT " + function + "(?1";
    for (int i = 0; i < paths; ++i) sql += ", '$.k" + std::to_string(i) + "'" + more;
    return sql + ")";
  };
  const std::string small = R"({"k1":1,"k40":[2]})";
  const std::string large = "{\"k0\":\"" + std::string(5 << 20, 'x') + "\"}";
  const Value few = One(Sql(ask("json_extract", 31, ""), {small}));
  EXPECT_EQ(std::get<std::string>(few).substr(0, 12), "[null,1,null");
  const auto many = std::get<std::string>(One(Sql(ask("json_extract", 50, ""), {small})));
  EXPECT_EQ(many.substr(0, 12), "[null,1,null");
  EXPECT_NE(many.find(",[2],"), std::string::npos);
  EXPECT_EQ(std::get<std::string>(One(Sql(ask("json_replace", 50, ", json('[3]')"), {small}))),
            R"({"k1":[3],"k40":[3]})");
  EXPECT_TRUE(Ask(Sql(ask("json_extract", 31, ""), {large})).ok());
  for (const std::string name : {"json_extract", "json_remove"}) {
    EXPECT_EQ(Ask(Sql(ask(name, 126, ""), {large})).code(), StatusCode::kInvalidArgument) << name;
  }
  for (const std::string name : {"json_insert", "json_replace", "json_set"}) {
    EXPECT_EQ(Ask(Sql(ask(name, 63, ", 1"), {large})).code(), StatusCode::kInvalidArgument) << name;
  }
}

// A clock that goes on by a millisecond each time that it is read.
class CountingClock final : public Clock {
 public:
  SteadyTime SteadyNow() const override { return SteadyTime(std::chrono::milliseconds(++reads_)); }
  SteadyTime BootNow() const override { return SteadyNow(); }
  int64_t WallNowMs() const override { return 1'700'000'000'000; }
  int reads() const { return reads_; }

 private:
  mutable std::atomic<int> reads_ = 0;
};

// Each query has work without end, or nearly so, in calls of one function on arguments at the limits.
// It must look at its deadline while it works. No query of this list is let run for long by a function.
TEST_F(ReaderFunctionsTest, EveryCostlyFunctionEndsAtTheDeadlineOfItsQuery) {
  writer_.Run("CREATE VIRTUAL TABLE f USING fts5(x)");
  writer_.Run("INSERT INTO f VALUES(replace(hex(zeroblob(300000)), '0', 'a b '))");
  const std::string forever =
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n), "
      "v(t) AS MATERIALIZED (SELECT hex(zeroblob(1000000))) SELECT sum(length(";
  const std::string behind = ")) FROM n, v";
  std::vector<std::string> queries = {"SELECT length(snippet(f, 0, '[', ']', '', 10)) FROM f('a')",
                                      "SELECT length(highlight(f, 0, '[', ']')) FROM f('a')",
                                      "SELECT bm25(f) FROM f('a OR b')",
                                      "SELECT rank FROM f('a OR b') ORDER BY rank"};
  // Searches themselves read pages of the index by statements, which look at the deadline.
  std::string prefixes = "b*";
  std::string phrase = "a";
  for (int i = 0; i < 500; ++i) {
    prefixes += " OR a*";
    phrase += " b a";
  }
  queries.push_back("SELECT count(*) FROM f('" + prefixes + "')");
  queries.push_back("SELECT count(*) FROM f('\"" + phrase + "\"')");
  for (const std::string call :
       {"instr(t, '0001' || i)",
        "replace(t, '0', i)",
        "trim(t, '0')",
        "ltrim(t, '0')",
        "rtrim(t, '0')",
        "t LIKE '%1' || i",
        "t GLOB '*0000000000000001' || i",
        "upper(t || i)",
        "lower(t || i)",
        "hex(t || i)",
        "quote(t || i)",
        "printf('%s%d', t, i)",
        "substr(t, i)",
        "json_array(t, i)",
        "json_object('t', t, 'i', i)",
        "json_quote(t || i)",
        "json_extract(json_array(t, i), '$[1]')",
        "json_set(json_array(t), '$[0]', i)",
        "json_patch('{\"a\":' || i || '}', '{\"b\":1}')",
        "json_valid(t || i)",
        "zeroblob(i)",
        "(SELECT json_group_array(t || column1) FROM (VALUES(1), (2), (i)))",
        "(SELECT group_concat(t || column1) FROM (VALUES(1), (2), (i)))",
        "(SELECT count(*) FROM json_each(json_array(t, i)))"}) {
    queries.push_back(forever + call + behind);
  }
  for (const std::string& sql : queries) {
    CountingClock clock;
    ReadPool pool(Options(), clock);
    QueryLimits limits;
    limits.age_max = std::chrono::hours(1);
    limits.duration_max = std::chrono::milliseconds(40);
    RowCollector out;
    const auto view = MustOpen(pool);
    const int before = clock.reads();
    EXPECT_EQ(view->Query(Sql(sql), limits, &out).code(), StatusCode::kDeadlineExceeded) << sql;
    EXPECT_LT(clock.reads() - before, 80) << "the query goes on behind its deadline: " << sql;
  }
}

std::string Near(size_t phrases) {
  std::string query = "NEAR(";
  for (size_t i = 0; i < phrases; ++i) query += "a ";
  return query + ", 10)";
}

// FTS5 compares the places of the phrases of a NEAR within one operation: 100 phrases take hours in a
// row of 16 MiB.
TEST_F(ReaderFunctionsTest, ANearOfManyPhrasesIsRefused) {
  writer_.Run("CREATE VIRTUAL TABLE f USING fts5(x)");
  writer_.Run("INSERT INTO f VALUES('a b a b a b')");
  const std::string sql = "SELECT count(*) FROM f WHERE f MATCH ?1";
  EXPECT_EQ(std::get<int64_t>(One(Sql(sql, {Near(40)}))), 1);
  EXPECT_EQ(Ask(Sql(sql, {Near(41)})).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Ask(Sql("SELECT count(*) FROM f(:q)", {}, {{"q", Near(41)}})).code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(Ask(Sql("SELECT count(*) FROM f WHERE f = '" + Near(41) + "'")).code(),
            StatusCode::kInvalidArgument);
  const std::string made = "SELECT count(*) FROM f WHERE f MATCH 'NEAR(' || ?1 || ')'";
  EXPECT_EQ(Ask(Sql(made, {Near(41).substr(5)})).code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(Ask(Sql("SELECT count(*) FROM t WHERE name = ?1", {Near(41)})).ok()) << "no search";
  std::string words = "a";
  for (int i = 0; i < 500; ++i) words += " OR w" + std::to_string(i);
  EXPECT_EQ(std::get<int64_t>(One(Sql(sql, {words + " OR NEAR(a b)"}))), 1);
}

TEST_F(ReaderFunctionsTest, TheLongerTheRowTheFewerPhrasesANearMayHave) {
  writer_.Run("CREATE VIRTUAL TABLE f USING fts5(x)");
  writer_.Run("INSERT INTO f VALUES(replace(hex(zeroblob(150000)), '0', 'a '))");
  const std::string sql = "SELECT count(*) FROM f WHERE f MATCH ?1";
  EXPECT_EQ(Ask(Sql(sql, {Near(38)})).code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(std::get<int64_t>(One(Sql(sql, {Near(5)}))), 1);
  writer_.Run("DELETE FROM f; INSERT INTO f VALUES(replace(hex(zeroblob(500)), '0', 'a '))");
  EXPECT_EQ(std::get<int64_t>(One(Sql(sql, {Near(38)}))), 1);
}

}  // namespace
}  // namespace cairn::state_machine
