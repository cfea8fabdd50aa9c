#include "node/membership_changes.h"

#include <utility>

#include "base/log.h"

namespace cairn::node {

void MembershipChanges::Change(Replica::MembershipChange change, SteadyTime deadline,
                               std::function<void(const std::string&)> progress,
                               std::function<void(Status)> done) {
  if (!context_.is_leader()) return done(directory_.NotLeader());
  if (context_.shutting_down) return done(Unavailable("the node is shutting down"));
  if (!GivesWay(change)) {
    return done(FailedPrecondition("another change of membership is under way (node " +
                                   std::to_string(job_->node_id()) +
                                   "): wait for it, or interrupt the command that asked for it"));
  }
  MembershipJob::Callbacks callbacks;
  callbacks.progress = std::move(progress);
  callbacks.done = std::move(done);
  Begin(std::make_unique<MembershipJob>(std::move(change), context_.cluster_id,
                                        context_.options.engine, deadline, std::move(callbacks)),
        /*ours=*/false);
}

// An operator who asks again about a node means the later wish. What nobody waits for must not stop
// anybody. And a removal must not wait for a node that may never catch up. What the earlier job has
// proposed is not taken back: the later job begins when it is committed or dropped.
bool MembershipChanges::GivesWay(const Replica::MembershipChange& change) const {
  using Kind = Replica::MembershipChange::Kind;
  if (!job_ || job_is_ours_ || job_->abandoned()) return true;
  if (job_->node_id() == change.node_id) return true;
  return change.kind == Kind::kRemove && job_->catching_up();
}

void MembershipChanges::Begin(std::unique_ptr<MembershipJob> job, bool ours) {
  if (job_) job_->Fail(Aborted("another change of membership has taken the place of this one"));
  // Whether the earlier job's proposal is dropped does not concern this job.
  job_proposal_.reset();
  job_is_ours_ = ours;
  ++job_number_;
  job_ = std::move(job);
  Run();
}

void MembershipChanges::Join(const transport::JoinRequest& request,
                             const std::function<void(Result<transport::JoinReply>)>& reply) {
  if (!context_.is_leader()) return reply(directory_.NotLeader());
  if (request.engine.machine != context_.options.engine.machine) {
    return reply(FailedPrecondition("node " + std::to_string(request.node_id) +
                                    " runs on another kind of machine: " + request.engine.machine));
  }
  if (request.level_max < context_.level) {
    return reply(FailedPrecondition(
        "node " + std::to_string(request.node_id) + " knows feature levels up to " +
        std::to_string(request.level_max) + ", and the cluster is at level " +
        std::to_string(context_.level) + ": start a later version"));
  }
  auto admit = [this, reply](MemberId member) {
    reply(transport::JoinReply{context_.cluster_id, member, context_.raft->status().config});
  };
  const raft::Configuration& config = context_.config;
  const MemberId member = FindMember(config, request.node_id);
  for (const auto& [id, info] : config.info) {
    if (info.node_id == request.node_id && info.nonce == request.nonce && request.nonce != 0) {
      return admit(id);
    }
  }
  const std::string who = "node " + std::to_string(request.node_id);
  if (member.is_none()) {
    return reply(FailedPrecondition(who + " is not a member; run: cairn member add ADDR " +
                                    std::to_string(request.node_id) + " " + request.address));
  }
  if (config.info.at(member).address != request.address) {
    return reply(FailedPrecondition(who + " is a member at another address (" +
                                    config.info.at(member).address +
                                    "); run: cairn member replace ADDR " +
                                    std::to_string(request.node_id) + " " + request.address));
  }
  if (hearing_.contacts().Alive(member)) {
    return reply(FailedPrecondition("another process runs as " + who));
  }
  if (job_ && !job_->abandoned()) {
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

void MembershipChanges::LetIn(const transport::JoinRequest& wiped,
                              MembershipJob::Callbacks callbacks) {
  // The deadline is long, because the whole database may have to travel.
  const SteadyTime deadline = context_.now() + std::chrono::hours(6);
  Begin(std::make_unique<MembershipJob>(wiped, deadline, std::move(callbacks)), /*ours=*/true);
}

// A wiped node that was let in as a learner does not ask again. If the leader that let it in was
// deposed before the node caught up, the next leader goes on. Otherwise the group would keep
// counting on the vote of the node's old self, which nobody can give any more, until an operator
// comes.
void MembershipChanges::ResumeReplacement() {
  const raft::Configuration& config = context_.config;
  if (!context_.is_leader() || context_.shutting_down || config.learners.empty()) return;
  const raft::CoreStatus core = context_.raft->status();
  const Contacts contacts = hearing_.contacts();
  for (const MemberId learner : config.learners) {
    const raft::MemberInfo& info = config.info.at(learner);
    const auto now = core.peers.find(learner);
    const auto before = core.peers.find(FindMember(config, info.node_id));
    if (now == core.peers.end() || before == core.peers.end() || before == now) continue;
    if (!config.voters.contains(before->first) || before->second.recently_active) continue;
    if (!contacts.Alive(learner) || contacts.Alive(before->first)) continue;
    LOG_INFO("goes on letting a wiped node in again node={} member={}", info.node_id,
             learner.value());
    MembershipJob::Callbacks callbacks;
    callbacks.progress = [](const std::string& line) { LOG_INFO("{}", line); };
    callbacks.done = [](const Status& status) {
      if (!status.ok()) LOG_WARN("letting a wiped node in again: {}", status.message());
    };
    return LetIn({info.node_id, info.nonce, info.address, context_.options.engine,
                  context_.options.level_max},
                 std::move(callbacks));
  }
}

void MembershipChanges::OnTick() {
  WriteDownMembers();
  if (job_) {
    Run();
  } else {
    ResumeReplacement();
  }
}

std::optional<uint64_t> MembershipChanges::NodeUnderWay() {
  if (job_ && job_->abandoned()) job_.reset();
  if (!job_) return std::nullopt;
  return job_->node_id();
}

void MembershipChanges::Run() {
  job_->Step(context_.raft->status(), hearing_.contacts(), level_raise_.SettledLevel());
  MembershipJob::Requests requests = job_->TakeRequests();
  if (requests.probe) {
    context_.effects->Probe(*requests.probe,
                            [this, number = job_number_](Result<transport::ProbeReply> reply) {
                              if (!job_ || job_number_ != number) return;  // that job is over
                              job_->OnProbed(std::move(reply));
                              Run();
                            });
  }
  if (requests.propose) {
    job_proposal_ = context_.next_id++;
    context_.raft->Step(raft::ProposeConfig{*job_proposal_, *std::move(requests.propose)});
  }
  if (job_->finished()) job_.reset();
}

// Writes into the log where members live and which start of each was heard last, so that all
// members, and all that come later, know it. Voters and learners stay as they are. So this is safe
// beside everything that the Raft core lets through: one change at a time, and none in a joint
// state.
//
// The first leader writes all of it down in any case. The founding configuration lies only in each
// founder's identity file, and a founder that was late may not know every nonce.
void MembershipChanges::WriteDownMembers() {
  if (!context_.is_leader()) return;
  if (members_proposal_ && context_.config_index == members_proposed_at_) return;
  members_proposal_.reset();
  const uint64_t callers = callers_.version();
  if (agreed_callers_ == callers && agreed_config_ == context_.config_index) return;
  raft::Configuration next = context_.config;
  std::map<MemberId, Callers::Known> known = callers_.known();
  known[context_.self] = {context_.options.node_id, standing_.start().boot,
                          context_.options.address};
  for (auto& [id, info] : next.info) {
    const auto heard = known.find(id);
    if (heard == known.end() || heard->second.boot.count < info.boot.count) continue;
    info.boot = heard->second.boot;
    if (!heard->second.address.empty()) info.address = heard->second.address;
  }
  if (next == context_.config && !context_.config_index.is_none()) {
    agreed_callers_ = callers;
    agreed_config_ = context_.config_index;
    return;
  }
  const raft::CoreStatus core = context_.raft->status();
  if (!core.leader_ready || core.config_in_progress || core.config != context_.config) return;
  members_proposed_at_ = context_.config_index;
  members_proposal_ = context_.next_id++;
  context_.raft->Step(raft::ProposeConfig{*members_proposal_, std::move(next)});
}

bool MembershipChanges::OnDropped(const raft::Dropped& dropped) {
  using raft::DropReason;
  if (members_proposal_ == dropped.id) {
    members_proposal_.reset();
    return true;
  }
  if (job_proposal_ != dropped.id) return false;
  job_proposal_.reset();
  // A hand-over ends soon: with another try here, or with another leader elsewhere.
  const bool retry = dropped.reason == DropReason::kConfigInProgress ||
                     dropped.reason == DropReason::kTransferring;
  if (job_) job_->OnRefused(dropped.detail, retry);
  return true;
}

void MembershipChanges::OnFollowing() {
  members_proposal_.reset();  // it may be truncated; the next leader makes its own
  if (!job_) return;
  const raft::Configuration& config = context_.config;
  job_->OnDeposed(!config.joint() && !config.Contains(context_.self));
  job_.reset();
}

void MembershipChanges::Stop(const Status& why) {
  if (job_) job_->Fail(why);
}

}  // namespace cairn::node
