// Commands with foreign keys off: tables are rebuilt as the tools for migrations do it.

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "state_machine/sqlite/replicas_test_util.h"

namespace cairn::state_machine {
namespace {

Command Off(const std::vector<std::string>& texts, ForeignKeys keys = ForeignKeys::kCheckedAtEnd) {
  Execute execute;
  for (const std::string& sql : texts) execute.statements.push_back({sql, {}, {}});
  execute.foreign_keys = keys;
  Command command;
  command.operation = std::move(execute);
  return command;
}

class ForeignKeysOff : public testing::Test {
 protected:
  ForeignKeysOff() {
    replicas_.Must("CREATE TABLE author(id INTEGER PRIMARY KEY, name TEXT)");
    replicas_.Must(
        "CREATE TABLE book(id INTEGER PRIMARY KEY, author INTEGER NOT NULL REFERENCES author(id) "
        "ON DELETE CASCADE, title TEXT)");
    replicas_.Must("CREATE INDEX book_author ON book(author)");
    replicas_.Must("INSERT INTO author VALUES(1, 'Ann'), (2, 'Bob')");
    replicas_.Must("INSERT INTO book VALUES(1, 1, 'a'), (2, 1, 'b'), (3, 2, 'c')");
  }
  void Migrate(const std::vector<std::string>& texts) {
    const CommandResult result = replicas_.Do(Off(texts));
    EXPECT_TRUE(result.status.ok()) << result.status;
  }
  // No row was lost, and the foreign key still acts.
  void ExpectBooksAndCascade() {
    EXPECT_EQ(replicas_.Query("SELECT id, author, title FROM book ORDER BY id"),
              "1|1|a 2|1|b 3|2|c");
    EXPECT_EQ(replicas_.Query("SELECT \"table\", on_delete FROM pragma_foreign_key_list('book')"),
              "author|CASCADE");
    EXPECT_EQ(replicas_.Execute("INSERT INTO book VALUES(9, 9, 'x')").status.code(),
              StatusCode::kFailedPrecondition);
    replicas_.Must("DELETE FROM author WHERE id = 1");
    EXPECT_EQ(replicas_.Query("SELECT id FROM book"), "3");
    replicas_.Check();
  }

  Replicas replicas_;
};

TEST_F(ForeignKeysOff, WithoutThemTheRebuildLosesRows) {
  replicas_.Execute(
      {{"CREATE TABLE new_author(id INTEGER PRIMARY KEY, name TEXT NOT NULL)", {}, {}},
       {"INSERT INTO new_author SELECT id, name FROM author", {}, {}},
       {"DROP TABLE author", {}, {}},
       {"ALTER TABLE new_author RENAME TO author", {}, {}}});
  EXPECT_EQ(replicas_.Query("SELECT count(*) FROM book"), "0");
}

TEST_F(ForeignKeysOff, AMigrationOfDjangoKeepsRows) {
  Migrate(
      {"CREATE TABLE \"new__author\" (\"id\" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "
       "\"name\" varchar(100) NOT NULL)",
       "INSERT INTO \"new__author\" (\"id\", \"name\") SELECT \"id\", coalesce(\"name\", '') "
       "FROM \"author\"",
       "DROP TABLE \"author\"", "ALTER TABLE \"new__author\" RENAME TO \"author\"",
       "CREATE INDEX \"author_name\" ON \"author\" (\"name\")"});
  ExpectBooksAndCascade();
}

TEST_F(ForeignKeysOff, AMigrationOfAlembicKeepsRows) {
  Migrate(
      {"CREATE TABLE _alembic_tmp_author (\n\tid INTEGER NOT NULL, \n\tname VARCHAR(50) NOT "
       "NULL, \n\temail VARCHAR, \n\tPRIMARY KEY (id)\n)",
       "INSERT INTO _alembic_tmp_author (id, name) SELECT author.id, author.name \nFROM author",
       "DROP TABLE author", "ALTER TABLE _alembic_tmp_author RENAME TO author",
       "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, CONSTRAINT "
       "alembic_version_pkc PRIMARY KEY (version_num))",
       "INSERT INTO alembic_version (version_num) VALUES ('1975ea83b712')"});
  ExpectBooksAndCascade();
}

TEST_F(ForeignKeysOff, AMigrationOfDrizzleKeepsRows) {
  Migrate(
      {"CREATE TABLE `__new_author` (\n\t`id` integer PRIMARY KEY NOT NULL,\n\t`name` text "
       "NOT NULL\n)",
       "INSERT INTO `__new_author`(\"id\", \"name\") SELECT \"id\", \"name\" FROM `author`",
       "DROP TABLE `author`", "ALTER TABLE `__new_author` RENAME TO `author`",
       "CREATE UNIQUE INDEX `author_name_unique` ON `author` (`name`)"});
  ExpectBooksAndCascade();
}

TEST_F(ForeignKeysOff, AMigrationOfPrismaKeepsRows) {
  Migrate(
      {"CREATE TABLE \"new_book\" (\"id\" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "
       "\"author\" INTEGER NOT NULL, \"title\" TEXT NOT NULL DEFAULT '', CONSTRAINT "
       "\"book_author_fkey\" FOREIGN KEY (\"author\") REFERENCES \"author\" (\"id\") ON DELETE "
       "CASCADE ON UPDATE CASCADE)",
       "INSERT INTO \"new_book\" (\"author\", \"id\", \"title\") SELECT \"author\", \"id\", "
       "coalesce(\"title\", '') AS \"title\" FROM \"book\"",
       "DROP TABLE \"book\"", "ALTER TABLE \"new_book\" RENAME TO \"book\"",
       "CREATE TABLE \"new_author\" (\"id\" INTEGER NOT NULL PRIMARY KEY, \"name\" TEXT)",
       "INSERT INTO \"new_author\" (\"id\", \"name\") SELECT \"id\", \"name\" FROM \"author\"",
       "DROP TABLE \"author\"", "ALTER TABLE \"new_author\" RENAME TO \"author\""});
  ExpectBooksAndCascade();
}

// Rails copies a table away, drops it, and copies it back.
TEST_F(ForeignKeysOff, AMigrationOfRailsKeepsRows) {
  Migrate({"CREATE TABLE \"aauthor\" (\"id\" integer NOT NULL PRIMARY KEY, \"name\" varchar)",
           "INSERT INTO \"aauthor\" (\"id\", \"name\") SELECT \"id\", \"name\" FROM \"author\"",
           "DROP TABLE \"author\"",
           "CREATE TABLE \"author\" (\"id\" integer PRIMARY KEY AUTOINCREMENT NOT NULL, \"name\" "
           "varchar NOT NULL)",
           "INSERT INTO \"author\" (\"id\", \"name\") SELECT \"id\", \"name\" FROM \"aauthor\"",
           "DROP TABLE \"aauthor\""});
  ExpectBooksAndCascade();
}

TEST_F(ForeignKeysOff, TheCheckAtTheEndUndoesAll) {
  const std::string before = replicas_.Query("SELECT name FROM sqlite_schema ORDER BY name");
  const CommandResult orphan =
      replicas_.Do(Off({"CREATE TABLE other(x)", "DELETE FROM author WHERE id = 1"}));
  EXPECT_EQ(orphan.status.code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(orphan.status.message(),
            "FOREIGN KEY constraint failed: row 1 of book refers to no row of author");
  EXPECT_EQ(orphan.status.outcome(), Outcome::kApplied);
  const CommandResult dropped = replicas_.Do(Off({"DROP TABLE author"}));
  EXPECT_EQ(dropped.status.code(), StatusCode::kFailedPrecondition) << dropped.status;
  // The key that the foreign key names is no longer unique.
  const CommandResult mismatch = replicas_.Do(
      Off({"CREATE TABLE n(id, name)", "DROP TABLE author", "ALTER TABLE n RENAME TO author"}));
  EXPECT_NE(mismatch.status.message().find("foreign key mismatch"), std::string::npos)
      << mismatch.status;
  EXPECT_EQ(replicas_.Query("SELECT name FROM sqlite_schema ORDER BY name"), before);
  ExpectBooksAndCascade();
}

TEST_F(ForeignKeysOff, UncheckedOnesMayLeaveOrphans) {
  const CommandResult loaded =
      replicas_.Do(Off({"INSERT INTO book VALUES(7, 70, 'orphan')"}, ForeignKeys::kUnchecked));
  EXPECT_TRUE(loaded.status.ok()) << loaded.status;
  EXPECT_EQ(replicas_.Query("SELECT count(*) FROM pragma_foreign_key_check"), "1");
  // A check finds the row, whoever left it.
  EXPECT_FALSE(replicas_.Do(Off({"UPDATE author SET name = 'x'"})).status.ok());
  replicas_.Must("DELETE FROM book WHERE id = 7");
  EXPECT_TRUE(replicas_.Do(Off({"UPDATE author SET name = 'x'"})).status.ok());
  ExpectBooksAndCascade();
}

// Beside other commands of the entry, which enforce foreign keys, with the same texts.
TEST_F(ForeignKeysOff, OtherCommandsOfTheEntryEnforceThem) {
  const std::string remove = "DELETE FROM author WHERE id = 2";
  const std::string add = "INSERT INTO book VALUES(8, 80, 'x')";
  const std::vector<CommandResult> results = replicas_.DoAll({
      ExecuteCommand(add),
      Off({add}, ForeignKeys::kUnchecked),
      ExecuteCommand("DELETE FROM book WHERE id = 8"),
      ExecuteCommand(add),
      Off({remove, "INSERT INTO author VALUES(2, 'Bea')"}),
      ExecuteCommand(remove),
  });
  EXPECT_FALSE(results[0].status.ok());
  EXPECT_TRUE(results[1].status.ok()) << results[1].status;
  EXPECT_TRUE(results[2].status.ok());
  EXPECT_FALSE(results[3].status.ok());
  EXPECT_TRUE(results[4].status.ok()) << results[4].status;
  EXPECT_TRUE(results[5].status.ok());
  EXPECT_EQ(replicas_.Query("SELECT id FROM book"), "1 2");
  replicas_.Check();
}

TEST_F(ForeignKeysOff, AreAppliedOnceHoweverOftenTheyAreSent) {
  Command command = Off({"UPDATE author SET name = name || '!'", "DELETE FROM book WHERE id = 3"});
  command = WithId(std::move(command), "migration", 1);
  EXPECT_TRUE(replicas_.Do(command).status.ok());
  replicas_.restarting().Restart();
  EXPECT_TRUE(replicas_.Do(command).status.ok());
  EXPECT_EQ(replicas_.Query("SELECT name FROM author"), "Ann! Bob!");
  Command enforced = command;
  std::get<Execute>(enforced.operation).foreign_keys = ForeignKeys::kEnforced;
  EXPECT_FALSE(replicas_.Do(enforced).status.ok()) << "another request under the same id";
  replicas_.Check();
}

TEST_F(ForeignKeysOff, TheCheckIsChargedToTheCommand) {
  replicas_.Must(
      "INSERT INTO book SELECT value, 1, 'x' FROM (WITH RECURSIVE n(value) AS (SELECT 10 UNION ALL "
      "SELECT value + 1 FROM n WHERE value < 20000) SELECT value FROM n)");
  const CommandResult unchecked =
      replicas_.Do(Off({"UPDATE author SET name = 'y'"}, ForeignKeys::kUnchecked));
  const CommandResult checked = replicas_.Do(Off({"UPDATE author SET name = 'z'"}));
  EXPECT_TRUE(checked.status.ok()) << checked.status;
  EXPECT_GT(checked.steps, unchecked.steps + 100'000);
  replicas_.header.command_steps_max = unchecked.steps + 50'000;
  EXPECT_EQ(replicas_.Do(Off({"UPDATE author SET name = 'w'"})).status.code(),
            StatusCode::kResourceExhausted);
  EXPECT_EQ(replicas_.Query("SELECT DISTINCT name FROM author"), "z");
  replicas_.header.command_steps_max = 50'000'000;
  replicas_.Check();
}

}  // namespace
}  // namespace cairn::state_machine
