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
  return text + " " + change.schema.name + " " + change.schema.sql;
}

}  // namespace

Watchers::Watchers(World* world, const Nodes* nodes, const Checker* checker)
    : world_(world), nodes_(nodes), checker_(checker), rng_(world->Fork("watchers")) {}

// Half of the seeds have watchers: nodes also run without.
void Watchers::Start() {
  if (rng_.Below(2) == 0) return;
  watchers_.resize(kWatchers);
  ScheduleNext();
}

void Watchers::ScheduleNext() {
  world_->After(Exponential(rng_, kAskEvery), Label(Kind::kCheck, 0), [this] {
    if (stopped_) return;
    Ask(&watchers_[rng_.Below(watchers_.size())]);
    ScheduleNext();
  });
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
  }
  Process* const process = nodes_->at(watcher->node)->process();
  if (process == nullptr || process->dead() || MayLie(watcher->node)) return nullptr;
  return process->state().changes() == nullptr ? nullptr : process;
}

void Watchers::Ask(Watcher* watcher) {
  Process* const process = Attend(watcher);
  if (process == nullptr) return;
  const std::shared_ptr<state_machine::ChangeRing> ring = process->state().changes();
  if (watcher->member == nullptr) watcher->member = ring->Join();
  const auto oldest = ring->oldest();
  if (!oldest.has_value()) return;
  if (!watcher->has_position) {
    watcher->position = *oldest;
    watcher->has_position = true;
  }
  const auto read = ring->After(watcher->position, kReadBytes[rng_.Below(std::size(kReadBytes))]);
  if (!read.ok()) {
    if (*oldest <= watcher->position) Fail(*watcher, "refused: " + read.status().ToString());
    ++counts_.lost;
    watcher->position = *oldest;
    return;
  }
  if (watcher->resumes && !read->commands.empty()) ++counts_.resumed;
  watcher->resumes = watcher->resumes && read->commands.empty();
  Take(watcher, *read);
}

bool Watchers::IsSeen(Position position) const {
  const auto stretch = seen_.lower_bound(position);
  return stretch != seen_.end() && stretch->second < position;
}

void Watchers::Take(Watcher* watcher, const state_machine::ChangeRing::Read& read) {
  auto expected = told_.upper_bound(watcher->position);
  Position last = watcher->position;
  for (const auto& command : read.commands) {
    for (const state_machine::Change& change : command->changes) {
      const Position position = change.position;
      if (position <= watcher->position) continue;
      if (position <= last) return Fail(*watcher, "told twice: " + ToString(position));
      last = position;
      if (expected != told_.end() && expected->first < position) {
        return Fail(*watcher, "not told: " + ToString(expected->first));
      }
      const std::string text = TextOf(change);
      if (expected != told_.end() && expected->first == position) {
        if (expected->second != text) {
          return Fail(*watcher, "told '" + text + "' and '" + expected->second + "' at " +
                                    ToString(position));
        }
        ++expected;
      } else {
        if (IsSeen(position)) return Fail(*watcher, "told only once: " + ToString(position));
        told_.emplace_hint(expected, position, text);
      }
      ++counts_.told;
    }
  }
  if (expected != told_.end() && expected->first <= read.through) {
    return Fail(*watcher, "not told: " + ToString(expected->first));
  }
  // The last command may have been read beyond `through` by nobody: the stretch ends there.
  if (read.through > watcher->position) {
    Position& begin = seen_.try_emplace(read.through, watcher->position).first->second;
    begin = std::min(begin, watcher->position);
  }
  watcher->position = read.through;
}

void Watchers::Fail(const Watcher& watcher, const std::string& what) {
  world_->Fail("a watcher of node " + std::to_string(watcher.node) + " after " +
               ToString(watcher.position) + ": " + what);
}

}  // namespace cairn::sim
