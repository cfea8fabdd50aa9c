// Majorities, single and joint. The same functions decide elections, commitment, check-quorum and
// reads, so that none of them can count differently from the others.
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
// value (a LogIndex, a ReadId). No voters: the greatest of all values, because an empty half of a
// joint configuration restrains nothing.
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

// The same for a configuration: both halves where it is joint.
template <class Id, class Reached>
Id QuorumReached(const Configuration& config, const Reached& reached) {
  return std::min(MajorityReached<Id>(config.voters, reached),
                  MajorityReached<Id>(config.outgoing, reached));
}

enum class VoteResult : uint8_t { kPending, kWon, kLost };

// `votes` holds those who answered. No voters: won.
VoteResult CountMajority(const std::set<MemberId>& voters, const std::map<MemberId, bool>& votes);
VoteResult CountVotes(const Configuration& config, const std::map<MemberId, bool>& votes);

}  // namespace cairn::raft
