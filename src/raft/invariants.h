// Invariants of Raft, checked from outside the cores: of one core between two looks at it, and of a
// whole cluster over its history. The tests and the simulator check the invariants after every
// step.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "raft/core.h"
#include "raft/types.h"

namespace cairn::raft {

// What is wrong with one status by itself; none if nothing is wrong.
std::optional<std::string> CheckStatus(const CoreStatus& status);
// What is wrong with the step from `before` to `after` of one core that did not restart in between;
// none if nothing is wrong.
std::optional<std::string> CheckDelta(const CoreStatus& before, const CoreStatus& after);

// Sees every start and every output of every node of one group, and remembers what must never
// change:
//   election safety      a term has at most one leader
//   log matching         an entry (index, term) has one content and one predecessor everywhere
//   committed for ever   an index that any node committed has one term everywhere
//   leader completeness  a new leader's log holds every entry committed before
//   state machine safety each node is handed the same entries, in order, none twice, none missing
//   commit by count      a leader moves its commit index only to entries of its own term (5.4.2),
//                        or to a change of membership below such an entry
//   one change at a time a leader appends a configuration only when the previous one is committed
//   durability           the term and vote handed to the disk never go back
// Each function returns the first breach it finds, in words.
class ClusterInvariants {
 public:
  using Breach = std::optional<std::string>;

  // A node starts or restarts from what its disk held.
  Breach OnStart(const InitialState& initial, const CoreStatus& status);
  // The state machine of this node is now at `index`.
  void OnRestored(MemberId id, LogIndex index);
  // Call it right after TakeOutput.
  Breach OnOutput(const Output& output, const CoreStatus& status);

  // The term of an entry in this member's log, as far back as the log goes.
  std::optional<Term> TermAt(MemberId id, LogIndex index) const;
  // The highest index that any node has committed.
  LogIndex committed_last() const;

 private:
  // What a node's log looks like once everything that the node handed out is written.
  struct Mirror {
    LogIndex snapshot_index;
    Term snapshot_term;
    std::vector<Term> terms;     // after snapshot_index
    std::set<LogIndex> changes;  // indexes of membership changes after snapshot_index
    HardState promised;
    LogIndex handed;
    LogIndex commit_checked;
    CoreStatus status;

    LogIndex last() const { return snapshot_index + terms.size(); }
    std::optional<Term> TermAt(LogIndex index) const;
  };

  Breach OnPersist(Mirror* mirror, const Persist& persist);
  Breach OnEntry(Mirror* mirror, const Entry& entry);
  Breach OnCommitted(Mirror* mirror, const CommittedBatch& batch);
  Breach CheckCommitted(Mirror* mirror, const CoreStatus& status);
  Breach CheckLeader(const Mirror& mirror, const CoreStatus& status);
  Breach CheckLeadersCommit(const Mirror& mirror, const CoreStatus& before, const CoreStatus& now);

  struct Seen {
    Term previous_term;
    EntryType type;
    Payload payload;  // null: not seen yet
  };
  std::map<MemberId, Mirror> mirrors_;
  std::map<Term, MemberId> leaders_;
  std::map<std::pair<LogIndex, Term>, Seen> entries_;
  struct Committed {
    Term term;
    Term in;  // the term in which the entry was committed; may be later than `term` (5.4.2, Figure
              // 8)
  };
  std::map<LogIndex, Committed> committed_;
};

}  // namespace cairn::raft
