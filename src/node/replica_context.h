// ReplicaContext: what every part of a ReplicaCore sees. That is the world around it (clock, random
// numbers, effects), the identity of this member, the Raft core, and the configuration in force.
//
// A part is a class with a header of its own. A part owns its state, and no other part reaches into
// that state. A part may step the Raft core and call the effects. Only ReplicaCore takes the output
// of the Raft core and carries news from one part to another.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/rng.h"
#include "node/replica.h"
#include "node/replica_effects.h"
#include "raft/core.h"

namespace cairn::node {

// Not thread-safe: the core thread owns it.
struct ReplicaContext {
  const ReplicaOptions options;
  Clock* const clock;
  Rng* const rng;
  ReplicaEffects* const effects;

  // None (and 0) until this node takes part in a cluster. ReplicaCore sets these.
  MemberId self{};
  uint64_t cluster_id = 0;
  std::unique_ptr<raft::RaftCore> raft{};
  uint64_t ticks = 0;  // since the start

  uint64_t level = 0;  // the feature level, by what is applied; set by ReplicaCore

  // The committed configuration. Only PeerDirectory changes it.
  raft::Configuration config{};
  LogIndex config_index{};

  bool shutting_down = false;  // set by ShutdownWait
  // This process runs from a copy of the member's data. It sends nothing and calls nobody. Set by
  // Standing.
  bool silent = false;
  uint64_t next_id = 1;  // the next id of a proposal or a round of reads
  // Rises whenever the leader, the role, the stage of life or the configuration may have changed.
  uint64_t version = 1;

  bool is_leader() const { return raft && raft->role() == raft::Role::kLeader; }
  SteadyTime now() const { return clock->SteadyNow(); }
  uint64_t Elections(uint64_t count) const { return count * options.election_ticks; }
  // Sends one message of this member, in its term, in addition to those of the Raft core. A silent
  // process sends nothing: what a copy holds and computes says nothing about the member.
  void Send(MemberId to, raft::MessageBody body) const {
    if (silent) return;
    std::vector<raft::Message> messages;
    messages.push_back({self, to, raft->term(), std::move(body)});
    effects->Send(std::move(messages));
  }
};

}  // namespace cairn::node
