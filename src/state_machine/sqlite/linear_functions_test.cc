// The linear functions give what SQLite's own functions give.

#include "state_machine/sqlite/linear_functions.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "state_machine/sqlite/charged_functions.h"
#include "state_machine/sqlite/work_budget.h"

namespace cairn::state_machine {
namespace {

struct CloseDatabase {
  void operator()(sqlite3* db) const { sqlite3_close(db); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;

Database OpenInMemory() {
  sqlite3* db = nullptr;
  sqlite3_open(":memory:", &db);
  return Database(db);
}

// The type of the result and its bytes, or the error.
std::string Evaluate(sqlite3* db, const std::string& expression,
                     const std::vector<std::string>& arguments) {
  sqlite3_stmt* stmt = nullptr;
  const std::string sql = "SELECT " + expression;
  if (sqlite3_prepare_v2(db, sql.c_str(), -1, &stmt, nullptr) != SQLITE_OK) {
    return sqlite3_errmsg(db);
  }
  for (size_t i = 0; i < arguments.size(); ++i) {
    const int number = static_cast<int>(i + 1);
    if (number > sqlite3_bind_parameter_count(stmt)) break;
    sqlite3_bind_text(stmt, number, arguments[i].data(), static_cast<int>(arguments[i].size()),
                      SQLITE_STATIC);
  }
  std::string result;
  if (sqlite3_step(stmt) == SQLITE_ROW) {
    result = std::to_string(sqlite3_column_type(stmt, 0)) + ":";
    const auto* bytes = static_cast<const char*>(sqlite3_column_blob(stmt, 0));
    result.append(bytes == nullptr ? "" : bytes,
                  static_cast<size_t>(sqlite3_column_bytes(stmt, 0)));
  } else {
    result = sqlite3_errmsg(db);
  }
  sqlite3_finalize(stmt);
  return result;
}

const char* const kExpressions[] = {
    "instr(?1, ?2)",
    "instr(CAST(?1 AS BLOB), CAST(?2 AS BLOB))",
    "instr(CAST(?1 AS BLOB), ?2)",
    "instr(?1, CAST(?2 AS BLOB))",
    "instr(123, 2)",
    "instr(NULL, ?1)",
    "instr(?1, '')",
    "replace(?1, ?2, ?3)",
    "replace(?1, ?2, '')",
    "replace(?1, '', ?3)",
    "replace(1212, 2, 3)",
    "replace(CAST(?1 AS BLOB), ?2, ?3)",
    "replace(?1, NULL, ?3)",
    "replace(?1, ?2, NULL)",
    "typeof(replace(5, '', 'x'))",
    "trim(?1)",
    "ltrim(?1)",
    "rtrim(?1)",
    "trim(?1, ?2)",
    "ltrim(?1, ?2)",
    "rtrim(?1, ?2)",
    "trim(?1, NULL)",
    "trim(NULL, ?1)",
    "trim(1211, 1)",
    "trim(?1, '')",
    "?1 LIKE ?2",
    "?1 LIKE ?2 ESCAPE 'a'",
    "?1 LIKE ?2 ESCAPE '%'",
    "?1 LIKE ?2 ESCAPE '_'",
    "?1 LIKE ?2 ESCAPE ?3",
    "?1 GLOB ?2",
    "CAST(?1 AS BLOB) LIKE ?2",
    "?1 LIKE NULL",
    "NULL GLOB ?2",
    "12 LIKE '1_'",
    "upper(?1)",
    "lower(?1)",
    "hex(?1)",
    "hex(CAST(?1 AS BLOB))",
    "hex(12)",
    "hex(NULL)",
    "upper(NULL)",
    "lower(12)",
    "quote(?1)",
    "quote(CAST(?1 AS BLOB))",
    "quote(1.5)",
    "quote(NULL)",
    "printf(?1, ?2, 3, 4.5)",
    "format('%5d|%-5s|%q|%w|%.3f', 12, ?1, ?2, ?3, 1.25)",
    "printf()",
    "printf(NULL)",
    "json_array(?1, json_array(?2), json('[1,2]'), 1, NULL, 1.5)",
    "json_object(?1, json('{}'))",
    "json_object(?1)",
    "json(?1)",
    "json_valid(?1)",
    "json_extract('{\"a\":[1,2]}', '$.a')",
    "json_extract('{\"a\":[1,2]}', '$.a[1]', '$.a')",
    "json_extract('{', '$')",
    "json_set('{}', '$.a', json('[1]'))",
    "json_set('{}', '$.a', '[1]')",
    "json_set('{}', '$.a', json_array(?1), '$.b', ?2)",
    "json_insert('[1]', '$[#]', json('[2]'))",
    "json_replace('[1]', '$[0]', ?1)",
    "json_remove('[1,2,3]', '$[1]')",
    "json_quote(?1)",
    "json_quote(json('[1]'))",
    "json_quote(CAST(?1 AS BLOB))",
    "json_type('[1]', '$[0]')",
    "json_array_length('[1,[2,3]]', '$[1]')",
    "json_patch('{\"a\":1,\"b\":2}', '{\"a\":null}')",
    "'{\"a\":[1,2]}' -> 'a'",
    "'{\"a\":[1,2]}' ->> '$.a[0]'",
    "json_array('[1]' -> 0)",
    "json_array('[[1]]' -> 0)",
    "json_array(json_extract('[[1]]', '$[0]'))",
    "json_group_array(json(?1))",
    "json_extract('[1]', ?1)",
    "strftime('%Y-%m-%d', 1000000)",
    "strftime('%Y', ?1)",
    "strftime(?1, 1000)",
    "strftime('%d', 'now', '+1 day') > 0",
    "count(*)",
    "(SELECT count(*) FROM (SELECT 1 UNION ALL SELECT 2))",
    "(SELECT group_concat(c) FROM (SELECT count(*) OVER (ORDER BY x ROWS 1 PRECEDING) AS c FROM"
    " (SELECT 1 AS x UNION ALL SELECT 2 UNION ALL SELECT 3)))",
    "(SELECT count(*) FROM (SELECT 1) WHERE 0)",
    "json_array()",
    "json()",
    "instr(1)"};

std::string RandomText(Rng* rng) {
  static const char* const kPieces[] = {
      "a",     "b",         "A",  "%",  "_",    "*",    "?",    "[",   "]", "^",
      "-",     "ab",        " ",  "é",  "\xc3", "\xa9", "€",    "😀",   "'", "\"",
      "[a-c]", "{\"a\":1}", "%d", "%s", "1",    "\\",   "[^b]", "[]]", "aa"};
  std::string text;
  for (uint64_t n = rng->Below(7); n > 0; --n) text += kPieces[rng->Below(std::size(kPieces))];
  return text;
}

TEST(LinearFunctions, GiveWhatSqlitesOwnGive) {
  const Database plain = OpenInMemory();
  WorkBudget budget;
  ChargedFunctions charged;
  const Database ours = OpenInMemory();
  ASSERT_TRUE(charged.Install(ours.get(), nullptr, &budget).ok());
  Rng rng(1);
  for (int round = 0; round < 400; ++round) {
    const std::vector<std::string> arguments = {RandomText(&rng), RandomText(&rng),
                                                RandomText(&rng)};
    for (const std::string expression : kExpressions) {
      const std::string result = Evaluate(ours.get(), expression, arguments);
      // This difference is intended.
      if (result == "the characters to trim are not valid UTF-8") continue;
      ASSERT_EQ(result, Evaluate(plain.get(), expression, arguments))
          << expression << " of '" << arguments[0] << "', '" << arguments[1] << "', '"
          << arguments[2] << "'";
    }
  }
}

TEST(LinearFunctions, TakeLongValuesInOneGo) {
  const std::string text(8 << 20, 'a');
  const std::string needle = std::string(4 << 20, 'a') + "b";
  EXPECT_EQ(FindCharacters(text, needle, false), 0u);
  std::string set;
  for (uint32_t c = 0x80; c < 0x800; ++c) {
    set += {static_cast<char>(0xc0 | c >> 6), static_cast<char>(0x80 | (c & 0x3f))};
  }
  std::vector<std::string_view> characters;
  ASSERT_TRUE(SplitCharacters(set + "a", &characters));
  EXPECT_EQ(characters.size(), 0x780u + 1);
  EXPECT_EQ(Trim(text, characters, true, true), "");
  EXPECT_EQ(Trim(text + "-" + text, characters, true, false).size(), text.size() + 1);
}

}  // namespace
}  // namespace cairn::state_machine
