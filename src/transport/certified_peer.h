// With TLS a peer is who its certificate says. Without TLS there is nothing to check.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>

#include <cstdint>
#include <optional>

#include "base/status.h"
#include "transport/transport_context.h"

namespace cairn::transport {

// OK if the caller's certificate is that of the node that the caller says it is; none: of any node.
// PERMISSION_DENIED in words if it is another one's.
Status CheckCertified(const TransportContext& context, const grpc::CallbackServerContext& call,
                      std::optional<uint64_t> node_id);

// The same for the node that answered a call, which has ended well.
Status CheckAnswerer(const TransportContext& context, const grpc::ClientContext& call,
                     uint64_t node_id);

}  // namespace cairn::transport
