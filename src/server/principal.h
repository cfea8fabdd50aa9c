// Principals: who asks. Until clients authenticate themselves, the host that they connect from.
#pragma once

#include <string>

namespace cairn::server {

// `peer`: as gRPC names it. An IPv6 host counts by its network of 64 bits, of which it may use any
// address; an IPv4 address mapped into IPv6 counts as itself.
std::string PrincipalOfPeer(const std::string& peer);

}  // namespace cairn::server
