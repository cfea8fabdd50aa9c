// ModuleHost: the modules that a server is composed of, and what the server gives to them.
//
// A module is a gRPC service over the Api or the replica. The host gives all modules the same: the
// Api, the replica, the clock, and shares of the memory. The principal of a call is in its
// CallContext (api.h), which is made in one place for all modules (raw_call.h).
#pragma once

#include <grpcpp/impl/service_type.h>
#include <grpcpp/server_builder.h>

#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/memory_budget.h"
#include "node/replica.h"
#include "security/tls.h"

namespace cairn::server {

class AccessControl;
class Api;
class AuditWriter;
class Backups;
class OpenCalls;
class TokenJudge;
class WatchHub;

// What a module may use. All of it outlives the modules.
struct ServiceHost {
  Api* api = nullptr;                // what clients may ask of this node
  node::Replica* replica = nullptr;  // leadership, members, the lease clock (in its status)
  Clock* clock = nullptr;
  MemoryShare* requests = nullptr;  // from when a request arrives until its answer has gone
  MemoryShare* results = nullptr;   // results that clients have not taken
  MemoryShare* sessions = nullptr;  // open streams
  WatchHub* watches = nullptr;      // who hears of changes
  Backups* backups = nullptr;       // copies of the database for clients
  security::TlsPtr tls = nullptr;   // how other nodes are called; null: without TLS
  OpenCalls* open_calls = nullptr;  // the streams of clients; null: without TLS
  // Who may do what; null: everybody may do everything.
  const AccessControl* access = nullptr;
  TokenJudge* tokens = nullptr;  // who comes with a token; null: nobody may
  AuditWriter* audit = nullptr;  // what no entry tells by itself; null: it is not told
};

class ModuleHost {
 public:
  explicit ModuleHost(ServiceHost host) : host_(host) {}

  const ServiceHost& services() const { return host_; }
  void Add(std::unique_ptr<grpc::Service> module) { modules_.push_back(std::move(module)); }
  void RegisterServices(grpc::ServerBuilder* builder) const {
    for (const auto& module : modules_) builder->RegisterService(module.get());
  }

 private:
  const ServiceHost host_;
  std::vector<std::unique_ptr<grpc::Service>> modules_;
};

// The memory budget of a server and its shares; docs/internals/api.md has the table.
struct ServerMemory {
  explicit ServerMemory(size_t bytes_max)
      : budget(bytes_max),
        requests(budget.Share("requests", 6)),
        results(budget.Share("results", 3)),
        grpc(budget.Share("connections", 3)),
        queries(budget.Share("queries", 2)),
        peers(budget.Share("messages of peers", 1)),
        sessions(budget.Share("open streams", 1)) {}

  MemoryBudget budget;
  MemoryShare* const requests;
  MemoryShare* const results;
  MemoryShare* const grpc;
  MemoryShare* const queries;
  MemoryShare* const peers;
  MemoryShare* const sessions;
};

}  // namespace cairn::server
