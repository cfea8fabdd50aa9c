// A batch that is undone leaves the sessions as if it had never been applied.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <map>
#include <string>
#include <utility>

#include "base/rng.h"
#include "state_machine/sqlite/database_test_util.h"
#include "state_machine/sqlite/replicas_test_util.h"
#include "state_machine/sqlite/sessions.h"

namespace cairn::state_machine {
namespace {

constexpr uint64_t kTtlMs = 1000;

// Sessions on a database of their own.
class Store {
 public:
  explicit Store(const std::string& path) : path_(path), db_(path) {
    db_.Run(Sessions::kSchema);
    EXPECT_TRUE(sessions_.Open(db_.handle()).ok());
  }
  ~Store() { sessions_.Close(); }
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  void Begin(uint64_t index) {
    index_ = index;
    commands_ = 0;
    db_.Run("BEGIN");
    sessions_.BeginBatch(CommandNumber(LogIndex(index), 0));
  }
  void BeginEntry(uint64_t lease_ms) { sessions_.BeginEntry(lease_ms, kTtlMs); }
  void Do(const std::string& session, uint64_t sequence, uint64_t acknowledged_below,
          size_t result_bytes) {
    Command command;
    command.id = {session, sequence};
    command.acknowledged_below = acknowledged_below;
    command.principal = "host:a";
    const uint64_t number = CommandNumber(LogIndex(index_), commands_++);
    if (sessions_.Admit(command, number, /*operation_hash=*/sequence).has_value()) return;
    CommandResult result;
    result.statements.emplace_back();
    result.statements.back().columns = {{"x", ""}};
    result.statements.back().rows.push_back({std::string(result_bytes, 'x')});
    sessions_.Record(command, number, sequence, result);
  }
  void Commit() {
    EXPECT_TRUE(sessions_.Flush().ok());
    db_.Run("COMMIT");
    sessions_.BatchCommitted();
  }
  void Undo() {
    EXPECT_TRUE(sessions_.Flush().ok());
    db_.Run("ROLLBACK");
    sessions_.BatchUndone();
  }
  std::string Dump() { return DumpFile(path_); }
  const Sessions& sessions() const { return sessions_; }

 private:
  const std::string path_;
  TestDatabase db_;
  Sessions sessions_;
  uint64_t index_ = 0;
  size_t commands_ = 0;
};

// The same batch for each store that gets it.
class RandomBatch {
 public:
  RandomBatch(uint64_t seed, uint64_t index, uint64_t lease_ms)
      : seed_(seed), index_(index), lease_ms_(lease_ms) {}
  void Run(Store* store) const {
    Rng rng(seed_);
    store->Begin(index_);
    store->BeginEntry(lease_ms_);
    for (int i = 0; i < 60; ++i) {
      const std::string session = "s" + std::to_string(rng.Below(12));
      const uint64_t sequence = 1 + rng.Below(40);
      const uint64_t below = rng.Below(4) == 0 ? rng.Below(sequence + 1) : 0;
      store->Do(session, sequence, below, rng.Below(3) == 0 ? 60'000 : 10);
    }
  }

 private:
  const uint64_t seed_;
  const uint64_t index_;
  const uint64_t lease_ms_;
};

class UndoneBatches : public testing::TestWithParam<uint64_t> {};

TEST_P(UndoneBatches, LeaveOrderAndValuesAsIfTheyHadNeverBeen) {
  TemporaryDirectory directory;
  Store undone(directory / "undone.db");
  Store never(directory / "never.db");
  Rng rng(GetParam());
  uint64_t lease_ms = 1;
  for (uint64_t index = 1; index < 25; ++index) {
    // Some of the sessions and requests are old by then.
    RandomBatch(rng.Next(), index, lease_ms + rng.Below(2 * kTtlMs)).Run(&undone);
    undone.Undo();
    ASSERT_EQ(undone.Dump(), never.Dump()) << "batch " << index;
    const RandomBatch kept(rng.Next(), index, lease_ms += rng.Below(kTtlMs / 2));
    for (Store* store : {&undone, &never}) {
      kept.Run(store);
      store->Commit();
    }
    ASSERT_EQ(undone.Dump(), never.Dump()) << "batch " << index;
    ASSERT_EQ(undone.sessions().bytes(), never.sessions().bytes());
    ASSERT_EQ(undone.sessions().results_bytes(), never.sessions().results_bytes());
  }
  // Sessions are forgotten in the order of their use.
  for (uint64_t index = 25; never.sessions().size() > 0; ++index, lease_ms += 20) {
    for (Store* store : {&undone, &never}) {
      store->Begin(index);
      store->BeginEntry(lease_ms);
      store->Commit();
    }
    ASSERT_EQ(undone.Dump(), never.Dump()) << "at " << lease_ms;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, UndoneBatches, testing::Range<uint64_t>(1, 9));

}  // namespace
}  // namespace cairn::state_machine
