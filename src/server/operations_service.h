// The service cairn.v1.Operations: events, the level of the log, and what a support bundle holds.
#pragma once

#include <grpcpp/impl/service_type.h>

#include <functional>
#include <memory>
#include <string>

#include "cairn/v1/operations.pb.h"
#include "server/cluster_service.h"
#include "server/event_ring.h"
#include "server/module_host.h"
#include "server/node_figures.h"
#include "server/operations.h"

namespace cairn::server {

v1::ListEventsResponse EventsMessage(const EventRing& events);

// What is told of a node: status, readiness, metrics, events, log, settings, versions. No statement of a
// client is among them, and no key.
struct Diagnosis {
  const Operations* operations = nullptr;
  const node::Replica* replica = nullptr;
  Clock* clock = nullptr;
  NodeInfo info;
  std::string settings;  // as a configuration file
  std::function<NodeFigures()> figures;
};
v1::DiagnoseResponse Diagnose(const Diagnosis& of);

// A message of the log without the statement that a client sent.
std::string WithoutStatement(const std::string& message);

// `operations` outlives the service. Diagnoses are refused until it has started.
std::unique_ptr<grpc::Service> NewOperationsService(const ServiceHost& host, Operations* operations,
                                                    Diagnosis diagnosis);

}  // namespace cairn::server
