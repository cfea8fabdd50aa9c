// One request of a Session: from its message to the Api, and back.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>

#include "base/memory_budget.h"
#include "cairn/v1/database.pb.h"
#include "server/api.h"
#include "server/module_host.h"

namespace cairn::server {

// The answer to a request. A query's result is encoded as it is made.
struct SessionAnswer {
  v1::SessionResponse response;      // with the request's id
  std::optional<std::string> query;  // a QueryResult, which belongs into the response
  MemoryCharge charge;               // of `query`, if it is not small
};

// Moves from the request, which came as `bytes` bytes. `done` is called as the Api calls its
// callbacks.
void HandleSessionRequest(const ServiceHost& host, v1::SessionRequest* request, size_t bytes,
                          const CallContext& context, std::function<void(SessionAnswer&&)> done);

}  // namespace cairn::server
