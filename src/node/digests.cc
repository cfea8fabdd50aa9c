#include "node/digests.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"

namespace cairn::node {
namespace {

using state_machine::StateDigest;

// Election timeouts between two attempts to report to the leader.
constexpr uint64_t kReportElections = 4;
// After this many reports the next digest is of more use.
constexpr int kReportsMax = 30;
constexpr char kNoOtherNode[] = "; there is no other node to get a copy of the data from";

}  // namespace

Digests::Digests(ReplicaContext* context, LeadershipFitness* fitness, Host* host)
    : context_(*context),
      fitness_(fitness),
      host_(host),
      next_digest_(context->now() + context->options.digest_every) {}

bool Digests::StartFenced(const std::string& why) {
  if (context_.config.info.size() < 2) {
    status_.doubt = why + kNoOtherNode;
    LOG_ERROR("{}", status_.doubt);
    return false;
  }
  fence_ = DataLoss(why);
  return true;
}

bool Digests::Due(LogIndex applied) const {
  if (context_.options.digest_every.count() == 0 || context_.now() < next_digest_) return false;
  return !own_ || applied > own_->index;
}

void Digests::OnProposed() { next_digest_ = context_.now() + context_.options.digest_every; }

void Digests::OnTick() {
  const bool tells = (own_ && !own_->settled && reports_left_ > 0) || !damage_.ok();
  if (tells && fence_.ok() && context_.ticks >= next_report_tick_) Tell();
}

bool Digests::Concerns(LogIndex index) const {
  return context_.raft && fence_.ok() && !host_->replacing_database() && index >= replaced_at_;
}

void Digests::OnDigest(LogIndex index, const StateDigest& digest) {
  if (!Concerns(index)) return;
  ++status_.made;
  own_ = OwnDigest{index, digest, false};
  OnProposed();
  reports_left_ = kReportsMax;
  Tell();
}

void Digests::OnScrubbed(LogIndex index, const Status& found) {
  if (!Concerns(index)) return;
  if (found.ok()) {
    ++status_.scrubs;
    context_.options.counts->scrubbed_index.Set(index.value());
    return;
  }
  ++status_.scrubs_failed;
  LOG_ERROR("scrub: the database of this node is damaged index={}: {}", index.value(),
            found.message());
  damage_ = found;
  status_.doubt = found.message();
  if (context_.config.info.size() < 2) {
    status_.doubt += kNoOtherNode;
    damage_ = OkStatus();
    return;
  }
  Tell();
}

// Reports to the leader, or to this node itself. The report is repeated until there is an answer,
// because messages may be lost and leaders change.
void Digests::Tell() {
  next_report_tick_ = context_.ticks + context_.Elections(kReportElections);
  raft::DigestReport report;
  report.damaged = !damage_.ok();
  if (!report.damaged) {
    --reports_left_;
    report.index = own_->index;
    report.a = own_->digest.a;
    report.b = own_->digest.b;
  }
  if (context_.is_leader()) {
    OnReport(context_.self, report);
  } else if (!context_.raft->leader().is_none()) {
    context_.Send(context_.raft->leader(), report);
  }
}

void Digests::OnLeading() {
  leads_in_ = context_.raft->term();
  WaitToLetMembersLeave();
}

// The Raft core may lead a moment before OnLeading. The bad schedule without the term: a damaged leader
// is fenced and hands over; the scrub of the next one ends in that moment, and two are fenced at once.
// Whoever reports does so again.
void Digests::OnReport(MemberId from, const raft::DigestReport& report) {
  if (!context_.is_leader() || leads_in_ != context_.raft->term()) return;
  const MemberId self = context_.self;
  if (report.damaged) {
    if (!MayLeaveService(from)) {
      if (from == self && context_.ticks >= next_leave_tick_) fitness_->HandOverDamaged();
      return;
    }
    WaitToLetMembersLeave();
    if (from == self) return Fence(damage_);
    raft::DigestVerdict leave;
    leave.leave = true;
    return context_.Send(from, leave);
  }
  const StateDigest digest{report.a, report.b};
  for (const DigestWatch::Answer& answer :
       watch_.OnReport(from, report.index, digest, context_.config)) {
    if (answer.to == self) {
      Settle(answer.index, answer.right);
    } else {
      context_.Send(answer.to, raft::DigestVerdict{answer.index, answer.right.a, answer.right.b});
    }
  }
}

// A scrub that is itself wrong would find damage on all nodes at once. So nodes leave one at a
// time, and only while half of the voters, at least one, stay in service. A new leader, or a leader
// that has let a member go, first waits to hear from all members how they are.
bool Digests::MayLeaveService(MemberId member) const {
  const auto& voters = context_.config.voters;
  if (!voters.contains(member)) return true;
  if (context_.ticks < next_leave_tick_) return false;
  const raft::CoreStatus core = context_.raft->status();
  const auto serves = [&](MemberId voter) {
    if (voter == member) return false;
    if (voter == context_.self) return host_->in_service();
    return PeerCanLead(core, voter);
  };
  const auto stay = std::count_if(voters.begin(), voters.end(), serves);
  return static_cast<size_t>(stay) >= (voters.size() + 1) / 2;
}

void Digests::WaitToLetMembersLeave() { next_leave_tick_ = context_.ticks + context_.Elections(2); }

void Digests::OnVerdict(MemberId from, const raft::DigestVerdict& verdict) {
  if (!verdict.leave) return Settle(verdict.index, {verdict.a, verdict.b});
  // A deposed leader may not know which members have left service since.
  if (from == context_.raft->leader() && !damage_.ok()) Fence(damage_);
}

// What a majority holds at an index stays right for ever, whichever node says so.
void Digests::Settle(LogIndex index, const StateDigest& right) {
  if (!own_ || own_->index != index || own_->settled) return;
  own_->settled = true;
  if (own_->digest == right) {
    status_.right_index = index;
    if (damage_.ok() && context_.config.info.size() >= 2) status_.doubt.clear();
    return;
  }
  Fence(DataLoss("what this node holds at index " + ToString(index) +
                 " is not what the majority holds"));
}

void Digests::OnWrongResults(LogIndex index) {
  Fence(DataLoss("the results of this node up to index " + ToString(index) +
                 " are not those of the majority"));
}

// Reads and writes end at once. The apply thread follows when it comes to the order.
void Digests::Fence(Status why) {
  if (!fence_.ok() || host_->replacing_database()) return;
  LOG_ERROR("this node is fenced until a snapshot has replaced its database: {}", why.message());
  ++status_.fences;
  status_.doubt.clear();
  damage_ = OkStatus();
  fence_ = std::move(why);
  host_->OnFenced(fence_);
  context_.effects->Fence(fence_);
}

void Digests::OnRestored(LogIndex index) {
  OnReplaced(std::max(replaced_at_, index));
  if (fence_.ok()) ForgetFindings();
}

void Digests::ForgetFindings() {
  fence_ = damage_ = OkStatus();
  own_.reset();
  status_.doubt.clear();
}

DigestStatus Digests::status() const {
  DigestStatus status = status_;
  status.differences = watch_.differences();
  if (context_.is_leader() && !watch_.doubt().empty()) status.doubt = watch_.doubt();
  return status;
}

}  // namespace cairn::node
