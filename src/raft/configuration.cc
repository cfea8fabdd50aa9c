#include "raft/configuration.h"

#include <iterator>
#include <set>

#include "base/check.h"

namespace cairn::raft {
namespace {

std::set<MemberId> Members(const Configuration& config) {
  std::set<MemberId> members = config.voters;
  members.insert(config.outgoing.begin(), config.outgoing.end());
  members.insert(config.learners.begin(), config.learners.end());
  members.insert(config.learners_next.begin(), config.learners_next.end());
  return members;
}

// Why `info` does not describe exactly the members; none if it does.
std::optional<std::string> CheckInfo(const Configuration& config) {
  std::set<MemberId> described;
  // A wiped node gets a new member id and is a learner, until one joint change makes the new member
  // a voter and removes the old member. Until then both members carry the same node id.
  std::set<uint64_t> voting_nodes;
  std::set<uint64_t> learning_nodes;
  std::set<uint64_t> leaving_nodes;
  for (const auto& [id, info] : config.info) {
    described.insert(id);
    if (id.is_none() || id.value() >= config.next_member_id) {
      return "member id " + ToString(id) + " is not below the next member id " +
             std::to_string(config.next_member_id);
    }
    auto& nodes = config.IsLearner(id)         ? learning_nodes
                  : config.voters.contains(id) ? voting_nodes
                                               : leaving_nodes;
    if (!nodes.insert(info.node_id).second) {
      return "two members have the node id " + std::to_string(info.node_id);
    }
  }
  if (described != Members(config)) return "members and their descriptions differ";
  return std::nullopt;
}

}  // namespace

std::optional<std::string> CheckConfiguration(const Configuration& config) {
  if (config.voters.empty()) return "there are no voters";
  for (MemberId id : config.learners) {
    if (config.IsVoter(id)) return "member " + ToString(id) + " is both voter and learner";
  }
  for (MemberId id : config.learners_next) {
    if (!config.outgoing.contains(id) || config.voters.contains(id)) {
      return "member " + ToString(id) + " is to become a learner but is not an outgoing voter";
    }
  }
  return CheckInfo(config);
}

std::optional<std::string> CheckChange(const Configuration& current, const Configuration& target) {
  if (target.joint() || !target.learners_next.empty()) {
    return "the target of a change must not be joint";
  }
  if (auto why = CheckConfiguration(target)) return why;
  if (target.next_member_id < current.next_member_id) return "the next member id would go back";
  for (const auto& [id, info] : target.info) {
    if (!current.Contains(id) && id.value() < current.next_member_id) {
      return "member id " + ToString(id) + " was used before; admit the node under a new one";
    }
  }
  for (MemberId id : target.voters) {
    if (!current.IsVoter(id) && !current.IsLearner(id)) {
      return "member " + ToString(id) + " must be a learner before it becomes a voter";
    }
  }
  return std::nullopt;
}

Configuration EnterChange(const Configuration& current, const Configuration& target) {
  if (target.voters == current.voters) return target;
  Configuration joint = target;
  joint.outgoing = current.voters;
  joint.learners.clear();
  for (MemberId id : target.learners) {
    (current.voters.contains(id) ? joint.learners_next : joint.learners).insert(id);
  }
  // Members that only leave keep their description until they are gone.
  for (MemberId id : current.voters) joint.info.emplace(id, current.info.at(id));
  return joint;
}

Configuration LeaveJoint(const Configuration& joint) {
  CHECK(joint.joint());
  Configuration config = joint;
  config.outgoing.clear();
  config.learners.insert(joint.learners_next.begin(), joint.learners_next.end());
  config.learners_next.clear();
  const std::set<MemberId> members = Members(config);
  std::erase_if(config.info, [&](const auto& member) { return !members.contains(member.first); });
  return config;
}

void ConfigurationLog::Append(LogIndex index, Configuration config) {
  CHECK(index > last());
  configs_.emplace(index, std::move(config));
}

void ConfigurationLog::TruncateFrom(LogIndex from) {
  configs_.erase(configs_.lower_bound(from), configs_.end());
  CHECK(!configs_.empty());
}

void ConfigurationLog::Reset(LogIndex index, Configuration config) {
  configs_.clear();
  configs_.emplace(index, std::move(config));
}

void ConfigurationLog::Prune(LogIndex index) {
  const auto after = configs_.upper_bound(index);
  if (after != configs_.begin()) configs_.erase(configs_.begin(), std::prev(after));
}

ConfigurationLog::At ConfigurationLog::InForce(LogIndex index) const {
  auto after = configs_.upper_bound(index);
  CHECK(after != configs_.begin()) << "asked for the configuration at " << index.value();
  auto it = std::prev(after);
  return {it->first, it->second};
}

std::optional<LogIndex> ConfigurationLog::FirstAfter(LogIndex index) const {
  auto it = configs_.upper_bound(index);
  if (it == configs_.end()) return std::nullopt;
  return it->first;
}

std::optional<LogIndex> ConfigurationLog::last_but_one() const {
  if (configs_.size() < 2) return std::nullopt;
  return std::next(configs_.rbegin())->first;
}

}  // namespace cairn::raft
