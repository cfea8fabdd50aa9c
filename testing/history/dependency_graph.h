// The dependency graph: which transaction must come before which, the graph's knots (strongly
// connected components) and its cycles. Internal to this folder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cairn::history {

// The values are bits, so that a mask is a set of kinds.
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

  // Adds an edge. Drops an edge from a node to itself.
  void Add(Edge edge);

  // Returns the strongly connected components with more than one node, by edges of `kinds` (Tarjan
  // 1972).
  std::vector<std::vector<uint32_t>> Knots(uint8_t kinds) const;

  // Returns the shortest cycle within `knot` that begins with one edge of kind `lead` and continues
  // with edges of kinds `rest`; empty if there is none.
  std::vector<Edge> ShortestCycle(const std::vector<uint32_t>& knot, EdgeKind lead,
                                  uint8_t rest) const;

 private:
  // Returns a path of edges of `kinds` from `from` to `to` within the knot; empty if there is no
  // path.
  std::vector<uint32_t> Path(uint32_t from, uint32_t to, uint8_t kinds,
                             const std::vector<bool>& in_knot) const;

  std::vector<Edge> edges_;
  std::vector<std::vector<uint32_t>> out_;  // indexes into edges_, by node
};

}  // namespace cairn::history
