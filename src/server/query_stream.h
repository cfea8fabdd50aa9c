// One Query call: rows of any number, streamed in bounded chunks at the pace of the client.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "base/clock.h"
#include "server/api.h"
#include "server/read_pool.h"

namespace cairn::server {

// Starts to serve the call; gRPC owns what is returned until the call ends. The query occupies a
// thread of `reads` (not the one for short reads) while it runs, at most `age_max`; then ABORTED.
grpc::ServerWriteReactor<grpc::ByteBuffer>* ServeQuery(grpc::CallbackServerContext* context,
                                                       const grpc::ByteBuffer& request, Api* api,
                                                       ReadPool* reads, Clock* clock,
                                                       SteadyTime age_max);

}  // namespace cairn::server
