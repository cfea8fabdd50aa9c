// Metric: one row of a table that says what is told of a source, and how it is read.
//
// A table names each metric once, with its help text and its labels, beside the function that reads
// its values. Nothing is registered and nothing is kept: a scrape reads the source. What is counted
// on the way is counted by the parts themselves (base/measures.h).
#pragma once

#include <prometheus/metric_family.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/measures.h"

namespace cairn::metrics {

enum class Type : uint8_t { kCounter, kGauge, kHistogram };

struct Info {
  const char* name;  // "cairn_..."; the base unit last; "_total" for counters
  Type type;
  const char* help;
  std::vector<const char*> labels{};  // their values are of a closed set, never a client's text
};

// Takes the values of one metric. Label values come in the order of Info::labels.
class Values {
 public:
  explicit Values(const Info& info);

  // Of a counter or a gauge.
  void Add(double value, const std::vector<std::string>& labels = {});
  // `unit` is what one of the histogram's units comes to, such as 1e-9 for nanoseconds.
  void Add(const Histogram& histogram, double unit, const std::vector<std::string>& labels = {});

  prometheus::MetricFamily Take() && { return std::move(family_); }

 private:
  prometheus::ClientMetric& NewMetric(const std::vector<std::string>& labels);

  const Info& info_;
  prometheus::MetricFamily family_;
};

inline constexpr double kNanosecond = 1e-9;

template <class Source>
struct Metric {
  Info info;
  void (*read)(const Source& source, Values* values);
};

using Families = std::vector<prometheus::MetricFamily>;

// Appends the metrics of a table. One without values is left out: nothing is known of it now.
template <class Source>
void Collect(const std::vector<Metric<Source>>& table, const Source& source, Families* families) {
  for (const Metric<Source>& metric : table) {
    Values values(metric.info);
    metric.read(source, &values);
    prometheus::MetricFamily family = std::move(values).Take();
    if (!family.metric.empty()) families->push_back(std::move(family));
  }
}

// In the text format of Prometheus, version 0.0.4.
inline constexpr char kTextFormat[] = "text/plain; version=0.0.4; charset=utf-8";
std::string ToText(const Families& families);

}  // namespace cairn::metrics
