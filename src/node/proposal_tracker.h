// ProposalTracker: which commands ride in which log entry, until its fate is known.
#pragma once

#include <map>
#include <vector>

#include "base/ids.h"
#include "node/pending_command.h"

namespace cairn::node {

// Commands of one committed entry, to be answered with its results, in order.
struct EntryWaiters {
  LogIndex index;
  std::vector<PendingCommandPtr> commands;
};

// One owner (the core thread).
//
// The fate of entry (index, term) is decided only by what is committed at `index`. That our own log
// was truncated there decides nothing: with five nodes, leader L of term 2 copies the entry to B
// alone; C, leader of term 3, truncates it on L and dies; B, elected in term 4 by nodes that never
// heard of C, still commits it.
class ProposalTracker {
 public:
  void Add(LogIndex index, Term term, std::vector<PendingCommandPtr> commands);

  // An entry was committed: gives the commands that wait for its results, or answers those that
  // hoped for another entry at this index (not applied).
  std::vector<PendingCommandPtr> TakeCommitted(LogIndex index, Term term,
                                               const Status& not_applied);

  // The state now holds everything up to `index`, by a snapshot: whether our entries are in it
  // cannot be told any more.
  void FailUpTo(LogIndex index, const Status& unknown);
  void FailAll(const Status& unknown);

  // Answers commands whose deadline has passed: DEADLINE_EXCEEDED, unknown.
  void Expire(SteadyTime now);

  size_t entries() const { return entries_.size(); }

 private:
  struct Tracked {
    Term term;
    SteadyTime earliest_deadline;
    std::vector<PendingCommandPtr> commands;
  };
  // Two entries of different terms may wait at one index: the older was truncated here and is not
  // yet decided.
  std::map<std::pair<LogIndex, Term>, Tracked> entries_;
};

}  // namespace cairn::node
