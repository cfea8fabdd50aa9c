// FirstBoot: how an empty data directory becomes a member of a cluster. It is a pure state machine:
// answers to probes and ticks go in, requests come out.
//
// A node whose disk was wiped looks like a new node, and must not be taken for one. It may have
// voted and acknowledged entries, and a second vote under the same name could commit over what the
// first vote helped to commit. So an empty node takes part in founding a cluster only if every
// listed peer says that it is empty or founding, too. If any peer has ever started, the empty node
// asks the leader to be let in, and lives under the member id that the leader gives.
//
// Founding has two persisted steps. A node that has seen all peers empty or founding writes down
// the cluster id (it is *founding*) before it tells anyone. A node that has seen all peers
// founding, or one peer started (which has seen the same), writes down that it has *started*, and
// takes part.
//
// The bad schedule with one step: node 1 sees nodes 2 and 3 empty, starts, and is elected by node
// 2. Node 3 was slow to look. Node 2 is wiped and looks again. It sees an empty node 3, and the two
// found a second cluster under the names of the first.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/rng.h"
#include "base/status.h"
#include "node/identity_file.h"
#include "transport/transport.h"

namespace cairn::node {

struct FirstBootOptions {
  std::string address;
  std::map<uint64_t, std::string> listed_peers;  // this node included; empty: alone
  EngineId engine;
  bool joins_only = false;  // the node was a member before, and founds no cluster
  uint64_t cluster_id = 0;  // of the cluster that it founds; 0: drawn at random
  // Ticks between two rounds of probes: at first (and after any change), and at most. Then the
  // longest wait between two join requests.
  uint64_t probe_ticks_min = 3;
  uint64_t probe_ticks_max = 50;
  uint64_t join_ticks_max = 500;
};

// Not thread-safe: the core thread owns it.
class FirstBoot {
 public:
  struct ProbeTarget {
    uint64_t node_id = 0;
    std::string address;
  };
  // What the owner must do now. Each request is given once.
  struct Requests {
    std::vector<ProbeTarget> probes;        // answer each with OnProbed
    std::optional<IdentityRecord> persist;  // answer with OnPersisted once it is durable
    std::optional<std::string> join;        // ask the node at this address; answer with OnJoined
  };

  FirstBoot(FirstBootOptions options, IdentityRecord record, Rng* rng);

  void OnTick(uint64_t ticks);
  void OnProbed(uint64_t node_id, Result<transport::ProbeReply> reply);
  void OnPersisted();
  void OnJoined(Result<transport::JoinReply> reply);
  Requests TakeRequests();

  // The durable record, with which probes are answered.
  const IdentityRecord& record() const { return record_; }
  bool started() const { return record_.stage == transport::LifeStage::kStarted; }
  // What the node waits for, in words for the operator; empty once the node has started.
  const std::string& waiting_for() const { return waiting_for_; }

 private:
  using Replies = std::map<uint64_t, transport::ProbeReply>;

  void NoteNonces(uint64_t node_id, const transport::ProbeReply& reply);
  void Decide();
  void DecideEmpty();
  void DecideFounding();
  // A value if the answers of the peers contradict each other or this node.
  std::optional<std::string> Contradiction() const;
  std::optional<std::string> MissingAnswer() const;
  // The id of the cluster that this node is to name.
  uint64_t NewClusterId();
  void Found(uint64_t cluster_id);
  void StartTogether();
  void AskToJoin();
  void Persist(IdentityRecord next);

  const FirstBootOptions options_;
  IdentityRecord record_;
  Rng* const rng_;
  Replies replies_;
  // Nonces that belong to peers for good: each was told by a peer that had persisted its founding,
  // or by a peer that takes part.
  std::map<uint64_t, uint64_t> founder_nonces_;
  std::optional<IdentityRecord> persisting_;
  bool joining_ = false;  // a join request is under way
  uint64_t join_wait_ = 0;
  uint64_t join_backoff_ = 0;
  std::string join_address_;  // where the last answer sent this node; empty: ask the probed peers
  uint64_t probe_wait_ = 0;
  uint64_t probe_interval_ = 0;
  Requests requests_;
  std::string waiting_for_;
};

}  // namespace cairn::node
