// What a server's options must be, before anything is touched.
#pragma once

#include <string>

#include "base/status.h"
#include "server/server.h"

namespace cairn::server {

// INVALID_ARGUMENT, in words for the operator.
Status CheckOptions(const ServerOptions& options);

// How peers and clients reach this node: what it is to advertise, else its entry in `peers`, else
// host and `port`.
std::string AddressOf(const ServerOptions& options, uint16_t port);

}  // namespace cairn::server
