// Commands, continued: what every door checks, and how failures are told.
#include <string>
#include <utility>

#include "state_machine/command.h"

namespace cairn::state_machine {

Status CheckRequestId(const Command& command) {
  const auto refused = [](const std::string& why) {
    return InvalidArgument(why).With(Outcome::kNotApplied);
  };
  const RequestId& id = command.id;
  if (id.session.size() > kSessionBytesMax) {
    return refused("the session of the request id is longer than " +
                   std::to_string(kSessionBytesMax) + " bytes");
  }
  if (id.empty() && id.sequence != 0) return refused("the request id names no session");
  // A node names requests only in its own session. If a node used bare ids, a restart would forget
  // the results of those ids on some nodes, and others would keep them.
  if (id.bare() && command.named_by != 0) {
    return refused("a node has given the request an id without a session of the node's");
  }
  // No sequence follows UINT64_MAX, so "all below" could not include it.
  if (id.sequence == UINT64_MAX) {
    return refused("the sequence of the request id is the last number of 64 bits");
  }
  // The node that forwards a request gives its principal. No node could decode an entry with a
  // longer principal.
  if (command.principal.size() > kPrincipalBytesMax) {
    return refused("the principal of the request is longer than " +
                   std::to_string(kPrincipalBytesMax) + " bytes");
  }
  // Otherwise the request would count as answered before it is ever asked.
  if (command.acknowledged_below > id.sequence) {
    return refused("acknowledged_below " + std::to_string(command.acknowledged_below) +
                   " is past the request's own sequence " + std::to_string(id.sequence));
  }
  return OkStatus();
}

std::string OwnerOf(const Command& command) {
  if (command.named_by == 0) return command.principal;
  return "node:" + std::to_string(command.named_by);
}

Status FailureOf(size_t place, size_t count, Status failure) {
  const std::string number = std::to_string(place + 1);
  if (count > 1) failure = std::move(failure).Prefixed("statement " + number);
  return std::move(failure).AtStatement(static_cast<uint32_t>(place + 1));
}

}  // namespace cairn::state_machine
