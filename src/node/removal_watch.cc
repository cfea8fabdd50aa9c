#include "node/removal_watch.h"

#include <limits>
#include <string>
#include <utility>

#include "base/log.h"

namespace cairn::node {
namespace {

// Election timeouts before the first question, and between two questions.
constexpr uint64_t kLeaderlessElections = 10;
constexpr uint64_t kQuestionElections = 20;

}  // namespace

// Member ids are never used twice, and the next one never goes back. So a configuration that lacks
// this member, though it knows of later ones, is from after the member's removal, which is for
// ever. A configuration from before the member's admission, which a peer that is behind may hold,
// does not know of later ones.
void RemovalWatch::Check(const raft::Configuration& config, LogIndex index) {
  const MemberId self = context_.self;
  if (!removed_.ok() || config.info.empty() || config.Contains(self) ||
      self.value() >= config.next_member_id) {
    return;
  }
  const uint64_t node_id = context_.options.node_id;
  const std::string& address = context_.options.address;
  const std::string who = "node " + std::to_string(node_id);
  std::string what = who + " (member " + ToString(self) + ") was removed from the cluster";
  std::string undo =
      ", start it, and run: cairn member add ADDR " + std::to_string(node_id) + " " + address;
  for (const auto& [id, info] : config.info) {
    if (info.node_id != node_id) continue;
    what = who + " (member " + ToString(self) + ") was replaced by member " + ToString(id) +
           " at " + info.address;
    undo = " and run: cairn member replace ADDR " + std::to_string(node_id) + " " + address;
  }
  removed_ =
      Unavailable(what + ", by the configuration at index " + ToString(index) +
                  ": its data is out of date and stays so. Stop it; to have it back, move its "
                  "data aside" +
                  undo);
  LOG_WARN("{}", removed_.message());
  ++context_.version;
  on_removed_(removed_);
}

// The others do not talk to a node that is not a member any more, so this node has to ask. It asks
// seldom, and one peer at a time. A node that was only cut off asks too, and hears that it is still
// a member.
void RemovalWatch::OnTick() {
  // A removed member cannot be elected and only disturbs the others. It steps down for ever,
  // however many ticks come at once.
  if (!removed_.ok()) {
    context_.raft->Step(raft::StepDown{std::numeric_limits<uint64_t>::max()});
    return;
  }
  if (context_.silent) return;  // a copy asks nobody
  leaderless_ticks_ = context_.raft->leader().is_none() ? leaderless_ticks_ + 1 : 0;
  if (leaderless_ticks_ < context_.Elections(kLeaderlessElections)) return;
  if (context_.ticks < next_question_tick_) return;
  next_question_tick_ = context_.ticks + context_.Elections(kQuestionElections);
  Ask();
}

void RemovalWatch::Ask() {
  const auto& members = context_.config.info;
  auto next = members.upper_bound(last_asked_);
  if (next != members.end() && next->first == context_.self) ++next;
  if (next == members.end()) next = members.begin();
  if (next == members.end() || next->first == context_.self) {
    last_asked_ = context_.self;
    return;
  }
  last_asked_ = next->first;
  context_.effects->Probe(next->second.address, [this](Result<transport::ProbeReply> reply) {
    if (!reply.ok() || reply->identity.cluster_id != context_.cluster_id) return;
    if (reply->config_index > context_.config_index) Check(reply->config, reply->config_index);
  });
}

}  // namespace cairn::node
