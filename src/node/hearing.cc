#include "node/hearing.h"

#include <algorithm>
#include <functional>
#include <vector>

namespace cairn::node {

Contacts Hearing::contacts() const {
  return {context_.self, last_heard_, context_.now(),
          2 * context_.options.election_ticks * SteadyTime(context_.options.tick)};
}

std::optional<SteadyTime> Hearing::LastContact(SteadyTime now) const {
  if (!context_.raft || context_.raft->leader().is_none()) return std::nullopt;
  if (!context_.is_leader()) {
    const auto it = last_heard_.find(context_.raft->leader());
    if (it == last_heard_.end()) return std::nullopt;
    return it->second;
  }
  const auto& voters = context_.config.voters;
  std::vector<SteadyTime> heard;
  for (const MemberId voter : voters) {
    const auto it = last_heard_.find(voter);
    if (voter == context_.self) {
      heard.push_back(now);
    } else if (it != last_heard_.end()) {
      heard.push_back(it->second);
    }
  }
  const size_t majority = voters.size() / 2 + 1;
  if (heard.size() < majority) return std::nullopt;
  std::sort(heard.begin(), heard.end(), std::greater<>());
  return heard[majority - 1];
}

}  // namespace cairn::node
