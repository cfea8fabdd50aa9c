#include "server/watch_hub.h"

#include <algorithm>
#include <utility>

#include "server/watch_event.h"
#include "server/watch_hub_impl.h"

namespace cairn::server {

using state_machine::ChangePosition;
using state_machine::ChangeRing;

namespace {

// Segments without events that one watch passes before others have their turn.
constexpr int kSegmentsInTurn = 16;
constexpr SteadyTime kAgreementWait = std::chrono::seconds(3);

Status NodeStops() { return Unavailable("the node is shutting down"); }

}  // namespace

WatchHub::WatchHub(node::Replica* replica, Clock* clock, Options options)
    : replica_(replica), clock_(clock), options_(options) {
  share_.ring = replica->state().changes();
  share_.tables = &tables_;
  if (share_.ring == nullptr) return;
  share_.ring->SetListener([this] { Wake(); });
  thread_ = std::thread([this] { Run(); });
}

WatchHub::~WatchHub() { Stop(); }

void WatchHub::Stop() {
  {
    MutexLock lock(mutex_);
    if (std::exchange(stopped_, true)) return;
  }
  if (share_.ring == nullptr) return;
  share_.ring->SetListener({});
  box_.Close();
  thread_.join();
}

// On the apply thread.
void WatchHub::Wake() {
  if (!woken_.exchange(true)) Post([] {});
}

Result<WatchHub::WatchPtr> WatchHub::Open(std::shared_ptr<WatchSink> sink,
                                          const std::string& principal,
                                          std::vector<WatchFilter> filters, SteadyTime begin_by,
                                          std::function<void(const WatchPtr&)> ready) {
  if (share_.ring == nullptr) return Unimplemented("this node does not record changes");
  {
    MutexLock lock(mutex_);
    if (stopped_) return NodeStops();
    if (opened_ >= options_.watches_max) {
      return ResourceExhausted("too many watches are open on this node: ask another node");
    }
    size_t& own = by_principal_[principal];
    if (own >= options_.watches_per_principal_max) {
      return ResourceExhausted("this client has too many watches on this node: end some first");
    }
    ++own;
    ++opened_;
  }
  auto watch = std::make_shared<Watch>(std::move(sink), principal, std::move(filters),
                                       share_.ring->Join(), begin_by, std::move(ready));
  const bool posted = box_.Push([this, watch] {
    watches_.insert(watch);
    TryReady(watch);
  });
  if (!posted) return NodeStops();
  return watch;
}

void WatchHub::Begin(const WatchPtr& watch, Position after, bool or_oldest) {
  Post([=, this] { DoBegin(watch, after, or_oldest); });
}
void WatchHub::GoOn(const WatchPtr& watch, Position after) {
  Post([=, this] { DoGoOn(watch, after); });
}
void WatchHub::End(const WatchPtr& watch, const Status& status) {
  Post([=, this] { DoEnd(watch, status); });
}
void WatchHub::HoldForSnapshot(const WatchPtr& watch) {
  Post([=] { watch->held = true; });
}

void WatchHub::Run() {
  std::vector<std::function<void()>> tasks;
  SteadyTime tick_at = clock_->SteadyNow() + options_.tell_every;
  for (;;) {
    tasks.clear();
    const SteadyTime now = clock_->SteadyNow();
    // Without watches the thread sleeps.
    SteadyTime wake_at = tick_at;
    if (!signals_due_.empty()) wake_at = std::min(wake_at, signals_due_.begin()->first);
    const bool open = watches_.empty()
                          ? box_.PopAll(&tasks)
                          : box_.PopAll(&tasks, std::max(SteadyTime(0), wake_at - now));
    if (!open) break;
    for (auto& task : tasks) task();
    if (woken_.exchange(false)) OnRing();
    ServeSignalsDue(clock_->SteadyNow());
    if (clock_->SteadyNow() >= tick_at) {
      OnTick();
      tick_at = clock_->SteadyNow() + options_.tell_every;
    }
    changes_judged_ = share_.changes_judged;
  }
  while (!watches_.empty()) {
    const WatchPtr watch = *watches_.begin();  // DoEnd takes it out of the set
    DoEnd(watch, NodeStops());
  }
}

// ---- The beginning of a watch -------------------------------------------------------------------

void WatchHub::TryReady(const WatchPtr& watch) {
  if (watch->ended) return;
  if (!share_.ring->oldest()) {
    awaiting_.insert(watch);
    return;
  }
  awaiting_.erase(watch);
  if (watch->ready) std::exchange(watch->ready, nullptr)(watch);
}

void WatchHub::DoBegin(const WatchPtr& watch, Position after, bool or_oldest) {
  if (watch->ended) return;
  const Position oldest = share_.ring->oldest().value_or(share_.ring->newest());
  watch->position = or_oldest ? std::max(after, oldest) : after;
  watch->begun = true;
  if (watch->signal_every) {
    watch->position = after;
    watch->signal_due = clock_->SteadyNow() + *watch->signal_every;
    return Serve(watch);
  }
  AddToGroup(watch);
  if (watch->position >= oldest) return SendFirst(watch, oldest);
  watch->first_due = true;
  if (!GoBack(watch)) DoEnd(watch, NotHeld(watch));
}

void WatchHub::SendFirst(const WatchPtr& watch, Position oldest) {
  watch->first_due = false;
  v1::WatchResponse first;
  ToProto(watch->position, first.mutable_position());
  ToProto(oldest, first.mutable_oldest());
  SendMessage(watch, first.SerializeAsString(), watch->position);
}

void WatchHub::DoGoOn(const WatchPtr& watch, Position after) {
  if (watch->ended) return;
  watch->held = false;
  watch->begun = true;
  watch->position = watch->told = after;
  AddToGroup(watch);
  Serve(watch);
}

void WatchHub::AddToGroup(const WatchPtr& watch) {
  std::unique_ptr<Group>& group = groups_[watch->filters];
  if (group == nullptr) group = std::make_unique<Group>(watch->filters, &share_);
  ++group->watches;
  watch->group = group.get();
}

void WatchHub::LeaveCohort(const WatchPtr& watch) {
  Cohort* const cohort = std::exchange(watch->cohort, nullptr);
  if (cohort == nullptr) return;
  watch->position = cohort->position;
  cohort->watches.erase(watch);
  if (cohort->watches.empty()) watch->group->cohorts.erase(cohort->position);
}

void WatchHub::LeaveGroup(const WatchPtr& watch) {
  if (watch->group == nullptr) return;
  LeaveCohort(watch);
  if (--std::exchange(watch->group, nullptr)->watches == 0) groups_.erase(watch->filters);
}

void WatchHub::DoEnd(const WatchPtr& watch, const Status& status) {
  if (std::exchange(watch->ended, true)) return;
  LeaveGroup(watch);
  awaiting_.erase(watch);
  signals_idle_.erase(watch);
  signals_due_.erase({watch->signal_due, watch});
  watches_.erase(watch);
  watch->membership.reset();
  watch->ready = nullptr;
  {
    MutexLock lock(mutex_);
    --opened_;
    const auto own = by_principal_.find(watch->principal);
    if (--own->second == 0) by_principal_.erase(own);
  }
  std::optional<Position> oldest = share_.ring->oldest();
  if (oldest && watch->retained) oldest = std::min(*oldest, *watch->retained);
  watch->sink->End(status, watch->begun ? std::optional(watch->position) : std::nullopt, oldest);
}

// ---- Changes ------------------------------------------------------------------------------------

// While members run different builds of the engine, a watch sees only what a majority has agreed
// on, as a linearizable read does.
void WatchHub::UpdateVisible() {
  if (!replica_->compares_results()) {
    visible_.reset();
    return;
  }
  const Position newest = share_.ring->newest();
  if (!visible_) visible_ = Position{};
  if (*visible_ >= newest || std::exchange(agreement_asked_, true)) return;
  node::ReadOptions applied;
  applied.level = node::ReadLevel::kStale;
  applied.index_min = newest.index - 1;
  replica_->ReadBarrier(applied, clock_->SteadyNow() + kAgreementWait,
                        [this, newest](const Result<LogIndex>& index) {
                          Post([this, newest, agreed = index.ok()] {
                            agreement_asked_ = false;
                            if (agreed && visible_) visible_ = std::max(*visible_, newest);
                            if (agreed) woken_ = true;
                          });
                        });
}

void WatchHub::OnRing() {
  UpdateVisible();
  for (const WatchPtr& watch : std::set<WatchPtr>(awaiting_)) TryReady(watch);
  for (const WatchPtr& watch : std::exchange(signals_idle_, {})) Serve(watch);
  std::vector<Group*> groups;
  for (const auto& [filters, group] : groups_) groups.push_back(group.get());
  for (Group* const group : groups) {
    Cohorts cohorts = std::exchange(group->cohorts, {});
    // A group goes with its last watch.
    ++group->watches;
    for (auto& [position, cohort] : cohorts) Advance(group, std::move(cohort));
    if (--group->watches != 0) continue;
    std::erase_if(groups_, [&](const auto& each) { return each.second.get() == group; });
  }
}

void WatchHub::Advance(Group* group, std::unique_ptr<Cohort> cohort) {
  Result<WatchSegmentPtr> next = group->feed.Next(cohort->position, visible_, round_);
  for (int turn = 0; next.ok() && (*next)->fields.empty() && turn < kSegmentsInTurn; ++turn) {
    if ((*next)->through == cohort->position) break;
    cohort->position = (*next)->through;
    next = group->feed.Next(cohort->position, visible_, round_);
  }
  if (next.ok() && (*next)->through == cohort->position) {
    std::unique_ptr<Cohort>& there = group->cohorts[cohort->position];
    if (there == nullptr) {
      there = std::move(cohort);
      return;
    }
    for (const WatchPtr& watch : cohort->watches) watch->cohort = there.get();
    there->watches.merge(cohort->watches);
    return;
  }
  for (const WatchPtr& watch : cohort->watches) {
    watch->position = cohort->position;
    watch->cohort = nullptr;
    if (next.ok() && !(*next)->fields.empty()) {
      SendSegment(watch, **next);
    } else {
      Serve(watch);
    }
  }
}

// The ring may have been reset to another state, so any other position is news.
void WatchHub::ServeSignal(const WatchPtr& watch) {
  const Position newest =
      visible_ ? std::min(*visible_, share_.ring->newest()) : share_.ring->newest();
  if (newest == watch->position) {
    signals_idle_.insert(watch);
    return;
  }
  const SteadyTime now = clock_->SteadyNow();
  if (now < watch->signal_due) {
    signals_due_.emplace(watch->signal_due, watch);
    return;
  }
  watch->signal_due = now + *watch->signal_every;
  SendMessage(watch, {}, newest);
}

void WatchHub::ServeSignalsDue(SteadyTime now) {
  while (!signals_due_.empty() && signals_due_.begin()->first <= now) {
    const WatchPtr watch = signals_due_.extract(signals_due_.begin()).value().second;
    Serve(watch);
  }
}

void WatchHub::Serve(const WatchPtr& watch) {
  if (watch->signal_every) {
    if (!watch->ended && !watch->sending) ServeSignal(watch);
    return;
  }
  if (watch->ended || watch->sending || watch->group == nullptr || watch->cohort != nullptr) return;
  if (watch->history != nullptr) {
    const std::optional<Position> oldest = share_.ring->oldest();
    if (watch->first_due || !oldest || watch->position < *oldest) return AskForPage(watch);
    watch->history.reset();
  }
  for (int turn = 0; turn < kSegmentsInTurn; ++turn) {
    const Result<WatchSegmentPtr> next = watch->group->feed.Next(watch->position, visible_, round_);
    if (next.status().reason() == Reason::kPositionNotHeld && GoBack(watch)) return;
    if (!next.ok()) return DoEnd(watch, next.status());
    if ((*next)->through == watch->position) return Wait(watch);
    if (!(*next)->fields.empty()) return SendSegment(watch, **next);
    watch->position = (*next)->through;
  }
  Post([this, watch] { Serve(watch); });
}

void WatchHub::Wait(const WatchPtr& watch) {
  std::unique_ptr<Cohort>& cohort = watch->group->cohorts[watch->position];
  if (cohort == nullptr) cohort.reset(new Cohort{watch->position, {}});
  cohort->watches.insert(watch);
  watch->cohort = cohort.get();
}

void WatchHub::SendSegment(const WatchPtr& watch, const WatchSegment& segment) {
  std::string message = watch->tables.FieldsFor(segment.tables);
  message.append(segment.fields);
  AppendPosition(segment.through, &message);
  SendMessage(watch, std::move(message), segment.through);
}

void WatchHub::SendMessage(const WatchPtr& watch, std::string message, Position through) {
  watch->sending = true;
  const bool sent = watch->sink->Send(std::move(message), [this, watch] {
    Post([this, watch] {
      watch->sending = false;
      Serve(watch);
    });
  });
  if (sent) {
    watch->position = watch->told = through;
  } else {
    DoEnd(watch, ResourceExhausted("too many results wait for their clients to take them"));
  }
}

void WatchHub::OnTick() {
  ++round_;
  share_.read_after.reset();
  share_.read = {};
  for (const auto& [filters, group] : groups_) group->feed.Trim(round_ - 1);
  if (visible_) Wake();
  const SteadyTime now = clock_->SteadyNow();
  for (const WatchPtr& watch : std::vector<WatchPtr>(watches_.begin(), watches_.end())) {
    if (!watch->begun && !watch->held && now >= watch->begin_by) {
      DoEnd(watch, DeadlineExceeded("the watch did not begin in time"));
    }
    if (!watch->begun || watch->sending || watch->first_due || watch->signal_every) continue;
    if (watch->history != nullptr) Serve(watch);
    if (watch->sending) continue;
    const Position position = watch->cohort == nullptr ? watch->position : watch->cohort->position;
    if (position <= watch->told) continue;
    LeaveCohort(watch);
    std::string message;
    AppendPosition(position, &message);
    SendMessage(watch, std::move(message), position);
  }
}

}  // namespace cairn::server
