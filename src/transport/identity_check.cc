#include "transport/identity_check.h"

#include <algorithm>
#include <string>

namespace cairn::transport {
namespace {

constexpr size_t kClipBytes = 120;
constexpr size_t kClipContextBytes = 24;

// Fingerprints are long and an error must fit into a header: shows where they begin to differ.
std::string Clip(const std::string& text, size_t difference) {
  const size_t from = text.size() <= kClipBytes || difference <= kClipContextBytes
                          ? 0
                          : std::min(difference - kClipContextBytes, text.size());
  std::string out = from > 0 ? "..." : "";
  out += text.substr(from, kClipBytes);
  if (text.size() - from > kClipBytes) out += "...";
  return "\"" + out + "\"";
}

}  // namespace

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
  if (caller_engine == own_engine) return OkStatus();
  const std::string& caller = caller_engine.build;
  const std::string& own = own_engine.build;
  const auto [a, b] = std::mismatch(caller.begin(), caller.end(), own.begin(), own.end());
  const auto difference = static_cast<size_t>(a - caller.begin());
  return FailedPrecondition("the caller runs engine " + Clip(caller, difference) + ", this node " +
                            Clip(own, difference));
}

Status CheckCaller(uint32_t caller_version, const Identity& caller, MemberId target,
                   const Identity& self, uint32_t own_version) {
  RETURN_IF_ERROR(CheckProtocolVersion(caller_version, own_version));
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
