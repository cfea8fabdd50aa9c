// Which errors of a watch another node, or another moment, may mend.
#pragma once

#include "base/status.h"

namespace cairn::client {

// A node that stops, or cannot be reached.
inline bool IsPassing(StatusCode code) {
  return code == StatusCode::kUnavailable || code == StatusCode::kCancelled ||
         code == StatusCode::kDeadlineExceeded || code == StatusCode::kUnknown ||
         code == StatusCode::kInternal;
}

}  // namespace cairn::client
