// NodeWatch: how others watch this node: its events, the service Operations, and the pages of the HTTP
// door. All read the same figures.
#pragma once

#include <grpcpp/impl/service_type.h>

#include <memory>
#include <string>

#include "base/status.h"
#include "server/http_pages.h"
#include "server/operations.h"
#include "server/scrape.h"

namespace cairn::server {

// Thread-safe but for Start.
class NodeWatch {
 public:
  // `sources` without listener, HTTP door and operations. `settings`: see ServerOptions.
  NodeWatch(const ScrapeSources& sources, std::string settings);

  // This object outlives the service.
  std::unique_ptr<grpc::Service> NewService(const ServiceHost& host);
  // Begins to look for events, and to answer HTTP where there is a door. Call once.
  Status Start(const Listener* listener, HttpService* http);
  // The node is not read any more by a thread of this object. May be called twice, and without Start.
  void Stop() { operations_.Stop(); }

 private:
  Watched Look() const;

  ScrapeSources sources_;
  const std::string settings_;
  Operations operations_;
  std::unique_ptr<HttpPages> pages_;
};

}  // namespace cairn::server
