// FirstBoot: how an empty data directory becomes a member of a cluster. A pure state machine: probe
// answers and ticks in, requests out.
//
// A node whose disk was wiped looks like a new one, and must not: it may have voted and
// acknowledged entries, and a second vote under the same name could commit over what the first
// helped to commit. So an empty node takes part in founding a cluster only if every listed peer
// says that it is empty or founding too; if any has ever started, the node asks the leader to be
// let in, and lives under the member id it is given.
//
// Founding has two persisted steps. A node that has seen all peers empty or founding writes the
// cluster id down (founding) before it tells anyone; a node that has seen all peers founding (or
// one started: that one has seen it) writes down that it has started, and takes part. Schedule that
// one step would allow: 1 sees 2 and 3 empty, starts, and is elected by 2; 3 was slow to look, and
// 2 is wiped and looks again: it sees an empty 3, founds with it a second cluster under the first
// one's names.
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
  bool joins_only = false;  // it was a member before, and founds no cluster
  // Ticks between two rounds of probes, at first (and after any change) and at most; and the
  // longest wait between two join requests.
  uint64_t probe_ticks_min = 3;
  uint64_t probe_ticks_max = 50;
  uint64_t join_ticks_max = 500;
};

// One owner (the core thread).
class FirstBoot {
 public:
  struct ProbeTarget {
    uint64_t node_id = 0;
    std::string address;
  };
  // What is to be done now; each is given once.
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

  // What is durable; what probes are answered with.
  const IdentityRecord& record() const { return record_; }
  bool started() const { return record_.stage == transport::LifeStage::kStarted; }
  // In words, for the operator; empty once started.
  const std::string& waiting_for() const { return waiting_for_; }

 private:
  using Replies = std::map<uint64_t, transport::ProbeReply>;

  void NoteNonces(uint64_t node_id, const transport::ProbeReply& reply);
  void Decide();
  void DecideEmpty();
  void DecideFounding();
  // Set when the peers' answers contradict each other or this node.
  std::optional<std::string> Contradiction() const;
  std::optional<std::string> MissingAnswer() const;
  void Found(uint64_t cluster_id);
  void StartTogether();
  void AskToJoin();
  void Persist(IdentityRecord next);

  const FirstBootOptions options_;
  IdentityRecord record_;
  Rng* const rng_;
  Replies replies_;
  // Nonces of peers, known to be theirs for good: told by a peer that had persisted its founding, or
  // by one that takes part.
  std::map<uint64_t, uint64_t> founder_nonces_;
  std::optional<IdentityRecord> persisting_;
  bool joining_ = false;  // a join request is under way
  uint64_t join_wait_ = 0;
  uint64_t join_backoff_ = 0;
  std::string join_address_;  // where the last answer sent us; empty: ask the probed peers
  uint64_t probe_wait_ = 0;
  uint64_t probe_interval_ = 0;
  Requests requests_;
  std::string waiting_for_;
};

}  // namespace cairn::node
