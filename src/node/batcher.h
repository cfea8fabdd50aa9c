// Batcher: joins the commands of many clients into one log entry.
//
// While an entry of this leader waits to be committed, commands gather and travel together in the
// next entry. So many clients share one round of messages and syncs. When the entry is committed,
// its clients are answered, and most of them ask again at once. The next entry therefore waits for
// as many commands as were in the last one, but not longer than the last one took to commit.
// Without this wait, two halves of the clients would take turns, each waiting for the other, in
// twice as many entries (a round of three nodes costs as much work as eighty commands in it). A
// lone client waits for nobody. If the clients do not come back, the batcher stops waiting for a
// while. A full batch never waits, up to a few entries ahead.
//
// A command whose caller has gone is left out. docs/decisions/022-smart-batcher.md has the
// measurements behind the limits.
//
// Where more waits than one batch takes, principals take turns, by the work that was measured of
// them. So a client with very many commands under way does not push back those of another. The
// commands of one principal stay in their order.
#pragma once

#include <deque>
#include <unordered_map>
#include <vector>

#include "node/fair_turns.h"
#include "node/pending_command.h"
#include "node/replica_counts.h"

namespace cairn::node {

// Not thread-safe: the core thread owns it.
class Batcher {
 public:
  struct Limits {
    size_t batch_bytes_max = 1 << 20;
    size_t batch_commands_max = 1024;
    size_t entries_in_flight_max = 4;
    SteadyTime delay_max = std::chrono::milliseconds(2);  // of the gathering; 0: no gathering
    uint64_t batch_steps_max = ~uint64_t{0};  // the work that the commands are expected to do
  };
  explicit Batcher(Limits limits) : limits_(limits) {}

  void Add(PendingCommandPtr command);

  // Whether a batch should go now, while `entries_in_flight` entries of this leader are not
  // committed.
  bool Ready(size_t entries_in_flight, SteadyTime now);
  struct Batch {
    std::vector<PendingCommandPtr> commands;
    std::vector<PendingCommandPtr> left_out;  // their callers have gone; the owner answers them
    BatchEnd end = BatchEnd::kIdle;
  };
  // The next batch. It has at least one command if not empty(), unless all callers have gone. A
  // command that is larger than a batch, in bytes or in expected work, goes alone.
  Batch TakeBatch();
  // A command of the principal has cost so much.
  void Charge(uint64_t principal, uint64_t steps) { turns_.Charge(principal, steps); }
  // An entry of `commands` was committed `took` after it was proposed.
  void OnCommitted(size_t commands, SteadyTime took, SteadyTime now);
  // When Ready should be asked again if nothing happens before. SteadyTime::max(): not before an
  // event.
  SteadyTime gather_until() const;

  // The commands that pass the test; they were never in the log. The others keep their places.
  std::vector<PendingCommandPtr> TakeIf(const PendingCommandTest& test);
  std::vector<PendingCommandPtr> TakeAll();

  bool empty() const { return count_ == 0; }
  size_t commands() const { return count_; }
  size_t bytes() const { return bytes_; }

 private:
  using Queues = std::unordered_map<uint64_t, std::deque<PendingCommandPtr>>;

  bool Gathering(SteadyTime now);
  // Takes the first command of the queue, and forgets the queue if it has no other.
  PendingCommandPtr Pop(Queues::iterator queue);

  const Limits limits_;
  FairTurns turns_;
  Queues queues_;  // by principal; none is empty
  size_t count_ = 0;
  size_t bytes_ = 0;
  // The gathering after a commit, while expected_ > 0:
  size_t expected_ = 0;  // commands to wait for
  size_t present_ = 0;   // of those, the commands that were there when the gathering began
  SteadyTime gather_until_{0};
  BatchEnd ready_by_ = BatchEnd::kIdle;  // why Ready said yes
  // For how many commits the batcher does not gather, and for how many after the next failure.
  int sit_out_ = 0;
  int sit_out_next_ = 1;
};

}  // namespace cairn::node
