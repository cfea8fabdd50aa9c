#include "metrics/metric.h"

#include <prometheus/text_serializer.h>

#include <limits>

#include "base/check.h"

namespace cairn::metrics {
namespace {

prometheus::MetricType TypeOf(Type type) {
  switch (type) {
    case Type::kCounter: return prometheus::MetricType::Counter;
    case Type::kHistogram: return prometheus::MetricType::Histogram;
    case Type::kGauge: break;
  }
  return prometheus::MetricType::Gauge;
}

}  // namespace

Values::Values(const Info& info) : info_(info) {
  family_.name = info.name;
  family_.help = info.help;
  family_.type = TypeOf(info.type);
}

prometheus::ClientMetric& Values::NewMetric(const std::vector<std::string>& labels) {
  CHECK(labels.size() == info_.labels.size()) << info_.name;
  prometheus::ClientMetric& metric = family_.metric.emplace_back();
  for (size_t i = 0; i < labels.size(); ++i) metric.label.push_back({info_.labels[i], labels[i]});
  return metric;
}

void Values::Add(double value, const std::vector<std::string>& labels) {
  prometheus::ClientMetric& metric = NewMetric(labels);
  CHECK(info_.type != Type::kHistogram) << info_.name;
  metric.counter.value = value;
  metric.gauge.value = value;
}

void Values::Add(const Histogram& histogram, double unit, const std::vector<std::string>& labels) {
  CHECK(info_.type == Type::kHistogram) << info_.name;
  prometheus::ClientMetric& metric = NewMetric(labels);
  const Histogram::Reading reading = histogram.Read();
  uint64_t count = 0;
  for (size_t i = 0; i < reading.counts.size(); ++i) {
    count += reading.counts[i];
    const double bound = i < reading.bounds.size() ? static_cast<double>(reading.bounds[i]) * unit
                                                   : std::numeric_limits<double>::infinity();
    metric.histogram.bucket.push_back({count, bound});
  }
  metric.histogram.sample_count = count;
  metric.histogram.sample_sum = static_cast<double>(reading.sum) * unit;
}

std::string ToText(const Families& families) {
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace cairn::metrics
