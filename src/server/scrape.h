// Scrape: reads the figures of a node from its parts, each of which has published them.
#pragma once

#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/memory_budget.h"
#include "node/replica.h"
#include "security/tls.h"
#include "server/node_figures.h"
#include "transport/grpc_transport.h"

namespace cairn::server {

class HttpService;
class Listener;
class LongReads;
class Operations;
class ReadPool;
class Router;
class WatchHub;
struct ServerOptions;

// The parts. All outlive the scrapes.
struct ScrapeSources {
  const ServerOptions* options = nullptr;
  NodeInfo info;
  Clock* clock = nullptr;
  FileSystem* fs = nullptr;
  node::Replica* replica = nullptr;
  const node::ReplicaCounts* counts = nullptr;
  const transport::GrpcTransport* transport = nullptr;
  std::vector<const MemoryShare*> memory{};  // those that are charged
  size_t write_queue_bytes_max = 0;
  const Router* router = nullptr;
  const ReadPool* reads = nullptr;
  const LongReads* long_reads = nullptr;
  const WatchHub* watches = nullptr;
  const RequestCounts* requests = nullptr;
  const Listener* listener = nullptr;
  const HttpService* http = nullptr;  // null: there is no HTTP door
  const Operations* operations = nullptr;
  const security::Tls* tls = nullptr;  // null: without TLS
};

// Thread-safe. Takes locks that are held for moments, and asks the system for the sizes of files that
// are open, which it has in memory.
NodeFigures ReadFigures(const ScrapeSources& sources);

}  // namespace cairn::server
