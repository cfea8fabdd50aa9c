// Endpoints and the gRPC channels to them.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <string>

#include "base/status.h"
#include "security/tls.h"

namespace cairn::rpc {

// OK for host:port (a name, an IPv4 address, or an IPv6 address in brackets; port 1 to 65535).
Status CheckEndpoint(const std::string& endpoint);

// A channel with a connection of its own. The channel is tuned for failover: it detects a dead node
// within seconds, reconnects soon, and accepts answers of the sizes that nodes send. With `tls` the
// server proves who it is; without, nothing is encrypted.
std::shared_ptr<grpc::Channel> NewChannel(const std::string& endpoint, const security::TlsPtr& tls);

}  // namespace cairn::rpc
