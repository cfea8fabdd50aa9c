#include "node/fair_turns.h"

#include <algorithm>

namespace cairn::node {

void FairTurns::Enter(uint64_t party) {
  Party& entered = parties_[party];
  if (entered.waits) return;
  entered.waits = true;
  entered.tag = std::max(entered.tag, turn_);
  entered.place = waiting_.emplace(entered.tag, ++arrivals_, party).first;
}

void FairTurns::Leave(uint64_t party) {
  const auto left = parties_.find(party);
  if (left == parties_.end() || !left->second.waits) return;
  waiting_.erase(left->second.place);
  left->second.waits = false;
  if (left->second.tag <= turn_) {
    parties_.erase(left);
  } else if (parties_.size() > kPartiesMax + waiting_.size()) {
    Forget();
  }
}

void FairTurns::Charge(uint64_t party, uint64_t steps) {
  Party& charged = parties_[party];
  if (!charged.waits) {
    charged.tag = std::max(charged.tag, turn_) + steps;
    if (parties_.size() > kPartiesMax + waiting_.size()) Forget();
    return;
  }
  if (charged.place == waiting_.begin()) turn_ = std::max(turn_, charged.tag);
  charged.tag += steps;
  auto place = waiting_.extract(charged.place);
  place.value() = Place(charged.tag, ++arrivals_, party);
  charged.place = waiting_.insert(std::move(place)).position;
}

void FairTurns::Forget() {
  std::erase_if(parties_, [this](const auto& each) {
    return !each.second.waits && each.second.tag <= turn_;
  });
  if (parties_.size() <= kPartiesMax + waiting_.size()) return;
  std::erase_if(parties_, [](const auto& each) { return !each.second.waits; });
}

}  // namespace cairn::node
