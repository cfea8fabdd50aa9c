// One WatchQuery call: tells when the rows of a query may have changed.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "server/module_host.h"

namespace cairn::server {

// Starts to serve the call; gRPC owns what is returned until the call ends.
grpc::ServerWriteReactor<grpc::ByteBuffer>* ServeWatchQuery(grpc::CallbackServerContext* context,
                                                            const grpc::ByteBuffer& request,
                                                            const ServiceHost& host);

}  // namespace cairn::server
