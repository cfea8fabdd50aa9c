#include "vectors/distance.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace cairn::vectors {
namespace {

// The order of distance.h, spelled out.
double SumInOrder(const std::vector<double>& products) {
  double lane[16] = {};
  for (size_t i = 0; i < products.size(); ++i) lane[i % 16] += products[i];
  for (size_t half = 8; half > 0; half /= 2) {
    for (size_t j = 0; j < half; ++j) lane[j] += lane[j + half];
  }
  return lane[0];
}

std::vector<double> DoublesOf(const View& view) {
  std::vector<double> doubles;
  std::visit([&](const auto& each) { doubles.assign(each.begin(), each.end()); }, ElementsOf(view));
  return doubles;
}

std::vector<double> Products(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> products;
  for (size_t i = 0; i < a.size(); ++i) products.push_back(a[i] * b[i]);
  return products;
}

std::string Blob(const std::vector<double>& elements, Kind kind) {
  const auto blob = Encode(elements, kind);
  EXPECT_TRUE(blob.ok()) << blob.status();
  return blob.ok() ? *blob : "";
}

std::optional<double> DistanceOf(Metric metric, const std::string& a, const std::string& b) {
  const auto distance = Distance(metric, *ViewOf(a), *ViewOf(b));
  EXPECT_TRUE(distance.ok()) << distance.status();
  return distance.ok() ? *distance : std::nullopt;
}

class DistanceTest : public ::testing::Test {
 protected:
  std::vector<double> Random(size_t n) {
    std::vector<double> elements(n);
    for (double& each : elements) each = value_(random_);
    return elements;
  }
  std::mt19937_64 random_{7};
  std::uniform_real_distribution<double> value_{-10, 10};
};

TEST_F(DistanceTest, EqualsTheReferenceToTheLastBit) {
  for (size_t n = 1; n < 200; ++n) {
    for (const Kind kind : {Kind::kFloat32, Kind::kFloat64, Kind::kFloat16, Kind::kFloatB16}) {
      const std::string blob_a = Blob(Random(n), kind);
      const std::string blob_b = Blob(Random(n), kind);
      const auto a = DoublesOf(*ViewOf(blob_a));
      const auto b = DoublesOf(*ViewOf(blob_b));
      const double squares = SumInOrder(Products(a, a)) * SumInOrder(Products(b, b));
      const double cosine = 1 - SumInOrder(Products(a, b)) / std::sqrt(squares);
      EXPECT_EQ(DistanceOf(Metric::kCosine, blob_a, blob_b), std::clamp(cosine, 0.0, 2.0));
      std::vector<double> differences;
      for (size_t i = 0; i < n; ++i) differences.push_back(a[i] - b[i]);
      EXPECT_EQ(DistanceOf(Metric::kL2, blob_a, blob_b),
                std::sqrt(SumInOrder(Products(differences, differences))));
    }
  }
}

TEST_F(DistanceTest, OfEightBitElementsIsNearThatOfTheirValues) {
  for (size_t n = 2; n < 100; ++n) {
    const std::string blob_a = Blob(Random(n), Kind::kFloat8);
    const std::string blob_b = Blob(Random(n), Kind::kFloat8);
    const std::string a = Blob(DoublesOf(*ViewOf(blob_a)), Kind::kFloat64);
    const std::string b = Blob(DoublesOf(*ViewOf(blob_b)), Kind::kFloat64);
    EXPECT_NEAR(*DistanceOf(Metric::kCosine, blob_a, blob_b), *DistanceOf(Metric::kCosine, a, b),
                1e-5);
    EXPECT_EQ(DistanceOf(Metric::kL2, blob_a, blob_b), DistanceOf(Metric::kL2, a, b));
  }
}

TEST_F(DistanceTest, IsASymmetricMetric) {
  for (int i = 0; i < 100; ++i) {
    const std::string a = Blob(Random(37), Kind::kFloat32);
    const std::string b = Blob(Random(37), Kind::kFloat32);
    const std::string c = Blob(Random(37), Kind::kFloat32);
    for (const Metric metric : {Metric::kCosine, Metric::kL2}) {
      EXPECT_EQ(DistanceOf(metric, a, a), 0);
      EXPECT_EQ(DistanceOf(metric, a, b), DistanceOf(metric, b, a));
    }
    EXPECT_LE(*DistanceOf(Metric::kL2, a, c),
              *DistanceOf(Metric::kL2, a, b) + *DistanceOf(Metric::kL2, b, c) + 1e-9);
  }
}

TEST_F(DistanceTest, OfBitsIsTheirNumber) {
  for (size_t n = 1; n < 200; ++n) {
    const auto a = Random(n);
    const auto b = Random(n);
    int different = 0;
    for (size_t i = 0; i < n; ++i) different += (a[i] > 0) != (b[i] > 0) ? 1 : 0;
    EXPECT_EQ(DistanceOf(Metric::kCosine, Blob(a, Kind::kFloat1Bit), Blob(b, Kind::kFloat1Bit)),
              different);
  }
  const std::string bits = Blob({1}, Kind::kFloat1Bit);
  EXPECT_FALSE(Distance(Metric::kL2, *ViewOf(bits), *ViewOf(bits)).ok());
}

TEST_F(DistanceTest, OfAZeroVectorHasNoCosine) {
  const std::string zero = Blob({0, 0}, Kind::kFloat32);
  EXPECT_EQ(DistanceOf(Metric::kCosine, zero, Blob({1, 2}, Kind::kFloat32)), std::nullopt);
  EXPECT_EQ(DistanceOf(Metric::kL2, zero, Blob({3, 4}, Kind::kFloat32)), 5);
}

TEST_F(DistanceTest, HoldsForTinyAndHugeFloats) {
  for (const double scale : {1e-30, 1e30}) {
    EXPECT_NEAR(*DistanceOf(Metric::kCosine, Blob({scale, 0}, Kind::kFloat32),
                            Blob({scale, scale}, Kind::kFloat32)),
                1 - std::sqrt(0.5), 1e-6);
  }
  const std::string huge = Blob({1e300}, Kind::kFloat64);
  EXPECT_EQ(Distance(Metric::kCosine, *ViewOf(huge), *ViewOf(huge)).status().message(),
            "the elements of the vectors are too large for a distance; scale them");
}

TEST_F(DistanceTest, RefusesWhatIsNoNumber) {
  const std::string nan("\x00\x00\xc0\x7f", 4);
  const std::string one = Blob({1}, Kind::kFloat32);
  for (const Metric metric : {Metric::kCosine, Metric::kL2}) {
    EXPECT_EQ(Distance(metric, *ViewOf(one), *ViewOf(nan)).status().code(),
              StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace cairn::vectors
