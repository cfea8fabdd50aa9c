#include "testing/history/dependency_graph.h"

#include <algorithm>
#include <deque>
#include <utility>

namespace cairn::history {
namespace {

constexpr uint32_t kNone = UINT32_MAX;
// In a component of thousands of nodes the first cycles are as good as the shortest.
constexpr size_t kLeadsMax = 2000;

}  // namespace

const char* EdgeName(EdgeKind kind) {
  switch (kind) {
    case kWw: return "ww";
    case kWr: return "wr";
    case kRw: return "rw";
    case kRt: return "rt";
  }
  return "";
}

void DependencyGraph::Add(Edge edge) {
  if (edge.from == edge.to) return;
  out_[edge.from].push_back(static_cast<uint32_t>(edges_.size()));
  edges_.push_back(std::move(edge));
}

std::vector<std::vector<uint32_t>> DependencyGraph::Knots(uint8_t kinds) const {
  struct Visit {
    uint32_t node;
    size_t next_edge;
  };
  std::vector<std::vector<uint32_t>> knots;
  std::vector<uint32_t> number(out_.size(), kNone);
  std::vector<uint32_t> low(out_.size(), 0);
  std::vector<bool> on_path(out_.size(), false);
  std::vector<uint32_t> path;
  std::vector<Visit> visits;  // instead of recursion, which could be as deep as the history
  uint32_t numbered = 0;
  const auto enter = [&](uint32_t node) {
    number[node] = low[node] = numbered++;
    on_path[node] = true;
    path.push_back(node);
    visits.push_back({node, 0});
  };
  const auto leave = [&](uint32_t node) {
    visits.pop_back();
    if (!visits.empty()) low[visits.back().node] = std::min(low[visits.back().node], low[node]);
    if (low[node] != number[node]) return;
    std::vector<uint32_t> knot;
    do {
      knot.push_back(path.back());
      on_path[path.back()] = false;
      path.pop_back();
    } while (knot.back() != node);
    if (knot.size() > 1) knots.push_back(std::move(knot));
  };
  for (uint32_t root = 0; root < out_.size(); ++root) {
    if (number[root] != kNone) continue;
    enter(root);
    while (!visits.empty()) {
      const uint32_t node = visits.back().node;
      if (visits.back().next_edge == out_[node].size()) {
        leave(node);
        continue;
      }
      const Edge& edge = edges_[out_[node][visits.back().next_edge++]];
      if ((edge.kind & kinds) == 0) continue;
      if (number[edge.to] == kNone) {
        enter(edge.to);
      } else if (on_path[edge.to]) {
        low[node] = std::min(low[node], number[edge.to]);
      }
    }
  }
  return knots;
}

std::vector<uint32_t> DependencyGraph::Path(uint32_t from, uint32_t to, uint8_t kinds,
                                            const std::vector<bool>& in_knot) const {
  std::vector<uint32_t> came_by(out_.size(), kNone);
  std::vector<bool> reached(out_.size(), false);
  std::deque<uint32_t> queue = {from};
  reached[from] = true;
  while (!queue.empty() && !reached[to]) {
    const uint32_t node = queue.front();
    queue.pop_front();
    for (uint32_t index : out_[node]) {
      const Edge& edge = edges_[index];
      if ((edge.kind & kinds) == 0 || reached[edge.to] || !in_knot[edge.to]) continue;
      reached[edge.to] = true;
      came_by[edge.to] = index;
      queue.push_back(edge.to);
    }
  }
  std::vector<uint32_t> path;
  if (!reached[to]) return path;
  for (uint32_t node = to; node != from; node = edges_[came_by[node]].from) {
    path.push_back(came_by[node]);
  }
  std::reverse(path.begin(), path.end());
  return path;
}

std::vector<Edge> DependencyGraph::ShortestCycle(const std::vector<uint32_t>& knot, EdgeKind lead,
                                                 uint8_t rest) const {
  std::vector<bool> in_knot(out_.size(), false);
  for (uint32_t node : knot) in_knot[node] = true;
  std::vector<Edge> shortest;
  size_t leads = 0;
  for (uint32_t node : knot) {
    for (uint32_t index : out_[node]) {
      const Edge& first = edges_[index];
      if (first.kind != lead || !in_knot[first.to]) continue;
      if (++leads > kLeadsMax || shortest.size() == 2) return shortest;
      const std::vector<uint32_t> back = Path(first.to, first.from, rest, in_knot);
      if (back.empty() || (!shortest.empty() && back.size() + 1 >= shortest.size())) continue;
      shortest = {first};
      for (uint32_t each : back) shortest.push_back(edges_[each]);
    }
  }
  return shortest;
}

}  // namespace cairn::history
