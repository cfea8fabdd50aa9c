#include "sim/watchers.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace cairn::sim {
namespace {

constexpr SteadyTime kAskEvery = milliseconds(100);
constexpr uint64_t kWatchers = 3;
constexpr uint64_t kMovesOneIn = 8;
// Small, so that reads end in the middle of what is there.
constexpr size_t kReadBytes[] = {1, 2'000, 1 << 20};
constexpr const char* kRetained[] = {"counters", "registers", "items", "accounts"};
constexpr uint64_t kRetainsOneIn = 5;

bool IsOfRetained(const state_machine::Change& change) {
  const auto is = [&](const std::string& name) {
    return std::find(std::begin(kRetained), std::end(kRetained), name) != std::end(kRetained);
  };
  if (change.table != nullptr) return is(change.table->name);
  return is(change.schema.table) || is(change.schema.name) || is(change.schema.old_name);
}

std::string TextOf(const Value& value) {
  if (const auto* integer = std::get_if<int64_t>(&value)) return std::to_string(*integer);
  if (const auto* real = std::get_if<double>(&value)) return std::to_string(*real);
  if (const auto* text = std::get_if<std::string>(&value)) return "'" + *text + "'";
  if (const auto* blob = std::get_if<Blob>(&value)) return "x'" + blob->bytes + "'";
  return "NULL";
}

std::string TextOf(const state_machine::Change& change) {
  std::string text = std::to_string(static_cast<int>(change.kind));
  if (change.table != nullptr) text += " " + change.table->name;
  if (change.old_rowid.has_value()) text += " at " + std::to_string(*change.old_rowid);
  if (change.new_rowid.has_value()) text += " to " + std::to_string(*change.new_rowid);
  for (const Value& value : change.old_row) text += " -" + TextOf(value);
  for (const Value& value : change.new_row) text += " +" + TextOf(value);
  return text + " " + change.schema.name + " " + change.schema.sql + " " + change.schema.old_name;
}

}  // namespace

Watchers::Watchers(World* world, const Nodes* nodes, const Checker* checker)
    : world_(world), nodes_(nodes), checker_(checker), rng_(world->Fork("watchers")) {}

// Half of the seeds have watchers: nodes also run without.
void Watchers::Start() {
  if (rng_.Below(2) == 0) return;
  watchers_.resize(kWatchers);
  retains_ = rng_.Below(2) == 0;
  for (uint64_t i = 0; retains_ && i < kWatchers; ++i) {
    watchers_.emplace_back().of_retained = true;
  }
  ScheduleNext();
}

void Watchers::ScheduleNext() {
  world_->After(Exponential(rng_, kAskEvery), Label(Kind::kCheck, 0), [this] {
    if (stopped_) return;
    if (retains_ && rng_.Below(kRetainsOneIn) == 0) Retain();
    Ask(&watchers_[rng_.Below(watchers_.size())]);
    ScheduleNext();
  });
}

// Sets the retention of a table, for the least age or a longer one. Now and then it ends.
void Watchers::Retain() {
  auto node = nodes_->begin();
  std::advance(node, static_cast<int64_t>(rng_.Below(nodes_->size())));
  Process* const process = node->second->process();
  if (process == nullptr || process->dead()) return;
  state_machine::Command command;
  const uint64_t age_ms = rng_.Below(40) == 0 ? 0 : (1 + rng_.Below(3)) * 60'000;
  const char* const table = kRetained[retains_asked_++ % std::size(kRetained)];
  command.operation = state_machine::RetainChanges{table, age_ms, 1 << 20};
  process->Propose(command, seconds(5), [](const Result<state_machine::CommandResult>&) {});
}

// A node with a wrong build, or with rotten rows, may tell wrong changes as long as it runs.
bool Watchers::MayLie(uint64_t node) {
  const std::pair<uint64_t, uint64_t> process{node, nodes_->at(node)->starts()};
  if (checker_->mistaken().contains(node) || checker_->rotten_rows().contains(node)) {
    liars_.insert(process);
  }
  return liars_.contains(process);
}

Process* Watchers::Attend(Watcher* watcher) {
  for (const auto& [id, node] : *nodes_) MayLie(id);
  const auto here = nodes_->find(watcher->node);
  const bool ended =
      here == nodes_->end() || !here->second->running() || here->second->starts() != watcher->start;
  if (ended || rng_.Below(kMovesOneIn) == 0) {
    auto node = nodes_->begin();
    std::advance(node, static_cast<int64_t>(rng_.Below(nodes_->size())));
    watcher->node = node->first;
    watcher->start = node->second->starts();
    watcher->member.reset();
    watcher->resumes = watcher->has_position;
    watcher->joins = !watcher->of_retained || rng_.Below(2) == 0;
    watcher->cursor = {};
    watcher->open.reset();
  }
  Process* const process = nodes_->at(watcher->node)->process();
  if (process == nullptr || process->dead() || MayLie(watcher->node)) return nullptr;
  return process->state().changes() == nullptr ? nullptr : process;
}

void Watchers::Ask(Watcher* watcher) {
  Process* const process = Attend(watcher);
  if (process == nullptr) return;
  const std::shared_ptr<state_machine::ChangeRing> ring = process->state().changes();
  if (watcher->member == nullptr && watcher->joins) watcher->member = ring->Join();
  if (watcher->of_retained) {
    if (watcher->has_position && TakeFromRing(watcher, *ring)) return;
    return AskForRetained(watcher, process);
  }
  const auto oldest = ring->oldest();
  if (!oldest.has_value()) return;
  if (!watcher->has_position) {
    watcher->position = *oldest;
    watcher->has_position = true;
  }
  const Position before = watcher->position;
  if (TakeFromRing(watcher, *ring)) {
    if (watcher->resumes && watcher->position > before) ++counts_.resumed;
    watcher->resumes = watcher->resumes && watcher->position == before;
    return;
  }
  if (*oldest <= watcher->position) Fail(*watcher, "refused by the ring");
  ++counts_.lost;
  watcher->position = *oldest;
}

bool Watchers::TakeFromRing(Watcher* watcher, const state_machine::ChangeRing& ring) {
  const auto oldest = ring.oldest();
  if (!watcher->joins || !oldest || watcher->position < *oldest) return false;
  const auto read = ring.After(watcher->position, kReadBytes[rng_.Below(std::size(kReadBytes))]);
  if (!read.ok()) return false;
  std::vector<const state_machine::Change*> changes;
  for (const auto& command : read->commands) {
    bool passed = false;
    for (const state_machine::Change& change : command->changes) {
      const bool end = change.kind == state_machine::ChangeKind::kCommandEnd;
      const bool passes = !watcher->of_retained || (end ? passed : IsOfRetained(change));
      passed = passed || passes;
      if (passes && change.position > watcher->position) changes.push_back(&change);
    }
  }
  watcher->cursor = {};
  watcher->open.reset();
  Take(watcher, changes, read->through);
  return true;
}

void Watchers::AskForRetained(Watcher* watcher, Process* process) {
  const auto view = process->state().OpenReadView(SteadyTime(0));
  if (!view.ok()) return;
  const size_t bytes = kReadBytes[rng_.Below(std::size(kReadBytes))];
  const std::vector<std::string> tables(std::begin(kRetained), std::end(kRetained));
  const auto page =
      (*view)->Retained({tables, watcher->position, watcher->cursor, watcher->open, bytes});
  if (!page.ok() || !page->retained) return;
  if (!watcher->has_position || watcher->position < page->oldest) {
    if (watcher->has_position) ++counts_.lost;
    watcher->has_position = true;
    watcher->position = page->oldest;
    watcher->cursor = {};
    watcher->open.reset();
    return;
  }
  std::vector<const state_machine::Change*> changes;
  for (const auto& command : page->commands) {
    for (const state_machine::Change& change : command->changes) {
      if (change.position > watcher->position) changes.push_back(&change);
    }
  }
  counts_.retained += changes.size();
  if (watcher->resumes) counts_.retained_far += changes.size();
  watcher->cursor = page->cursor;
  watcher->open = page->open;
  Take(watcher, changes, page->through);
}

bool Watchers::IsSeen(const Heard& heard, Position position) {
  const auto stretch = heard.seen.lower_bound(position);
  return stretch != heard.seen.end() && stretch->second < position;
}

void Watchers::Take(Watcher* watcher, const std::vector<const state_machine::Change*>& changes,
                    Position through) {
  Heard& heard = watcher->of_retained ? heard_retained_ : heard_;
  auto expected = heard.told.upper_bound(watcher->position);
  Position last = watcher->position;
  for (const state_machine::Change* const change : changes) {
    const Position position = change->position;
    if (position <= last) return Fail(*watcher, "told twice: " + ToString(position));
    last = position;
    if (expected != heard.told.end() && expected->first < position) {
      return Fail(*watcher, "not told: " + ToString(expected->first));
    }
    const std::string text = TextOf(*change);
    if (expected != heard.told.end() && expected->first == position) {
      if (expected->second != text) {
        return Fail(*watcher,
                    "told '" + text + "' and '" + expected->second + "' at " + ToString(position));
      }
      ++expected;
    } else {
      if (IsSeen(heard, position)) {
        return Fail(*watcher, "told only once: " + ToString(position));
      }
      heard.told.emplace_hint(expected, position, text);
    }
    ++counts_.told;
  }
  if (last > through) return Fail(*watcher, "told beyond " + ToString(through));
  if (expected != heard.told.end() && expected->first <= through) {
    return Fail(*watcher, "not told: " + ToString(expected->first));
  }
  if (through > watcher->position) {
    Position& begin = heard.seen.try_emplace(through, watcher->position).first->second;
    begin = std::min(begin, watcher->position);
  }
  watcher->position = through;
}

void Watchers::Fail(const Watcher& watcher, const std::string& what) {
  world_->Fail("a watcher of node " + std::to_string(watcher.node) + " after " +
               ToString(watcher.position) + ": " + what);
}

}  // namespace cairn::sim
