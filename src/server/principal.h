// Principals: who asks. With TLS a principal is whom the token or the certificate of the call names:
// `principal:alice`, `principal:alice/reader` for a token that is limited to a role, or `node:1`. Without TLS it is the host that a client connects from:
// `host:192.0.2.7`. state_machine/access.h has the prefixes.
//
// The principal goes with a write into the log. Sessions, request ids and prepared transactions belong
// to it, and it has its part of the memory and its turns.
#pragma once

#include <string>

#include "security/certified_name.h"

namespace cairn::server {

// `peer` is as gRPC names it. An IPv6 host counts by its network of 64 bits, because the host may
// use any address in it. An IPv4 address that is mapped into IPv6 counts as the IPv4 address.
std::string PrincipalOfPeer(const std::string& peer);
std::string PrincipalOf(const security::CertifiedName& name);
// The host of the peer, without the port; "local" if it has none.
std::string AddressOfPeer(const std::string& peer);

}  // namespace cairn::server
