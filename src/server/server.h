// Server: one node as a process: data directory, replica, transport and gRPC services on one port.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/status.h"
#include "state_machine/command.h"
#include "state_machine/feature_level.h"

namespace cairn::server {

struct ServerOptions {
  uint64_t node_id = 1;
  std::string host = "127.0.0.1";  // listened on; an IPv6 address with or without brackets
  uint16_t port = 50051;           // 0: any free one (tests)
  // host:port by which peers and clients reach this node; empty: this node's entry in `peers`, or
  // host and port.
  std::string advertise;
  std::string db_path = "master.db";
  std::string engine = "sqlite";
  std::map<uint64_t, std::string> peers;  // node id -> host:port, this node included; empty: alone

  std::chrono::milliseconds tick{10};
  uint64_t election_ticks = 15;
  uint64_t heartbeat_ticks = 3;
  std::chrono::milliseconds request_timeout{10'000};  // default of requests that name none
  std::chrono::milliseconds leader_wait{3'000};       // how long a request waits for a leader
  // For how long an answered request is remembered at the least, so that its retry is answered.
  std::chrono::milliseconds request_ttl{state_machine::kRequestTtlDefaultMs};
  uint64_t log_bytes_max = 64 << 20;
  uint64_t free_bytes_min = 64 << 20;
  uint64_t memory_bytes_max = 512 << 20;  // beside SQLite's caches; divided as api.md says
  uint64_t request_steps_max = 50'000'000;
  uint64_t maintenance_steps_max = 5'000'000'000;
  std::chrono::milliseconds digest_every{600'000};  // 0: never
  // Feature levels that this node knows; another one in tests of upgrades alone.
  uint64_t level_max = state_machine::kLevelHighest;
};

// Thread-safe after Start. Start does everything that can fail on bad input: unknown engine, own
// entry of `peers` that disagrees with the port or with `advertise`, a host that leads nobody
// here, busy port, unreadable file, a data directory
// of another node or cluster or held by another process. On an error nothing on disk was changed.
class Server {
 public:
  static Result<std::unique_ptr<Server>> Start(const ServerOptions& options);
  virtual ~Server() = default;

  virtual uint16_t port() const = 0;
  // Blocks until the server has stopped: after Shutdown, or by trouble of its own (then not OK).
  virtual Status Wait() = 0;
  // Clean: refuses new requests, hands over leadership, checkpoints, releases the lock. May be
  // called from any thread, also twice. Not from a signal handler.
  virtual void Shutdown() = 0;
};

}  // namespace cairn::server
