#include "node/result_comparison.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"

namespace cairn::node {
namespace {

// After this long without agreement the leader says so.
constexpr uint64_t kDoubtElections = 20;
// A member that was not heard for this long may have another build by now, or none. It is far
// longer than a leader leads without a majority, so the voters that are heard are a majority.
constexpr int64_t kSilentElections = 20;

}  // namespace

void ResultComparison::Start(const ResultsAt& at) {
  agreement_.SetSelf(context_.self, context_.options.engine.build);
  agreement_.SetConfig(context_.config);
  agreement_.OnRestored(at);
  PublishHold();
}

void ResultComparison::OnHeard(MemberId member) {
  agreement_.OnHeard(member);
  PublishHold();
}

void ResultComparison::OnConfig() {
  agreement_.SetConfig(context_.config);
  PublishHold();
}

void ResultComparison::OnCaller(MemberId member, const std::string& engine_build) {
  const bool before = comparing();
  agreement_.OnEngine(member, engine_build);
  PublishHold();
  if (before == comparing()) return;
  LOG_INFO("results of members are compared before they are answered: {} member={} engine={}",
           comparing(), member.value(), engine_build);
  if (context_.is_leader()) TellMembers();
}

void ResultComparison::OnLeaderChanged() {
  agreement_.OnLeaderChanged(context_.is_leader());
  PublishHold();
  division_.reset();
  told_ = {};
  next_tell_tick_ = context_.ticks;
  agreed_tick_ = context_.ticks;
}

void ResultComparison::OnApplied(const AppliedReport& report) {
  if (report.compared) {
    for (const ResultsAt& each : report.compared->results) agreement_.OnApplied(each);
    for (HeldOutcomes& each : report.compared->held) held_.push_back(std::move(each));
  }
  agreement_.OnApplied({report.index, report.results_hash});
  PublishHold();
  if (!comparing() && held_.empty()) return;
  Settle();
  if (!comparing() || context_.is_leader()) return;
  TellLeader(told_);
}

void ResultComparison::OnRestored(const ResultsAt& at) {
  FailHeld(Unavailable("the node went back to an earlier state").With(Outcome::kUnknown));
  agreement_.OnRestored(at);
  PublishHold();
  told_ = {};
}

void ResultComparison::OnReport(MemberId from, const raft::ResultReport& report) {
  // What a node that is no member reports is no reason to ask the members.
  if (!context_.is_leader() || !context_.config.Contains(from)) return;
  if (!comparing()) {
    const auto own = agreement_.OwnAmong(report);
    if (!own) return;
    const bool equal = report.hashes[own->index.value() - report.first.value()] == own->hash;
    if (equal) {
      // The others need not be asked: this leader answers from the same state.
      context_.Send(from, raft::ResultVerdict{own->index, own->hash, false});
      return;
    }
    LOG_WARN("a member gives other results than this leader, so the majority is asked member={}",
             from.value());
    agreement_.CompareAgain();
    PublishHold();
    TellMembers();
  }
  agreement_.OnReport(from, report);
  const LogIndex before = agreement_.agreed();
  Settle();
  // A member that asks again has not heard the last verdict.
  if (agreement_.agreed() == before) context_.Send(from, agreement_.verdict());
}

void ResultComparison::OnVerdict(MemberId from, const raft::ResultVerdict& verdict) {
  agreement_.OnVerdict(verdict, from == context_.raft->leader());
  Settle();
}

// Draws the conclusions from what is known now.
void ResultComparison::Settle() {
  if (context_.is_leader() && agreement_.Judge()) TellMembers();
  PublishHold();
  if (agreement_.agreed() >= agreement_.last().index) agreed_tick_ = context_.ticks;
  if (const auto wrong = agreement_.wrong_at()) {
    FailHeld(Unavailable("the results of this node are not those of the majority, which are not "
                         "known here")
                 .With(Outcome::kUnknown));
    return digests_.OnWrongResults(*wrong);
  }
  Release();
}

LogIndex ResultComparison::readable(LogIndex applied) const {
  if (!comparing()) return applied;
  return std::min(applied, agreement_.agreed());
}

void ResultComparison::Release() {
  const LogIndex agreed = agreement_.agreed();
  while (!held_.empty() && (!comparing() || held_.front().index <= agreed)) {
    HeldOutcomes& first = held_.front();
    for (size_t i = 0; i < first.commands.size() && i < first.results.size(); ++i) {
      first.commands[i]->Finish(std::move(first.results[i]));
    }
    held_.pop_front();
  }
}

// A leader that compared with a node that is gone for good would hold back every outcome until
// others have reported, for as long as the node is a member. A follower hears no other follower,
// and learns from its leader whether their builds differ.
void ResultComparison::LookForSilence() {
  const SteadyTime limit =
      kSilentElections * context_.options.election_ticks * SteadyTime(context_.options.tick);
  std::set<MemberId> silent;
  for (const auto& [member, info] : context_.config.info) {
    if (member != context_.self && !hearing_.HeardSince(member, context_.now() - limit)) {
      silent.insert(member);
    }
  }
  agreement_.SetSilent(std::move(silent));
  PublishHold();
}

void ResultComparison::LookForDivision() {
  const bool was_final = division_ && division_->final;
  division_ = agreement_.Divided();
  if (division_ && division_->final && !was_final) LOG_ERROR("{}", DivisionInWords());
}

void ResultComparison::OnTick() {
  if (!comparing() || context_.ticks < next_tell_tick_) return;
  LookForSilence();
  next_tell_tick_ = context_.ticks + context_.options.heartbeat_ticks;
  // Reports all that is not agreed, because earlier reports may be lost.
  if (!context_.is_leader()) return TellLeader(agreement_.agreed());
  Settle();
  LookForDivision();
  TellMembers();
}

void ResultComparison::TellLeader(LogIndex told) {
  const MemberId leader = context_.raft->leader();
  if (leader.is_none() || leader == context_.self) return;
  next_tell_tick_ = context_.ticks + context_.options.heartbeat_ticks;
  context_.Send(leader, agreement_.Report(told));
  told_ = agreement_.last().index;
}

void ResultComparison::TellMembers() {
  for (const auto& [member, info] : context_.config.info) {
    if (member != context_.self) context_.Send(member, agreement_.verdict());
  }
}

std::string ResultComparison::Nodes(const std::set<MemberId>& members) const {
  std::string nodes;
  for (const MemberId member : members) {
    const auto info = context_.config.info.find(member);
    if (info == context_.config.info.end()) continue;
    nodes += (nodes.empty() ? "node " : ", node ") + std::to_string(info->second.node_id);
  }
  return nodes;
}

std::string ResultComparison::DivisionInWords() const {
  std::set<std::string> named;  // the numbers that the sides gave tell an operator nothing
  for (const auto& [number, members] : division_->sides) named.insert(Nodes(members));
  std::string sides;
  for (const std::string& side : named) sides += (sides.empty() ? "" : "; ") + side;
  const std::string what = "nodes give different results at entry " + ToString(division_->index) +
                           ", and no majority gives the same (the sides: " + sides + ")";
  if (!division_->final) {
    return what + ". What decides has not been heard: bring up " + Nodes(division_->untold);
  }
  return what +
         ". No write and no linearizable read is answered until an operator decides which side is "
         "right, removes the nodes of the others ('cairn member remove'), and lets them in again "
         "with empty data ('cairn member add')";
}

std::string ResultComparison::doubt() const {
  if (!context_.is_leader() || !comparing()) return {};
  if (division_ && division_->final) return DivisionInWords();
  if (context_.ticks < agreed_tick_ + context_.Elections(kDoubtElections)) return {};
  if (division_) return DivisionInWords();
  const std::string since = ToString(agreement_.agreed());
  if (agreement_.builds_differ()) {
    return "members run different builds of the engine, and no majority has given the same results "
           "since index " +
           since + ": bring the other members up, or back to one build";
  }
  const std::vector<MemberId> behind = agreement_.Behind();
  return "a node that has restarted waits until a majority has applied the entries that it holds; "
         "none has since index " +
         since + ". Bring these back, or find out why they do not apply what they acknowledge: " +
         Nodes({behind.begin(), behind.end()});
}

void ResultComparison::Expire(SteadyTime now) {
  for (HeldOutcomes& each : held_) {
    for (const PendingCommandPtr& command : each.commands) {
      if (command->deadline() > now) continue;
      const std::string why =
          division_ ? DivisionInWords()
                    : "no majority has told in time that it gives the result that this node gives";
      command->Finish(DeadlineExceeded(why).With(Outcome::kUnknown));
    }
  }
  // Drops the results, too: without a majority they would gather for as long as clients write.
  std::erase_if(held_, [](const HeldOutcomes& each) {
    return std::all_of(each.commands.begin(), each.commands.end(),
                       [](const PendingCommandPtr& command) { return command->finished(); });
  });
}

void ResultComparison::FailHeld(const Status& unknown) {
  for (HeldOutcomes& each : held_) {
    for (const PendingCommandPtr& command : each.commands) command->Finish(unknown);
  }
  held_.clear();
}

}  // namespace cairn::node
