// Watchers: clients that follow the changes of the database, from node to node.
//
// A watcher asks a node for all changes after its position, and goes on at another node with that
// position at any time, also after the node was stopped. The check: two watchers that have both
// seen a stretch of history were told the same changes at the same positions, each once and in
// order.
//
// In half of the seeds with watchers the changes of some tables are retained. More watchers follow these
// tables alone. They read from the database where the ring does not go back so far, or where they are
// no members of it, and from the ring otherwise.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "sim/checker.h"
#include "sim/process.h"
#include "sim/world.h"
#include "state_machine/change_ring.h"

namespace cairn::sim {

class Watchers {
 public:
  Watchers(World* world, const Nodes* nodes, const Checker* checker);

  void Start();
  void Stop() { stopped_ = true; }

  struct Counts {
    uint64_t told = 0;          // changes
    uint64_t resumed = 0;       // at a node that held what follows the position
    uint64_t lost = 0;          // the position was not held any more
    uint64_t retained = 0;      // changes told from the database
    uint64_t retained_far = 0;  // of these, by a node that the watcher has come to
  };
  const Counts& counts() const { return counts_; }

 private:
  using Position = state_machine::ChangePosition;
  struct Watcher {
    uint64_t node = 0;
    uint64_t start = 0;  // of the node: a process that ended is not asked again
    std::unique_ptr<state_machine::ChangeRing::Membership> member;
    bool has_position = false;
    bool resumes = false;  // has come to the node with a position
    Position position;
    // Of one that follows the retained tables.
    bool of_retained = false;
    bool joins = true;  // the ring, at this node
    Position cursor;
    std::optional<Position> open;
  };
  // What the watchers with one filter were told, and the stretches of history that some of them has
  // seen whole, by their ends: (begin, end].
  struct Heard {
    std::map<Position, std::string> told;
    std::map<Position, Position> seen;
  };

  void ScheduleNext();
  void Ask(Watcher* watcher);
  // The process that the watcher follows, or null. Moves the watcher now and then.
  Process* Attend(Watcher* watcher);
  bool MayLie(uint64_t node);
  void AskForRetained(Watcher* watcher, Process* process);
  // False if the ring does not hold what follows the position.
  bool TakeFromRing(Watcher* watcher, const state_machine::ChangeRing& ring);
  void Take(Watcher* watcher, const std::vector<const state_machine::Change*>& changes,
            Position through);
  static bool IsSeen(const Heard& heard, Position position);
  void Retain();
  void Fail(const Watcher& watcher, const std::string& what);

  World* const world_;
  const Nodes* const nodes_;
  const Checker* const checker_;
  Rng rng_;
  bool stopped_ = false;
  std::vector<Watcher> watchers_;
  // The processes that computed wrongly at some time: their changes may be wrong.
  std::set<std::pair<uint64_t, uint64_t>> liars_;
  Heard heard_;           // of all tables
  Heard heard_retained_;  // of the retained ones
  bool retains_ = false;
  size_t retains_asked_ = 0;
  Counts counts_;
};

}  // namespace cairn::sim
