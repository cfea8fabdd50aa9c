// Server: one node as a process. It wires the data directory, the replica, the transport and the
// gRPC services on one port.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "base/status.h"
#include "state_machine/command.h"
#include "state_machine/feature_level.h"

namespace cairn::server {

struct ServerOptions {
  uint64_t node_id = 1;
  std::string host = "127.0.0.1";  // to listen on; an IPv6 address with or without brackets
  uint16_t port = 50051;           // 0: any free one (tests)
  // host:port by which peers and clients reach this node. Empty: this node's entry in `peers`, or
  // host and port.
  std::string advertise;
  std::string db_path = "master.db";
  std::string engine = "sqlite";
  // Holds the certificate of this node and what the site trusts (security/tls_files.h). Empty: no
  // TLS, and everyone who reaches the port may do everything.
  std::string tls_directory;
  // Whether privileges are asked for (access_control.h). None: with TLS alone.
  std::optional<bool> auth;
  bool insecure = false;                  // without TLS, listen beyond loopback all the same
  std::map<uint64_t, std::string> peers;  // node id -> host:port, this node included; empty: alone

  std::chrono::milliseconds tick{10};
  uint64_t election_ticks = 15;
  uint64_t heartbeat_ticks = 3;
  std::chrono::milliseconds request_timeout{10'000};  // default of requests that name none
  std::chrono::milliseconds leader_wait{3'000};       // how long a request waits for a leader
  // How long an answered request is remembered at least, so that its retry is answered.
  std::chrono::milliseconds request_ttl{state_machine::kRequestTtlDefaultMs};
  // How writes of many clients share an entry, and what may wait for one (node/batcher.h).
  size_t batch_commands_max = 1024;
  size_t batch_bytes_max = 1 << 20;
  std::chrono::microseconds batch_delay_max{2000};
  size_t batch_entries_in_flight_max = 4;
  size_t write_queue_commands_max = 65'536;
  size_t write_queue_bytes_max = 64 << 20;  // at most a third of the memory for requests
  std::chrono::milliseconds write_queue_wait_max{30'000};
  uint64_t log_bytes_max = 64 << 20;
  uint64_t free_bytes_min = 64 << 20;
  uint64_t memory_bytes_max = 512 << 20;  // beside SQLite's caches; divided as api.md says
  uint64_t request_steps_max = 50'000'000;
  uint64_t maintenance_steps_max = 5'000'000'000;
  // Of the HTTP door, which has no TLS, so it has a host of its own. Port 0: there is none.
  std::string http_host = "127.0.0.1";
  uint16_t http_port = 0;
  size_t vector_bytes_max = 256 << 20;  // the memory of all approximate indexes of vectors; 0: none
  std::chrono::milliseconds digest_every{600'000};  // 0: never
  // The settings of this node as a configuration file, for support bundles. It holds no secret: keys
  // are in files, which it names.
  std::string settings_text;
  // The highest feature level that this node knows. Only tests of upgrades set another one.
  uint64_t level_max = state_machine::kLevelHighest;
};

// How a node is, in words for whoever supervises it.
struct ServerHealth {
  SteadyTime turned_ago{0};  // since the core thread last turned
  std::string words;         // its role, or why clients should go elsewhere; one line
};

// Thread-safe after Start. Start does everything that can fail on bad input: an unknown engine, an
// own entry of `peers` that disagrees with the port or with `advertise`, a host by which nobody
// reaches this node, a busy port, an unreadable file, a data directory that belongs to another node
// or cluster or that another process holds. If Start fails, nothing on disk has changed.
class Server {
 public:
  static Result<std::unique_ptr<Server>> Start(const ServerOptions& options);
  virtual ~Server() = default;

  virtual uint16_t port() const = 0;
  virtual ServerHealth health() const = 0;
  // Blocks until the server has stopped: after Shutdown (OK), or by trouble of its own (not OK).
  virtual Status Wait() = 0;
  // A clean stop: refuses new requests, hands over leadership, checkpoints, releases the lock. May
  // be called from any thread, also twice, but not from a signal handler.
  virtual void Shutdown() = 0;
};

}  // namespace cairn::server
