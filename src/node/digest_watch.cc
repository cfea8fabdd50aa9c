#include "node/digest_watch.h"

#include <algorithm>
#include <cstdio>
#include <set>

#include "base/log.h"

namespace cairn::node {
namespace {

using state_machine::StateDigest;

// Members may be some digests behind the leader, or ahead of it.
constexpr size_t kRoundsMax = 8;

bool HaveMajority(const std::set<MemberId>& voters, const std::map<MemberId, StateDigest>& reports,
                  const StateDigest& digest) {
  const auto holds = [&](MemberId voter) {
    const auto it = reports.find(voter);
    return it != reports.end() && it->second == digest;
  };
  const auto count = std::count_if(voters.begin(), voters.end(), holds);
  return static_cast<size_t>(count) > voters.size() / 2;
}

std::string InWords(LogIndex index, const std::map<MemberId, StateDigest>& reports,
                    const raft::Configuration& config) {
  std::string words = "members differ in what they hold at index " + ToString(index) + ":";
  char text[40];
  for (const auto& [member, digest] : reports) {
    const auto info = config.info.find(member);
    if (info == config.info.end()) continue;
    std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(digest.a),
                  static_cast<unsigned long long>(digest.b));
    words += " node " + std::to_string(info->second.node_id) + " has " + text + ";";
  }
  words.pop_back();
  return words;
}

}  // namespace

std::vector<DigestWatch::Answer> DigestWatch::OnReport(MemberId from, LogIndex index,
                                                       const StateDigest& digest,
                                                       const raft::Configuration& config) {
  if (!config.Contains(from)) return {};
  Round& round = rounds_[index];
  const bool known = round.right.has_value();
  round.reports[from] = digest;
  Judge(index, config, &round);
  std::vector<Answer> answers;
  if (known) {
    answers.push_back({from, index, *round.right});
  } else if (round.right) {
    for (const auto& [member, its] : round.reports) {
      answers.push_back({member, index, *round.right});
    }
  }
  while (rounds_.size() > kRoundsMax) rounds_.erase(rounds_.begin());
  return answers;
}

void DigestWatch::Judge(LogIndex index, const raft::Configuration& config, Round* round) {
  for (const auto& [member, digest] : round->reports) {
    if (round->right || !HaveMajority(config.voters, round->reports, digest)) continue;
    if (config.joint() && !HaveMajority(config.outgoing, round->reports, digest)) continue;
    round->right = digest;
    doubt_.clear();
  }
  const StateDigest& first = round->reports.begin()->second;
  const bool differs =
      std::any_of(round->reports.begin(), round->reports.end(),
                  [&first](const auto& report) { return !(report.second == first); });
  if (!differs) return;
  const std::string words = InWords(index, round->reports, config);
  if (!round->differs) ++differences_;
  if (!round->differs || (round->right && !doubt_.empty())) LOG_ERROR("{}", words);
  round->differs = true;
  if (!round->right) doubt_ = words + "; no majority says which is right";
}

}  // namespace cairn::node
