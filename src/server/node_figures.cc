#include "server/node_figures.h"

namespace cairn::server {

NodeMetrics Joined(std::initializer_list<NodeMetrics> parts) {
  NodeMetrics all;
  for (const NodeMetrics& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

std::string MetricsText(const NodeFigures& figures, const metrics::ProcessFigures& process) {
  metrics::Families families;
  for (const NodeMetrics* table :
       {&SafetyMetrics(), &SpeedMetrics(), &RoomMetrics(), &TroubleMetrics()}) {
    metrics::Collect(*table, figures, &families);
  }
  metrics::Collect(metrics::ProcessMetrics(), process, &families);
  return metrics::ToText(families);
}

std::vector<metrics::Info> AllMetrics() {
  std::vector<metrics::Info> all;
  for (const NodeMetrics* table :
       {&SafetyMetrics(), &SpeedMetrics(), &RoomMetrics(), &TroubleMetrics()}) {
    for (const auto& metric : *table) all.push_back(metric.info);
  }
  for (const auto& metric : metrics::ProcessMetrics()) all.push_back(metric.info);
  return all;
}

}  // namespace cairn::server
