#include "transport/identity_check.h"

#include <string>

namespace cairn::transport {
Status CheckProtocolVersion(uint32_t caller_version, uint32_t own_version) {
  if (caller_version == own_version) return OkStatus();
  return FailedPrecondition("the caller speaks peer protocol version " +
                            std::to_string(caller_version) + ", this node version " +
                            std::to_string(own_version));
}

Status CheckEngine(const EngineId& caller_engine, const EngineId& own_engine) {
  if (caller_engine.machine != own_engine.machine) {
    return FailedPrecondition("the caller runs on \"" + caller_engine.machine +
                              "\", this node on \"" + own_engine.machine +
                              "\": they may compute different results");
  }
  return OkStatus();
}

namespace {

// More than any address, any build of an engine and any directory's starts take. Nodes keep what
// callers tell, write it into the log and repeat it in messages.
constexpr size_t kHelloTextBytesMax = 8 << 10;
constexpr size_t kHelloStartsMax = 256;

Status CheckHelloSize(const Identity& caller) {
  if (caller.start.earlier.size() > kHelloStartsMax) {
    return InvalidArgument("the caller's hello tells more than " + std::to_string(kHelloStartsMax) +
                           " starts");
  }
  for (const std::string* text : {&caller.address, &caller.engine.build, &caller.engine.machine}) {
    if (text->size() <= kHelloTextBytesMax) continue;
    return InvalidArgument("a text of the caller's hello has " + std::to_string(text->size()) +
                           " bytes; " + std::to_string(kHelloTextBytesMax) + " are allowed");
  }
  return OkStatus();
}

}  // namespace

Status CheckCaller(uint32_t caller_version, const Identity& caller, MemberId target,
                   const Identity& self, uint32_t own_version) {
  RETURN_IF_ERROR(CheckProtocolVersion(caller_version, own_version));
  RETURN_IF_ERROR(CheckHelloSize(caller));
  if (self.cluster_id == 0 || self.member.is_none()) {
    return Unavailable("the caller is of cluster " + ClusterIdText(caller.cluster_id) +
                       ", this node is not a member of any cluster yet");
  }
  if (caller.cluster_id != self.cluster_id) {
    return FailedPrecondition("the caller is of cluster " + ClusterIdText(caller.cluster_id) +
                              ", this node of cluster " + ClusterIdText(self.cluster_id));
  }
  if (target != self.member) {
    return FailedPrecondition("the caller means member " + ToString(target) +
                              ", this node is member " + ToString(self.member));
  }
  if (caller.member.is_none()) {
    return FailedPrecondition(
        "the caller is not a member (it gave member id 0), this node is "
        "member " +
        ToString(self.member));
  }
  if (caller.member == self.member) {
    return FailedPrecondition("the caller says that it is member " + ToString(caller.member) +
                              ", and so is this node");
  }
  return CheckEngine(caller.engine, self.engine);
}

}  // namespace cairn::transport
