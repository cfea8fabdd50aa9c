#include "state_machine/sqlite/proposal_check.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <thread>

#include "state_machine/sqlite/database_test_util.h"
#include "state_machine/sqlite/statement.h"

namespace cairn::state_machine {
namespace {

Command OfStatement(Statement statement) { return {{"s", 1}, 0, Execute{{std::move(statement)}}}; }
Command Of(std::string sql) { return OfStatement({std::move(sql), {}, {}}); }

// A command that may be valid in some state must pass, whether this node knows the tables or not.
const char* const kPasses[] = {
    "INSERT INTO t VALUES(1, 'a')",
    "insert into t(a, b) values (1, 2), (3, 4)",
    "INSERT INTO t DEFAULT VALUES",
    "INSERT OR IGNORE INTO t SELECT * FROM u WHERE x > 1 ORDER BY y LIMIT 3",
    "INSERT INTO t VALUES(1) ON CONFLICT(a) DO UPDATE SET b = excluded.b WHERE t.c",
    "INSERT INTO t VALUES(1) RETURNING a, b AS c, *",
    "REPLACE INTO t VALUES(1)",
    "UPDATE t SET a = a + 1 WHERE b IN (SELECT c FROM u) RETURNING a",
    "UPDATE t SET a = u.b FROM u WHERE t.c = u.c",
    "UPDATE OR ROLLBACK t SET a = 1",
    "DELETE FROM t",
    "DELETE FROM t WHERE a BETWEEN 1 AND 2 RETURNING *",
    "WITH n(i) AS (SELECT 1) INSERT INTO t SELECT i FROM n",
    "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n LIMIT 3), m AS MATERIALIZED "
    "(SELECT 2) UPDATE t SET a = 1",
    "WITH \"delete\" AS (SELECT 1), replace(x) AS (SELECT 2) DELETE FROM t",
    "WITH a AS (SELECT 1) REPLACE INTO t SELECT * FROM a",
    "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT NOT NULL DEFAULT 'x;y', "
    "b REAL CHECK(b > 0), c GENERATED ALWAYS AS (b * 2) STORED, FOREIGN KEY(a) REFERENCES u(a))",
    "CREATE TABLE IF NOT EXISTS t(a PRIMARY KEY) WITHOUT ROWID, STRICT",
    "CREATE TABLE t AS SELECT * FROM u",
    "CREATE VIRTUAL TABLE f USING fts5(body, tokenize = 'porter')",
    "CREATE VIRTUAL TABLE f USING no_such_module_here(anything at all, 'x;')",
    "CREATE INDEX i ON t(a COLLATE NOCASE DESC, lower(b)) WHERE a IS NOT NULL",
    "CREATE UNIQUE INDEX i ON t(a)",
    "CREATE VIEW v(a) AS SELECT 1 UNION SELECT 2",
    "CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO u VALUES(new.a); "
    "UPDATE u SET b = CASE WHEN a THEN 1 ELSE 2 END; SELECT RAISE(ABORT, 'no; way'); END",
    "CREATE TRIGGER IF NOT EXISTS g INSTEAD OF DELETE ON v BEGIN DELETE FROM t; END;",
    "ALTER TABLE t RENAME TO u",
    "ALTER TABLE t ADD COLUMN a INTEGER DEFAULT 0",
    "ALTER TABLE t RENAME COLUMN a TO b",
    "ALTER TABLE t DROP COLUMN a",
    "DROP TABLE t",
    "DROP TABLE IF EXISTS t",
    "DROP INDEX i",
    "DROP VIEW v",
    "DROP TRIGGER IF EXISTS g",
    "REINDEX",
    "REINDEX t",
    "ANALYZE",
    "ANALYZE t",
    "PRAGMA user_version = 7",
    "PRAGMA application_id(8)",
    // Invalid only in some states, or judged alike by all members at apply.
    "INSERT INTO t VALUES(no_such_function(1))",
    "INSERT INTO t VALUES(no_such_column)",
    "INSERT INTO t(a) VALUES(1, 2, 3)",
    "INSERT INTO t VALUES(abs(1, 2, 3))",
    "INSERT INTO t VALUES('a' COLLATE no_such_collation)",
    "INSERT INTO sqlite_schema VALUES(1)",
    "INSERT INTO temp.t VALUES(1)",
    "INSERT INTO t SELECT 1 UNION SELECT 1, 2",
    "CREATE TABLE t(a, a)",
    "CREATE TABLE sqlite_mine(a)",
    "DROP TABLE sqlite_schema",
    "UPDATE t SET a = max(b)",
    // One statement, whatever surrounds it.
    ";; INSERT INTO t VALUES(1);;",
    "/* first */ INSERT INTO t VALUES(1) -- last ; DROP TABLE t",
    "INSERT INTO t VALUES(1); /* ; */ -- ;\n ;",
    "INSERT INTO t VALUES(1) /* not closed ; DROP TABLE t",
    "\xef\xbb\xbfINSERT INTO t VALUES('\xef\xbb\xbf')",
    "INSERT INTO t VALUES('it''s; fine', \"a;\"\"b\", `c;d`, [e;f], x'3b')",
    "INSERT INTO [t;u](\"a;b\") VALUES('--', '/*')",
    "INSERT INTO t VALUES(1e-5, 0x1F, .5, 1., -1, 5-3, a->'$.b', a->>'$.c')",
    "INSERT INTO t\xc3\xa9 VALUES('\xe2\x82\xac')",
};

struct Refused {
  const char* sql;
  StatusCode code;
  const char* part;  // of the message
};
const Refused kRefused[] = {
    {"", StatusCode::kInvalidArgument, "no statement"},
    {" \n\t ", StatusCode::kInvalidArgument, "no statement"},
    {"-- INSERT INTO t VALUES(1)", StatusCode::kInvalidArgument, "no statement"},
    {"/* x */ ;", StatusCode::kInvalidArgument, "no statement"},
    // Reads.
    {"SELECT 1", StatusCode::kInvalidArgument, "use cairn.v1.Database.Query"},
    {"select * from no_such_table", StatusCode::kInvalidArgument, "use cairn.v1.Database.Query"},
    {"VALUES(1), (2)", StatusCode::kInvalidArgument, "use cairn.v1.Database.Query"},
    {"EXPLAIN INSERT INTO t VALUES(1)", StatusCode::kInvalidArgument,
     "use cairn.v1.Database.Query"},
    {"EXPLAIN QUERY PLAN SELECT 1", StatusCode::kInvalidArgument, "use cairn.v1.Database.Query"},
    {"WITH n(i) AS (SELECT 1) SELECT i FROM n", StatusCode::kInvalidArgument,
     "use cairn.v1.Database.Query"},
    {"WITH \"insert\"(i) AS (SELECT 1), replace AS (SELECT (1)) VALUES(3)",
     StatusCode::kInvalidArgument, "use cairn.v1.Database.Query"},
    {"PRAGMA user_version", StatusCode::kInvalidArgument, "use cairn.v1.Database.Query"},
    {"PRAGMA table_info(t)", StatusCode::kInvalidArgument, "use cairn.v1.Database.Query"},
    {"PRAGMA integrity_check", StatusCode::kInvalidArgument, "use cairn.v1.Database.Query"},
    // Transactions.
    {"BEGIN", StatusCode::kInvalidArgument, "Prepare each"},
    {"begin immediate transaction", StatusCode::kInvalidArgument, "Prepare each"},
    {"COMMIT", StatusCode::kInvalidArgument, "Prepare each"},
    {"END", StatusCode::kInvalidArgument, "Prepare each"},
    {"ROLLBACK TO s", StatusCode::kInvalidArgument, "Prepare each"},
    {"SAVEPOINT s", StatusCode::kInvalidArgument, "Prepare each"},
    {"RELEASE s", StatusCode::kInvalidArgument, "Prepare each"},
    // Never replicated.
    {"ATTACH 'x' AS y", StatusCode::kPermissionDenied, "ATTACH"},
    {"DETACH y", StatusCode::kPermissionDenied, "DETACH"},
    {"VACUUM", StatusCode::kPermissionDenied, "VACUUM"},
    {"VACUUM INTO 'x'", StatusCode::kPermissionDenied, "VACUUM"},
    {"CREATE TEMP TABLE t(a)", StatusCode::kPermissionDenied, "TEMP"},
    {"CREATE TEMPORARY VIEW v AS SELECT 1", StatusCode::kPermissionDenied, "TEMP"},
    {"CREATE TEMP TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END", StatusCode::kPermissionDenied,
     "TEMP"},
    {"CREATE TABLE temp.t(a)", StatusCode::kPermissionDenied, "TEMP"},
    {"CREATE VIEW temp.v AS SELECT 1", StatusCode::kPermissionDenied, "TEMP"},
    {"CREATE VIRTUAL TABLE temp.f USING fts5(a)", StatusCode::kPermissionDenied, "TEMP"},
    {"CREATE TABLE t AS SELECT load_extension('x')", StatusCode::kPermissionDenied,
     "load_extension"},
    {"PRAGMA foreign_keys = OFF", StatusCode::kPermissionDenied, "foreign_keys"},
    {"PRAGMA journal_mode = DELETE", StatusCode::kInvalidArgument, "use cairn.v1.Database.Query"},
    {"PRAGMA journal_mode", StatusCode::kInvalidArgument, "use cairn.v1.Database.Query"},
    {"PRAGMA writable_schema(1)", StatusCode::kPermissionDenied, "writable_schema"},
    {"PRAGMA no_such_pragma = 1", StatusCode::kPermissionDenied, "no_such_pragma"},
    // Several.
    {"INSERT INTO t VALUES(1); INSERT INTO t VALUES(2)", StatusCode::kInvalidArgument,
     "more than one"},
    {"INSERT INTO t VALUES(1); nonsense", StatusCode::kInvalidArgument, "more than one"},
    {"CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END; DROP TABLE t",
     StatusCode::kInvalidArgument, "more than one"},
    {"DROP TABLE t; BEGIN", StatusCode::kInvalidArgument, "more than one"},
    // Syntax.
    {"INSRT INTO t VALUES(1)", StatusCode::kInvalidArgument, "near \"INSRT\": syntax error"},
    {"INSERT t VALUES(1)", StatusCode::kInvalidArgument, "syntax error"},
    {"INSERT INTO t VALUES(1", StatusCode::kInvalidArgument, "incomplete input"},
    {"INSERT INTO t VALUES('x", StatusCode::kInvalidArgument, "unrecognized token"},
    {"CREATE TABLE t(a,)", StatusCode::kInvalidArgument, "syntax error"},
    {"CREATE TABLE", StatusCode::kInvalidArgument, "incomplete input"},
    {"UPDATE t SET", StatusCode::kInvalidArgument, "incomplete input"},
    {"DELETE t", StatusCode::kInvalidArgument, "syntax error"},
    {"INSERT INTO t VALUES(1abc)", StatusCode::kInvalidArgument, "unrecognized token"},
    {"INSERT INTO t VALUES(x'3')", StatusCode::kInvalidArgument, "unrecognized token"},
    {"WITH a AS (SELECT 1)", StatusCode::kInvalidArgument, "incomplete input"},
    {"INSERT INTO t VALUES(?0)", StatusCode::kInvalidArgument, "variable number"},
    {"INSERT INTO t VALUES(?999999999)", StatusCode::kInvalidArgument, "variable number"},
    {"\\x", StatusCode::kInvalidArgument, "unrecognized token"},
};

TEST(ProposalCheck, WhatSomeStateCouldMakeValidPasses) {
  ProposalChecker checker;
  for (const char* sql : kPasses) {
    const Status status = checker.Check(Of(sql));
    EXPECT_TRUE(status.ok()) << sql << ": " << status;
  }
}

TEST(ProposalCheck, WhatNoStateCouldMakeValidIsRefusedWithWhatToDo) {
  ProposalChecker checker;
  for (const Refused& refused : kRefused) {
    for (int again = 0; again < 2; ++again) {  // the second time from the cache
      const Status status = checker.Check(Of(refused.sql));
      EXPECT_EQ(status.code(), refused.code) << refused.sql << ": " << status;
      EXPECT_NE(status.message().find(refused.part), std::string::npos)
          << refused.sql << ": " << status;
    }
  }
}

// The verdict must not depend on tables, or on what was asked before.
TEST(ProposalCheck, ACreatedTableIsNotRemembered) {
  ProposalChecker checker;
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(checker.Check(Of("CREATE TABLE t(a)")).ok());
    EXPECT_TRUE(checker.Check(Of("INSERT INTO t(b, c) VALUES(1, 2)")).ok());
    EXPECT_TRUE(checker.Check(Of("PRAGMA user_version = 3")).ok());
  }
}

TEST(ProposalCheck, NulsInvalidUtf8AndLongTextsAreRefused) {
  ProposalChecker checker;
  const auto message = [&](std::string sql) {
    const Status status = checker.Check(Of(std::move(sql)));
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    return status.message();
  };
  EXPECT_NE(message(std::string("DELETE FROM t\0", 14)).find("NUL"), std::string::npos);
  EXPECT_NE(message("DELETE FROM t WHERE a = '\xff'").find("UTF-8"), std::string::npos);
  EXPECT_NE(message("DELETE FROM t -- " + std::string(kSqlBytesMax, 'x')).find("at most 1048576"),
            std::string::npos);
  EXPECT_TRUE(checker.Check(Of("DELETE FROM t --" + std::string(kSqlBytesMax - 16, 'x'))).ok());
  const std::string literal = "'" + std::string(2 * kSqlBytesMax, 'x') + "'";
  EXPECT_TRUE(checker.Check(Of("INSERT INTO t VALUES (" + literal + ")")).ok());
  message("INSERT INTO t VALUES (" + literal + "); DELETE FROM t");
  message("DELETE FROM t WHERE a = " + literal);
}

Status OfItsStatement(const std::string& why) { return InvalidArgument(why).AtStatement(1); }

TEST(ProposalCheck, ValuesMustFitTheParametersOfTablesNotKnownHere) {
  ProposalChecker checker;
  const std::string sql = "INSERT INTO unknown VALUES(?1, :n, @m)";
  const auto check = [&](std::vector<Value> positional, std::vector<NamedValue> named) {
    return checker.Check(OfStatement({sql, std::move(positional), std::move(named)}));
  };
  EXPECT_TRUE(check({Value("a"), Value{}, Value(1.5)}, {}).ok());
  EXPECT_TRUE(check({Value("a")}, {{"n", Value("b")}, {"@m", Value("c")}}).ok());
  EXPECT_EQ(check({Value("a"), Value("b"), Value("c"), Value("d")}, {}),
            OfItsStatement("the statement has 3 parameters, but 4 positional values came with it"));
  EXPECT_EQ(check({Value("a")}, {{"n", Value("b")}}),
            OfItsStatement("the statement has 3 parameters; no value was given for @m"));
  EXPECT_EQ(check({Value("a"), Value("b")}, {{"n", Value("b")}, {"m", Value("c")}}),
            OfItsStatement("parameter :n was given two values"));
  EXPECT_EQ(check({Value("a")}, {{"x", Value("b")}}),
            OfItsStatement("the statement has no parameter named 'x'"));
  EXPECT_EQ(check({Value("a"), Value("\xff"), Value("c")}, {}),
            OfItsStatement("the value of parameter :n is not valid UTF-8; bytes belong in a blob"));
  EXPECT_FALSE(check({}, {}).ok());
  EXPECT_EQ(checker.Check(OfStatement({"DELETE FROM t", {Value("a")}, {}})),
            OfItsStatement("the statement has 0 parameters, but 1 positional value came with it"));
}

TEST(ProposalCheck, IdsAndNumbersOutOfBoundsAreRefused) {
  ProposalChecker checker;
  const auto ok = [&](const Command& command) { return checker.Check(command).ok(); };
  Command command = Of("DELETE FROM t");
  command.id.session.assign(kSessionBytesMax, 's');
  EXPECT_TRUE(ok(command));
  command.id.session += 's';
  EXPECT_FALSE(ok(command));
  command.id.session = "s";

  for (const bool fits : {true, false}) {
    const std::string tx_id(kTxIdBytesMax + (fits ? 0 : 1), 't');
    command.operation = Prepare{tx_id, {"DELETE FROM t", {}, {}}, 0};
    EXPECT_EQ(ok(command), fits);
    command.operation = Commit{tx_id};
    EXPECT_EQ(ok(command), fits);
    command.operation = Rollback{tx_id};
    EXPECT_EQ(ok(command), fits);
  }
  command.operation = Commit{""};
  EXPECT_FALSE(ok(command));
  command.operation = Commit{"\xff"};
  EXPECT_FALSE(ok(command));
  command.operation = Prepare{"tx", {"SELECT 1", {}, {}}, 0};
  EXPECT_FALSE(ok(command));
  command.operation = OpenSession{};
  EXPECT_TRUE(ok(command));
  command.operation = AdvanceLease{};
  EXPECT_TRUE(ok(command));
  command.operation = Execute{};
  EXPECT_FALSE(ok(command));

  Execute many;
  many.statements.assign(kStatementsPerCommandMax, {"DELETE FROM t", {}, {}});
  command.operation = many;
  EXPECT_TRUE(ok(command));
  many.statements.push_back({"DELETE FROM t", {}, {}});
  command.operation = many;
  EXPECT_FALSE(ok(command));
}

TEST(ProposalCheck, OfSeveralStatementsTheWrongOneIsNamed) {
  ProposalChecker checker;
  const Command command{{"s", 1}, 0, Execute{{{"DELETE FROM t", {}, {}}, {"SELECT 1", {}, {}}}}};
  EXPECT_EQ(checker.Check(command).message().substr(0, 12), "statement 2:");
}

TEST(ProposalCheck, ACacheOfTwoTextsAnswersForMany) {
  ProposalChecker checker(2);
  for (int round = 0; round < 3; ++round) {
    for (const char* sql : kPasses) EXPECT_TRUE(checker.Check(Of(sql)).ok()) << sql;
    for (const Refused& refused : kRefused) {
      EXPECT_EQ(checker.Check(Of(refused.sql)).code(), refused.code) << refused.sql;
    }
  }
}

TEST(ProposalCheck, ManyThreadsGetTheSameVerdicts) {
  ProposalChecker checker(8);
  std::vector<std::thread> threads(4);
  for (std::thread& thread : threads) {
    thread = std::thread([&] {
      for (int round = 0; round < 10; ++round) {
        for (const char* sql : kPasses) EXPECT_TRUE(checker.Check(Of(sql)).ok()) << sql;
        for (const Refused& refused : kRefused) {
          EXPECT_EQ(checker.Check(Of(refused.sql)).code(), refused.code) << refused.sql;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// The scan must find exactly the parameters that SQLite finds. SQLite can be asked here, because no
// table is needed.
TEST(SqlScan, NumbersAndNamesParametersAsSqliteDoes) {
  TemporaryDirectory directory;
  TestDatabase db(directory / "db");
  for (const char* sql : {"SELECT 1",
                          "SELECT ?",
                          "SELECT ?, ?, ?",
                          "SELECT ?3, ?",
                          "SELECT ?1, ?1, ?2",
                          "SELECT :a, :b, :a, ?",
                          "SELECT @a, $a, :a",
                          "SELECT '?', \"?x\" AS [?], 1 AS `?`, /* ? */ ? -- ?",
                          "SELECT $a::b(c), $a::b",
                          "SELECT :a1_\xc3\xa9, #x",
                          "SELECT ?2, :a, ?1, :b, ?",
                          "SELECT x'3f', 1e5, 1e-5, 0x3f, 5-?",
                          "SELECT 'a''?''b', ?",
                          "SELECT :a+:b||:c",
                          "SELECT :1",
                          "SELECT ?007, ?",
                          "SELECT CASE WHEN ?1 THEN :x ELSE ?1 END",
                          "SELECT a.b FROM (SELECT ? b) a",
                          "SELECT json_extract(?, '$.a'), '{}'->'$.b'",
                          "SELECT 1.e3, .5e+3, 0xe-?",
                          "SELECT $$a, $a$b"}) {
    sqlite3_stmt* stmt = nullptr;
    ASSERT_EQ(sqlite3_prepare_v2(db.handle(), sql, -1, &stmt, nullptr), SQLITE_OK)
        << sql << ": " << sqlite3_errmsg(db.handle());
    const SqlScan scan = ScanSql(sql);
    EXPECT_EQ(scan.kind, SqlKind::kRead);
    EXPECT_FALSE(scan.several);
    EXPECT_EQ(scan.parameters, static_cast<size_t>(sqlite3_bind_parameter_count(stmt))) << sql;
    for (const NamedParameter& parameter : scan.names) {
      EXPECT_EQ(sqlite3_bind_parameter_index(stmt, parameter.name.c_str()),
                static_cast<int>(parameter.number))
          << sql << " " << parameter.name;
    }
    sqlite3_finalize(stmt);
  }
}

// If SQLite prepares a text as one statement with nothing behind it, the scan must see one
// statement with the same parameters. Random pieces of SQL find the corners of the tokenizer.
TEST(SqlScan, AgreesWithSqliteOnRandomTexts) {
  TemporaryDirectory directory;
  TestDatabase db(directory / "db");
  static const char* const kPieces[] = {
      "SELECT", "1",     " ",  "?",    "?2",     ":a", "@b",    "$c",      "'x;'", "\"y\"", "[z]",
      "`w`",    "x'00'", ",",  "(",    ")",      ";",  "--c\n", "/*d;*/",  "/*",   "+",     "-",
      "1e5",    "0x1",   ".5", "AS q", "VALUES", "''", "'",     "e",       "->",   "||",    "\n",
      "::",     "#f",    "/",  "*",    "\t",     "1.", "-1e-",  "\xc3\xa9"};
  size_t prepared = 0;
  const auto agrees = [&](const std::string& sql) {
    sqlite3_stmt* raw = nullptr;
    const char* tail = nullptr;
    const int rc = sqlite3_prepare_v2(db.handle(), sql.c_str(), -1, &raw, &tail);
    const StatementPtr stmt(raw);
    const SqlScan scan = ScanSql(sql);
    if (rc != SQLITE_OK) return;
    ++prepared;
    RC_ASSERT((stmt == nullptr) == (scan.kind == SqlKind::kEmpty));
    if (stmt == nullptr) return;
    bool more = false;
    while (!more && *tail != '\0') {
      sqlite3_stmt* second = nullptr;
      more = sqlite3_prepare_v2(db.handle(), tail, -1, &second, &tail) != SQLITE_OK ||
             second != nullptr;
      sqlite3_finalize(second);
    }
    RC_ASSERT(scan.several == more);
    RC_ASSERT(scan.parameters == static_cast<size_t>(sqlite3_bind_parameter_count(stmt.get())));
  };
  EXPECT_TRUE(rc::check([&] {
    std::string sql = "SELECT ";
    const int count = *rc::gen::inRange(0, 8);
    for (int i = 0; i < count; ++i) {
      sql +=
          kPieces[static_cast<size_t>(*rc::gen::inRange(0, static_cast<int>(std::size(kPieces))))];
    }
    agrees(sql);
  }));
  // Also all texts of four pieces, because few random texts parse.
  for (const char* a : kPieces) {
    for (const char* b : kPieces) {
      for (const char* c : kPieces) agrees(std::string("SELECT 1,") + a + b + c);
    }
  }
  EXPECT_GT(prepared, 500u);
}

TEST(Statement, Utf8IsJudgedAtEveryBoundary) {
  for (const char* good :
       {"", "a", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
        "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "12345678\xc3\xa9",
        "1234567\xc3\xa9"
        "9",
        "\xe2\x82\xac"
        "12345678"}) {
    EXPECT_TRUE(IsValidUtf8(good)) << good;
  }
  for (const char* bad :
       {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2 ", "\xe0\x9f\xbf", "\xed\xa0\x80",
        "\xe2\x82", "\xe2\x28\xa1", "\xf0\x8f\xbf\xbf", "\xf0\x9f\x98", "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80", "\xff", "12345678\xc3", "1234567\x80"}) {
    EXPECT_FALSE(IsValidUtf8(bad)) << bad;
  }
  EXPECT_TRUE(IsValidUtf8(std::string("a\0b", 3)));
}

}  // namespace
}  // namespace cairn::state_machine
