// The service cairn.v1.Cluster: this node's own view, and membership through the leader.
#pragma once

#include <grpcpp/impl/service_type.h>

#include <memory>
#include <string>

#include "server/module_host.h"

namespace cairn::server {

// What a node says of itself in addition to its replica's status.
struct NodeInfo {
  uint64_t node_id = 0;
  std::string address;
  std::string version;  // of the binary
  std::string engine;   // state_machine::EngineFingerprint, in words
};

std::unique_ptr<grpc::Service> NewClusterService(const ServiceHost& host, NodeInfo info);

}  // namespace cairn::server
