#include "rpc/request_size.h"

#include <string>

namespace cairn::rpc {

Status CheckRequestSize(size_t bytes) {
  if (bytes <= kRequestBytesMax) return OkStatus();
  // Not RESOURCE_EXHAUSTED, which means that the request may succeed later.
  return InvalidArgument("the request has " + std::to_string(bytes) + " bytes; at most " +
                         std::to_string(kRequestBytesMax) +
                         " are allowed: send it in several requests");
}

}  // namespace cairn::rpc
