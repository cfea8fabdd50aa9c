// Addresses as people write them: HOST:PORT, with an IPv6 address in brackets.
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
// brackets, followed by a colon and a port from 1 to 65535. ParseHostPort resolves no names.
Result<HostPort> ParseHostPort(std::string_view text);
// HOST:PORT, with brackets around an IPv6 address.
std::string JoinHostPort(std::string_view host, uint16_t port);

// "[::1]" and "::1" are the same host; returns the host without brackets.
std::string WithoutBrackets(std::string_view host);
// True for the addresses that stand for all addresses of a machine: 0.0.0.0, ::, and other
// spellings of them. A server may listen on such an address, but no client can be sent to it.
bool IsWildcardHost(const std::string& host);
// True for hosts that only this machine can reach.
bool IsLoopbackHost(const std::string& host);

// Returns the error of ParseHostPort, and INVALID_ARGUMENT for a wildcard host: others must be able
// to reach a node by `text`.
Status CheckReachable(std::string_view text);

}  // namespace cairn
