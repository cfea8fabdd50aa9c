// ProposalTracker: which commands are in which log entry, until the entry's fate is known. Also
// keeps the deadlines of commands until they are answered: apply may be busy for long with what is
// ahead of them.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "base/ids.h"
#include "node/pending_command.h"

namespace cairn::node {

// The commands of one committed entry. They are answered with its results, in order.
struct EntryWaiters {
  LogIndex index;
  std::vector<PendingCommandPtr> commands;
};

// Not thread-safe: the core thread owns it.
//
// Only what is committed at `index` decides the fate of the entry (index, term). A truncation of
// this node's log there decides nothing. The bad schedule, with five nodes: leader L of term 2
// copies the entry to B alone. C, leader of term 3, truncates the entry on L and dies. B, elected
// in term 4 by nodes that never heard of C, still commits the entry.
class ProposalTracker {
 public:
  void Add(LogIndex index, Term term, std::vector<PendingCommandPtr> commands);

  // An entry was committed. Returns the commands that wait for its results. Answers the commands of
  // other entries at this index (not applied).
  std::vector<PendingCommandPtr> TakeCommitted(LogIndex index, Term term,
                                               const Status& not_applied);

  // The state now holds everything up to `index`, by a snapshot. Nobody can tell any more whether
  // the entries of this node are in it.
  void FailUpTo(LogIndex index, const Status& unknown);
  void FailAll(const Status& unknown);

  // Answers commands whose deadline has passed, committed ones included: DEADLINE_EXCEEDED,
  // unknown.
  void Expire(SteadyTime now);

  size_t entries() const { return entries_.size(); }

 private:
  struct Tracked {
    Term term;
    SteadyTime earliest_deadline;
    std::vector<PendingCommandPtr> commands;
  };
  // Two entries of different terms may wait at one index: the older one was truncated here, and its
  // fate is not decided yet.
  std::map<std::pair<LogIndex, Term>, Tracked> entries_;
  // Committed, and handed to apply, which answers and forgets them.
  std::vector<std::weak_ptr<PendingCommand>> applying_;
};

}  // namespace cairn::node
