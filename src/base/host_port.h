// Addresses as people write them: HOST:PORT, where an IPv6 address stands in brackets.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cairn {

struct HostPort {
  std::string host;  // a name or an address, without brackets
  uint16_t port = 0;
  bool operator==(const HostPort&) const = default;
};

// INVALID_ARGUMENT, in words, unless `text` is a name, an IPv4 address, or an IPv6 address in
// brackets, followed by a colon and a port from 1 to 65535. Resolves nothing.
Result<HostPort> ParseHostPort(std::string_view text);
// With brackets around an IPv6 address.
std::string JoinHostPort(std::string_view host, uint16_t port);

// "[::1]" and "::1" are the same host; gives it without brackets.
std::string WithoutBrackets(std::string_view host);
// True for the addresses that stand for all addresses of a machine: 0.0.0.0, ::, and other ways to
// write them. A server may listen there; nobody can be sent there.
bool IsWildcardHost(const std::string& host);
// True for hosts that only this machine can reach.
bool IsLoopbackHost(const std::string& host);

// What ParseHostPort says, and INVALID_ARGUMENT for a wildcard: by `text` others are to reach a
// node.
Status CheckReachable(std::string_view text);

}  // namespace cairn
