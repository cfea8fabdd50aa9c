// Generated statements of every kind on Cairn and on plain SQLite. Each statement has the same
// outcome, the same message, the same rows of RETURNING and the same counts. Each query has the
// same rows. In the end all tables are equal.
//
// Where Cairn differs on purpose nothing is compared: what a failed statement leaves behind
// (nothing), the rowid 2^63 - 1 (refused), random(), functions that differ between machines
// (refused), and the statistics of Cairn's own tables.
//
// CAIRN_SQL_STATEMENTS=n runs n statements (`make sql-differential`); CAIRN_SQL_SEED=s begins at
// that seed.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <map>

#include "state_machine/sqlite/deterministic_vfs.h"
#include "state_machine/sqlite/replicas_test_util.h"
#include "state_machine/sqlite/sql_generator_test_util.h"
#include "state_machine/sqlite/statement.h"

namespace cairn::state_machine {
namespace {

// SQLite as any program uses it, except for the current time.
class PlainSqlite {
 public:
  explicit PlainSqlite(const std::string& path) {
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    EXPECT_EQ(sqlite3_open_v2(path.c_str(), &db_, flags, vfs_.name()), SQLITE_OK);
    Exec("PRAGMA foreign_keys = ON");
  }
  ~PlainSqlite() { EXPECT_EQ(sqlite3_close(db_), SQLITE_OK); }
  PlainSqlite(const PlainSqlite&) = delete;
  PlainSqlite& operator=(const PlainSqlite&) = delete;

  struct Outcome {
    std::string error;  // empty: it succeeded
    StatementResult result;
  };

  void SetTime(int64_t wall_ms) { vfs_.SetTime(wall_ms); }
  bool Exec(const std::string& sql) {
    return sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK;
  }
  // Runs in a transaction of its own, which is undone as a whole if the statement fails.
  Outcome Write(const Statement& statement) {
    EXPECT_TRUE(Exec("BEGIN"));
    Outcome outcome = Run(statement);
    // A statement that ended with ROLLBACK has ended the transaction.
    if (outcome.error.empty() && !Exec("COMMIT")) outcome.error = sqlite3_errmsg(db_);
    EXPECT_TRUE(sqlite3_get_autocommit(db_) != 0 || Exec("ROLLBACK"));
    return outcome;
  }
  Outcome Run(const Statement& statement) {
    Outcome outcome;
    sqlite3_stmt* stmt = nullptr;
    if (sqlite3_prepare_v2(db_, statement.sql.c_str(), -1, &stmt, nullptr) != SQLITE_OK) {
      outcome.error = sqlite3_errmsg(db_);
      return outcome;
    }
    const Status bound = BindParameters(stmt, statement);
    EXPECT_TRUE(bound.ok()) << bound;
    int rc = SQLITE_ROW;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
      Row row;
      for (int i = 0; i < sqlite3_column_count(stmt); ++i) row.push_back(ColumnValue(stmt, i));
      outcome.result.rows.push_back(std::move(row));
    }
    if (rc != SQLITE_DONE) outcome.error = sqlite3_errmsg(db_);
    outcome.result.rows_affected = sqlite3_changes64(db_);
    outcome.result.last_insert_id = sqlite3_last_insert_rowid(db_);
    sqlite3_finalize(stmt);
    return outcome;
  }
  sqlite3* handle() { return db_; }

 private:
  DeterministicVfs vfs_{nullptr};
  sqlite3* db_ = nullptr;
};

std::string Show(const std::vector<Row>& rows) {
  std::string out;
  for (const Row& row : rows) {
    for (const Value& value : row) {
      if (const auto* integer = std::get_if<int64_t>(&value)) out += std::to_string(*integer);
      if (const auto* real = std::get_if<double>(&value)) out += "r" + std::to_string(*real);
      if (const auto* text = std::get_if<std::string>(&value)) out += "'" + *text + "'";
      if (const auto* blob = std::get_if<Blob>(&value)) out += "x" + blob->bytes;
      if (std::holds_alternative<std::monostate>(value)) out += "NULL";
      out += "|";
    }
    out += "\n";
  }
  return out;
}

class Comparison {
 public:
  explicit Comparison(uint64_t seed)
      : generator_(seed),
        replicas_(/*restarts=*/false),
        plain_(replicas_.first().directory() / "plain.db") {
    for (const std::string& sql : SqlGenerator::Schema()) {
      replicas_.Must(sql);
      EXPECT_TRUE(plain_.Exec(sql)) << sql << ": " << sqlite3_errmsg(plain_.handle());
    }
  }

  void Run(int statements) {
    while (statements_ < statements && !testing::Test::HasFailure()) {
      WriteSome();
      if (generator_.Between(0, 3) == 0) ReadOne();
    }
    if (testing::Test::HasFailure()) return;
    replicas_.Check();
    CompareContents();
  }

  int statements() const { return statements_; }
  int failed() const { return failed_; }
  int queries() const { return queries_; }

 private:
  // One entry of a few commands.
  void WriteSome() {
    std::vector<Command> commands;
    for (uint64_t left = generator_.Between(1, 4); left > 0; --left) {
      Execute execute;
      execute.statements.push_back(generator_.Write());
      execute.maintenance = true;  // so that commands to full-text tables are done, too
      commands.emplace_back();
      commands.back().operation = std::move(execute);
      const Status proposal = replicas_.first().machine().CheckProposal(commands.back());
      if (proposal.ok()) continue;
      // A syntax error or the like. Plain SQLite must refuse it, too.
      const Statement statement = std::get<Execute>(commands.back().operation).statements[0];
      EXPECT_NE(plain_.Write(statement).error, "") << statement.sql << "\n" << proposal;
      commands.pop_back();
    }
    if (commands.empty()) return;
    plain_.SetTime(replicas_.header.wall_ms + 1000);
    const std::vector<CommandResult> results = replicas_.DoAll(commands);
    for (size_t i = 0; i < results.size(); ++i) {
      CompareWrite(std::get<Execute>(commands[i].operation).statements[0], results[i]);
    }
  }

  void CompareWrite(const Statement& statement, const CommandResult& ours) {
    ++statements_;
    const PlainSqlite::Outcome plain = plain_.Write(statement);
    if (!ours.status.ok()) ++failed_;
    if (ours.status.ok() != plain.error.empty()) {
      ADD_FAILURE() << statement.sql << "\nCairn: " << ours.status << "\nplain: " << plain.error;
      return;
    }
    if (!ours.status.ok()) {
      EXPECT_NE(ours.status.message().find(plain.error), std::string::npos)
          << statement.sql << "\nCairn: " << ours.status << "\nplain: " << plain.error;
      return;
    }
    const StatementResult& result = ours.statements.at(0);
    EXPECT_EQ(Show(result.rows), Show(plain.result.rows)) << statement.sql;
    if (!IsDml(statement.sql)) return;
    EXPECT_EQ(result.rows_affected, plain.result.rows_affected) << statement.sql;
    // A connection remembers the rowid of its last insert. Cairn begins each command at 0.
    if (result.last_insert_id != 0) {
      EXPECT_EQ(result.last_insert_id, plain.result.last_insert_id) << statement.sql;
    }
  }

  static bool IsDml(const std::string& sql) {
    for (const char* word : {"INSERT", "UPDATE", "DELETE", "REPLACE", "WITH"}) {
      if (sql.rfind(word, 0) == 0) return true;
    }
    return false;
  }

  void ReadOne() {
    const std::string sql = generator_.Read();
    // Reads see the time of the machine.
    if (sql.find("now") != std::string::npos || sql.find("CURRENT_") != std::string::npos) return;
    ++queries_;
    auto view = replicas_.first().machine().OpenReadView(std::chrono::seconds(5));
    ASSERT_TRUE(view.ok()) << view.status();
    RowCollector rows;
    const Status status = (*view)->Query({sql, {}, {}}, QueryLimits{}, &rows);
    const PlainSqlite::Outcome plain = plain_.Run({sql, {}, {}});
    EXPECT_EQ(status.ok(), plain.error.empty()) << sql << "\n" << status << "\n" << plain.error;
    if (!status.ok()) return;
    EXPECT_EQ(Show(rows.rows), Show(plain.result.rows)) << sql;
  }

  void CompareContents() {
    TestDatabase ours(replicas_.first().path());
    const std::string tables =
        "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', "
        "'shadow',"
        " 'virtual') AND name NOT LIKE '\\_cairn\\_%' ESCAPE '\\' AND name <> 'sqlite_schema'"
        " ORDER BY name";
    const std::vector<Row> names = Rows(plain_.handle(), tables);
    EXPECT_EQ(Show(Rows(ours.handle(), tables)), Show(names));
    for (const Row& row : names) {
      const std::string name = std::get<std::string>(row[0]);
      const bool has_rowid = std::get<int64_t>(row[1]) == 0;
      // The rows in the order in which they lie in the table.
      std::string sql =
          std::string("SELECT ") + (has_rowid ? "rowid, " : "") + "* FROM \"" + name + "\"";
      if (name == "sqlite_stat1") {  // ANALYZE sees Cairn's own tables, too
        sql =
            "SELECT * FROM sqlite_stat1 WHERE tbl NOT LIKE '\\_cairn\\_%' ESCAPE '\\' ORDER BY 1, "
            "2";
      }
      EXPECT_EQ(Show(Rows(ours.handle(), sql)), Show(Rows(plain_.handle(), sql))) << sql;
    }
    const std::string schema =
        "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE tbl_name NOT LIKE '\\_cairn\\_%'"
        " ESCAPE '\\' ORDER BY type, name";
    EXPECT_EQ(Show(Rows(ours.handle(), schema)), Show(Rows(plain_.handle(), schema)));
    EXPECT_EQ(ours.Text("PRAGMA integrity_check"), "ok");
  }

  static std::vector<Row> Rows(sqlite3* db, const std::string& sql) {
    std::vector<Row> rows;
    sqlite3_stmt* stmt = nullptr;
    EXPECT_EQ(sqlite3_prepare_v2(db, sql.c_str(), -1, &stmt, nullptr), SQLITE_OK)
        << sql << ": " << sqlite3_errmsg(db);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
      rows.emplace_back();
      for (int i = 0; i < sqlite3_column_count(stmt); ++i) {
        rows.back().push_back(ColumnValue(stmt, i));
      }
    }
    sqlite3_finalize(stmt);
    return rows;
  }

  SqlGenerator generator_;
  Replicas replicas_;
  PlainSqlite plain_;
  int statements_ = 0;
  int failed_ = 0;
  int queries_ = 0;
};

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(PlainSqlite, GeneratedStatementsDoTheSameAsOnCairn) {
  const auto wanted = static_cast<int>(FromEnvironment("CAIRN_SQL_STATEMENTS", 1000));
  constexpr int kPerRun = 500;
  int statements = 0;
  int failed = 0;
  int queries = 0;
  for (uint64_t seed = FromEnvironment("CAIRN_SQL_SEED", 1); statements < wanted; ++seed) {
    SCOPED_TRACE("CAIRN_SQL_SEED=" + std::to_string(seed));
    Comparison comparison(seed);
    comparison.Run(std::min(kPerRun, wanted - statements));
    statements += comparison.statements();
    failed += comparison.failed();
    queries += comparison.queries();
    if (HasFailure()) break;
  }
  std::cout << statements << " statements compared, " << failed << " of them failed on both; "
            << queries << " queries\n";
  if (HasFailure()) return;
  // A generator that gives only errors, or none, would prove little.
  EXPECT_GT(failed, wanted / 50);
  EXPECT_LT(failed, wanted / 2);
}

}  // namespace
}  // namespace cairn::state_machine
