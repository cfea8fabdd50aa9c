// Watchers: clients that follow the changes of the database, from node to node.
//
// A watcher asks a node for all changes after its position, and goes on at another node with that
// position at any time, also after the node was stopped. The check: two watchers that have both
// seen a stretch of history were told the same changes at the same positions, each once and in
// order.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
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
    uint64_t told = 0;     // changes
    uint64_t resumed = 0;  // at a node that held what follows the position
    uint64_t lost = 0;     // the position was not held any more
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
  };

  void ScheduleNext();
  void Ask(Watcher* watcher);
  // The process that the watcher follows, or null. Moves the watcher now and then.
  Process* Attend(Watcher* watcher);
  bool MayLie(uint64_t node);
  void Take(Watcher* watcher, const state_machine::ChangeRing::Read& read);
  bool IsSeen(Position position) const;
  void Fail(const Watcher& watcher, const std::string& what);

  World* const world_;
  const Nodes* const nodes_;
  const Checker* const checker_;
  Rng rng_;
  bool stopped_ = false;
  std::vector<Watcher> watchers_;
  // The processes that computed wrongly at some time: their changes may be wrong.
  std::set<std::pair<uint64_t, uint64_t>> liars_;
  // What any watcher was told, and the stretches of history that some watcher has seen whole, by
  // their ends: (begin, end].
  std::map<Position, std::string> told_;
  std::map<Position, Position> seen_;
  Counts counts_;
};

}  // namespace cairn::sim
