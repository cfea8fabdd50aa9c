#include "node/level_raise.h"

#include <map>
#include <memory>
#include <utility>

#include "base/log.h"
#include "state_machine/command.h"

namespace cairn::node {

void LevelRaise::Begin(SteadyTime deadline, Asker asker, Done done) {
  if (!context_.is_leader()) return done(directory_.NotLeader());
  if (request_ && request_->asker == Asker::kNode) {
    Finish(FailedPrecondition("the raise was asked for again"));
  }
  if (request_) return done(FailedPrecondition("the level is being raised already"));
  request_ = Request{.number = ++number_,
                     .level = context_.options.level_max,
                     .deadline = deadline,
                     .asker = asker,
                     .done = std::move(done)};
  OnTick();
}

void LevelRaise::OnTick() {
  if (!request_ || request_->asked) return;
  const raft::CoreStatus core = context_.raft->status();
  if (core.leader_ready && !core.config_in_progress) Ask();
}

void LevelRaise::Ask() {
  request_->asked = true;
  const std::map<MemberId, raft::MemberInfo> members = context_.raft->status().config.info;
  for (const auto& [member, info] : members) {
    if (member != context_.self) request_->unanswered.insert(member);
  }
  if (request_->unanswered.empty()) return Decide();
  for (const auto& [member, info] : members) {
    if (member == context_.self) continue;
    context_.effects->Probe(info.address, [this, number = number_, id = member](
                                              const Result<transport::ProbeReply>& reply) {
      OnProbed(number, id, reply);
    });
  }
}

void LevelRaise::OnProbed(uint64_t number, MemberId member,
                          const Result<transport::ProbeReply>& reply) {
  if (!request_ || request_->number != number || request_->unanswered.erase(member) == 0) return;
  const auto info = context_.config.info.find(member);
  const std::string node =
      info == context_.config.info.end()
          ? "member " + ToString(member)
          : "node " + std::to_string(info->second.node_id) + " at " + info->second.address;
  if (!reply.ok()) {
    request_->cannot.push_back(node + " does not answer (" + reply.status().message() + ")");
  } else if (reply->identity.cluster_id != context_.cluster_id ||
             reply->identity.member != member) {
    request_->cannot.push_back(node + " is another process than the member");
  } else {
    const uint64_t level_max = reply->identity.level_max;
    if (level_max < request_->level) {
      request_->cannot.push_back(node + " knows levels up to " + std::to_string(level_max));
    }
    if (level_max > request_->level_max) {
      request_->level_max = level_max;
      request_->level_max_node = node;
    }
  }
  if (request_->unanswered.empty()) Decide();
}

void LevelRaise::Decide() {
  if (request_->level_max > request_->level) {
    return Finish(FailedPrecondition(
        "this node leads and knows levels up to " + std::to_string(request_->level) + ", and " +
        request_->level_max_node + " up to " + std::to_string(request_->level_max) +
        ": upgrade this node first"));
  }
  if (context_.level >= request_->level) return Finish(context_.level);
  if (!request_->cannot.empty()) {
    std::string who;
    for (const std::string& each : request_->cannot) who += (who.empty() ? "" : "; ") + each;
    return Finish(FailedPrecondition("not every member can follow to level " +
                                     std::to_string(request_->level) + ": " + who));
  }
  Request request = *std::exchange(request_, std::nullopt);
  LOG_INFO("raises the feature level of the cluster level={}", request.level);
  state_machine::Command command;
  command.operation = state_machine::RaiseLevel{request.level};
  auto proposed =
      std::make_shared<PendingCommand>(state_machine::EncodeCommand(command), request.deadline,
                                       [level = request.level, done = std::move(request.done)](
                                           const Result<state_machine::CommandResult>& result) {
                                         if (!result.ok()) return done(result.status());
                                         if (!result->status.ok()) return done(result->status);
                                         done(level);
                                       });
  proposed_ = proposed;
  proposed_up_to_.reset();
  proposals_.Add(std::move(proposed));
}

// An earlier leader may have proposed a raise, too. It is before the entries of this leader's own
// term, one of which is applied once the lease clock is known.
std::optional<uint64_t> LevelRaise::SettledLevel() {
  if (request_ || !proposals_.LeaseNow(context_.now())) return std::nullopt;
  if (proposed_) {
    const PendingCommandPtr command = proposed_->lock();
    if (command && !command->finished()) return std::nullopt;
    if (!proposed_up_to_) proposed_up_to_ = context_.raft->last();
    if (context_.raft->status().applied < *proposed_up_to_) return std::nullopt;
    proposed_.reset();
  }
  return context_.level;
}

void LevelRaise::Finish(Result<uint64_t> result) {
  Request request = *std::exchange(request_, std::nullopt);
  request.done(std::move(result));
}

void LevelRaise::Expire(SteadyTime now) {
  if (!request_ || request_->deadline > now) return;
  const char* const why = request_->asked
                              ? "not every member has said in time which levels it knows"
                              : "a change of membership is under way; try again when it is done";
  Finish(DeadlineExceeded(why).With(Outcome::kNotApplied));
}

void LevelRaise::OnFollowing() {
  if (request_) Finish(directory_.NotLeader());
}

void LevelRaise::Stop(const Status& why) {
  if (request_) Finish(why);
}

}  // namespace cairn::node
