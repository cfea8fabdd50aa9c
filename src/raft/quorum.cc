#include "raft/quorum.h"

namespace cairn::raft {

VoteResult CountMajority(const std::set<MemberId>& voters, const std::map<MemberId, bool>& votes) {
  size_t yes = 0;
  size_t no = 0;
  for (MemberId id : voters) {
    auto it = votes.find(id);
    if (it == votes.end()) continue;
    ++(it->second ? yes : no);
  }
  const size_t majority = voters.size() / 2 + 1;
  if (voters.empty() || yes >= majority) return VoteResult::kWon;
  return no > voters.size() - majority ? VoteResult::kLost : VoteResult::kPending;
}

VoteResult CountVotes(const Configuration& config, const std::map<MemberId, bool>& votes) {
  const VoteResult incoming = CountMajority(config.voters, votes);
  const VoteResult outgoing = CountMajority(config.outgoing, votes);
  if (incoming == VoteResult::kLost || outgoing == VoteResult::kLost) return VoteResult::kLost;
  return incoming == VoteResult::kWon ? outgoing : VoteResult::kPending;
}

}  // namespace cairn::raft
