// Watchers of changes: how many events a second reach them, and what they cost.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace cairn::bench {

struct WatchersOptions {
  std::vector<std::string> endpoints;  // watchers are spread over them, round robin
  int watchers = 1;
  std::chrono::milliseconds duration{3000};
  // For RunStream: rows of one INSERT, and how many INSERTs are under way.
  int rows = 100;
  int inflight = 4;
};
struct WatchersResult {
  double events_per_second = 0;  // of the slowest watcher
  double rows_per_second = 0;    // that were written meanwhile
  std::string error;             // of a watch that ended; empty: none
};

// Writes rows as fast as the slowest watcher takes them: the writer waits while that one is more than
// 100,000 events behind.
WatchersResult RunStream(const WatchersOptions& options);

// Watches for the duration, and writes nothing.
WatchersResult RunWatchers(const WatchersOptions& options);

}  // namespace cairn::bench
