// Principals: who asks. Until clients authenticate themselves, a principal is the host that a
// client connects from.
#pragma once

#include <string>

namespace cairn::server {

// `peer` is as gRPC names it. An IPv6 host counts by its network of 64 bits, because the host may
// use any address in it. An IPv4 address that is mapped into IPv6 counts as the IPv4 address.
std::string PrincipalOfPeer(const std::string& peer);

}  // namespace cairn::server
