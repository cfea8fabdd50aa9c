#include "node/callers.h"

#include <algorithm>

namespace cairn::node {
namespace {

// How many members are answered that only later configurations than this node's name. They are
// answered where they say that they live.
constexpr size_t kUnknownMembersMax = 16;

// Had the connection been dead, the pings would have found it within this time.
constexpr SteadyTime kConnectionSilenceMax = std::chrono::seconds(15);

std::string InWords(const raft::Boot& boot) { return "start " + std::to_string(boot.count); }

}  // namespace

bool Follows(const transport::Start& start, const raft::Boot& before) {
  if (start.boot.count <= before.count) return false;
  if (start.earlier.empty()) return before.count == 0;
  if (before.count < start.earlier.front().count) return true;
  return std::find(start.earlier.begin(), start.earlier.end(), before) != start.earlier.end();
}

bool IsOrFollows(const transport::Start& start, const raft::Boot& known) {
  return start.boot == known || known.count == 0 || Follows(start, known);
}

std::optional<raft::Boot> Callers::Last(MemberId member) const {
  std::optional<raft::Boot> last;
  if (const auto it = recorded_.find(member); it != recorded_.end()) last = it->second;
  const auto it = callers_.find(member);
  if (it != callers_.end() && (!last || it->second.known.boot.count > last->count)) {
    last = it->second.known.boot;
  }
  return last;
}

Status Callers::Judge(const transport::Identity& caller, SteadyTime now) const {
  const std::optional<raft::Boot> last = Last(caller.member);
  if (!last || last->count == 0 || *last == caller.start.boot) return OkStatus();
  if (!Follows(caller.start, *last)) return JudgeStranger(caller, *last);
  const std::string who = "member " + ToString(caller.member);
  const auto it = callers_.find(caller.member);
  if (it != callers_.end() && it->second.known.boot == *last &&
      now - it->second.heard <= SilenceMax(it->second)) {
    return Aborted("another process still runs as " + who + ", at " + it->second.known.address);
  }
  // The log of a member ends before what the member acknowledged to this leader only if the data
  // were set back.
  const auto held = held_.find(caller.member);
  if (held != held_.end() && caller.start.term <= held_in_ && caller.start.last < held->second) {
    return AlreadyExists("the caller runs as " + who + " from data that were set back: its log " +
                         "ends at " + ToString(caller.start.last) + ", and the member has " +
                         "acknowledged all up to " + ToString(held->second));
  }
  return OkStatus();
}

Status Callers::JudgeStranger(const transport::Identity& caller, const raft::Boot& last) const {
  const std::string who = "member " + ToString(caller.member);
  const auto recorded = recorded_.find(caller.member);
  const bool is_recorded =
      recorded != recorded_.end() && !IsOrFollows(caller.start, recorded->second);
  const auto heard = callers_.find(caller.member);
  const bool is_followed =
      heard != callers_.end() && Follows(heard->second.start, caller.start.boot);
  if (!is_recorded && !is_followed) {
    return Aborted("another process runs as " + who + ", at " + heard->second.known.address +
                   ", from other data. The cluster has not recorded yet which one is the member");
  }
  return AlreadyExists("the caller runs as " + who + " from a copy of its data, or from data " +
                       "that were set back: it is at " + InWords(caller.start.boot) +
                       ", and this node knows of " + InWords(last) +
                       ", which the caller's data do not know");
}

// How long after its last message the process counts as running.
SteadyTime Callers::SilenceMax(const Caller& caller) const {
  return caller.connections == 0 || all_speak_ ? silence_max_ : kConnectionSilenceMax;
}

Status Callers::Admit(const transport::Identity& caller, SteadyTime now) {
  MutexLock lock(mutex_);
  Status verdict = Judge(caller, now);
  if (!verdict.ok()) {
    if (recorded_.contains(caller.member)) refused_[caller.member] = caller.start.boot;
    return verdict;
  }
  refused_.erase(caller.member);
  Caller& entry = callers_[caller.member];
  const Known known{caller.node_id, caller.start.boot, caller.address};
  if (entry.known != known) {
    entry = {known, caller.start, now, 0};
    ++version_;
  }
  entry.heard = now;
  ++entry.connections;
  MakeRoom();
  return OkStatus();
}

void Callers::MakeRoom() {
  const auto unknown = callers_.lower_bound(MemberId(next_member_id_));
  const auto count = static_cast<size_t>(std::distance(unknown, callers_.end()));
  if (count > kUnknownMembersMax) callers_.erase(unknown);
}

void Callers::Leave(const transport::Identity& caller, SteadyTime now) {
  MutexLock lock(mutex_);
  const auto it = callers_.find(caller.member);
  if (it == callers_.end() || it->second.known.boot != caller.start.boot) return;
  if (it->second.connections > 0) --it->second.connections;
  it->second.heard = now;
}

bool Callers::Counts(MemberId member, const raft::Boot& boot) const {
  MutexLock lock(mutex_);
  return CountsLocked(member, boot);
}

bool Callers::CountsLocked(MemberId member, const raft::Boot& boot) const {
  const std::optional<raft::Boot> last = Last(member);
  return !last || last->count == 0 || *last == boot;
}

bool Callers::MayReach(MemberId member, const raft::Boot& boot) const {
  MutexLock lock(mutex_);
  const auto refused = refused_.find(member);
  if (refused != refused_.end() && refused->second == boot) return false;
  const std::optional<raft::Boot> last = Last(member);
  return !last || boot.count > last->count || boot == *last;
}

bool Callers::OnMessage(MemberId member, const raft::Boot& boot, SteadyTime now) {
  MutexLock lock(mutex_);
  if (!CountsLocked(member, boot)) return false;
  if (const auto it = callers_.find(member); it != callers_.end()) it->second.heard = now;
  return true;
}

void Callers::OnRole(bool all_speak) {
  MutexLock lock(mutex_);
  all_speak_ = all_speak;
}

void Callers::OnLogged(const raft::Configuration& config) {
  MutexLock lock(mutex_);
  for (const auto& [id, info] : config.info) {
    raft::Boot& recorded = recorded_[id];
    if (info.boot.count > recorded.count) recorded = info.boot;
  }
  ForgetBehind();
}

void Callers::OnConfig(const raft::Configuration& config) {
  MutexLock lock(mutex_);
  next_member_id_ = config.next_member_id;
  for (const auto& [id, info] : config.info) {
    raft::Boot& recorded = recorded_[id];
    if (info.boot.count >= recorded.count) recorded = info.boot;
  }
  const auto gone = [&](MemberId id) {
    return !config.Contains(id) && id.value() < config.next_member_id;
  };
  std::erase_if(recorded_, [&](const auto& recorded) { return gone(recorded.first); });
  std::erase_if(refused_, [&](const auto& refused) { return gone(refused.first); });
  if (std::erase_if(callers_, [&](const auto& caller) { return gone(caller.first); }) > 0) {
    ++version_;
  }
  ForgetBehind();
}

// Forgets the callers that neither are the recorded start of their member nor follow it. The number
// alone would not do: a copy that was started more often than the member has the higher one.
void Callers::ForgetBehind() {
  const size_t behind = std::erase_if(callers_, [&](const auto& caller) CAIRN_REQUIRES(mutex_) {
    const auto recorded = recorded_.find(caller.first);
    return recorded != recorded_.end() && !IsOrFollows(caller.second.start, recorded->second);
  });
  if (behind > 0) ++version_;
}

void Callers::OnAcknowledged(Term term, const std::map<MemberId, LogIndex>& held) {
  MutexLock lock(mutex_);
  held_in_ = term;
  held_ = held;
}

std::map<MemberId, Callers::Known> Callers::known() const {
  MutexLock lock(mutex_);
  std::map<MemberId, Known> known;
  for (const auto& [member, caller] : callers_) known.emplace(member, caller.known);
  return known;
}

uint64_t Callers::version() const {
  MutexLock lock(mutex_);
  return version_;
}

}  // namespace cairn::node
