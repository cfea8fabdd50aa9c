#include "node/result_agreement.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace cairn::node {
namespace {

// How many hashes one message has at most.
constexpr size_t kHashesMax = 1024;

// Whether one of the sides can still become a majority of these voters.
bool CanDecide(const std::set<MemberId>& voters, const Division& division) {
  const auto among = [&voters](const std::set<MemberId>& members) {
    return std::count_if(members.begin(), members.end(),
                         [&voters](MemberId member) { return voters.contains(member); });
  };
  const auto untold = among(division.untold);
  return std::any_of(division.sides.begin(), division.sides.end(), [&](const auto& side) {
    return static_cast<size_t>(among(side.second) + untold) > voters.size() / 2;
  });
}

}  // namespace

void ResultAgreement::SetSelf(MemberId self, std::string build) {
  self_ = self;
  build_ = std::move(build);
}

void ResultAgreement::OnEngine(MemberId member, const std::string& build) {
  if (member == self_) return;
  builds_[member] = build;
  silent_.erase(member);
  UpdateDiffer();
}

void ResultAgreement::SetSilent(std::set<MemberId> silent) {
  if (silent == silent_) return;
  silent_ = std::move(silent);
  UpdateDiffer();
}

void ResultAgreement::OnHeard(MemberId member) {
  if (silent_.erase(member) > 0) UpdateDiffer();
}

void ResultAgreement::SetConfig(const raft::Configuration& config) {
  config_ = config;
  std::erase_if(
      told_, [&](const auto& each) { return each.first != self_ && !config.Contains(each.first); });
  UpdateDiffer();
}

void ResultAgreement::UpdateDiffer() {
  const bool before = comparing();
  differ_ = std::any_of(builds_.begin(), builds_.end(), [this](const auto& each) {
    return config_.IsVoter(each.first) && !silent_.contains(each.first) && each.second != build_;
  });
  // What was done while the builds differed still has to be agreed.
  if (before && !differ_) CompareAgain();
}

void ResultAgreement::Put(Window* window, LogIndex index, uint64_t hash) {
  (*window)[index] = hash;
  while (window->size() > kWindow) window->erase(window->begin());
}

void ResultAgreement::OnApplied(const ResultsAt& results) {
  last_ = results;
  Put(&told_[self_], results.index, results.hash);
  while (!pending_.empty() && pending_.begin()->first <= last_.index) {
    const auto [index, hash] = *pending_.begin();
    pending_.erase(pending_.begin());
    Check({index, hash});
  }
}

void ResultAgreement::OnRestored(const ResultsAt& results) {
  told_[self_].clear();
  pending_.clear();
  wrong_at_.reset();
  agreed_ = {};
  settle_at_ = results.index;
  last_ = {};
  OnApplied(results);
}

void ResultAgreement::OnReport(MemberId from, const raft::ResultReport& report) {
  if (!config_.Contains(from) || report.hashes.size() > kHashesMax) return;
  Window& window = told_[from];
  // The member's database went back, or was replaced by another one.
  window.erase(window.upper_bound(report.first), window.end());
  LogIndex index = report.first;
  for (const uint64_t hash : report.hashes) {
    Put(&window, index, hash);
    ++index;
  }
}

bool ResultAgreement::Majority(const std::set<MemberId>& voters, const ResultsAt& results) const {
  const auto count = std::count_if(voters.begin(), voters.end(), [&](MemberId voter) {
    const auto window = told_.find(voter);
    if (window == told_.end()) return false;
    const auto at = window->second.find(results.index);
    return at != window->second.end() && at->second == results.hash;
  });
  return static_cast<size_t>(count) > voters.size() / 2;
}

// The highest index at which a majority is equal is the last one that some voter has reported, or
// that this member has reached: among equal voters, the index of the one that is furthest behind.
bool ResultAgreement::Judge() {
  std::set<LogIndex, std::greater<>> candidates;
  for (const auto& [member, window] : told_) {
    if (config_.IsVoter(member) && !window.empty()) candidates.insert(window.rbegin()->first);
  }
  const LogIndex before = agreed_.index;
  for (const LogIndex index : candidates) {
    if (index > last_.index) continue;
    if (index <= before) return false;
    if (JudgeAt(index)) return agreed_.index > before || wrong_at_.has_value();
  }
  // Voters that differ now may still have been of one mind just before.
  const auto division = Divided();
  return division && JudgeAt(division->index - 1) && agreed_.index > before;
}

bool ResultAgreement::JudgeAt(LogIndex index) {
  for (const auto& [member, window] : told_) {
    const auto at = window.find(index);
    if (at == window.end()) continue;
    const ResultsAt results{index, at->second};
    if (!Majority(config_.voters, results)) continue;
    if (config_.joint() && !Majority(config_.outgoing, results)) continue;
    Check(results);
    return true;
  }
  return false;
}

std::optional<ResultsAt> ResultAgreement::OwnAmong(const raft::ResultReport& report) const {
  const auto own = told_.find(self_);
  if (own == told_.end()) return std::nullopt;
  for (size_t i = report.hashes.size(); i > 0; --i) {
    const auto at = own->second.find(report.first + (i - 1));
    if (at != own->second.end()) return ResultsAt{at->first, at->second};
  }
  return std::nullopt;
}

std::vector<MemberId> ResultAgreement::Behind() const {
  std::vector<MemberId> behind;
  for (const MemberId voter : config_.voters) {
    const auto told = told_.find(voter);
    const bool has_told = told != told_.end() && !told->second.empty();
    if (!has_told || told->second.rbegin()->first < last_.index) behind.push_back(voter);
  }
  return behind;
}

std::set<MemberId> ResultAgreement::Voters() const {
  std::set<MemberId> voters = config_.voters;
  voters.insert(config_.outgoing.begin(), config_.outgoing.end());
  return voters;
}

std::optional<Division> ResultAgreement::Divided() const {
  const auto own = told_.find(self_);
  if (own == told_.end()) return std::nullopt;
  const std::set<MemberId> voters = Voters();
  for (auto it = own->second.upper_bound(agreed_.index); it != own->second.end(); ++it) {
    Division division{.index = it->first, .sides = {}, .untold = {}};
    for (const MemberId voter : voters) {
      const auto window = told_.find(voter);
      const bool told = window != told_.end() && window->second.contains(it->first);
      if (told) {
        division.sides[window->second.at(it->first)].insert(voter);
      } else {
        division.untold.insert(voter);
      }
    }
    if (division.sides.size() < 2) continue;
    division.final = !CanDecide(config_.voters, division) ||
                     (config_.joint() && !CanDecide(config_.outgoing, division));
    return division;
  }
  return std::nullopt;
}

void ResultAgreement::Check(const ResultsAt& right) {
  if (right.index <= agreed_.index) return;
  if (right.index > last_.index) {
    // Of the verdicts in between the newest is enough. The first one will be reached first.
    if (pending_.size() > 1) pending_.erase(std::prev(pending_.end()));
    pending_.emplace(right.index, right.hash);
    return;
  }
  const Window& own = told_[self_];
  const auto at = own.find(right.index);
  if (at == own.end()) return;  // long past; the next verdict will be newer
  if (at->second == right.hash) {
    agreed_ = right;
  } else {
    wrong_at_ = right.index;
  }
}

raft::ResultVerdict ResultAgreement::verdict() const {
  return {agreed_.index, agreed_.hash, comparing()};
}

raft::ResultReport ResultAgreement::Report(LogIndex told) const {
  raft::ResultReport report;
  report.first = last_.index;
  report.hashes = {last_.hash};
  const auto own = told_.find(self_);
  if (own == told_.end() || last_.index <= told) return report;
  report.hashes.clear();
  for (auto it = own->second.upper_bound(told); it != own->second.end(); ++it) {
    const bool follows = !report.hashes.empty() && it->first == report.first + report.hashes.size();
    if (report.hashes.size() == kHashesMax || !follows) {
      report.first = it->first;
      report.hashes.clear();
    }
    report.hashes.push_back(it->second);
  }
  return report;
}

void ResultAgreement::OnVerdict(const raft::ResultVerdict& verdict, bool from_leader) {
  if (from_leader) {
    // What was done until now still has to be agreed.
    if (leader_compares_ && !verdict.comparing) CompareAgain();
    leader_compares_ = verdict.comparing;
  }
  if (!verdict.index.is_none()) Check({verdict.index, verdict.hash});
}

void ResultAgreement::OnLeaderChanged(bool leads) {
  if (!leads || !leader_compares_) return;
  CompareAgain();
  leader_compares_ = false;
}

}  // namespace cairn::node
