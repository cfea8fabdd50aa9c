#include "node/proposal_tracker.h"

#include <algorithm>
#include <utility>

namespace cairn::node {

void ProposalTracker::Add(LogIndex index, Term term, std::vector<PendingCommandPtr> commands) {
  if (commands.empty()) return;
  SteadyTime earliest = SteadyTime::max();
  for (const PendingCommandPtr& c : commands) earliest = std::min(earliest, c->deadline());
  entries_[{index, term}] = Tracked{term, earliest, std::move(commands)};
}

std::vector<PendingCommandPtr> ProposalTracker::TakeCommitted(LogIndex index, Term term,
                                                              const Status& not_applied) {
  std::vector<PendingCommandPtr> winners;
  auto it = entries_.lower_bound({index, Term()});
  while (it != entries_.end() && it->first.first == index) {
    if (it->second.term == term) {
      winners = std::move(it->second.commands);
    } else {
      for (PendingCommandPtr& c : it->second.commands) c->Finish(not_applied);
    }
    it = entries_.erase(it);
  }
  applying_.insert(applying_.end(), winners.begin(), winners.end());
  return winners;
}

void ProposalTracker::FailUpTo(LogIndex index, const Status& unknown) {
  while (!entries_.empty() && entries_.begin()->first.first <= index) {
    for (PendingCommandPtr& c : entries_.begin()->second.commands) c->Finish(unknown);
    entries_.erase(entries_.begin());
  }
}

void ProposalTracker::FailAll(const Status& unknown) {
  for (auto& [key, tracked] : entries_) {
    for (PendingCommandPtr& c : tracked.commands) c->Finish(unknown);
  }
  entries_.clear();
}

void ProposalTracker::Expire(SteadyTime now) {
  for (auto& [key, tracked] : entries_) {
    if (tracked.earliest_deadline > now) continue;
    tracked.earliest_deadline = SteadyTime::max();
    for (PendingCommandPtr& c : tracked.commands) {
      if (c->deadline() <= now) {
        c->Finish(DeadlineExceeded("the write was sent to the log but no majority has confirmed it")
                      .With(Outcome::kUnknown));
      } else {
        tracked.earliest_deadline = std::min(tracked.earliest_deadline, c->deadline());
      }
    }
    // The places stay, because the results of an entry are matched to its commands by position.
  }
  std::erase_if(applying_, [now](const std::weak_ptr<PendingCommand>& handed) {
    const PendingCommandPtr command = handed.lock();
    if (command == nullptr || command->finished()) return true;
    if (command->deadline() > now) return false;
    command->Finish(DeadlineExceeded("the write is in the log, but was not applied here in time")
                        .With(Outcome::kUnknown));
    return true;
  });
}

}  // namespace cairn::node
