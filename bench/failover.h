// Measures how long a cluster takes to acknowledge a write after its leader was killed.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace cairn::bench {

// Writes one row after another, each as soon as the previous one was answered. A failed attempt is
// repeated at once at the next endpoint. Prints "ready" after the first acknowledgement: then the
// caller kills the leader and writes a line to this program's standard input. Returns the longest
// time between two acknowledgements in milliseconds once writes flow again. Returns a negative
// number if writes do not flow again within `limit`.
double LongestGapMs(const std::string& target, const std::vector<std::string>& endpoints,
                    std::chrono::milliseconds limit);

// Returns the position of the endpoint that leads, or -1 while the endpoints do not all name the
// same leader.
int FindLeader(const std::string& target, const std::vector<std::string>& endpoints);

}  // namespace cairn::bench
