// Graph: how its nodes are searched, linked, and unlinked.

#include <algorithm>
#include <functional>
#include <limits>
#include <utility>

#include "vectors/graph.h"
#include "vectors/graph_distance.h"

namespace cairn::vectors {
namespace {

// How wide the search is that finds what a new node is linked to. A wider one makes better links, and
// takes longer.
constexpr size_t kWidthOfLinking = 100;
// How wide it is on the levels above. With a narrower one a search stays among the wrong nodes where the
// vectors lie in clusters.
constexpr size_t kWidthOfDescent = 16;
// One node of so many may be gone before the others are mended.
constexpr size_t kNodesForOneGone = 5;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The slots that a search has looked at: an open hash table.
class VisitedSlots {
 public:
  VisitedSlots() { Clear(); }
  // False: the slot was there.
  bool Add(uint32_t slot) {
    if (count_ * 2 >= table_.size()) Grow();
    uint32_t* const place = Find(slot);
    if (*place == slot) return false;
    *place = slot;
    ++count_;
    return true;
  }
  void Clear() {
    table_.assign(kSizeMin, kEmpty);
    count_ = 0;
  }

 private:
  static constexpr uint32_t kEmpty = UINT32_MAX;
  static constexpr size_t kSizeMin = 4096;
  uint32_t* Find(uint32_t slot) {
    size_t at = (slot * 0x9e3779b1u) & (table_.size() - 1);
    while (table_[at] != kEmpty && table_[at] != slot) at = (at + 1) & (table_.size() - 1);
    return &table_[at];
  }
  void Grow() {
    std::vector<uint32_t> old(table_.size() * 2, kEmpty);
    old.swap(table_);
    for (const uint32_t slot : old) {
      if (slot != kEmpty) *Find(slot) = slot;
    }
  }

  std::vector<uint32_t> table_;
  size_t count_ = 0;
};

}  // namespace

// The best nodes so far, and those from which the search goes on.
struct Graph::Beam {
  explicit Beam(size_t width_of_beam) : width(width_of_beam) {}
  float bound() const { return best.size() < width ? kInfinity : best.front().squares; }
  // Leaves no other nodes in `best` from now on.
  template <class IsFound>
  void OnlyFound(IsFound is_found) {
    only_found = true;
    std::erase_if(best, [&](const Near& each) { return !is_found(each.slot); });
    std::make_heap(best.begin(), best.end());
  }
  // Begins the next level where the last one ended.
  void NextLevel() {
    visited.Clear();
    for (const Near& each : best) visited.Add(each.slot);
    open = best;
    std::make_heap(open.begin(), open.end(), std::greater<>());
  }

  size_t width;
  // `best` holds only what a search may find, and not every node that leads there.
  bool only_found = false;
  std::span<const int64_t> skip;
  std::vector<Near> best;  // a heap with the farthest first
  std::vector<Near> open;  // a heap with the nearest first
  VisitedSlots visited;
};

// ---- Searching ----------------------------------------------------------------------------------

bool Graph::Descend(const float* query, int level, Beam* beam) const {
  const Slot entry = entry_.load(std::memory_order_acquire);
  if (entry == kNone) return false;
  const size_t width = std::exchange(beam->width, kWidthOfDescent);
  beam->visited.Add(entry);
  Look(query, entry, beam);
  for (int at = NodeOf(entry).level; at > level; --at) {
    SearchLevel(query, at, beam);
    beam->NextLevel();
  }
  beam->width = width;
  return true;
}

bool Graph::IsFound(Slot slot, const Beam& beam) const {
  const Node& node = NodeOf(slot);
  return node.state.load(std::memory_order_relaxed) == State::kLive &&
         !std::binary_search(beam.skip.begin(), beam.skip.end(), node.rowid);
}

void Graph::Look(const float* query, Slot slot, Beam* beam) const {
  if (!HasVector(StateOf(slot))) return;
  const float bound = beam->bound();
  const float squares = SquaresUpTo(query, VectorOf(slot), dimensions_, bound);
  if (squares >= bound) return;
  beam->open.push_back({squares, slot});
  std::push_heap(beam->open.begin(), beam->open.end(), std::greater<>());
  if (beam->only_found && !IsFound(slot, *beam)) return;
  if (beam->best.size() == beam->width) {
    std::pop_heap(beam->best.begin(), beam->best.end());
    beam->best.pop_back();
  }
  beam->best.push_back({squares, slot});
  std::push_heap(beam->best.begin(), beam->best.end());
}

void Graph::SearchLevel(const float* query, int level, Beam* beam) const {
  std::vector<Slot> next;
  next.reserve(kLinksOfLevel0);
  while (!beam->open.empty()) {
    const Near from = beam->open.front();
    if (from.squares > beam->bound()) return;
    std::pop_heap(beam->open.begin(), beam->open.end(), std::greater<>());
    beam->open.pop_back();
    const Link* const links = LinksOf(from.slot, level);
    const uint32_t count = links[0].load(std::memory_order_acquire);
    next.clear();
    for (uint32_t i = 1; i <= count; ++i) {
      const Slot slot = links[i].load(std::memory_order_acquire);
      if (!beam->visited.Add(slot)) continue;
      next.push_back(slot);
      __builtin_prefetch(&NodeOf(slot));
      __builtin_prefetch(VectorOf(slot));
    }
    for (const Slot slot : next) Look(query, slot, beam);
  }
}

std::vector<Graph::Found> Graph::Search(std::span<const float> query, size_t count, size_t width,
                                        std::span<const int64_t> skip) const {
  // Tells the writer that a search looks at the nodes of this phase.
  uint32_t phase = phase_.load();
  for (;;) {
    searching_[phase].fetch_add(1);
    const uint32_t now = phase_.load();
    if (now == phase) break;
    searching_[phase].fetch_sub(1);
    phase = now;
  }
  std::vector<Found> found;
  Beam beam(std::max(width, kWidthOfDescent));
  beam.skip = skip;
  if (Descend(query.data(), 0, &beam)) {
    beam.OnlyFound([&](Slot slot) { return IsFound(slot, beam); });
    SearchLevel(query.data(), 0, &beam);
    std::sort_heap(beam.best.begin(), beam.best.end());
    if (beam.best.size() > count) beam.best.resize(count);
    for (const Near& each : beam.best) found.push_back({each.squares, NodeOf(each.slot).rowid});
  }
  searching_[phase].fetch_sub(1);
  return found;
}

// ---- Linking ------------------------------------------------------------------------------------

void Graph::LinkNode(Slot slot) {
  Node& node = NodeOf(slot);
  const float* const vector = VectorOf(slot);
  const Slot entry = entry_.load(std::memory_order_relaxed);
  if (entry == kNone) {
    node.state.store(State::kLive, std::memory_order_release);
    entry_.store(slot, std::memory_order_release);
    return;
  }
  const int top = NodeOf(entry).level;
  Beam beam(kWidthOfLinking);
  Descend(vector, node.level, &beam);
  std::vector<std::vector<Near>> chosen(static_cast<size_t>(node.level) + 1);
  for (int level = std::min(node.level, top); level >= 0; --level) {
    SearchLevel(vector, level, &beam);
    std::vector<Near> near = beam.best;
    std::sort_heap(near.begin(), near.end());
    std::erase_if(near, [&](const Near& each) {
      return each.slot == slot || StateOf(each.slot) != State::kLive;
    });
    chosen[static_cast<size_t>(level)] = ChooseLinks(near, level, kLinksOfOthers);
    if (level > 0) beam.NextLevel();
  }
  // Its own links come first: a search that finds the node goes on from it.
  for (int level = 0; level <= node.level; ++level) {
    StoreLinks(slot, level, chosen[static_cast<size_t>(level)]);
  }
  node.state.store(State::kLive, std::memory_order_release);
  for (int level = 0; level <= node.level; ++level) {
    for (const Near& each : chosen[static_cast<size_t>(level)]) {
      AddLink(each.slot, level, {each.squares, slot});
    }
  }
  if (node.level > top) entry_.store(slot, std::memory_order_release);
}

void Graph::AddLink(Slot from, int level, const Near& to) {
  Link* const links = LinksOf(from, level);
  const uint32_t count = links[0].load(std::memory_order_relaxed);
  for (uint32_t i = 1; i <= count; ++i) {
    if (links[i].load(std::memory_order_relaxed) == to.slot) return;
  }
  if (count < LinksMax(level)) {
    links[count + 1].store(to.slot, std::memory_order_release);
    links[0].store(count + 1, std::memory_order_release);
    return;
  }
  std::vector<Near> near = {to};
  for (uint32_t i = 1; i <= count; ++i) {
    const Slot slot = links[i].load(std::memory_order_relaxed);
    if (!HasVector(StateOf(slot))) continue;
    near.push_back({SquaresOf(VectorOf(from), VectorOf(slot), dimensions_), slot});
  }
  std::sort(near.begin(), near.end());
  StoreLinks(from, level, ChooseLinks(near, level, LinksMax(level)));
}

std::vector<Graph::Near> Graph::ChooseLinks(const std::vector<Near>& near, int level,
                                            size_t count) const {
  if (near.size() <= count / 2) return near;
  std::vector<Near> chosen;
  std::vector<Near> others;
  for (const Near& each : near) {
    if (chosen.size() == count) break;
    const auto leads_there = [&](const Near& other) {
      return SquaresUpTo(VectorOf(each.slot), VectorOf(other.slot), dimensions_, each.squares) <
             each.squares;
    };
    const bool is_new = std::none_of(chosen.begin(), chosen.end(), leads_there);
    (is_new ? chosen : others).push_back(each);
  }
  if (level == 0) return chosen;
  for (size_t i = 0; i < others.size() && chosen.size() < count; ++i) {
    chosen.push_back(i % 2 == 0 ? others[i / 2] : others[others.size() - 1 - i / 2]);
  }
  return chosen;
}

// A search may see some of the new links and some of the old ones. Each leads to a node.
void Graph::StoreLinks(Slot slot, int level, const std::vector<Near>& near) {
  Link* const links = LinksOf(slot, level);
  uint32_t number = 0;
  for (const Near& each : near) links[++number].store(each.slot, std::memory_order_release);
  links[0].store(number, std::memory_order_release);
}

// ---- Mending ------------------------------------------------------------------------------------

void Graph::MendIfWorn() {
  FreeRetired();
  if (gone_.size() * kNodesForOneGone > slot_of_.size() + gone_.size()) Mend();
}

void Graph::Mend() {
  std::vector<Slot> alone;
  for (const auto& [rowid, slot] : slot_of_) {
    if (StateOf(slot) != State::kLive) continue;
    for (int level = 0; level <= NodeOf(slot).level; ++level) {
      if (!MendNode(slot, level) && (alone.empty() || alone.back() != slot)) alone.push_back(slot);
    }
  }
  ChooseEntry();
  for (const Slot slot : alone) {
    if (slot != entry_.load(std::memory_order_relaxed)) LinkNode(slot);
  }
  // No link leads to these any more.
  retired_.insert(retired_.end(), gone_.begin(), gone_.end());
  gone_.clear();
  phase_changed_ = false;
  FreeRetired();
}

bool Graph::MendNode(Slot slot, int level) {
  const Link* const links = LinksOf(slot, level);
  const uint32_t count = links[0].load(std::memory_order_relaxed);
  std::vector<Slot> near_by;
  bool has_gone = false;
  for (uint32_t i = 1; i <= count; ++i) {
    const Slot to = links[i].load(std::memory_order_relaxed);
    if (StateOf(to) == State::kLive) {
      near_by.push_back(to);
      continue;
    }
    // The node beyond the one that is gone.
    has_gone = true;
    const Link* const beyond = LinksOf(to, level);
    for (uint32_t j = 1; j <= beyond[0].load(std::memory_order_relaxed); ++j) {
      const Slot next = beyond[j].load(std::memory_order_relaxed);
      if (next != slot && StateOf(next) == State::kLive) near_by.push_back(next);
    }
  }
  if (!has_gone) return true;
  std::sort(near_by.begin(), near_by.end());
  near_by.erase(std::unique(near_by.begin(), near_by.end()), near_by.end());
  std::vector<Near> near;
  near.reserve(near_by.size());
  for (const Slot each : near_by) {
    near.push_back({SquaresOf(VectorOf(slot), VectorOf(each), dimensions_), each});
  }
  std::sort(near.begin(), near.end());
  const std::vector<Near> chosen = ChooseLinks(near, level, LinksMax(level));
  StoreLinks(slot, level, chosen);
  return !chosen.empty();
}

void Graph::FreeRetired() {
  if (retired_.empty()) return;
  const uint32_t phase = phase_.load();
  if (!phase_changed_) {
    // Searches that still run in the other phase are older than the last change of it.
    if (searching_[1 - phase].load() > 0) return;
    phase_.store(1 - phase);
    phase_changed_ = true;
  }
  if (searching_[1 - phase_.load()].load() > 0) return;
  for (const Slot slot : std::exchange(retired_, {})) FreeSlot(slot);
}

void Graph::ChooseEntry() {
  Slot highest = kNone;
  for (const auto& [rowid, slot] : slot_of_) {
    if (StateOf(slot) != State::kLive) continue;
    if (highest == kNone || NodeOf(slot).level > NodeOf(highest).level) highest = slot;
  }
  const Slot entry = entry_.load(std::memory_order_relaxed);
  const bool is_live = entry != kNone && StateOf(entry) == State::kLive;
  if (!is_live || highest == kNone) entry_.store(highest, std::memory_order_release);
}

}  // namespace cairn::vectors
