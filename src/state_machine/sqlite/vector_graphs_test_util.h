// For the tests of the approximate indexes of vectors: a database, its readers, and its graphs.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "state_machine/feature_level.h"
#include "state_machine/sqlite/applier.h"
#include "state_machine/sqlite/database_test_util.h"
#include "state_machine/sqlite/read_pool.h"
#include "state_machine/sqlite/replicas_test_util.h"
#include "state_machine/sqlite/vector_graphs.h"

namespace cairn::state_machine {

inline constexpr size_t kDimensions = 8;
inline constexpr char kTopTen[] = "SELECT id FROM vector_top_k('i', ?1, 10)";
// Reads no candidate of a graph.
inline constexpr char kTopTenOfAll[] =
    "SELECT rowid FROM t WHERE v IS NOT NULL ORDER BY vector_distance_l2(v, ?1), rowid LIMIT 10";

inline Value AnyVector(Rng* rng) {
  std::string bytes;
  for (size_t i = 0; i < kDimensions; ++i) {
    const auto element = static_cast<float>(rng->Below(10'000)) / 100;
    bytes.append(reinterpret_cast<const char*>(&element), sizeof(element));
  }
  return Blob{bytes};
}

// Each look at the clock takes `step`.
class SteppingClock final : public Clock {
 public:
  SteadyTime SteadyNow() const override {
    ++looks;
    return SteadyTime(now_ += step.load());
  }
  SteadyTime BootNow() const override { return SteadyNow(); }
  int64_t WallNowMs() const override { return 1'700'000'000'000; }

  std::atomic<int64_t> step{0};
  mutable std::atomic<size_t> looks{0};

 private:
  mutable std::atomic<int64_t> now_{1};
};

// Calls back in the middle of a batch.
class BatchHooks final : public RowObserver {
 public:
  void EntryBegun(LogIndex /*index*/) override {
    if (at_entry) at_entry();
  }
  size_t SchemaChanged() override {
    if (at_schema_change) at_schema_change();
    return 0;
  }
  void BatchCommitted() override {}
  void BatchUndone() override {}
  void CommandUndone() override {}
  size_t OnRow(const RowChange& /*change*/) override { return 0; }

  std::function<void()> at_entry;
  std::function<void()> at_schema_change;
};

// A node without a log: the database, its readers, and its graphs, whose rounds the test runs.
class GraphNode {
 public:
  explicit GraphNode(size_t bytes_max = 64 << 20) : bytes_max_(bytes_max) { Start(); }
  ~GraphNode() { Stop(); }

  void Start() {
    VectorGraphOptions options;
    options.file_system = &PosixFileSystem();
    options.directory = directory_ / "vectors";
    options.bytes_max = bytes_max_;
    options.rows_min = 500;
    options.piece_rows = 300;
    options.clock = &clock;
    graphs_ = std::make_unique<VectorGraphs>(options, &changes_);
    ReadPoolOptions reads;
    reads.path = directory_ / "db";
    reads.applied_sql = "SELECT applied_index, wall_ms, lease_ms FROM _cairn_state";
    reads.candidates = [this](LogIndex applied, const auto& index, const auto& query, size_t k) {
      ++asked;
      const auto candidates = graphs_->Candidates(applied, index, query, k);
      if (candidates.has_value()) ++answered;
      return candidates;
    };
    reads_ = std::make_unique<ReadPool>(std::move(reads), clock);
    OpenDatabase();
  }
  void Stop() {
    CloseDatabase();
    reads_.reset();
    graphs_.reset();
  }
  void OpenDatabase() {
    auto applier =
        Applier::Open(Storage{}, directory_ / "db", 1 << 20, TestConfiguration(), kLevelHighest, 1);
    ASSERT_TRUE(applier.ok()) << applier.status();
    applier_ = std::move(applier).value();
    changes_.Open(applier_->applied().index);
    applier_->engine().AddObserver(&changes_);
    applier_->engine().AddObserver(&hooks);
    reads_->Reopen();
  }
  void CloseDatabase() {
    changes_.Close();
    applier_.reset();
    reads_->DrainAndClose();
  }
  // As the installation of a snapshot does.
  void ReplaceDatabase(const GraphNode& by) {
    CloseDatabase();
    for (const char* suffix : {"", "-wal"}) {
      std::filesystem::remove(directory_ / (std::string("db") + suffix));
    }
    ASSERT_TRUE(by.applier_->engine().Checkpoint().ok());
    std::filesystem::copy_file(by.directory_ / "db", directory_ / "db");
    OpenDatabase();
  }

  void Run(std::vector<Statement> statements) { Do(Execute{std::move(statements)}); }
  void Do(Operation operation) {
    Command command;
    command.operation = std::move(operation);
    const std::vector<raft::Entry> entries = {
        MakeEntry(applier_->applied().index + 1,
                  BatchHeader{1'700'000'000'000, 1, 1000, 500'000'000}, {command})};
    const Status status =
        applier_->Apply(entries, TestConfiguration(), LogIndex(), [](const EntryResults& each) {
          for (const auto& result : each.results) EXPECT_TRUE(result.status.ok()) << result.status;
        });
    ASSERT_TRUE(status.ok()) << status;
  }
  void Run(const std::string& sql, std::vector<Value> values = {}) {
    Run(std::vector<Statement>{{sql, std::move(values), {}}});
  }
  void Put(int64_t id, Value vector) {
    Run("REPLACE INTO t(id, v) VALUES(?1, ?2)", {id, std::move(vector)});
  }
  void MakeTable(size_t rows, Rng* rng) {
    Do(RaiseLevel{kLevelDataPlatform});
    Run("CREATE TABLE t(id INTEGER PRIMARY KEY, v F32_BLOB(8), kind INTEGER)");
    std::vector<Statement> statements;
    for (size_t i = 0; i < rows; ++i) {
      statements.push_back(
          {"INSERT INTO t VALUES(?1, ?2, ?1 % 2)", {static_cast<int64_t>(i), AnyVector(rng)}, {}});
    }
    Run(std::move(statements));
    Run("CREATE INDEX i ON t(libsql_vector_idx(v, 'metric=l2'))");
  }

  Status Round() { return graphs_->RunRound(reads_.get()); }
  void RunRound() {
    const Status status = Round();
    EXPECT_TRUE(status.ok()) << status;
  }
  // As the end of the thread does.
  void KeepAll() { graphs_->KeepAll(); }
  // True if the thread would run a round now. Takes the news.
  bool TakeNews() { return changes_.WaitForNews(SteadyTime(0)); }
  std::unique_ptr<ReadTransaction> View() {
    auto view = reads_->Open(std::chrono::seconds(1));
    EXPECT_TRUE(view.ok()) << view.status();
    return std::move(view).value();
  }
  static std::vector<int64_t> Select(ReadTransaction* view, const std::string& sql,
                                     std::vector<Value> values = {}) {
    RowCollector rows;
    const Status status = view->Query({sql, std::move(values), {}}, {}, &rows);
    EXPECT_TRUE(status.ok()) << sql << ": " << status;
    std::vector<int64_t> numbers;
    for (const Row& each : rows.rows) numbers.push_back(std::get<int64_t>(each.at(0)));
    return numbers;
  }
  std::vector<int64_t> Select(const std::string& sql, std::vector<Value> values = {}) {
    return Select(View().get(), sql, std::move(values));
  }
  // True if a graph answers a search, whose answer is then checked.
  bool Searches(Rng* rng, double recall_min = 0.9) {
    const auto view = View();
    size_t hits = 0;
    size_t all = 0;
    const size_t before = answered;
    for (int i = 0; i < 20; ++i) {
      const Value query = AnyVector(rng);
      const std::vector<int64_t> nearest = Select(view.get(), kTopTenOfAll, {query});
      const std::vector<int64_t> found = Select(view.get(), kTopTen, {query});
      EXPECT_EQ(found.size(), nearest.size());
      all += nearest.size();
      for (const int64_t each : found) {
        hits += static_cast<size_t>(std::count(nearest.begin(), nearest.end(), each));
      }
    }
    EXPECT_GE(static_cast<double>(hits), static_cast<double>(all) * recall_min);
    return answered > before;
  }
  std::set<std::string> Files() {
    std::set<std::string> names;
    if (!std::filesystem::exists(directory_ / "vectors")) return names;
    for (const auto& each : std::filesystem::directory_iterator(directory_ / "vectors")) {
      names.insert(each.path().string());
    }
    return names;
  }

  SteppingClock clock;
  BatchHooks hooks;
  size_t asked = 0;
  size_t answered = 0;

 private:
  const size_t bytes_max_;
  TemporaryDirectory directory_;
  VectorChanges changes_;
  std::unique_ptr<VectorGraphs> graphs_;
  std::unique_ptr<ReadPool> reads_;
  std::unique_ptr<Applier> applier_;
};

}  // namespace cairn::state_machine
