// HttpPages: what the HTTP door answers. docs/operations/metrics.md is the manual.
//
//   /livez        200 while the core thread turns; 503 once it is stuck (readiness.h)
//   /readyz       200 if clients should be sent here; otherwise 503, and why, one reason a line
//   /metrics      the text format of Prometheus
//   /v1/status    the message cairn.v1.StatusResponse as JSON
//   /v1/events    the message cairn.v1.ListEventsResponse as JSON
#pragma once

#include <functional>

#include "base/clock.h"
#include "http/message.h"
#include "node/replica.h"
#include "server/cluster_service.h"
#include "server/event_ring.h"
#include "server/node_figures.h"

namespace cairn::server {

// Thread-safe. No page waits for a disk, another node or the core thread: each tells what is
// published.
class HttpPages {
 public:
  // `figures` reads the figures of the node. All outlive the pages.
  HttpPages(const node::Replica* replica, Clock* clock, NodeInfo info,
            std::function<NodeFigures()> figures, const EventRing* events);

  http::Response Answer(const http::Request& request) const;

 private:
  http::Response Live() const;
  http::Response Ready() const;
  http::Response Metrics() const;
  http::Response Status() const;
  http::Response Events() const;

  const node::Replica* const replica_;
  Clock* const clock_;
  const NodeInfo info_;
  const std::function<NodeFigures()> figures_;
  const EventRing* const events_;
};

}  // namespace cairn::server
