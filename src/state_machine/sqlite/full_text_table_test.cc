#include "state_machine/sqlite/full_text_table.h"

#include <gtest/gtest.h>

namespace cairn::state_machine {
namespace {

TEST(WatchedFullTextTable, IsOneThatKeepsItsText) {
  for (const char* sql : {"CREATE VIRTUAL TABLE d USING fts5(x)",
                          "CREATE VIRTUAL TABLE d USING \"FTS4\"(content, compress)",
                          "CREATE VIRTUAL TABLE \"using\" USING fts3",
                          "CREATE VIRTUAL TABLE d USING fts5(content UNINDEXED, prefix='2 3')",
                          "CREATE VIRTUAL TABLE d USING fts5(x, tokenize = \"unicode61 content=\")",
                          "CREATE VIRTUAL TABLE d USING fts5(x, columnsize=0)"}) {
    EXPECT_TRUE(KeepsItsText(sql)) << sql;
  }
}

TEST(WatchedFullTextTable, IsNoneWhoseTextIsElsewhereOrStoredOtherwise) {
  for (const char* sql :
       {"CREATE VIRTUAL TABLE d USING fts5(x, content='')",
        "CREATE VIRTUAL TABLE d USING fts5(x, Content = 'base')",
        "CREATE VIRTUAL TABLE d USING fts5(x, cont=base)",
        "CREATE VIRTUAL TABLE d USING fts4(x, compress=zip, uncompress=unzip)",
        "CREATE VIRTUAL TABLE d USING fts4(x, content=\"base\")",
        "CREATE VIRTUAL TABLE d USING rtree(id, a, b, +drafts)",
        "CREATE VIRTUAL TABLE fts5 USING rtree(id, a, b)",
        "CREATE VIRTUAL TABLE d USING fts5vocab(base, row)", "CREATE TABLE fts5(x)"}) {
    EXPECT_FALSE(KeepsItsText(sql)) << sql;
  }
}

}  // namespace
}  // namespace cairn::state_machine
