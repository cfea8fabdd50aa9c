// How long a cluster takes to acknowledge a write after its leader was killed.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace cairn::bench {

// Writes one row after another, each as soon as the one before was answered (failed tries are
// repeated at once at the next endpoint). Prints "ready" after the first acknowledgement: then the
// caller kills the leader and writes a line to this program's standard input. Returns the longest
// time between two acknowledgements in milliseconds once writes flow again; negative if they do not
// within `limit`.
double LongestGapMs(const std::string& target, const std::vector<std::string>& endpoints,
                    std::chrono::milliseconds limit);

// Which of the endpoints leads: its position, or -1 while they do not all say the same one.
int FindLeader(const std::string& target, const std::vector<std::string>& endpoints);

}  // namespace cairn::bench
