// FairTurns: decides whose turn it is, so that all waiting parties get the same amount of work.
//
// Each party has a tag: the work that it was charged. The party with the lowest tag is next. A
// party that returns after a pause starts at the tag of the turn, not below. So a party saves up
// nothing while it is silent, and a party that was charged more than the others waits until they
// have had as much. Work is charged when it is measured, and a little when the turn is taken. So
// parties without measured work take turns too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <tuple>
#include <unordered_map>

namespace cairn::node {

// Not thread-safe: the core thread owns it.
class FairTurns {
 public:
  // The party has something that waits. May be called again.
  void Enter(uint64_t party);
  // Nothing of the party waits any more.
  void Leave(uint64_t party);
  // Who is next. Must not be called if nobody waits.
  uint64_t Next() const { return std::get<2>(*waiting_.begin()); }
  // The party takes its turn, if it waits, or did work that is measured now.
  void Charge(uint64_t party, uint64_t steps);

 private:
  // Charged parties are remembered until the turn has passed their tags, or until there are too
  // many of them.
  static constexpr size_t kPartiesMax = 4096;

  using Place = std::tuple<uint64_t, uint64_t, uint64_t>;  // tag, order of arrival, party
  struct Party {
    uint64_t tag = 0;
    std::set<Place>::iterator place;
    bool waits = false;
  };

  void Forget();

  std::unordered_map<uint64_t, Party> parties_;
  std::set<Place> waiting_;
  uint64_t turn_ = 0;  // the tag of the last turn
  uint64_t arrivals_ = 0;
};

}  // namespace cairn::node
