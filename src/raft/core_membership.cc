#include <utility>

#include "base/check.h"
#include "raft/configuration_codec.h"
#include "raft/core_impl.h"

namespace cairn::raft {

// The next change also waits until the commitment of the last change is durable on this node, and
// on a quorum of the members that the last change leaves.
//
// The bad schedule if it is not durable on this node: leader 1 goes from {1, 2} to {1}, commits
// that, sends node 2 the entry that makes node 2 a voter again, and loses power before its disk has
// any of this. Node 1 restarts in the joint state and needs node 2's vote, which node 2 refuses
// because its log is longer: the group never has a leader again.
//
// The bad schedule if it is not known to a quorum: member 4 of {1, 4, 5} has lost its disk, and 6
// replaces it. Leader 5 has committed {1, 5, 6}, reports that the change is done, and is lost too.
// Members 1 and 6 hold the entry but do not know that it is committed: they count by the joint
// state, in which {1, 4, 5} no longer has a majority. So the leader appends one more entry, which
// carries the new commit index, and the change is done when that entry is committed.
bool RaftCore::Impl::ConfigInProgress() const {
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
  // One change at a time, and only by a leader that has committed an entry of its own term.
  // Otherwise two leaders could each commit a change by quorums that do not overlap.
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

// A leader appends a configuration only when the previous configuration is committed. So a log that
// holds two configurations proves that the first of them is committed. The bad schedule if this
// node still counted by an even older configuration: the older quorums need not overlap the quorums
// of the second, so two leaders could be elected. The rule also holds after a restart, where the
// stored commit index may be behind.
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
    // A last heartbeat tells the member that it is removed, so that it stays quiet.
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

// Decides from the committed configuration alone, whoever leads: if only the leader that entered
// the joint state could leave it, and that leader were deposed, the group would stay joint for
// ever.
void RaftCore::Impl::LeaveJointIfCommitted(Leader& leader) {
  const ConfigurationLog::At in_force = configs_.InForce(commit_);
  if (!in_force.config.joint() || configs_.last() > commit_ || !IsReady(leader)) return;
  if (in_force.index > durable_commit_) return;
  if (!leader.transfer_target.is_none()) return;
  const Configuration next = LeaveJoint(in_force.config);
  AppendAsLeader(EntryType::kConfig, std::make_shared<std::string>(EncodeConfiguration(next)));
}

}  // namespace cairn::raft
