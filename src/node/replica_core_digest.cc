// Digests of the state machine: proposed, compared, and what follows for a node that is wrong.
//
// Two things can go wrong with what a node holds. It may have applied something else than the
// others: then its digest at a digest entry is not that of the majority. Or its file may no longer
// be what was written: then its scrub finds rows that do not add up to the sums. Either way the
// node leaves service and asks for a snapshot, as after any damage (replica_core_recovery.cc). Its
// log is not in doubt: it goes on acknowledging entries and voting, and both count.
#include <algorithm>
#include <utility>

#include "base/log.h"
#include "node/replica_core.h"

namespace cairn::node {
namespace {

using state_machine::StateDigest;

// Between two attempts to tell the leader, in election timeouts.
constexpr uint64_t kReportElections = 4;
// After that the next digest is of more use.
constexpr int kReportsMax = 30;
// Between two attempts of a damaged leader to hand over, in election timeouts: should all find
// damage, leadership must not go round and round.
constexpr uint64_t kDamagedHandoverElections = 20;

// As the leader knows it of another member.
bool PeerCanLead(const raft::CoreStatus& leader, MemberId member) {
  const auto peer = leader.peers.find(member);
  return peer != leader.peers.end() && peer->second.recently_active && peer->second.can_lead;
}

}  // namespace

void ReplicaCore::StepDigests() {
  ProposeDigest();
  const bool tells = (own_digest_ && !own_digest_->settled && reports_left_ > 0) || !damage_.ok();
  if (tells && fence_.ok() && ticks_ >= next_report_tick_) TellDigest();
}

// Nothing is proposed while nothing happens: the last digest still holds.
void ReplicaCore::ProposeDigest() {
  const SteadyTime now = clock_->SteadyNow();
  if (options_.digest_every.count() == 0 || now < next_digest_) return;
  if (!LeaseNow(now) || Refusal()) return;
  if (own_digest_ && applied_.index <= own_digest_->index) return;
  next_digest_ = now + options_.digest_every;
  state_machine::Command command;
  command.operation = state_machine::Digest{};
  batcher_.Add(std::make_shared<PendingCommand>(state_machine::EncodeCommand(command),
                                                now + std::chrono::seconds(10), nullptr));
}

void ReplicaCore::OnDigest(LogIndex index, const StateDigest& digest) {
  if (!raft_ || !fence_.ok() || installing_ || index < replaced_at_) return;
  ++digest_status_.made;
  own_digest_ = OwnDigest{index, digest, false};
  next_digest_ = clock_->SteadyNow() + options_.digest_every;
  reports_left_ = kReportsMax;
  TellDigest();
}

void ReplicaCore::OnScrubbed(LogIndex index, const Status& found) {
  if (!raft_ || !fence_.ok() || installing_ || index < replaced_at_) return;
  if (found.ok()) {
    ++digest_status_.scrubs;
    return;
  }
  ++digest_status_.scrubs_failed;
  LOG_ERROR("scrub: the database of this node is damaged index={}: {}", index.value(),
            found.message());
  damage_ = found;
  digest_status_.doubt = found.message();
  if (config_.info.size() < 2) {
    digest_status_.doubt += "; there is no other node to get a copy of the data from";
    damage_ = OkStatus();
    return;
  }
  TellDigest();
}

// To the leader, or to itself. Messages may be lost, and leaders change: until there is an answer.
void ReplicaCore::TellDigest() {
  next_report_tick_ = ticks_ + kReportElections * options_.election_ticks;
  const MemberId self = boot_.record().member;
  raft::DigestReport report;
  report.damaged = !damage_.ok();
  if (!report.damaged) {
    --reports_left_;
    report.index = own_digest_->index;
    report.a = own_digest_->digest.a;
    report.b = own_digest_->digest.b;
  }
  if (is_leader()) {
    OnDigestReport(self, report);
  } else if (!raft_->leader().is_none()) {
    SendToMember(raft_->leader(), report);
  }
}

void ReplicaCore::OnDigestReport(MemberId from, const raft::DigestReport& report) {
  if (!is_leader()) return;
  const MemberId self = boot_.record().member;
  if (report.damaged) {
    if (!MayLeaveService(from)) return from == self ? HandOverDamaged() : void();
    WaitToLetMembersLeave();
    if (from == self) return Fence(damage_);
    raft::DigestVerdict leave;
    leave.leave = true;
    return SendToMember(from, leave);
  }
  const StateDigest digest{report.a, report.b};
  for (const DigestWatch::Answer& answer :
       digest_watch_.OnReport(from, report.index, digest, config_)) {
    if (answer.to == self) {
      SettleDigest(answer.index, answer.right);
    } else {
      SendToMember(answer.to, raft::DigestVerdict{answer.index, answer.right.a, answer.right.b});
    }
  }
}

// A leader that may not leave service because others are out of it. What they wait for may be a
// snapshot, which comes from the leader, and this one's they refuse: they and it would wait for
// each other for ever.
void ReplicaCore::HandOverDamaged() {
  if (ticks_ < std::max(next_leave_tick_, next_handover_tick_) || !AnotherCanLead()) return;
  next_handover_tick_ = ticks_ + kDamagedHandoverElections * options_.election_ticks;
  LOG_WARN("the database of this leader is damaged, and too few others serve: it hands over");
  raft_->Step(raft::TransferLeader{});
}

// A scrub that is wrong itself would find damage on all nodes at once. So they leave one at a time,
// and only while half of the voters, at least one, stay in service. A new leader, or one that has
// let a member go, first waits to hear from all how they are.
bool ReplicaCore::MayLeaveService(MemberId member) const {
  if (!config_.voters.contains(member)) return true;
  if (ticks_ < next_leave_tick_) return false;
  const raft::CoreStatus core = raft_->status();
  const auto serves = [&](MemberId voter) {
    if (voter == member) return false;
    if (voter == boot_.record().member) return apply_trouble_.ok();
    return PeerCanLead(core, voter);
  };
  const auto stay = std::count_if(config_.voters.begin(), config_.voters.end(), serves);
  return static_cast<size_t>(stay) >= (config_.voters.size() + 1) / 2;
}

bool ReplicaCore::AnotherCanLead() const {
  const raft::CoreStatus core = raft_->status();
  return std::any_of(config_.voters.begin(), config_.voters.end(),
                     [&](MemberId voter) { return PeerCanLead(core, voter); });
}

void ReplicaCore::OnDigestVerdict(MemberId from, const raft::DigestVerdict& verdict) {
  if (!verdict.leave) return SettleDigest(verdict.index, {verdict.a, verdict.b});
  // A deposed leader may not know who has left service since.
  if (from == raft_->leader() && !damage_.ok()) Fence(damage_);
}

// What a majority holds at an index stays right for ever, whoever says so.
void ReplicaCore::SettleDigest(LogIndex index, const StateDigest& right) {
  if (!own_digest_ || own_digest_->index != index || own_digest_->settled) return;
  own_digest_->settled = true;
  if (own_digest_->digest == right) {
    digest_status_.right_index = index;
    if (damage_.ok() && config_.info.size() >= 2) digest_status_.doubt.clear();
    return;
  }
  Fence(DataLoss("what this node holds at index " + ToString(index) +
                 " is not what the majority holds"));
}

void ReplicaCore::SendToMember(MemberId to, raft::MessageBody body) {
  raft::Message message;
  message.from = boot_.record().member;
  message.to = to;
  message.term = raft_->term();
  message.body = std::move(body);
  std::vector<raft::Message> messages;
  messages.push_back(std::move(message));
  effects_->Send(std::move(messages));
}

// At once for reads and writes; the apply thread follows when it comes to it.
void ReplicaCore::Fence(Status why) {
  if (!fence_.ok() || installing_) return;
  LOG_ERROR("this node is fenced until a snapshot has replaced its database: {}", why.message());
  ++digest_status_.fences;
  digest_status_.doubt.clear();
  damage_ = OkStatus();
  fence_ = std::move(why);
  EnterApplyTrouble(fence_);
  TellFitness();
  effects_->Fence(fence_);
}

// They are of a database that is replaced or was opened anew; a damaged one will be found so
// again.
void ReplicaCore::ForgetFindings() {
  fence_ = damage_ = OkStatus();
  own_digest_.reset();
  digest_status_.doubt.clear();
}

}  // namespace cairn::node
