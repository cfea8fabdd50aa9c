// One request of a Session: from its message to the Api, and back.
#pragma once

#include <functional>

#include "cairn/v1/database.pb.h"
#include "server/api.h"
#include "server/module_host.h"

namespace cairn::server {

// Moves from the request. `done` is called as the Api calls its callbacks. The response has the
// request's id. The charge is that of a result, if memory was taken while the result was made.
void HandleSessionRequest(const ServiceHost& host, v1::SessionRequest* request,
                          const CallContext& context,
                          std::function<void(v1::SessionResponse, MemoryCharge)> done);

}  // namespace cairn::server
