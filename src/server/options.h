// Checks a server's options before anything on disk is touched.
#pragma once

#include <string>

#include "base/status.h"
#include "server/server.h"

namespace cairn::server {

// INVALID_ARGUMENT with a message for the operator.
Status CheckOptions(const ServerOptions& options);

// How peers and clients reach this node: `advertise`; without it, its entry in `peers`; without
// that, host and `port`.
std::string AddressOf(const ServerOptions& options, uint16_t port);

}  // namespace cairn::server
