// Changes of membership on the leader: one job at a time, by the operator or for a wiped node.
#include <utility>

#include "base/log.h"
#include "node/replica_core.h"

namespace cairn::node {

void ReplicaCore::ChangeMembership(Replica::MembershipChange change, SteadyTime deadline,
                                   std::function<void(const std::string&)> progress,
                                   std::function<void(Status)> done) {
  if (!is_leader()) return done(NotLeader());
  if (shutting_down_) return done(Unavailable("the node is shutting down"));
  if (job_) {
    return done(FailedPrecondition("another change of membership is under way (node " +
                                   std::to_string(job_->node_id()) + ")"));
  }
  MembershipJob::Callbacks callbacks;
  callbacks.progress = std::move(progress);
  callbacks.done = std::move(done);
  job_ = std::make_unique<MembershipJob>(std::move(change), boot_.record().cluster_id,
                                         options_.engine, deadline, std::move(callbacks));
  RunJob();
}

void ReplicaCore::Join(const transport::JoinRequest& request,
                       std::function<void(Result<transport::JoinReply>)> reply) {
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
    return reply(FailedPrecondition(who + " is not a member; run: cairn member add " +
                                    std::to_string(request.node_id) + "=" + request.address));
  }
  if (config_.info.at(member).address != request.address) {
    return reply(FailedPrecondition(
        who + " is a member at another address (" + config_.info.at(member).address +
        "); run: cairn member replace " + std::to_string(request.node_id) + "=" + request.address));
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
  // Long: the whole data base may have to travel.
  const SteadyTime deadline = clock_->SteadyNow() + std::chrono::hours(6);
  job_ = std::make_unique<MembershipJob>(request, deadline, std::move(callbacks));
  RunJob();
}

Contacts ReplicaCore::contacts() const {
  return {boot_.record().member, last_heard_, clock_->SteadyNow(),
          2 * options_.election_ticks * SteadyTime(options_.tick)};
}

void ReplicaCore::StepMembership() {
  ReplicateFoundingConfig();
  if (job_) RunJob();
}

void ReplicaCore::RunJob() {
  job_->Step(raft_->status(), contacts());
  MembershipJob::Requests requests = job_->TakeRequests();
  if (requests.probe) {
    effects_->Probe(*requests.probe,
                    [this, nonce = job_.get()](Result<transport::ProbeReply> reply) {
                      if (job_.get() != nonce) return;  // that job is over
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
