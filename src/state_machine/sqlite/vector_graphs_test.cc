// The approximate indexes of vectors beside the database whose rows they follow.

#include "state_machine/sqlite/vector_graphs.h"

#include <gtest/gtest.h>

#include "state_machine/sqlite/sqlite_state_machine.h"
#include "state_machine/sqlite/vector_graphs_test_util.h"

namespace cairn::state_machine {
namespace {

TEST(VectorGraphs, AnswersOnceTheGraphIsMade) {
  Rng rng(1);
  GraphNode node;
  node.MakeTable(2000, &rng);
  EXPECT_FALSE(node.Searches(&rng, 1.0));
  node.RunRound();
  EXPECT_TRUE(node.Searches(&rng));
  // More rows than a graph is good for.
  node.answered = 0;
  EXPECT_EQ(node.Select("SELECT id FROM vector_top_k('i', ?1, 500)", {AnyVector(&rng)}).size(),
            500u);
  EXPECT_EQ(node.answered, 0u);
}

TEST(VectorGraphs, SmallTablesHaveNone) {
  Rng rng(2);
  GraphNode node;
  node.MakeTable(400, &rng);
  node.RunRound();
  EXPECT_FALSE(node.Searches(&rng, 1.0));
  for (int64_t i = 400; i < 600; ++i) node.Put(i, AnyVector(&rng));
  node.RunRound();
  EXPECT_TRUE(node.Searches(&rng));
  node.Run("DELETE FROM t WHERE id >= 200");
  EXPECT_EQ(node.Select("SELECT count(*) FROM vector_top_k('i', ?1, 300)", {AnyVector(&rng)}),
            std::vector<int64_t>{200});
  node.RunRound();
  EXPECT_FALSE(node.Searches(&rng, 1.0));
}

// A read that begins after a write is acknowledged sees the write, however far the graph is behind.
TEST(VectorGraphs, ASearchSeesEachWriteBeforeIt) {
  Rng rng(3);
  GraphNode node;
  node.MakeTable(2000, &rng);
  node.RunRound();
  for (int i = 0; i < 200; ++i) {
    const auto id = static_cast<int64_t>(rng.Below(2500));
    const Value vector = AnyVector(&rng);
    node.Put(id, vector);
    EXPECT_EQ(node.Select("SELECT id FROM vector_top_k('i', ?1, 1)", {vector}),
              std::vector<int64_t>{id});
    const Value other = AnyVector(&rng);
    node.Run("UPDATE t SET v = ?2 WHERE id = ?1", {id, other});
    EXPECT_EQ(node.Select("SELECT id FROM vector_top_k('i', ?1, 1)", {other}),
              std::vector<int64_t>{id});
    node.Run("DELETE FROM t WHERE id = ?1", {id});
    for (const int64_t found : node.Select(kTopTen, {other})) EXPECT_NE(found, id);
    if (i % 20 == 0) node.RunRound();
  }
  EXPECT_EQ(node.answered, node.asked) << "no search read all rows";
}

TEST(VectorGraphs, AViewSearchesItsOwnState) {
  Rng rng(4);
  GraphNode node;
  node.MakeTable(2000, &rng);
  node.RunRound();
  const Value query = AnyVector(&rng);
  const auto before = node.View();
  const std::vector<int64_t> nearest = GraphNode::Select(before.get(), kTopTenOfAll, {query});
  node.Run("DELETE FROM t WHERE id IN (SELECT id FROM vector_top_k('i', ?1, 50))", {query});
  node.Run("UPDATE t SET v = ?1 WHERE id < 20", {query});
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(GraphNode::Select(before.get(), kTopTen, {query}), nearest);
    EXPECT_EQ(node.Select(kTopTen, {query}), node.Select(kTopTenOfAll, {query}));
    node.RunRound();
  }
  EXPECT_EQ(node.answered, node.asked);
}

TEST(VectorGraphs, FollowsRandomChanges) {
  Rng rng(5);
  GraphNode node;
  node.MakeTable(1500, &rng);
  for (int round = 0; round < 40; ++round) {
    std::vector<Statement> statements;
    for (int i = 0; i < 40; ++i) {
      const auto id = static_cast<int64_t>(rng.Below(2500));
      switch (rng.Below(5)) {
        case 0: statements.push_back({"DELETE FROM t WHERE id = ?1", {id}, {}}); break;
        case 1: statements.push_back({"UPDATE t SET v = NULL WHERE id = ?1", {id}, {}}); break;
        case 2:
          statements.push_back({"UPDATE OR REPLACE t SET id = ?1 WHERE id = ?2",
                                {id, static_cast<int64_t>(rng.Below(2500))},
                                {}});
          break;
        default:
          statements.push_back({"REPLACE INTO t(id, v) VALUES(?1, ?2)", {id, AnyVector(&rng)}, {}});
      }
    }
    node.Run(std::move(statements));
    if (rng.Below(2) == 0) node.RunRound();
    const bool searches = node.Searches(&rng);
    EXPECT_TRUE(searches || round <= 5) << round;
  }
}

TEST(VectorGraphs, IndexesOfPartOfTheRows) {
  Rng rng(6);
  GraphNode node;
  node.MakeTable(2000, &rng);
  node.Run("CREATE INDEX part ON t(libsql_vector_idx(v, 'metric=l2')) WHERE kind = 1");
  node.RunRound();
  for (int i = 0; i < 20; ++i) {
    const Value query = AnyVector(&rng);
    EXPECT_EQ(node.Select("SELECT id FROM vector_top_k('part', ?1, 3)", {query}),
              node.Select("SELECT rowid FROM t WHERE kind = 1 ORDER BY vector_distance_l2(v, ?1), "
                          "rowid LIMIT 3",
                          {query}));
  }
  EXPECT_EQ(node.answered, 20u);
  // Rows leave an index of a part, and come back, without a change of the vector.
  node.Run("UPDATE t SET kind = 1 - kind WHERE id < 100");
  for (int i = 0; i < 2; ++i) {
    const Value query = AnyVector(&rng);
    for (const int64_t each : node.Select("SELECT id FROM vector_top_k('part', ?1, 30)", {query})) {
      EXPECT_EQ(node.Select("SELECT kind FROM t WHERE id = ?1", {each}), std::vector<int64_t>{1});
    }
    node.RunRound();
  }
}

TEST(VectorGraphs, ChangesOfTheSchema) {
  Rng rng(7);
  GraphNode node;
  node.MakeTable(1000, &rng);
  node.RunRound();
  EXPECT_TRUE(node.Searches(&rng));
  // The graph is read again, because the rows may be others.
  node.Run("CREATE TABLE other(a)");
  EXPECT_FALSE(node.Searches(&rng, 1.0));
  node.RunRound();
  EXPECT_TRUE(node.Searches(&rng));
  // The same index on a new table of the same name.
  node.Run({{"DROP TABLE t", {}, {}},
            {"CREATE TABLE t(id INTEGER PRIMARY KEY, v F32_BLOB(8), kind)", {}, {}}});
  node.Run("CREATE INDEX i ON t(libsql_vector_idx(v, 'metric=l2'))");
  EXPECT_EQ(node.Select(kTopTen, {AnyVector(&rng)}).size(), 0u);
  for (int64_t i = 0; i < 600; ++i) node.Put(i + 5000, AnyVector(&rng));
  EXPECT_FALSE(node.Searches(&rng, 1.0));
  node.RunRound();
  EXPECT_TRUE(node.Searches(&rng));
  // Another name of the table, and of the column.
  node.Run("ALTER TABLE t RENAME TO u");
  node.Run("ALTER TABLE u RENAME COLUMN v TO w");
  const auto same = [&] {
    const Value query = AnyVector(&rng);
    EXPECT_EQ(node.Select("SELECT id FROM vector_top_k('i', ?1, 2)", {query}),
              node.Select("SELECT id FROM u ORDER BY vector_distance_l2(w, ?1) LIMIT 2", {query}));
  };
  same();
  node.RunRound();
  node.answered = 0;
  same();
  EXPECT_EQ(node.answered, 1u);
  node.Run("DELETE FROM u WHERE id IN (SELECT id FROM vector_top_k('i', ?1, 5))",
           {AnyVector(&rng)});
  same();
  node.Run("DROP INDEX i");
  node.RunRound();
  RowCollector rows;
  EXPECT_FALSE(node.View()->Query({kTopTen, {AnyVector(&rng)}, {}}, {}, &rows).ok());
}

TEST(VectorGraphs, MoreChangesThanAreNotedReadAllRows) {
  Rng rng(8);
  GraphNode node;
  node.MakeTable(1000, &rng);
  node.RunRound();
  for (size_t i = 0; i < kVectorChangesMax / 1000 + 2; ++i) node.Run("UPDATE t SET kind = kind");
  EXPECT_FALSE(node.Searches(&rng, 1.0));
  node.RunRound();
  EXPECT_TRUE(node.Searches(&rng));
}

TEST(VectorGraphs, ComesBackAfterARestart) {
  Rng rng(9);
  GraphNode node;
  node.MakeTable(3000, &rng);
  node.RunRound();
  ASSERT_EQ(node.Files().size(), 1u);
  const std::string file = *node.Files().begin();
  EXPECT_EQ(std::filesystem::status(file).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  // Of these the file knows nothing.
  for (int64_t i = 0; i < 100; ++i) node.Put(i * 40, AnyVector(&rng));
  node.Stop();
  node.Start();
  EXPECT_FALSE(node.Searches(&rng, 1.0));
  node.RunRound();
  EXPECT_TRUE(node.Searches(&rng));
  // A file that is damaged, or of something else, is as none.
  for (const std::string& content : {std::string("x"), std::string(), std::string(5000, 'y')}) {
    node.Stop();
    ASSERT_TRUE(WriteFileAtomically(PosixFileSystem(), file, content).ok());
    ASSERT_TRUE(WriteFileAtomically(PosixFileSystem(), file + "x", content).ok());
    node.Start();
    node.RunRound();
    EXPECT_TRUE(node.Searches(&rng));
    EXPECT_EQ(node.Files(), std::set<std::string>{file}) << "files of no index go";
  }
}

TEST(VectorGraphs, AnotherDatabaseInItsPlace) {
  Rng rng(10);
  GraphNode node;
  node.MakeTable(1000, &rng);
  node.RunRound();
  GraphNode other;
  other.MakeTable(800, &rng);
  for (int64_t i = 0; i < 300; ++i) other.Put(i * 3, AnyVector(&rng));
  node.ReplaceDatabase(other);
  EXPECT_FALSE(node.Searches(&rng, 1.0));
  node.RunRound();
  EXPECT_TRUE(node.Searches(&rng));
  // An earlier state of the same database, whose later entries are then others.
  node.ReplaceDatabase(other);
  other.Put(1, AnyVector(&rng));
  other.Put(2, AnyVector(&rng));
  node.Run("UPDATE t SET kind = 3 WHERE id = 9");
  EXPECT_FALSE(node.Searches(&rng, 1.0));
  node.RunRound();
  EXPECT_TRUE(node.Searches(&rng));
}

TEST(VectorGraphs, TheMemoryIsBounded) {
  Rng rng(11);
  GraphNode node(/*bytes_max=*/900'000);
  node.MakeTable(600, &rng);
  node.RunRound();
  EXPECT_TRUE(node.Searches(&rng));
  for (int64_t i = 600; i < 5000; ++i) node.Put(i, AnyVector(&rng));
  node.RunRound();
  EXPECT_FALSE(node.Searches(&rng, 1.0));
}

TEST(VectorGraphs, VectorsThatHaveNoPlaceInAGraph) {
  Rng rng(12);
  GraphNode node;
  node.MakeTable(1000, &rng);
  node.Run("CREATE INDEX c ON t(libsql_vector_idx(v))");
  node.Put(7, Blob{std::string(kDimensions * sizeof(float), '\0')});
  node.RunRound();
  EXPECT_TRUE(node.Searches(&rng));
  node.answered = 0;
  EXPECT_EQ(node.Select("SELECT id FROM vector_top_k('c', ?1, 1000)", {AnyVector(&rng)}).back(), 7)
      << "a vector without an angle comes last";
  const Value zeros = Blob{std::string(kDimensions * sizeof(float), '\0')};
  EXPECT_EQ(node.Select("SELECT id FROM vector_top_k('c', ?1, 2)", {zeros}),
            (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(node.answered, 0u);
  node.Run("UPDATE t SET v = vector32('[1e30,0,0,0,0,0,0,0]') WHERE id = 3");
  node.RunRound();
  EXPECT_FALSE(node.Searches(&rng, 1.0));
}

// The schema of the batch is not visible yet when the round looks for indexes.
TEST(VectorGraphs, ARoundDuringAChangeOfTheSchema) {
  Rng rng(14);
  GraphNode node;
  node.MakeTable(1000, &rng);
  node.RunRound();
  node.hooks.at_schema_change = [&] { node.RunRound(); };
  node.Run("CREATE INDEX c ON t(libsql_vector_idx(v))");
  node.hooks.at_schema_change = {};
  node.RunRound();
  node.answered = 0;
  (void)node.Select("SELECT id FROM vector_top_k('c', ?1, 3)", {AnyVector(&rng)});
  EXPECT_EQ(node.answered, 1u);
}

TEST(VectorGraphs, ATableThatIsWatchedFromTheEndOfABatch) {
  Rng rng(15);
  GraphNode node;
  node.MakeTable(1000, &rng);
  node.Run("CREATE TABLE other(a)");
  node.Stop();
  node.Start();
  EXPECT_TRUE(node.TakeNews());
  node.hooks.at_entry = [&] { node.RunRound(); };
  node.Run("INSERT INTO other VALUES(1)");
  node.hooks.at_entry = {};
  EXPECT_FALSE(node.Searches(&rng, 1.0)) << "the graph is as of the state before the batch";
  EXPECT_TRUE(node.TakeNews()) << "nothing else would bring the graph forward";
  node.RunRound();
  EXPECT_TRUE(node.Searches(&rng));
}

TEST(VectorGraphs, AnIndexThatFailsDoesNotStopTheOthers) {
  Rng rng(16);
  GraphNode node;
  node.MakeTable(2000, &rng);
  node.RunRound();
  ASSERT_EQ(node.Files().size(), 1u);
  const std::string of_i = *node.Files().begin();
  node.Run("CREATE INDEX a ON t(libsql_vector_idx(v, 'metric=l2'))");
  node.RunRound();
  node.Stop();
  // The file of `a`, which comes first, cannot be written.
  for (const std::string& each : node.Files()) {
    std::filesystem::remove(each);
    if (each != of_i) std::filesystem::create_directories(each + "/x");
  }
  node.Start();
  EXPECT_FALSE(node.Round().ok());
  EXPECT_TRUE(node.Searches(&rng));
}

TEST(VectorGraphs, AStopWhileRowsAreReadLeavesTheFile) {
  Rng rng(17);
  GraphNode node;
  node.MakeTable(3000, &rng);
  node.RunRound();
  ASSERT_EQ(node.Files().size(), 1u);
  const std::string file = *node.Files().begin();
  const auto content = [&] { return ReadWholeFile(PosixFileSystem(), file, 1 << 30).value(); };
  const std::string before = content();
  node.Put(0, AnyVector(&rng));
  node.Stop();
  node.Start();
  node.clock.step = 1'000'000'000;
  const Status status = node.Round();
  EXPECT_EQ(status.code(), StatusCode::kAborted) << status;
  node.clock.step = 0;
  node.KeepAll();
  EXPECT_TRUE(content() == before);
}

TEST(VectorGraphs, GraphsStayWhenTheSchemaCannotBeRead) {
  Rng rng(18);
  GraphNode node;
  node.MakeTable(3000, &rng);
  node.RunRound();
  // A graph that is made anew would be kept.
  for (const std::string& each : node.Files()) std::filesystem::remove(each);
  size_t failed = 0;
  for (int looks = 2; looks < 30; ++looks) {
    node.Run("CREATE TABLE other" + std::to_string(looks) + "(a)");
    node.clock.step = 60'000'000'000 / looks;
    if (!node.Round().ok()) ++failed;
    // A table that was read in vain is read again after a while.
    node.clock.step = 10'000'000'000'000;
    (void)node.clock.SteadyNow();
    node.clock.step = 0;
    node.RunRound();
  }
  EXPECT_GT(failed, 0u);
  EXPECT_EQ(node.Files().size(), 0u);
  EXPECT_TRUE(node.Searches(&rng));
}

TEST(VectorGraphs, VectorsWithoutAnAngleAreNotReadAgainAndAgain) {
  GraphNode node;
  node.Do(RaiseLevel{kLevelDataPlatform});
  node.Run("CREATE TABLE t(id INTEGER PRIMARY KEY, v F32_BLOB(8))");
  node.Run("CREATE INDEX i ON t(libsql_vector_idx(v))");
  const Value zeros = Blob{std::string(kDimensions * sizeof(float), '\0')};
  for (int64_t i = 0; i < 600; ++i) node.Run("INSERT INTO t VALUES(?1, ?2)", {i, zeros});
  node.RunRound();
  node.Run("INSERT INTO t VALUES(600, ?1)", {zeros});
  const size_t looks = node.clock.looks;
  node.RunRound();
  EXPECT_EQ(node.clock.looks, looks) << "the table was read";
}

TEST(VectorGraphs, ATableThatTakesLongerThanAViewMayLast) {
  Rng rng(19);
  GraphNode node;
  node.MakeTable(3000, &rng);
  node.clock.step = 100'000'000;
  node.RunRound();
  node.clock.step = 0;
  EXPECT_TRUE(node.Searches(&rng));
}

TEST(VectorGraphs, ASmallTableIsNotCountedAgainAndAgain) {
  Rng rng(20);
  GraphNode node;
  node.MakeTable(100, &rng);
  node.RunRound();
  node.Run("UPDATE t SET kind = kind");
  const size_t looks = node.clock.looks;
  node.RunRound();
  EXPECT_LT(node.clock.looks - looks, 3u) << "no view was opened";
}

// The state machine itself, with its thread.
TEST(VectorGraphs, OfAStateMachine) {
  Rng rng(13);
  TemporaryDirectory directory;
  SqliteOptions options;
  options.path = directory / "db";
  options.snapshot_directory = directory / "snapshot";
  options.vector_directory = directory / "vectors";
  options.vector_bytes_max = 64 << 20;
  options.vector_rows_min = 500;
  for (int start = 0; start < 2; ++start) {
    auto machine = OpenSqliteStateMachine(options, TestConfiguration());
    ASSERT_TRUE(machine.ok()) << machine.status();
    const auto run = [&](Operation operation) {
      Command command;
      command.operation = std::move(operation);
      const std::vector<raft::Entry> entries = {
          MakeEntry((*machine)->applied_index() + 1,
                    BatchHeader{1'700'000'000'000, 1, 1000, 500'000'000}, {command})};
      ASSERT_TRUE(
          (*machine)->Apply(entries, TestConfiguration(), LogIndex(), [](const auto&) {}).ok());
    };
    if (start == 0) {
      run(RaiseLevel{kLevelDataPlatform});
      run(Execute{{{"CREATE TABLE t(id INTEGER PRIMARY KEY, v F32_BLOB(8))", {}, {}},
                   {"CREATE INDEX i ON t(libsql_vector_idx(v, 'metric=l2'))", {}, {}}}});
    }
    for (int round = 0; round < 30; ++round) {
      std::vector<Statement> statements;
      for (int i = 0; i < 100; ++i) {
        statements.push_back({"REPLACE INTO t VALUES(?1, ?2)",
                              {static_cast<int64_t>(rng.Below(5000)), AnyVector(&rng)},
                              {}});
      }
      const Value last = statements.back().positional[1];
      const auto id = std::get<int64_t>(statements.back().positional[0]);
      run(Execute{std::move(statements)});
      auto view = (*machine)->OpenReadView(std::chrono::seconds(1));
      ASSERT_TRUE(view.ok()) << view.status();
      RowCollector rows;
      ASSERT_TRUE(
          (*view)->Query({"SELECT id FROM vector_top_k('i', ?1, 1)", {last}, {}}, {}, &rows).ok());
      EXPECT_EQ(std::get<int64_t>(rows.rows.at(0).at(0)), id);
    }
  }
  EXPECT_TRUE(std::filesystem::exists(directory / "vectors")) << "a stop keeps the graphs";
}

}  // namespace
}  // namespace cairn::state_machine
