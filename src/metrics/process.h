// What the operating system tells of this process, under the names that all exporters use.
#pragma once

#include <vector>

#include "metrics/metric.h"

namespace cairn::metrics {

struct ProcessFigures {
  double cpu_seconds = 0;
  double resident_bytes = 0;
  double virtual_bytes = 0;
  double start_time_seconds = 0;  // of the Unix epoch
  uint64_t descriptors = 0;
  uint64_t descriptors_max = 0;
  uint64_t threads = 0;
};

// Reads /proc, which is no disk. What cannot be read stays 0.
ProcessFigures ReadProcessFigures();

const std::vector<Metric<ProcessFigures>>& ProcessMetrics();

}  // namespace cairn::metrics
