// Changes of membership on the leader: one job at a time, by the operator or for a wiped node.

#include <limits>
#include <utility>

#include "base/log.h"
#include "node/replica_core.h"

namespace cairn::node {

void ReplicaCore::ChangeMembership(Replica::MembershipChange change, SteadyTime deadline,
                                   std::function<void(const std::string&)> progress,
                                   std::function<void(Status)> done) {
  if (!is_leader()) return done(NotLeader());
  if (shutting_down_) return done(Unavailable("the node is shutting down"));
  if (job_ && !job_is_ours_) {
    return done(FailedPrecondition("another change of membership is under way (node " +
                                   std::to_string(job_->node_id()) + ")"));
  }
  MembershipJob::Callbacks callbacks;
  callbacks.progress = std::move(progress);
  callbacks.done = std::move(done);
  job_is_ours_ = false;
  ++job_number_;
  job_ = std::make_unique<MembershipJob>(std::move(change), boot_.record().cluster_id,
                                         options_.engine, deadline, std::move(callbacks));
  RunJob();
}

void ReplicaCore::Join(const transport::JoinRequest& request,
                       const std::function<void(Result<transport::JoinReply>)>& reply) {
  if (!raft_ || !is_leader()) return reply(NotLeader());
  if (!options_.engine.empty() && request.engine != options_.engine) {
    return reply(FailedPrecondition("node " + std::to_string(request.node_id) +
                                    " runs another build of the SQL engine"));
  }
  auto admit = [this, reply](MemberId member) {
    reply(transport::JoinReply{boot_.record().cluster_id, member, raft_->status().config});
  };
  const MemberId member = FindMember(config_, request.node_id);
  for (const auto& [id, info] : config_.info) {
    if (info.node_id == request.node_id && info.nonce == request.nonce && request.nonce != 0) {
      return admit(id);
    }
  }
  const std::string who = "node " + std::to_string(request.node_id);
  if (member.is_none()) {
    return reply(FailedPrecondition(who + " is not a member; run: cairn member add ADDR " +
                                    std::to_string(request.node_id) + " " + request.address));
  }
  if (config_.info.at(member).address != request.address) {
    return reply(FailedPrecondition(who + " is a member at another address (" +
                                    config_.info.at(member).address +
                                    "); run: cairn member replace ADDR " +
                                    std::to_string(request.node_id) + " " + request.address));
  }
  if (contacts().Alive(member)) {
    return reply(FailedPrecondition("another process runs as " + who));
  }
  if (job_) {
    if (job_->node_id() == request.node_id && job_->nonce() == request.nonce) {
      return reply(Unavailable("the admission of " + who + " is under way; ask again"));
    }
    return reply(Unavailable("another change of membership is under way"));
  }
  LOG_INFO("lets a wiped node in again node={} old_member={}", request.node_id, member.value());
  MembershipJob::Callbacks callbacks;
  callbacks.progress = [](const std::string& line) { LOG_INFO("{}", line); };
  auto answered = std::make_shared<bool>(false);
  callbacks.admitted = [admit, answered](MemberId id) {
    *answered = true;
    admit(id);
  };
  callbacks.done = [reply, answered](const Status& status) {
    if (status.ok()) return;
    LOG_WARN("letting a wiped node in again: {}", status.message());
    if (!*answered) reply(status);
  };
  LetIn(request, std::move(callbacks));
}

void ReplicaCore::LetIn(const transport::JoinRequest& wiped, MembershipJob::Callbacks callbacks) {
  // Long: the whole database may have to travel.
  const SteadyTime deadline = clock_->SteadyNow() + std::chrono::hours(6);
  job_is_ours_ = true;
  ++job_number_;
  job_ = std::make_unique<MembershipJob>(wiped, deadline, std::move(callbacks));
  RunJob();
}

// A wiped node that was let in as a learner does not ask again. If the leader that let it in was
// deposed before it caught up, the next one goes on; else the group would keep counting on the vote
// of its old self, which nobody can give any more, until an operator comes.
void ReplicaCore::ResumeReplacement() {
  if (!is_leader() || shutting_down_ || config_.learners.empty()) return;
  const raft::CoreStatus core = raft_->status();
  for (const MemberId learner : config_.learners) {
    const raft::MemberInfo& info = config_.info.at(learner);
    const auto now = core.peers.find(learner);
    const auto before = core.peers.find(FindMember(config_, info.node_id));
    if (now == core.peers.end() || before == core.peers.end() || before == now) continue;
    if (!config_.voters.contains(before->first) || before->second.recently_active) continue;
    if (!contacts().Alive(learner) || contacts().Alive(before->first)) continue;
    LOG_INFO("goes on letting a wiped node in again node={} member={}", info.node_id,
             learner.value());
    MembershipJob::Callbacks callbacks;
    callbacks.progress = [](const std::string& line) { LOG_INFO("{}", line); };
    callbacks.done = [](const Status& status) {
      if (!status.ok()) LOG_WARN("letting a wiped node in again: {}", status.message());
    };
    return LetIn({info.node_id, info.nonce, info.address, options_.engine}, std::move(callbacks));
  }
}

// Member ids are never used twice, and the next one never goes back: so a configuration that lacks
// this member though it knows of later ones is from after its removal, which is for ever. One from
// before its admission, as a peer that is behind may hold, does not know of it yet.
void ReplicaCore::CheckRemoved(const raft::Configuration& config, LogIndex index) {
  const MemberId self = boot_.record().member;
  if (!removed_.ok() || config.info.empty() || config.Contains(self) ||
      self.value() >= config.next_member_id) {
    return;
  }
  const std::string who = "node " + std::to_string(options_.node_id);
  std::string what = who + " (member " + ToString(self) + ") was removed from the cluster";
  std::string undo = ", start it, and run: cairn member add ADDR " +
                     std::to_string(options_.node_id) + " " + options_.address;
  for (const auto& [id, info] : config.info) {
    if (info.node_id != options_.node_id) continue;
    what = who + " (member " + ToString(self) + ") was replaced by member " + ToString(id) +
           " at " + info.address;
    undo = " and run: cairn member replace ADDR " + std::to_string(options_.node_id) + " " +
           options_.address;
  }
  removed_ =
      Unavailable(what + ", by the configuration at index " + ToString(index) +
                  ": its data is out of date and stays so. Stop it; to have it back, move its "
                  "data aside" +
                  undo);
  LOG_WARN("{}", removed_.message());
  reads_.FailAll(removed_);
  ++version_;
}

// The others do not talk to who is no member any more, so it has to ask. Seldom, and one at a time;
// a node that only was cut off asks too, and hears that it is still a member.
void ReplicaCore::AskWhetherRemoved() {
  constexpr uint64_t kLeaderlessElections = 10;
  constexpr uint64_t kQuestionElections = 20;
  // It can not be elected, and only disturbs. For ever, however many ticks come at once.
  if (!removed_.ok()) {
    raft_->Step(raft::StepDown{std::numeric_limits<uint64_t>::max()});
    return;
  }
  leaderless_ticks_ = raft_->leader().is_none() ? leaderless_ticks_ + 1 : 0;
  if (leaderless_ticks_ < kLeaderlessElections * options_.election_ticks) return;
  if (ticks_ < next_question_tick_) return;
  next_question_tick_ = ticks_ + kQuestionElections * options_.election_ticks;
  auto next = config_.info.upper_bound(last_asked_);
  if (next != config_.info.end() && next->first == boot_.record().member) ++next;
  if (next == config_.info.end()) next = config_.info.begin();
  if (next == config_.info.end() || next->first == boot_.record().member) {
    last_asked_ = boot_.record().member;
    return;
  }
  last_asked_ = next->first;
  effects_->Probe(next->second.address, [this](Result<transport::ProbeReply> reply) {
    if (!reply.ok() || reply->identity.cluster_id != boot_.record().cluster_id) return;
    if (reply->config_index > config_index_) CheckRemoved(reply->config, reply->config_index);
  });
}

Contacts ReplicaCore::contacts() const {
  return {boot_.record().member, last_heard_, clock_->SteadyNow(),
          2 * options_.election_ticks * SteadyTime(options_.tick)};
}

void ReplicaCore::StepMembership() {
  ReplicateFoundingConfig();
  if (job_) {
    RunJob();
  } else {
    ResumeReplacement();
  }
}

void ReplicaCore::RunJob() {
  job_->Step(raft_->status(), contacts());
  MembershipJob::Requests requests = job_->TakeRequests();
  if (requests.probe) {
    effects_->Probe(*requests.probe,
                    [this, number = job_number_](Result<transport::ProbeReply> reply) {
                      if (!job_ || job_number_ != number) return;  // that job is over
                      job_->OnProbed(std::move(reply));
                      RunJob();
                    });
  }
  if (requests.propose) {
    job_proposal_ = next_id_++;
    raft_->Step(raft::ProposeConfig{*job_proposal_, *std::move(requests.propose)});
  }
  if (job_->finished()) job_.reset();
}

// The founding configuration lies only in each founder's identity file, and a founder that was late
// may not know every nonce. The first leader puts its own into the log, so that all members, and
// all that come later, hold the same.
void ReplicaCore::ReplicateFoundingConfig() {
  if (!is_leader() || !config_index_.is_none() || founding_proposal_) return;
  const raft::CoreStatus core = raft_->status();
  if (!core.leader_ready || core.config_in_progress) return;
  founding_proposal_ = next_id_++;
  raft_->Step(raft::ProposeConfig{*founding_proposal_, config_});
}

}  // namespace cairn::node
