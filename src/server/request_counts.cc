#include "server/request_counts.h"

namespace cairn::server {
namespace {

Ending EndingOf(Method method, const Status& status) {
  if (status.ok()) return Ending::kOk;
  if (!IsWrite(method)) return Ending::kFailed;
  switch (status.outcome()) {
    case Outcome::kApplied: return Ending::kFailed;
    case Outcome::kUnknown: return Ending::kUnknown;
    default: return Ending::kNotApplied;  // refused before it was proposed
  }
}

}  // namespace

const char* MethodName(Method method) {
  switch (method) {
    case Method::kWrite: return "write";
    case Method::kForwardedWrite: return "forwarded_write";
    case Method::kQuery: return "query";
    case Method::kVersion: return "version";
    case Method::kTransaction: return "transaction";
    case Method::kSources: return "sources";
    case Method::kRetained: break;
  }
  return "retained";
}

const char* EndingName(Ending ending) {
  switch (ending) {
    case Ending::kOk: return "ok";
    case Ending::kFailed: return "failed";
    case Ending::kNotApplied: return "not_applied";
    case Ending::kUnknown: break;
  }
  return "unknown";
}

void RequestCounts::End(Method method, SteadyTime took, const Status& status) {
  OfMethod& counts = Of(method);
  counts.codes[static_cast<size_t>(status.code()) % kCodes].Add();
  counts.times[static_cast<size_t>(EndingOf(method, status))].Observe(took);
}

uint64_t RequestCounts::in_flight(Method method) const {
  // The ends are read first, so that none of a request is counted that had not begun.
  uint64_t ended = 0;
  for (const Counter& code : Of(method).codes) ended += code.value();
  const uint64_t begun = Of(method).begun.value();
  return begun > ended ? begun - ended : 0;
}

}  // namespace cairn::server
