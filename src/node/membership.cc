#include "node/membership.h"

#include <algorithm>
#include <utility>

#include "base/host_port.h"
#include "node/callers.h"

namespace cairn::node {
namespace {

constexpr SteadyTime kProgressEvery = std::chrono::seconds(1);
// A learner this close behind the leader's commit index has caught up: under load the distance
// never gets to zero.
constexpr uint64_t kCaughtUpEntries = 256;

bool MajorityHeardSince(const std::set<MemberId>& voters, const Contacts& contacts,
                        SteadyTime since) {
  const auto count = std::count_if(voters.begin(), voters.end(), [&](MemberId voter) {
    return contacts.HeardSince(voter, since);
  });
  return static_cast<size_t>(count) >= voters.size() / 2 + 1;
}

}  // namespace

bool Contacts::HeardSince(MemberId member, SteadyTime since) const {
  if (member == self) return true;
  const auto heard = last_heard.find(member);
  return heard != last_heard.end() && heard->second >= since;
}

MemberId FindMember(const raft::Configuration& config, uint64_t node_id) {
  // While a wiped node is being replaced, two members have its node id. The operator means the
  // voter.
  MemberId found;
  for (const auto& [id, info] : config.info) {
    if (info.node_id == node_id && (found.is_none() || config.voters.contains(id))) found = id;
  }
  return found;
}

MembershipJob::MembershipJob(Replica::MembershipChange change, uint64_t cluster_id, EngineId engine,
                             SteadyTime deadline, Callbacks callbacks)
    : change_(std::move(change)),
      cluster_id_(cluster_id),
      engine_(std::move(engine)),
      deadline_(deadline),
      callbacks_(std::move(callbacks)) {}

MembershipJob::MembershipJob(const transport::JoinRequest& join, SteadyTime deadline,
                             Callbacks callbacks)
    : change_{Replica::MembershipChange::Kind::kReplace, join.node_id, join.address},
      deadline_(deadline),
      callbacks_(std::move(callbacks)),
      nonce_(join.nonce),
      level_max_(join.level_max) {}

MembershipJob::~MembershipJob() {
  Finish(Unavailable("the change of membership was given up while " + Describe()));
}

MembershipJob::Requests MembershipJob::TakeRequests() {
  return std::exchange(requests_, Requests{});
}

std::string MembershipJob::Describe() const {
  std::string node = "node " + std::to_string(change_.node_id);
  switch (phase_) {
    case Phase::kStart:
    case Phase::kProbing: return "asking " + node + " who it is (nothing was changed)";
    case Phase::kMoving: return "writing down where " + node + " lives now";
    case Phase::kAddingLearner: return "adding " + node + " as a learner";
    case Phase::kCatchingUp:
      return node + " is a learner and has not caught up (run the command again to go on)";
    case Phase::kPromoting: return "making " + node + " a voter";
    case Phase::kRemoving: return "removing " + node;
  }
  return node;
}

void MembershipJob::Progress(const std::string& line) {
  if (callbacks_.progress) callbacks_.progress(line);
}

void MembershipJob::Finish(Status status) {
  if (std::exchange(finished_, true)) return;
  if (callbacks_.done) callbacks_.done(std::move(status));
}

// A change of voters that too few members are alive to confirm would leave the group without a
// leader until the dead ones come back. That a member was alive a moment ago proves nothing, and a
// dead one counts as alive for a while. The bad schedule: 2 of 3 nodes are left, and the third was
// just killed. "Remove the other" would be accepted, and then nobody could commit anything. So each
// majority must be heard from after the question was asked.
MembershipJob::Verdict MembershipJob::AskForLife(const raft::Configuration& now,
                                                 const raft::Configuration& next,
                                                 const Contacts& contacts) {
  if (next.voters == now.voters) return Verdict::kYes;
  // A message that arrives in the very instant of the question may have been sent before it.
  if (!asked_for_life_) asked_for_life_ = contacts.now;
  const SteadyTime since = *asked_for_life_ + contacts.silence_max / 8;
  if (contacts.now >= since && MajorityHeardSince(next.voters, contacts, since) &&
      MajorityHeardSince(now.voters, contacts, since)) {
    asked_for_life_.reset();
    return Verdict::kYes;
  }
  if (contacts.now < since + contacts.silence_max) return Verdict::kNotYet;
  asked_for_life_.reset();
  return Verdict::kTooFewAlive;
}

void MembershipJob::Propose(raft::Configuration config, Phase phase) {
  phase_ = phase;
  waiting_ = true;
  requests_.propose = std::move(config);
}

void MembershipJob::OnRefused(const std::string& why, bool retry) {
  waiting_ = false;
  if (!retry) Finish(FailedPrecondition(why.empty() ? "the change was refused" : why));
}

// A committed change may be known to nobody else yet. Only a leader that goes on leading can say
// that the change is done.
void MembershipJob::OnDeposed(bool removed_itself) {
  const bool done = removed_itself && phase_ == Phase::kRemoving;
  Finish(done ? OkStatus()
              : Unavailable("this node lost the leadership while " + Describe() +
                            "; run the command again"));
}

// The level is looked at before each step, and not only when the job begins. The bad schedule
// otherwise: the job begins at level 1, and finds a node that knows level 1. An operator raises the
// level to 2. The node becomes a member that can apply nothing after the raise.
void MembershipJob::Step(const raft::CoreStatus& core, const Contacts& contacts,
                         std::optional<uint64_t> level) {
  if (finished_) return;
  if (contacts.now >= deadline_)
    return Finish(DeadlineExceeded("no time left while " + Describe()));
  // The core can take a change once an entry of its own term is committed and no other change is
  // under way.
  if (!core.leader_ready || core.config_in_progress || !level) return;
  if (level_max_ && *level_max_ < *level) {
    return Finish(FailedPrecondition("node " + std::to_string(change_.node_id) +
                                     " knows feature levels up to " + std::to_string(*level_max_) +
                                     ", and the cluster is at level " + std::to_string(*level) +
                                     ": start a later version there"));
  }
  TakeStep(core, contacts);
}

void MembershipJob::TakeStep(const raft::CoreStatus& core, const Contacts& contacts) {
  switch (phase_) {
    case Phase::kStart: return Begin(core, contacts);
    case Phase::kProbing:
      if (!waiting_) BeginAdd(core, contacts);
      return;
    case Phase::kMoving:
      if (core.config.info.contains(new_member_) &&
          core.config.info.at(new_member_).address == told_->identity.address) {
        waiting_ = false;
        return BeginAdd(core, contacts);
      }
      if (!waiting_) Move(core, contacts);
      return;
    case Phase::kAddingLearner:
      if (core.config.IsLearner(new_member_)) {
        if (callbacks_.admitted) callbacks_.admitted(new_member_);
        Progress("node " + std::to_string(change_.node_id) + " is a learner (member " +
                 ToString(new_member_) + ")");
        phase_ = Phase::kCatchingUp;
        waiting_ = false;
      } else if (!waiting_) {
        ProposeLearner(core);
      }
      return;
    case Phase::kCatchingUp: return CatchUp(core, contacts);
    case Phase::kPromoting:
      if (core.config.voters.contains(new_member_)) return Finish(OkStatus());
      if (!waiting_) Promote(core, contacts);
      return;
    case Phase::kRemoving:
      if (FindMember(core.config, change_.node_id).is_none()) return Finish(OkStatus());
      if (!waiting_) BeginRemove(core, contacts);
      return;
  }
}

void MembershipJob::Begin(const raft::CoreStatus& core, const Contacts& contacts) {
  using Kind = Replica::MembershipChange::Kind;
  if (change_.node_id == 0) return Finish(InvalidArgument("a node id is a number from 1"));
  if (change_.kind == Kind::kRemove) return BeginRemove(core, contacts);
  if (change_.address.empty()) return Finish(InvalidArgument("the node's address is missing"));
  if (const auto at = ParseHostPort(change_.address); at.ok() && IsWildcardHost(at->host)) {
    return Finish(CheckReachable(change_.address));
  }
  const MemberId present = FindMember(core.config, change_.node_id);
  if (change_.kind == Kind::kReplace && present.is_none()) {
    return Finish(NotFound("node " + std::to_string(change_.node_id) + " is not a member"));
  }
  if (change_.kind == Kind::kAdd && core.config.voters.contains(present)) {
    if (core.config.info.at(present).address == change_.address) return Finish(OkStatus());
    return Finish(AlreadyExists("node " + std::to_string(change_.node_id) + " is a member at " +
                                core.config.info.at(present).address +
                                "; if it lives elsewhere now, run: cairn member replace ADDR " +
                                std::to_string(change_.node_id) + " " + change_.address));
  }
  if (nonce_ != 0) return BeginAdd(core, contacts);  // the node told its nonce itself
  phase_ = Phase::kProbing;
  waiting_ = true;
  requests_.probe = change_.address;
  Progress("asking " + change_.address + " who it is");
}

void MembershipJob::OnProbed(Result<transport::ProbeReply> reply) {
  if (finished_ || phase_ != Phase::kProbing) return;
  waiting_ = false;
  const std::string at = "the process at " + change_.address;
  if (!reply.ok()) {
    return Finish(Unavailable(at + " does not answer: " + reply.status().message()));
  }
  if (reply->identity.node_id != change_.node_id) {
    return Finish(FailedPrecondition(at + " is node " + std::to_string(reply->identity.node_id)));
  }
  if (reply->identity.engine.machine != engine_.machine) {
    return Finish(FailedPrecondition(
        at + " runs on another kind of machine: " + reply->identity.engine.machine));
  }
  const bool ours = reply->identity.cluster_id == cluster_id_;
  if (reply->stage != transport::LifeStage::kEmpty && !ours) {
    return Finish(FailedPrecondition(
        at + " belongs to another cluster; stop it, wipe its data, and start it with --peers"));
  }
  nonce_ = reply->identity.nonce;
  level_max_ = reply->identity.level_max;
  told_ = *std::move(reply);
  if (told_->identity.address.empty()) told_->identity.address = change_.address;
  if (told_->identity.address != change_.address) {
    Progress("node " + std::to_string(change_.node_id) + " says that it is reached at " +
             told_->identity.address);
  }
}

void MembershipJob::BeginAdd(const raft::CoreStatus& core, const Contacts& contacts) {
  using Kind = Replica::MembershipChange::Kind;
  replaced_ = MemberId();
  for (const auto& [id, info] : core.config.info) {
    if (info.node_id != change_.node_id) continue;
    // A founder may have written down that it does not know a nonce. Who takes part as that member
    // shows by its starts that it is (Move).
    const bool unknown = info.nonce == 0 && told_ && told_->identity.member == id &&
                         told_->stage == transport::LifeStage::kStarted;
    if (info.nonce == nonce_ || unknown) {
      new_member_ = id;  // left over from an attempt that was cut short
    } else if (change_.kind == Kind::kReplace && core.config.voters.contains(id)) {
      replaced_ = id;
    }
  }
  if (new_member_.is_none() && told_ && told_->stage != transport::LifeStage::kEmpty) {
    return Finish(FailedPrecondition(
        "the process at " + change_.address + " is not empty: it holds the data of member " +
        ToString(told_->identity.member) +
        ", which is no member any more. Stop it, move its data aside, and start it again with "
        "--peers that name members of this cluster"));
  }
  if (!new_member_.is_none() && told_ &&
      core.config.info.at(new_member_).address != told_->identity.address) {
    return Move(core, contacts);
  }
  if (core.config.voters.contains(new_member_)) return Finish(OkStatus());
  if (contacts.Alive(replaced_)) {
    return Finish(FailedPrecondition("node " + std::to_string(change_.node_id) +
                                     " is alive; stop it before it is replaced"));
  }
  if (!new_member_.is_none()) {
    phase_ = Phase::kAddingLearner;
    return;
  }
  ProposeLearner(core);
}

void MembershipJob::Move(const raft::CoreStatus& core, const Contacts& contacts) {
  phase_ = Phase::kMoving;
  const auto written = core.config.info.find(new_member_);
  const std::string who = "node " + std::to_string(change_.node_id);
  if (written == core.config.info.end()) return Finish(Aborted(who + " was removed meanwhile"));
  const transport::Start& start = told_->identity.start;
  const std::string at = "the process at " + told_->identity.address;
  if (!IsOrFollows(start, written->second.boot)) {
    return Finish(FailedPrecondition(at + " runs from a copy of the data of " + who +
                                     ", or from data that were set back; the member is at " +
                                     written->second.address));
  }
  if (start.boot != written->second.boot && contacts.Alive(new_member_)) {
    // The member may be that very process, whose start is about to be written down.
    if (!twin_since_) twin_since_ = contacts.now;
    if (contacts.now < *twin_since_ + 4 * contacts.silence_max) return;
    return Finish(FailedPrecondition(who + " is alive at " + written->second.address + ", and " +
                                     at + " is another process with its data; stop one of them"));
  }
  ProposeMove(core);
}

// Neither voters nor learners change, so the move is one plain entry, whoever the members are.
void MembershipJob::ProposeMove(const raft::CoreStatus& core) {
  raft::Configuration next = core.config;
  raft::MemberInfo& member = next.info.at(new_member_);
  Progress("node " + std::to_string(change_.node_id) + " has moved from " + member.address +
           " to " + told_->identity.address);
  member.address = told_->identity.address;
  member.nonce = told_->identity.nonce;
  const raft::Boot& boot = told_->identity.start.boot;
  if (boot.count > member.boot.count) member.boot = boot;
  Propose(std::move(next), Phase::kMoving);
}

void MembershipJob::ProposeLearner(const raft::CoreStatus& core) {
  raft::Configuration next = core.config;
  // Learners of earlier attempts (this node under another nonce) are of no use to anyone.
  for (const auto& [id, info] : core.config.info) {
    if (info.node_id == change_.node_id && core.config.IsLearner(id)) {
      next.learners.erase(id);
      next.info.erase(id);
    }
  }
  new_member_ = MemberId(next.next_member_id++);
  next.learners.insert(new_member_);
  next.info[new_member_] =
      raft::MemberInfo{change_.node_id, told_ ? told_->identity.address : change_.address, nonce_};
  Propose(std::move(next), Phase::kAddingLearner);
}

void MembershipJob::CatchUp(const raft::CoreStatus& core, const Contacts& contacts) {
  const auto peer = core.peers.find(new_member_);
  if (peer == core.peers.end()) {
    return Finish(Aborted("node " + std::to_string(change_.node_id) + " was removed meanwhile"));
  }
  const LogIndex match = peer->second.match;
  if (contacts.Alive(new_member_) && peer->second.state == raft::PeerStatus::State::kReplicate &&
      match + kCaughtUpEntries >= core.commit) {
    return Promote(core, contacts);
  }
  if (contacts.now < next_progress_) return;
  next_progress_ = contacts.now + kProgressEvery;
  const bool snapshot = peer->second.state == raft::PeerStatus::State::kSnapshot;
  if (!contacts.last_heard.contains(new_member_)) {
    return Progress("node " + std::to_string(change_.node_id) +
                    " has not been heard from yet: it asks to be let in where its --peers name a "
                    "member of this cluster");
  }
  Progress("node " + std::to_string(change_.node_id) + " catches up: " + ToString(match) + " of " +
           ToString(core.commit) + (snapshot ? ", receiving a snapshot" : ""));
}

void MembershipJob::Promote(const raft::CoreStatus& core, const Contacts& contacts) {
  raft::Configuration next = core.config;
  next.learners.erase(new_member_);
  next.voters.insert(new_member_);
  if (!replaced_.is_none()) {
    next.voters.erase(replaced_);
    next.info.erase(replaced_);
  }
  const Verdict verdict = AskForLife(core.config, next, contacts);
  if (verdict == Verdict::kTooFewAlive && contacts.now >= next_progress_) {
    // The new member stays a learner. The others may come back before the deadline.
    next_progress_ = contacts.now + kProgressEvery;
    Progress("node " + std::to_string(change_.node_id) +
             " has caught up; too few voters are alive for a majority with it");
  }
  if (verdict != Verdict::kYes) return;
  Progress("node " + std::to_string(change_.node_id) + " has caught up and becomes a voter");
  Propose(std::move(next), Phase::kPromoting);
}

void MembershipJob::BeginRemove(const raft::CoreStatus& core, const Contacts& contacts) {
  const std::string who = "node " + std::to_string(change_.node_id);
  if (FindMember(core.config, change_.node_id).is_none()) {
    return Finish(NotFound(who + " is not a member (any more)"));
  }
  raft::Configuration next = core.config;
  for (const auto& [id, info] : core.config.info) {
    if (info.node_id != change_.node_id) continue;
    next.voters.erase(id);
    next.learners.erase(id);
    next.info.erase(id);
  }
  if (next.voters.empty()) return Finish(FailedPrecondition(who + " is the only voter"));
  const Verdict verdict = AskForLife(core.config, next, contacts);
  if (verdict == Verdict::kTooFewAlive) {
    return Finish(FailedPrecondition("without " + who +
                                     " too few of the other voters are alive "
                                     "for a majority"));
  }
  if (verdict == Verdict::kNotYet) return;
  Progress("removing " + who);
  Propose(std::move(next), Phase::kRemoving);
}

}  // namespace cairn::node
