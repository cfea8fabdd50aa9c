// DigestWatch: compares, on the leader, the digests of members at the same index.
//
// What a majority of the voters holds is right (both majorities while the configuration is joint).
// A member that holds something else is wrong. Without such a majority no member is wrong, and
// doubt() says so.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "raft/types.h"
#include "state_machine/state_machine.h"

namespace cairn::node {

// Not thread-safe: the core thread owns it.
class DigestWatch {
 public:
  struct Answer {
    MemberId to;
    LogIndex index;
    state_machine::StateDigest right;
  };

  // Takes the digest of `from` at `index`. Returns the answers that are known now: one for each
  // member that has reported its digest of that index and was not answered yet, or asks again.
  std::vector<Answer> OnReport(MemberId from, LogIndex index,
                               const state_machine::StateDigest& digest,
                               const raft::Configuration& config);

  // In words: the members that differ at the last index where members differ and nobody is known to
  // be right. Empty if there is no such index.
  const std::string& doubt() const { return doubt_; }
  // How many indexes there were at which not all digests were equal.
  uint64_t differences() const { return differences_; }

 private:
  struct Round {
    std::map<MemberId, state_machine::StateDigest> reports;
    std::optional<state_machine::StateDigest> right;
    bool differs = false;
  };
  void Judge(LogIndex index, const raft::Configuration& config, Round* round);

  std::map<LogIndex, Round> rounds_;  // the newest rounds only
  std::string doubt_;
  uint64_t differences_ = 0;
};

}  // namespace cairn::node
