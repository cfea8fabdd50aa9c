#include "transport/certified_peer.h"

#include <memory>
#include <string>

#include "base/result.h"

namespace cairn::transport {
namespace {

Status Compare(const Result<security::CertifiedName>& name, std::optional<uint64_t> claimed) {
  RETURN_IF_ERROR(name.status());
  if (!name->is_node()) {
    return PermissionDenied("the certificate is that of " + InWords(*name) + ", which is no node");
  }
  if (!claimed || *claimed == name->node_id) return OkStatus();
  return PermissionDenied("the other side says that it is node " + std::to_string(*claimed) +
                          ", and its certificate is that of " + InWords(*name));
}

}  // namespace

Status CheckCertified(const TransportContext& context, const grpc::CallbackServerContext& call,
                      std::optional<uint64_t> node_id) {
  if (context.tls == nullptr) return OkStatus();
  return Compare(context.tls->CallerOf(*call.auth_context()), node_id);
}

Status CheckAnswerer(const TransportContext& context, const grpc::ClientContext& call,
                     uint64_t node_id) {
  if (context.tls == nullptr) return OkStatus();
  return Compare(context.tls->ServerOf(*call.auth_context()), node_id);
}

}  // namespace cairn::transport
