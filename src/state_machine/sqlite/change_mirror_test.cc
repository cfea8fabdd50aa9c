// What watchers are told is what the database holds: a mirror that only follows the changes has the
// rows that a SELECT reads.

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "state_machine/change.h"
#include "state_machine/sqlite/sql_generator_test_util.h"
#include "state_machine/sqlite/watched_test_util.h"

namespace cairn::state_machine {
namespace {

// The rows of all tables, by following the changes alone. After a change of the schema the tables
// that it touches are read again, because their rows are not told.
class Mirror {
 public:
  explicit Mirror(Watched* watched) : watched_(watched) {}

  void Follow() {
    bool schema_changed = false;
    for (const Change& change : watched_->Take()) {
      EXPECT_LT(last_, change.position) << "out of order";
      last_ = change.position;
      schema_changed = schema_changed || change.kind == ChangeKind::kSchema;
      if (change.table == nullptr) continue;
      auto& rows = tables_[change.table->name];
      if (change.kind != ChangeKind::kInsert) {
        const auto row = rows.find(KeyOf(change, change.old_rowid, change.old_row));
        if (row == rows.end()) {
          ADD_FAILURE() << "an unknown row: " << TextOf(change);
          continue;
        }
        EXPECT_EQ(row->second, TextOf(change.old_row)) << TextOf(change);
        rows.erase(row);
      }
      if (change.kind != ChangeKind::kDelete) {
        const std::string key = KeyOf(change, change.new_rowid, change.new_row);
        EXPECT_TRUE(rows.emplace(key, TextOf(change.new_row)).second)
            << "a row twice: " << TextOf(change);
      }
      ++rows_told_;
    }
    if (schema_changed) ReadAgain();
  }

  void Check() {
    for (const std::string& table : Tables()) {
      std::multiset<std::string> held;
      for (const auto& [key, row] : tables_[table]) held.insert(row);
      std::multiset<std::string> rows;
      for (const Row& row :
           watched_->Select("SELECT " + Columns(table) + " FROM \"" + table + "\"")) {
        rows.insert(TextOf(row));
      }
      EXPECT_EQ(held, rows) << table;
    }
  }
  uint64_t rows_told() const { return rows_told_; }

 private:
  static std::string KeyOf(const Change& change, const std::optional<int64_t>& rowid,
                           const Row& row) {
    if (rowid.has_value()) return std::to_string(*rowid) + "|";
    std::string key;
    for (const uint32_t place : change.table->key) key += TextOf(row[place]) + "|";
    return key;
  }
  // R-Tree tables store nodes, not rows, and are not told.
  std::vector<std::string> Tables() {
    return watched_->Names(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'virtual')"
        " AND name NOT LIKE 'sqlite%' AND name NOT LIKE '\\_cairn%' ESCAPE '\\'"
        " AND name NOT IN (SELECT name FROM sqlite_schema WHERE sql LIKE '%USING rtree%')");
  }
  // VIRTUAL generated columns are not told.
  std::string Columns(const std::string& table) {
    std::string columns;
    for (const std::string& name : watched_->Names("SELECT name FROM pragma_table_xinfo('" + table +
                                                   "') WHERE hidden NOT IN (1, 2)")) {
      columns += (columns.empty() ? "\"" : ", \"") + name + "\"";
    }
    return columns;
  }
  void ReadAgain() {
    tables_.clear();
    for (const std::string& table : Tables()) {
      std::vector<std::string> key = {"_rowid_"};
      const std::string where = " WHERE name = '" + table + "'";
      if (!watched_->Select("SELECT 1 FROM pragma_table_list" + where + " AND wr").empty()) {
        key = watched_->Names("SELECT name FROM pragma_table_info('" + table +
                              "') WHERE pk ORDER BY pk");
      }
      std::string sql = "SELECT ";
      for (const std::string& column : key) sql += "\"" + column + "\", ";
      for (const Row& row : watched_->Select(sql + Columns(table) + " FROM \"" + table + "\"")) {
        const auto values = row.begin() + static_cast<ptrdiff_t>(key.size());
        std::string text;
        for (auto value = row.begin(); value != values; ++value) text += TextOf(*value) + "|";
        tables_[table][text] = TextOf(Row(values, row.end()));
      }
    }
  }

  Watched* const watched_;
  std::map<std::string, std::map<std::string, std::string>> tables_;
  ChangePosition last_;
  uint64_t rows_told_ = 0;
};

// Each statement of the comparison with plain SQLite, one after the other: the mirror follows.
TEST(ChangeMirror, AMirrorThatFollowsTheChangesHoldsWhatTheDatabaseHolds) {
  Watched watched;
  Mirror mirror(&watched);
  for (const std::string& sql : SqlGenerator::Schema()) {
    watched.Run({{sql, {}, {}}});
    mirror.Follow();
  }
  SqlGenerator generator(20'261'130);
  for (int i = 0; i < 1500; ++i) {
    const Statement statement = generator.Write();
    watched.Run({statement});
    mirror.Follow();
    if (testing::Test::HasFailure()) FAIL() << "statement " << i << ": " << statement.sql;
    if (i % 50 == 0) mirror.Check();
  }
  mirror.Check();
  EXPECT_GT(mirror.rows_told(), 3000U);
}

}  // namespace
}  // namespace cairn::state_machine
