#include "vectors/graph.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/splitmix.h"

namespace cairn::vectors {
namespace {

constexpr size_t kChunkBytes = 1 << 20;
constexpr size_t kRowsOfChunkMin = 16;
constexpr size_t kRowsOfChunkMax = 1024;
constexpr size_t kFloatsOfLine = 16;
// What a row takes in a map from rowids to slots.
constexpr size_t kBytesOfMapEntry = 48;

// Of each 16 nodes of a level one is also on the next.
int LevelOf(int64_t rowid) {
  uint64_t bits = SplitMix64(static_cast<uint64_t>(rowid));
  int level = 0;
  for (; level < Graph::kLevelMax && (bits & 15) == 0; bits >>= 4) ++level;
  return level;
}

}  // namespace

Graph::Graph(size_t dimensions)
    : dimensions_(dimensions), chunks_(new std::unique_ptr<Chunk>[kChunksMax]) {
  CHECK(dimensions > 0 && dimensions % kFloatsOfLine == 0);
  const size_t rows = std::clamp(std::bit_floor(kChunkBytes / (dimensions * sizeof(float)) + 1),
                                 kRowsOfChunkMin, kRowsOfChunkMax);
  chunk_shift_ = static_cast<size_t>(std::countr_zero(rows));
  bytes_ = kChunksMax * sizeof(chunks_[0]);
}

Graph::~Graph() = default;

size_t Graph::BytesOfRow(size_t dimensions) {
  return dimensions * sizeof(float) + sizeof(Node) + (kLinksOfLevel0 + 1) * sizeof(Link) +
         (kLinksOfOthers + 1) * sizeof(Link) / 15 + kBytesOfMapEntry;
}

Graph::Link* Graph::LinksOf(Slot slot, int level) const {
  if (level == 0) return &ChunkOf(slot).links[PlaceOf(slot) * (kLinksOfLevel0 + 1)];
  return &NodeOf(slot).upper[static_cast<size_t>(level - 1) * (kLinksOfOthers + 1)];
}

// ---- Slots --------------------------------------------------------------------------------------

Graph::Slot Graph::NewSlot() {
  if (free_.empty()) FreeRetired();
  if (free_.empty()) {
    const size_t rows = size_t{1} << chunk_shift_;
    size_t number = 0;
    while (number < kChunksMax && chunks_[number] != nullptr) ++number;
    CHECK(number < kChunksMax) << "a graph of too many vectors";
    auto chunk = std::make_unique<Chunk>();
    chunk->vectors = std::make_unique<Line[]>(rows * (dimensions_ / kFloatsOfLine));
    chunk->links = std::make_unique<Link[]>(rows * (kLinksOfLevel0 + 1));
    chunk->nodes = std::make_unique<Node[]>(rows);
    chunks_[number] = std::move(chunk);
    slots_ = std::max(slots_, (number + 1) << chunk_shift_);
    bytes_ += rows * BytesOfRow(dimensions_);
    for (size_t i = rows; i > 0; --i) {
      free_.push_back(static_cast<Slot>((number << chunk_shift_) + i - 1));
    }
  }
  const Slot slot = free_.back();
  free_.pop_back();
  ++ChunkOf(slot).used;
  return slot;
}

// No search may look at the slot any more.
void Graph::FreeSlot(Slot slot) {
  Node& node = NodeOf(slot);
  node.state.store(State::kFree, std::memory_order_relaxed);
  node.upper.reset();
  for (size_t i = 0; i <= kLinksOfLevel0; ++i) {
    LinksOf(slot, 0)[i].store(0, std::memory_order_relaxed);
  }
  free_.push_back(slot);
  Chunk& chunk = ChunkOf(slot);
  if (--chunk.used > 0) return;
  const size_t number = slot >> chunk_shift_;
  std::erase_if(free_, [&](Slot each) { return each >> chunk_shift_ == number; });
  chunks_[number].reset();
  bytes_ -= (size_t{1} << chunk_shift_) * BytesOfRow(dimensions_);
}

void Graph::SetNode(Slot slot, int64_t rowid, uint32_t mark, int level) {
  Node& node = NodeOf(slot);
  node.rowid = rowid;
  node.mark = mark;
  node.round = round_;
  node.level = level;
  if (level > 0) {
    node.upper = std::make_unique<Link[]>(static_cast<size_t>(level) * (kLinksOfOthers + 1));
  }
}

void Graph::MarkGone(Slot slot) {
  Node& node = NodeOf(slot);
  const State state = StateOf(slot);
  if (state == State::kWaiting) {
    std::erase(waiting_, slot);
    FreeSlot(slot);
    return;
  }
  if (state == State::kHollow) --hollow_;
  node.state.store(state == State::kHollow ? State::kHollowGone : State::kGone,
                   std::memory_order_relaxed);
  gone_.push_back(slot);
}

// ---- Rows ---------------------------------------------------------------------------------------

bool Graph::Holds(int64_t rowid, uint32_t mark) {
  const auto it = slot_of_.find(rowid);
  if (it == slot_of_.end()) return false;
  Node& node = NodeOf(it->second);
  if (node.mark != mark || StateOf(it->second) == State::kHollow) return false;
  node.round = round_;
  return true;
}

bool Graph::Take(int64_t rowid, uint32_t mark, std::span<const float> vector) {
  CHECK(vector.size() == dimensions_);
  const auto [it, is_new] = slot_of_.try_emplace(rowid, kNone);
  if (!is_new) {
    Node& node = NodeOf(it->second);
    if (StateOf(it->second) == State::kHollow && node.mark == mark) {
      std::memcpy(VectorOf(it->second), vector.data(), vector.size_bytes());
      node.round = round_;
      node.state.store(State::kLive, std::memory_order_release);
      --hollow_;
      return false;
    }
    MarkGone(it->second);
  }
  const Slot slot = NewSlot();
  it->second = slot;
  SetNode(slot, rowid, mark, LevelOf(rowid));
  std::memcpy(VectorOf(slot), vector.data(), vector.size_bytes());
  NodeOf(slot).state.store(State::kWaiting, std::memory_order_relaxed);
  waiting_.push_back(slot);
  return true;
}

bool Graph::Remove(int64_t rowid) {
  const auto it = slot_of_.find(rowid);
  if (it == slot_of_.end()) return false;
  MarkGone(it->second);
  slot_of_.erase(it);
  return true;
}

size_t Graph::EndRound() {
  const size_t before = slot_of_.size();
  bool hollow = false;
  for (auto it = slot_of_.begin(); it != slot_of_.end();) {
    const Slot slot = it->second;
    if (NodeOf(slot).round == round_ && StateOf(slot) != State::kHollow) {
      ++it;
      continue;
    }
    hollow = hollow || StateOf(slot) == State::kHollow;
    MarkGone(slot);
    it = slot_of_.erase(it);
  }
  // Searches cannot pass through a node without a vector.
  if (hollow || std::any_of(gone_.begin(), gone_.end(),
                            [this](Slot slot) { return StateOf(slot) == State::kHollowGone; })) {
    Mend();
  }
  return before - slot_of_.size();
}

bool Graph::LinkNext() {
  if (waiting_.empty()) return false;
  const Slot slot = waiting_.back();
  waiting_.pop_back();
  LinkNode(slot);
  return true;
}

// ---- Keeping ------------------------------------------------------------------------------------

std::vector<Graph::Kept> Graph::Keep() {
  if (!gone_.empty()) Mend();
  std::vector<uint32_t> place_of(slots_, kNone);
  std::vector<Slot> slots;
  // The entry comes first, so that Restore finds it.
  const Slot entry = entry_.load(std::memory_order_relaxed);
  const auto add = [&](Slot slot) {
    if (chunks_[slot >> chunk_shift_] == nullptr || StateOf(slot) != State::kLive) return;
    if (place_of[slot] != kNone) return;
    place_of[slot] = static_cast<uint32_t>(slots.size());
    slots.push_back(slot);
  };
  if (entry != kNone) add(entry);
  for (size_t slot = 0; slot < slots_; ++slot) add(static_cast<Slot>(slot));
  std::vector<Kept> nodes;
  nodes.reserve(slots.size());
  for (const Slot slot : slots) {
    const Node& node = NodeOf(slot);
    Kept kept{node.rowid, node.mark, {}};
    for (int level = 0; level <= node.level; ++level) {
      std::vector<uint32_t>& links = kept.links.emplace_back();
      const Link* const from = LinksOf(slot, level);
      for (uint32_t i = 1; i <= from[0]; ++i) {
        if (place_of[from[i]] != kNone) links.push_back(place_of[from[i]]);
      }
    }
    nodes.push_back(std::move(kept));
  }
  return nodes;
}

bool Graph::Restore(std::span<const Kept> nodes) {
  CHECK(IsEmpty());
  std::vector<Slot> slots;
  for (const Kept& kept : nodes) {
    const Slot slot = NewSlot();
    slots.push_back(slot);
    if (kept.links.empty() || kept.links.size() > kLevelMax + 1) return false;
    if (!slot_of_.emplace(kept.rowid, slot).second) return false;
    SetNode(slot, kept.rowid, kept.mark, static_cast<int>(kept.links.size()) - 1);
    NodeOf(slot).state.store(State::kHollow, std::memory_order_relaxed);
    ++hollow_;
  }
  for (size_t i = 0; i < nodes.size(); ++i) {
    for (size_t level = 0; level < nodes[i].links.size(); ++level) {
      const std::vector<uint32_t>& links = nodes[i].links[level];
      if (links.size() > LinksMax(static_cast<int>(level))) return false;
      Link* const to = LinksOf(slots[i], static_cast<int>(level));
      for (const uint32_t place : links) {
        if (place >= nodes.size() || nodes[place].links.size() <= level) return false;
        const uint32_t number = to[0] + 1;
        to[number] = slots[place];
        to[0] = number;
      }
    }
  }
  if (!nodes.empty()) entry_.store(slots[0], std::memory_order_release);
  return true;
}

}  // namespace cairn::vectors
