#include "node/standing.h"

#include <limits>
#include <utility>

#include "base/log.h"
#include "node/callers.h"

namespace cairn::node {
namespace {

// A peer repeats a refusal at least this often.
constexpr uint64_t kRefusalElections = 20;
// After a power cut the peers take the earlier process for alive until they miss its pings, 15 s
// later.
constexpr SteadyTime kTwinAfter = std::chrono::seconds(17);

}  // namespace

Standing::Standing(ReplicaContext* context, transport::Start start,
                   std::function<void(const Status&)> on_lost)
    : context_(*context), start_(std::move(start)), on_lost_(std::move(on_lost)) {}

void Standing::Check(const raft::Configuration& config) {
  const auto self = config.info.find(context_.self);
  // Starts that this process knows as earlier starts of its own directory come from the log that it
  // replays.
  if (!lost_.ok() || self == config.info.end() || IsOrFollows(start_, self->second.boot)) return;
  Lose("the cluster knows of start " + std::to_string(self->second.boot.count) +
       " of this member, at " + self->second.address);
}

// A removed member and a learner know of no start that counts. A node that knows no configuration
// yet believes those that its admission names. Of a member that was let in later than this node's
// configuration it knows nothing, and believes it, too. The bad schedule otherwise: the data were
// set back to a configuration whose other members are all gone. All members of today refuse the
// process, it believes none of them, and the cluster lacks one member for good.
bool Standing::MayJudge(MemberId by) const {
  const raft::Configuration& config = context_.config;
  return config.info.empty() || config.IsVoter(by) || by.value() >= config.next_member_id;
}

void Standing::OnRefused(MemberId by, const Status& why) {
  if (!lost_.ok() || !MayJudge(by)) return;
  if (why.code() == StatusCode::kAlreadyExists) {
    return Lose("member " + ToString(by) + " refuses it: " + why.message());
  }
  if (twin_.ok() || context_.ticks >= twin_until_tick_) twin_since_ = context_.now();
  if (twin_.ok()) LOG_WARN("member {} refuses this node: {}", by.value(), why.message());
  twin_ = Unavailable("member " + ToString(by) + " refuses this node: " + why.message() +
                      ". Stop one of the two; the data of one node must not be used twice");
  twin_until_tick_ = context_.ticks + context_.Elections(kRefusalElections);
}

Status Standing::twin() const {
  const bool refused = context_.ticks < twin_until_tick_;
  return refused && context_.now() - twin_since_ >= kTwinAfter ? twin_ : OkStatus();
}

void Standing::OnAcknowledgedLost(MemberId by) {
  if (lost_.ok()) {
    Lose("member " + ToString(by) + " knows it to have acknowledged entries that its log lacks");
  }
}

void Standing::Lose(const std::string& why) {
  lost_ = Unavailable(
      "this node runs from a copy of its member's data, or from data that were set back (start " +
      std::to_string(start_.boot.count) + "): " + why +
      ". It has no part in the cluster any more. Stop it; when it is started again with --peers, "
      "its data are put aside, and it is let in as a new member as soon as no other process runs "
      "as node " +
      std::to_string(context_.options.node_id));
  LOG_ERROR("{}", lost_.message());
  context_.silent = true;
  ++context_.version;
  context_.effects->RememberCopy(lost_);
  OnTick();
  on_lost_(lost_);
}

void Standing::OnTick() {
  // Steps down for ever, however many ticks come at once.
  if (!lost_.ok() && context_.raft) {
    context_.raft->Step(raft::StepDown{std::numeric_limits<uint64_t>::max()});
  }
}

}  // namespace cairn::node
