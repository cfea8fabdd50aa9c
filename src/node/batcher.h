// Batcher: joins the commands of many clients to one log entry.
//
// While no entry of ours waits to be committed a command goes at once, so that a single client pays
// no delay. While one does, commands gather and travel together with the next, so that many clients
// share one round of messages and syncs: measured, gathering until the commit costs a quarter less
// work a write than gathering until the own disk is done. A full batch goes without waiting, up to
// a few entries ahead. Nothing here waits for a timer.
#pragma once

#include <deque>
#include <vector>

#include "node/pending_command.h"

namespace cairn::node {

// One owner (the core thread).
class Batcher {
 public:
  struct Limits {
    size_t batch_bytes_max = 1 << 20;
    size_t batch_commands_max = 1024;
    size_t entries_in_flight_max = 4;
  };
  explicit Batcher(Limits limits) : limits_(limits) {}

  void Add(PendingCommandPtr command);

  // Whether a batch should go now, with `entries_in_flight` of our entries not yet committed.
  bool Ready(size_t entries_in_flight) const;
  // The next batch, in order of arrival; at least one command if not empty(). A command larger than
  // a batch goes alone.
  std::vector<PendingCommandPtr> TakeBatch();

  // Commands whose deadline has passed; they were never in the log.
  std::vector<PendingCommandPtr> TakeExpired(SteadyTime now);
  std::vector<PendingCommandPtr> TakeAll();

  bool empty() const { return queue_.empty(); }
  size_t bytes() const { return bytes_; }

 private:
  const Limits limits_;
  std::deque<PendingCommandPtr> queue_;
  size_t bytes_ = 0;
};

}  // namespace cairn::node
