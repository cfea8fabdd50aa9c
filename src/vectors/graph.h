// Graph: finds vectors that are near to one, among many, without looking at all (HNSW: Malkov and
// Yashunin, 2016).
//
// A node holds one vector, and the rowid that it belongs to. Links lead from each node to near ones,
// and from a few nodes, on higher levels, to near ones among those few. A search goes from the highest
// level down, always towards the vector that it looks for. It finds most of the nearest vectors; a
// wider search finds more of them.
//
// One thread writes. Any threads search meanwhile and wait for nobody: links are atomic numbers, a
// node is complete before a link leads to it, and the place of a node that is gone is used again only
// when each search that may still look at it has ended.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

namespace cairn::vectors {

class Graph {
 public:
  using Slot = uint32_t;
  // The bounds on the links of a node: on level 0, and on each other level.
  static constexpr size_t kLinksOfLevel0 = 32;
  static constexpr size_t kLinksOfOthers = 16;
  static constexpr int kLevelMax = 12;

  // A vector that a search has found, and the square of its distance.
  struct Found {
    float squares = 0;
    int64_t rowid = 0;
  };
  // A node as a file keeps it: without its vector. The links are those of level 0, then of level 1 and
  // so on, as places in the list of all nodes.
  struct Kept {
    int64_t rowid = 0;
    uint32_t mark = 0;
    std::vector<std::vector<uint32_t>> links;
  };

  // `dimensions`: of the padded vectors (graph_distance.h).
  explicit Graph(size_t dimensions);
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  // ---- The writer.
  //
  // The graph follows the rows of a table. The writer tells all rows in a round: BeginRound, Take for
  // each row, EndRound, and LinkNext until nothing is left. Or it tells the rows that have changed: Take
  // or Remove, and LinkNext. A row is found by searches once it is linked.
  void BeginRound() { ++round_; }
  // True if the graph holds the row with this mark. A mark tells vectors of a row apart.
  bool Holds(int64_t rowid, uint32_t mark);
  // False: what Keep gives is as before, because the row had come back without its vector.
  bool Take(int64_t rowid, uint32_t mark, std::span<const float> vector);
  // False: there is no such row.
  bool Remove(int64_t rowid);
  // Removes the rows that were not told since BeginRound, and returns how many they were.
  size_t EndRound();
  // Links one row that was taken. False: there is none.
  bool LinkNext();
  size_t unlinked() const { return waiting_.size(); }
  // Gives back the places of nodes that are gone, if they are so many that it is worth a walk through
  // all nodes. Called now and then.
  void MendIfWorn();

  // Rows that are held. Nodes that are gone, and still in the way.
  size_t size() const { return slot_of_.size(); }
  size_t worn() const { return gone_.size(); }
  // Rows that Restore has brought back, and that have no vector yet. Keep would leave them out.
  size_t hollow() const { return hollow_; }
  // As a new graph: Restore may follow.
  bool IsEmpty() const { return slot_of_.empty() && waiting_.empty() && gone_.empty(); }
  size_t bytes() const { return bytes_; }
  static size_t BytesOfRow(size_t dimensions);

  // All nodes that are linked.
  std::vector<Kept> Keep();
  // Takes over what Keep has given. The nodes have no vectors: a round follows, which gives them to all
  // nodes whose rows still have the same mark. Only for an empty graph. False: the links are not
  // possible ones. The graph is then of no use.
  bool Restore(std::span<const Kept> nodes);

  // ---- Any thread.
  //
  // The `count` rows whose vectors are nearest, nearest first, of those that a search of `width` (at
  // least `count`) finds; without the rows of `skip`, which is in order.
  std::vector<Found> Search(std::span<const float> query, size_t count, size_t width,
                            std::span<const int64_t> skip) const;

 private:
  enum class State : uint8_t {
    kFree,
    kWaiting,  // has a vector, and no links
    kLive,
    kHollow,  // has links, and no vector yet
    kGone,    // is passed through, and not found
    kHollowGone,
  };
  using Link = std::atomic<uint32_t>;
  struct Node {
    int64_t rowid = 0;
    uint32_t mark = 0;
    uint32_t round = 0;
    int level = 0;
    std::atomic<State> state{State::kFree};
    std::unique_ptr<Link[]> upper;  // of level 1, of level 2, ...; each with a count before it
  };
  struct alignas(64) Line {
    float floats[16];
  };
  struct Chunk {
    std::unique_ptr<Line[]> vectors;
    std::unique_ptr<Link[]> links;  // of level 0, each with a count before it
    std::unique_ptr<Node[]> nodes;
    size_t used = 0;
  };
  struct Near {
    float squares = 0;
    Slot slot = 0;
    bool operator<(const Near& other) const {
      return squares != other.squares ? squares < other.squares : slot < other.slot;
    }
    bool operator>(const Near& other) const { return other < *this; }
  };
  struct Beam;

  static constexpr Slot kNone = UINT32_MAX;
  static constexpr size_t kChunksMax = 1 << 16;

  Chunk& ChunkOf(Slot slot) const { return *chunks_[slot >> chunk_shift_]; }
  size_t PlaceOf(Slot slot) const { return slot & ((size_t{1} << chunk_shift_) - 1); }
  Node& NodeOf(Slot slot) const { return ChunkOf(slot).nodes[PlaceOf(slot)]; }
  float* VectorOf(Slot slot) const {
    return ChunkOf(slot).vectors[PlaceOf(slot) * (dimensions_ / 16)].floats;
  }
  Link* LinksOf(Slot slot, int level) const;
  static size_t LinksMax(int level) { return level == 0 ? kLinksOfLevel0 : kLinksOfOthers; }
  State StateOf(Slot slot) const { return NodeOf(slot).state.load(std::memory_order_relaxed); }
  static bool HasVector(State state) { return state == State::kLive || state == State::kGone; }

  Slot NewSlot();
  void FreeSlot(Slot slot);
  void SetNode(Slot slot, int64_t rowid, uint32_t mark, int level);
  void MarkGone(Slot slot);

  // ---- Searching.
  // Goes down from the entry to `level`, where the beam then begins. False: the graph is empty.
  bool Descend(const float* query, int level, Beam* beam) const;
  void SearchLevel(const float* query, int level, Beam* beam) const;
  void Look(const float* query, Slot slot, Beam* beam) const;
  bool IsFound(Slot slot, const Beam& beam) const;

  // ---- Linking.
  void LinkNode(Slot slot);
  void AddLink(Slot from, int level, const Near& to);
  // Of the nodes, which are in order, those that lead into different directions. Above level 0 the
  // nearest and the farthest of the others fill the places: where vectors lie in clusters, such links
  // lead from one cluster to another.
  std::vector<Near> ChooseLinks(const std::vector<Near>& near, int level, size_t count) const;
  void StoreLinks(Slot slot, int level, const std::vector<Near>& near);
  void Mend();
  // False: the node has no link on the level any more.
  bool MendNode(Slot slot, int level);
  void FreeRetired();
  void ChooseEntry();

  const size_t dimensions_;
  size_t chunk_shift_ = 0;
  std::unique_ptr<std::unique_ptr<Chunk>[]> chunks_;
  std::atomic<Slot> entry_{kNone};

  // The writer's.
  size_t slots_ = 0;  // of all chunks
  std::unordered_map<int64_t, Slot> slot_of_;
  std::vector<Slot> free_;
  std::vector<Slot> gone_;     // links may lead to them
  std::vector<Slot> retired_;  // no link leads to them, but a search may look at them
  std::vector<Slot> waiting_;
  uint32_t round_ = 0;
  size_t hollow_ = 0;
  size_t bytes_ = 0;

  // Searches that run, by the phase in which they began. When the writer has changed the phase and the
  // earlier one has no search left, no search is as old as the change.
  mutable std::atomic<uint32_t> phase_{0};
  mutable std::atomic<uint32_t> searching_[2] = {};
  bool phase_changed_ = false;  // since the slots were retired
};

}  // namespace cairn::vectors
