// Majorities, single and joint. Elections, commitment, check-quorum and reads all use the same
// functions, so none of them can count differently from the others.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <vector>

#include "base/ids.h"
#include "raft/types.h"

namespace cairn::raft {

// The greatest value that a majority of `voters` has reached, where `reached(id)` is a member's
// value (a LogIndex, a ReadId). Without voters the result is the greatest possible value, because
// an empty half of a joint configuration restrains nothing.
template <class Id, class Reached>
Id MajorityReached(const std::set<MemberId>& voters, const Reached& reached) {
  if (voters.empty()) return Id(std::numeric_limits<uint64_t>::max());
  std::vector<Id> values;
  values.reserve(voters.size());
  for (MemberId id : voters) values.push_back(reached(id));
  // In ascending order, the values from position (n - 1) / 2 on belong to a majority.
  auto at = values.begin() + static_cast<ptrdiff_t>((values.size() - 1) / 2);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

// The greatest value that a quorum of a configuration has reached: a majority of each half if the
// configuration is joint.
template <class Id, class Reached>
Id QuorumReached(const Configuration& config, const Reached& reached) {
  return std::min(MajorityReached<Id>(config.voters, reached),
                  MajorityReached<Id>(config.outgoing, reached));
}

enum class VoteResult : uint8_t { kPending, kWon, kLost };

// `votes` holds the members that answered. Without voters the election is won.
VoteResult CountMajority(const std::set<MemberId>& voters, const std::map<MemberId, bool>& votes);
VoteResult CountVotes(const Configuration& config, const std::map<MemberId, bool>& votes);

}  // namespace cairn::raft
