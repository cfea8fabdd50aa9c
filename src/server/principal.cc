#include "server/principal.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "state_machine/access.h"

namespace cairn::server {
namespace {

// gRPC writes "[" and "]" of an IPv6 address as "%5B" and "%5D".
std::string HostOf(const std::string& address) {
  std::string host = address.substr(0, address.rfind(':'));
  for (const auto& [escaped, plain] : {std::pair("%5B", "["), std::pair("%5D", "]")}) {
    if (const size_t at = host.find(escaped); at != std::string::npos) host.replace(at, 3, plain);
  }
  std::erase(host, '[');
  std::erase(host, ']');
  return host.substr(0, host.find('%'));  // without the zone
}

std::string Ipv6Principal(const std::string& host) {
  in6_addr address;
  if (inet_pton(AF_INET6, host.c_str(), &address) != 1) return "host:" + host;
  char text[INET6_ADDRSTRLEN];
  if (IN6_IS_ADDR_V4MAPPED(&address)) {
    inet_ntop(AF_INET, &address.s6_addr[12], text, sizeof text);
    return std::string("host:") + text;
  }
  if (IN6_IS_ADDR_LOOPBACK(&address)) return "host:::1";
  std::memset(&address.s6_addr[8], 0, 8);
  inet_ntop(AF_INET6, &address, text, sizeof text);
  return std::string("host:") + text + "/64";
}

}  // namespace

std::string PrincipalOfPeer(const std::string& peer) {
  const size_t colon = peer.find(':');
  const std::string kind = peer.substr(0, colon);
  const std::string rest = colon == std::string::npos ? "" : peer.substr(colon + 1);
  if (kind == "ipv4") return "host:" + HostOf(rest);
  if (kind == "ipv6") return Ipv6Principal(HostOf(rest));
  return "host:local";
}

std::string AddressOfPeer(const std::string& peer) {
  if (!peer.starts_with("ipv4:") && !peer.starts_with("ipv6:")) return "local";
  return HostOf(peer.substr(5));
}

std::string PrincipalOf(const security::CertifiedName& name) {
  if (name.is_node()) {
    return std::string(state_machine::kNodePrefix) + std::to_string(name.node_id);
  }
  std::string principal = std::string(state_machine::kNamedPrefix) + name.principal;
  if (!name.role.empty()) principal += state_machine::kLimitMark + name.role;
  return principal;
}

}  // namespace cairn::server
