#include "vectors/graph.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <thread>

#include "base/rng.h"
#include "vectors/graph_distance.h"
#include "vectors/graph_file.h"

namespace cairn::vectors {
namespace {

using Vector = std::vector<float>;

double Uniform(Rng* rng) { return static_cast<double>(rng->Below(1'000'000)) / 1e6; }

// A vector near one of `centers` places, or anywhere.
Vector AnyVector(Rng* rng, size_t dimensions, uint64_t centers) {
  Vector vector(PaddedDimensions(dimensions));
  Rng center(centers == 0 ? rng->Next() : 1000 + rng->Below(centers));
  for (size_t i = 0; i < dimensions; ++i) {
    const double at = Uniform(&center);
    vector[i] = static_cast<float>(centers == 0 ? at : at + Uniform(rng) / 100);
  }
  return vector;
}

// A graph, and the rows that it follows.
struct Followed {
  explicit Followed(size_t dimensions_of_rows)
      : dimensions(dimensions_of_rows), graph(PaddedDimensions(dimensions_of_rows)) {}
  void Put(int64_t rowid, Vector vector) {
    graph.Take(rowid, ++mark, vector);
    rows[rowid] = std::move(vector);
    marks[rowid] = mark;
  }
  void Remove(int64_t rowid) {
    graph.Remove(rowid);
    rows.erase(rowid);
  }
  void Link() {
    while (graph.LinkNext()) {
    }
    graph.MendIfWorn();
  }
  std::vector<int64_t> Nearest(const Vector& query, size_t k) const {
    std::vector<std::pair<float, int64_t>> all;
    for (const auto& [rowid, vector] : rows) {
      all.emplace_back(SquaresOf(query.data(), vector.data(), query.size()), rowid);
    }
    std::sort(all.begin(), all.end());
    std::vector<int64_t> rowids;
    for (size_t i = 0; i < std::min(k, all.size()); ++i) rowids.push_back(all[i].second);
    return rowids;
  }
  // The share of the nearest ten that searches find, for queries like the rows.
  double Recall(Rng* rng, uint64_t centers) const {
    size_t hits = 0;
    size_t all = 0;
    for (int i = 0; i < 100; ++i) {
      const Vector query = AnyVector(rng, dimensions, centers);
      const std::vector<int64_t> nearest = Nearest(query, 10);
      all += nearest.size();
      for (const Graph::Found& each : graph.Search(query, 10, 64, {})) {
        EXPECT_TRUE(rows.contains(each.rowid)) << "a row that is gone: " << each.rowid;
        hits += static_cast<size_t>(std::count(nearest.begin(), nearest.end(), each.rowid));
      }
    }
    return static_cast<double>(hits) / static_cast<double>(all);
  }

  const size_t dimensions;
  Graph graph;
  uint32_t mark = 0;
  std::map<int64_t, Vector> rows;
  std::map<int64_t, uint32_t> marks;
};

TEST(GraphDistance, IsThatOfDoubles) {
  Rng rng(1);
  for (size_t dimensions : {1, 3, 16, 17, 127, 128, 129, 784, 1000}) {
    const Vector a = AnyVector(&rng, dimensions, 0);
    const Vector b = AnyVector(&rng, dimensions, 0);
    double expected = 0;
    for (size_t i = 0; i < dimensions; ++i) {
      expected += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
    }
    EXPECT_NEAR(SquaresOf(a.data(), b.data(), a.size()), expected, expected * 1e-5);
    const auto bound = static_cast<float>(expected / 4);
    EXPECT_GT(SquaresUpTo(a.data(), b.data(), a.size(), bound), bound);
  }
}

std::optional<Vector> Converted(Metric metric, const std::vector<double>& elements) {
  const Result<std::string> blob = Encode(elements, Kind::kFloat64);
  EXPECT_TRUE(blob.ok());
  return ToGraphVector(metric, *ViewOf(*blob));
}

TEST(GraphDistance, HoldsVectorsThatFloatsCanTellApart) {
  EXPECT_EQ((*Converted(Metric::kCosine, {3e200, 4e200}))[0], 0.6f);
  EXPECT_EQ((*Converted(Metric::kCosine, {3e-200, -4e-200}))[1], -0.8f);
  EXPECT_TRUE(Converted(Metric::kCosine, {0, 0})->empty());
  EXPECT_EQ((*Converted(Metric::kL2, {3, 4})).size(), 16u);
  EXPECT_EQ((*Converted(Metric::kL2, {3, 4}))[1], 4.0f);
  EXPECT_EQ((*Converted(Metric::kL2, {0, 0}))[1], 0.0f);
  EXPECT_FALSE(Converted(Metric::kL2, {1e20, 0}).has_value());
  EXPECT_FALSE(Converted(Metric::kL2, {1e-20, 0}).has_value());
}

class GraphOf : public testing::TestWithParam<uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Centers, GraphOf, testing::Values(0, 3, 50));

TEST_P(GraphOf, FindsTheNearest) {
  Rng rng(2);
  for (size_t dimensions : {2, 24, 60}) {
    Followed followed(dimensions);
    for (int64_t i = 0; i < 3000; ++i)
      followed.Put(i - 1500, AnyVector(&rng, dimensions, GetParam()));
    followed.Link();
    EXPECT_EQ(followed.graph.size(), 3000u);
    EXPECT_GT(followed.Recall(&rng, GetParam()), 0.95) << dimensions;
  }
}

TEST_P(GraphOf, FollowsRandomChanges) {
  Rng rng(3);
  Followed followed(12);
  size_t bytes_most = 0;
  for (int round = 0; round < 60; ++round) {
    for (int i = 0; i < 300; ++i) {
      const auto rowid = static_cast<int64_t>(rng.Below(2000));
      if (rng.Below(2) == 0) {
        followed.Put(rowid, AnyVector(&rng, 12, GetParam()));
      } else {
        followed.Remove(rowid);
      }
    }
    followed.Link();
    EXPECT_EQ(followed.graph.size(), followed.rows.size());
    if (round == 20) bytes_most = followed.graph.bytes();
    if (round % 10 != 9) continue;
    EXPECT_GT(followed.Recall(&rng, GetParam()), 0.95) << round;
  }
  // The places of rows that are gone are used again.
  EXPECT_LE(followed.graph.bytes(), bytes_most * 5 / 4);
}

TEST(Graph, GivesTheMemoryOfDeletedRowsBack) {
  Rng rng(4);
  Followed followed(500);
  const size_t empty = followed.graph.bytes();
  for (int64_t i = 0; i < 4000; ++i) followed.Put(i, AnyVector(&rng, 500, 0));
  followed.Link();
  const size_t full = followed.graph.bytes();
  for (int64_t i = 0; i < 3500; ++i) followed.Remove(i);
  followed.Link();
  EXPECT_LT(followed.graph.bytes() - empty, (full - empty) / 3);
  EXPECT_GT(followed.Recall(&rng, 0), 0.9);
  for (int64_t i = 3500; i < 4000; ++i) followed.Remove(i);
  followed.Link();
  EXPECT_EQ(followed.graph.bytes(), empty);
  EXPECT_TRUE(followed.graph.Search(AnyVector(&rng, 500, 0), 10, 64, {}).empty());
  followed.Put(1, AnyVector(&rng, 500, 0));
  followed.Link();
  EXPECT_EQ(followed.graph.Search(AnyVector(&rng, 500, 0), 10, 64, {}).size(), 1u);
}

// Vectors that are equal are as near as each other, so a search may find any of them, but no fewer.
TEST(Graph, FindsEnoughAmongEqualVectors) {
  Rng rng(5);
  Followed followed(8);
  for (int64_t i = 0; i < 4000; ++i) {
    Rng same(i % 4 == 0 ? 7 : 100 + static_cast<uint64_t>(i));
    followed.Put(i, AnyVector(&same, 8, 0));
  }
  followed.Link();
  Rng same(7);
  const Vector query = AnyVector(&same, 8, 0);
  const auto found = followed.graph.Search(query, 300, 600, {});
  ASSERT_EQ(found.size(), 300u);
  EXPECT_EQ(
      std::count_if(found.begin(), found.end(), [](const auto& each) { return each.squares == 0; }),
      300);
  EXPECT_GT(followed.Recall(&rng, 0), 0.9);
}

TEST(Graph, LeavesRowsOut) {
  Rng rng(6);
  Followed followed(10);
  for (int64_t i = 0; i < 2000; ++i) followed.Put(i, AnyVector(&rng, 10, 0));
  followed.Link();
  for (int i = 0; i < 50; ++i) {
    const Vector query = AnyVector(&rng, 10, 0);
    std::vector<int64_t> nearest = followed.Nearest(query, 60);
    std::vector<int64_t> skip(nearest.begin(), nearest.begin() + 50);
    std::sort(skip.begin(), skip.end());
    std::vector<int64_t> found;
    for (const auto& each : followed.graph.Search(query, 10, 64, skip)) found.push_back(each.rowid);
    EXPECT_EQ(found, std::vector<int64_t>(nearest.begin() + 50, nearest.end()));
  }
}

TEST(Graph, RoundsRemoveWhatTheyDoNotTell) {
  Rng rng(7);
  Followed followed(10);
  for (int64_t i = 0; i < 1000; ++i) followed.Put(i, AnyVector(&rng, 10, 0));
  followed.Link();
  followed.graph.BeginRound();
  for (int64_t i = 0; i < 1000; i += 2) {
    if (i % 10 == 0) {
      EXPECT_FALSE(followed.graph.Holds(i, followed.mark + 1));
      followed.Put(i, AnyVector(&rng, 10, 0));
    } else {
      EXPECT_TRUE(followed.graph.Holds(i, followed.marks[i]));
    }
    followed.rows.erase(i + 1);
  }
  followed.graph.EndRound();
  followed.Link();
  EXPECT_EQ(followed.graph.size(), 500u);
  EXPECT_GT(followed.Recall(&rng, 0), 0.97);
}

// The graph as a restart finds it: from the bytes of a file, with the vectors of the rows.
TEST_P(GraphOf, ComesBackFromItsFile) {
  Rng rng(8);
  Followed followed(20);
  for (int64_t i = 0; i < 2000; ++i) followed.Put(i, AnyVector(&rng, 20, GetParam()));
  followed.Link();
  for (int64_t i = 0; i < 100; ++i) followed.Remove(i);
  const std::string bytes = EncodeGraph({"the text", 42, followed.graph.Keep()});
  // Meanwhile rows go, come, and change.
  const auto file = DecodeGraph(bytes);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->definition, "the text");
  EXPECT_EQ(file->applied, 42u);
  Followed again(20);
  ASSERT_TRUE(again.graph.Restore(file->nodes));
  again.graph.BeginRound();
  again.mark = 1'000'000;
  for (const auto& [rowid, vector] : followed.rows) {
    if (rowid % 10 == 3) continue;
    if (rowid % 10 == 4) {
      again.Put(rowid, AnyVector(&rng, 20, GetParam()));
      continue;
    }
    EXPECT_FALSE(again.graph.Holds(rowid, followed.marks[rowid])) << "it has no vector yet";
    again.graph.Take(rowid, followed.marks[rowid], vector);
    again.rows[rowid] = vector;
  }
  for (int64_t i = 5000; i < 5100; ++i) again.Put(i, AnyVector(&rng, 20, GetParam()));
  again.graph.EndRound();
  EXPECT_EQ(again.graph.unlinked(), 290u) << "the others have their links already";
  again.Link();
  EXPECT_EQ(again.graph.size(), again.rows.size());
  EXPECT_GT(again.Recall(&rng, GetParam()), 0.96);
}

TEST(GraphFile, RefusesDamage) {
  Rng rng(9);
  Followed followed(4);
  for (int64_t i = 0; i < 40; ++i) followed.Put(i, AnyVector(&rng, 4, 0));
  followed.Link();
  const std::string bytes = EncodeGraph({"x", 1, followed.graph.Keep()});
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ (1 << rng.Below(8)));
    EXPECT_EQ(DecodeGraph(damaged).status().code(), StatusCode::kDataLoss) << i;
    EXPECT_FALSE(DecodeGraph(bytes.substr(0, i)).ok()) << i;
  }
}

TEST(GraphFile, RefusesImpossibleLinks) {
  const auto restores = [](const std::vector<Graph::Kept>& nodes) {
    Graph graph(16);
    return graph.Restore(nodes);
  };
  EXPECT_TRUE(restores({}));
  EXPECT_TRUE(restores({{1, 1, {{1}}}, {2, 1, {{0}}}}));
  EXPECT_FALSE(restores({{1, 1, {{2}}}, {2, 1, {{0}}}})) << "there is no such node";
  EXPECT_FALSE(restores({{1, 1, {{1}}}, {1, 1, {{0}}}})) << "one row twice";
  EXPECT_FALSE(restores({{1, 1, {}}})) << "no level";
  EXPECT_FALSE(restores({{1, 1, {{1}, {1}}}, {2, 1, {{0}}}})) << "a level that the other lacks";
  EXPECT_FALSE(restores({{1, 1, {std::vector<uint32_t>(33, 0)}}})) << "too many links";
  EXPECT_FALSE(restores({{1, 1, std::vector<std::vector<uint32_t>>(14)}})) << "too many levels";
}

// Searches run while rows come, change and go, and while places are used again.
TEST(Graph, IsSearchedWhileItChanges) {
  Rng rng(10);
  Followed followed(8);
  for (int64_t i = 0; i < 500; ++i) followed.Put(i, AnyVector(&rng, 8, 0));
  followed.Link();
  std::atomic<bool> ends{false};
  std::atomic<size_t> searches{0};
  std::vector<std::thread> threads;
  for (uint64_t seed = 1; seed <= 2; ++seed) {
    threads.emplace_back([&, seed] {
      Rng own(seed);
      while (!ends) {
        const auto found = followed.graph.Search(AnyVector(&own, 8, 0), 10, 64, {});
        std::set<int64_t> rowids;
        for (const auto& each : found) rowids.insert(each.rowid);
        EXPECT_GT(rowids.size(), 5u);
        ++searches;
      }
    });
  }
  for (int round = 0; round < 100 || searches < 100; ++round) {
    for (int i = 0; i < 50; ++i) {
      const auto rowid = static_cast<int64_t>(rng.Below(700));
      if (rng.Below(3) == 0 && followed.rows.size() > 400) {
        followed.Remove(rowid);
      } else {
        followed.Put(rowid, AnyVector(&rng, 8, 0));
      }
    }
    followed.Link();
  }
  ends = true;
  for (std::thread& each : threads) each.join();
  EXPECT_GT(followed.Recall(&rng, 0), 0.95);
}

}  // namespace
}  // namespace cairn::vectors
