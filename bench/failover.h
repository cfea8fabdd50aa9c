// How long a cluster takes to acknowledge a write after its leader was killed.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace cairn::bench {

// Writes one row after another, each as soon as the one before was answered (failed tries are
// repeated at once at the next endpoint), until `gap_min` has passed between two acknowledgements
// or `limit`. Prints "ready" after the first acknowledgement, so that the caller can kill the
// leader then. Returns the longest gap between acknowledgements in milliseconds, negative if there
// was none.
double LongestGapMs(const std::string& target, const std::vector<std::string>& endpoints,
                    std::chrono::milliseconds limit);

// Which of the endpoints leads: its position, or -1 when none says so.
int FindLeader(const std::string& target, const std::vector<std::string>& endpoints);

}  // namespace cairn::bench
