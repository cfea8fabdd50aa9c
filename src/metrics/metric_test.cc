#include "metrics/metric.h"

#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "metrics/process.h"

namespace cairn::metrics {
namespace {

struct Source {
  double queued = 0;
  std::vector<std::pair<std::string, double>> peers;
  Histogram waits{kTimeBounds};
};

const std::vector<Metric<Source>>& Table() {
  static const std::vector<Metric<Source>>* const kTable = new std::vector<Metric<Source>>{
      {{"cairn_queued", Type::kGauge, "Commands that wait"},
       [](const Source& s, Values* v) { v->Add(s.queued); }},
      {{"cairn_peer_bytes_total", Type::kCounter, "Bytes to a peer", {"peer"}},
       [](const Source& s, Values* v) {
         for (const auto& [peer, bytes] : s.peers) v->Add(bytes, {peer});
       }},
      {{"cairn_wait_seconds", Type::kHistogram, "Time of waiting"},
       [](const Source& s, Values* v) { v->Add(s.waits, kNanosecond); }},
  };
  return *kTable;
}

std::string TextOf(const Source& source) {
  Families families;
  Collect(Table(), source, &families);
  return ToText(families);
}

TEST(Exposition, EachMetricHasItsHelpAndItsType) {
  Source source;
  source.queued = 7;
  source.peers = {{"2", 100}, {"3", 5000000000}};
  const std::string text = TextOf(source);
  EXPECT_NE(text.find("# HELP cairn_queued Commands that wait\n"
                      "# TYPE cairn_queued gauge\n"
                      "cairn_queued 7\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("# TYPE cairn_peer_bytes_total counter\n"
                      "cairn_peer_bytes_total{peer=\"2\"} 100\n"
                      "cairn_peer_bytes_total{peer=\"3\"} 5000000000\n"),
            std::string::npos)
      << text;
}

TEST(Exposition, AMetricWithoutValuesIsLeftOut) {
  EXPECT_EQ(TextOf(Source()).find("cairn_peer_bytes_total"), std::string::npos);
}

TEST(Exposition, TheBucketsOfAHistogramAddUpInSeconds) {
  Source source;
  source.waits.Observe(std::chrono::microseconds(70));
  source.waits.Observe(std::chrono::milliseconds(1));
  source.waits.Observe(std::chrono::seconds(60));
  const std::string text = TextOf(source);
  for (const char* line :
       {"# TYPE cairn_wait_seconds histogram\n", "cairn_wait_seconds_bucket{le=\"5e-05\"} 0\n",
        "cairn_wait_seconds_bucket{le=\"0.0001\"} 1\n",
        "cairn_wait_seconds_bucket{le=\"0.001\"} 2\n", "cairn_wait_seconds_bucket{le=\"10\"} 2\n",
        "cairn_wait_seconds_bucket{le=\"+Inf\"} 3\n", "cairn_wait_seconds_count 3\n",
        "cairn_wait_seconds_sum 60.00107"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
  }
}

TEST(Process, TheSystemTellsOfThisProcess) {
  const ProcessFigures figures = ReadProcessFigures();
  EXPECT_GT(figures.resident_bytes, 1 << 20);
  EXPECT_LT(figures.resident_bytes, figures.virtual_bytes);
  EXPECT_GT(figures.start_time_seconds, 1e9);
  EXPECT_GE(figures.cpu_seconds, 0);
  EXPECT_GE(figures.threads, 1u);
  EXPECT_GE(figures.descriptors, 3u);
  EXPECT_GT(figures.descriptors_max, figures.descriptors);
  Families families;
  Collect(ProcessMetrics(), figures, &families);
  EXPECT_EQ(families.size(), ProcessMetrics().size());
}

}  // namespace
}  // namespace cairn::metrics
