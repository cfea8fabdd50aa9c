// The graph of who must come before whom, its knots and its cycles. Inner to this folder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cairn::history {

// Bits, so that a set of them is a mask.
enum EdgeKind : uint8_t { kWw = 1, kWr = 2, kRw = 4, kRt = 8 };
const char* EdgeName(EdgeKind kind);

struct Edge {
  uint32_t from = 0;
  uint32_t to = 0;
  EdgeKind kind = kWw;
  std::string why;  // "key 5: 3 comes right after 2"
};

class DependencyGraph {
 public:
  explicit DependencyGraph(size_t nodes) : out_(nodes) {}

  // An edge to itself is dropped.
  void Add(Edge edge);

  // The strongly connected components of more than one node, by edges of `kinds` (Tarjan 1972).
  std::vector<std::vector<uint32_t>> Knots(uint8_t kinds) const;

  // The shortest cycle within `knot` of one edge of kind `lead`, which it begins with, and then
  // edges of `rest`; empty if there is none.
  std::vector<Edge> ShortestCycle(const std::vector<uint32_t>& knot, EdgeKind lead,
                                  uint8_t rest) const;

 private:
  // Edges from `from` to `to` of `kinds`, within the knot; empty if there is no path.
  std::vector<uint32_t> Path(uint32_t from, uint32_t to, uint8_t kinds,
                             const std::vector<bool>& in_knot) const;

  std::vector<Edge> edges_;
  std::vector<std::vector<uint32_t>> out_;  // into edges_, by node
};

}  // namespace cairn::history
