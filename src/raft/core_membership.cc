#include <utility>

#include "base/check.h"
#include "base/planted.h"
#include "raft/configuration_codec.h"
#include "raft/core_impl.h"

namespace cairn::raft {

// The next change also waits until the commitment of the last one is durable here, and on a quorum
// of the members that it leaves.
//
// The bad schedule: leader 1 goes from {1, 2} to {1}, commits that, sends node 2 the entry that
// makes it a voter again, and loses power before its disk has anything of this. It starts again in
// the joint state, needs the vote of 2, and 2 refuses for its longer log: nobody leads ever again.
//
// And of the followers: member 4 of {1, 4, 5} has lost its disk and is replaced by 6. Leader 5 has
// committed {1, 5, 6}, says that the change is done, and is lost, too. 1 and 6 hold the entry but
// do not know that it is committed: they count by the joint state, in which {1, 4, 5} has no
// majority any more. So the leader appends one more entry, which carries the news along, and the
// change is done when that is committed.
bool RaftCore::Impl::ConfigInProgress() const {
  if (CAIRN_PLANTED("two_changes_at_once")) return false;
  const ConfigurationLog::At in_force = configs_.InForce(commit_);
  if (const Leader* leader = leader_role();
      leader != nullptr && (leader->told_config != in_force.index || leader->told_by > commit_)) {
    return true;
  }
  return configs_.last() > commit_ || in_force.config.joint() || in_force.index > durable_commit_;
}

void RaftCore::Impl::TellConfig(Leader& leader) {
  const ConfigurationLog::At in_force = configs_.InForce(commit_);
  if (in_force.config.joint() || in_force.index == leader.told_config) return;
  if (!leader.transfer_target.is_none()) return;
  AppendAsLeader(EntryType::kNoop, std::make_shared<const std::string>());
  leader.told_config = in_force.index;
  leader.told_by = log_.last();
}

void RaftCore::Impl::On(const ProposeConfig& propose) {
  Leader* leader = leader_role();
  if (leader == nullptr) {
    Drop(propose.id, DropReason::kNotLeader, WhereIsTheLeader());
    return;
  }
  if (!leader->transfer_target.is_none()) {
    Drop(propose.id, DropReason::kTransferring, "leadership is being handed over; try again there");
    return;
  }
  // One at a time, and only by a leader that has committed in its term: otherwise two leaders could
  // each commit a change by quorums that do not overlap.
  if (ConfigInProgress() || !IsReady(*leader)) {
    Drop(propose.id, DropReason::kConfigInProgress,
         ConfigInProgress() ? "another change of membership is under way; wait for it to finish"
                            : "the leader has not yet committed in its term; try again shortly");
    return;
  }
  if (auto why = CheckChange(config(), propose.config)) {
    Drop(propose.id, DropReason::kConfigIllegal, *why);
    return;
  }
  const Configuration next = EnterChange(config(), propose.config);
  AppendAsLeader(EntryType::kConfig, std::make_shared<std::string>(EncodeConfiguration(next)));
  out_.accepted.push_back({propose.id, term_, log_.last()});
}

void RaftCore::Impl::NoteConfigEntry(const Entry& entry) {
  CHECK(entry.payload != nullptr) << "configuration entry without payload";
  std::optional<Configuration> next = DecodeConfiguration(*entry.payload);
  CHECK(next.has_value()) << "malformed configuration in entry " << entry.index.value();
  configs_.Append(entry.index, std::move(*next));
}

// A leader appends a configuration only when the one before is committed. So a log that holds two
// proves the first of them committed, and this node must not go on counting by an even older one:
// its quorums need not overlap those of the second, and two leaders could be elected. It holds
// after a restart too, where the stored commit index may be behind.
void RaftCore::Impl::CommitEarlierConfig() {
  if (const std::optional<LogIndex> earlier = configs_.last_but_one()) CommitTo(*earlier);
}

void RaftCore::Impl::EnterConfigAsLeader(Leader& leader) {
  const Configuration& now = config();
  for (const auto& [id, info] : now.info) {
    if (IsSelf(id) || leader.peers.contains(id)) continue;
    leader.peers.emplace(id, Peer(log_.last() + 1));
  }
  for (auto it = leader.peers.begin(); it != leader.peers.end();) {
    if (now.Contains(it->first)) {
      ++it;
      continue;
    }
    // A last word, so that it learns of its removal and keeps quiet.
    SendHeartbeat(leader, it->first, it->second);
    it = leader.peers.erase(it);
  }
  if (!now.IsVoter(leader.transfer_target)) leader.transfer_target = MemberId();
  if (!now.IsVoter(options_.self)) {
    ResignAsRemoved(leader);
    return;
  }
  FinishReadRounds(leader);
}

// From the committed state alone, by whoever leads: a leader that entered the joint state and was
// deposed must not leave the group in it for ever.
void RaftCore::Impl::LeaveJointIfCommitted(Leader& leader) {
  const ConfigurationLog::At in_force = configs_.InForce(commit_);
  if (CAIRN_PLANTED("joint_state_never_left")) return;
  if (!in_force.config.joint() || configs_.last() > commit_ || !IsReady(leader)) return;
  if (in_force.index > durable_commit_) return;
  if (!leader.transfer_target.is_none()) return;
  const Configuration next = LeaveJoint(in_force.config);
  AppendAsLeader(EntryType::kConfig, std::make_shared<std::string>(EncodeConfiguration(next)));
}

}  // namespace cairn::raft
