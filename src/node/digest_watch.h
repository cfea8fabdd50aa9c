// DigestWatch: compares, on the leader, what members say that they hold at the same index.
//
// What a majority of the voters holds (of both majorities while the configuration is joint) is
// right; whoever holds something else is wrong. Without such a majority nobody is, and that is
// said.
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

// One owner (the core thread).
class DigestWatch {
 public:
  struct Answer {
    MemberId to;
    LogIndex index;
    state_machine::StateDigest right;
  };

  // `digest`: of `from` at `index`. Gives what is known now: an answer to whoever has told his
  // digest of that index and was not answered yet, or asks again.
  std::vector<Answer> OnReport(MemberId from, LogIndex index,
                               const state_machine::StateDigest& digest,
                               const raft::Configuration& config);

  // Who differs at the last index where some do and nobody is known to be right, in words; empty
  // otherwise.
  const std::string& doubt() const { return doubt_; }
  // Indexes at which not all were equal.
  uint64_t differences() const { return differences_; }

 private:
  struct Round {
    std::map<MemberId, state_machine::StateDigest> reports;
    std::optional<state_machine::StateDigest> right;
    bool differs = false;
  };
  void Judge(LogIndex index, const raft::Configuration& config, Round* round);

  std::map<LogIndex, Round> rounds_;  // the newest few
  std::string doubt_;
  uint64_t differences_ = 0;
};

}  // namespace cairn::node
