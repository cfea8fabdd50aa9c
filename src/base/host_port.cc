#include "base/host_port.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>

#include <algorithm>
#include <cctype>
#include <charconv>

namespace cairn {
namespace {

// An address with a zone ("fe80::1%eth0") is an IPv6 address too; a name is not.
bool IsIpv6(const std::string& host) {
  in6_addr address{};
  return ::inet_pton(AF_INET6, host.substr(0, host.find('%')).c_str(), &address) == 1;
}

}  // namespace

Result<HostPort> ParseHostPort(std::string_view text) {
  const auto bad = [text](const std::string& why) {
    return InvalidArgument("endpoint '" + std::string(text) + "' is not host:port: " + why);
  };
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return bad("no port");
  const std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (host.empty()) return bad("no host");
  HostPort parsed{WithoutBrackets(host), 0};
  const bool bracketed = parsed.host.size() != host.size();
  if (!bracketed && host.find(':') != std::string_view::npos) {
    return bad("an IPv6 address goes in brackets");
  }
  if (bracketed && !IsIpv6(parsed.host)) return bad("no IPv6 address stands in the brackets");
  const bool printable =
      std::all_of(host.begin(), host.end(), [](unsigned char c) { return std::isgraph(c) != 0; });
  if (!printable || host.find('/') != std::string_view::npos) return bad("bad host");
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), parsed.port);
  if (error != std::errc() || end != port.data() + port.size() || parsed.port == 0) {
    return bad("the port is a number from 1 to 65535");
  }
  return parsed;
}

std::string JoinHostPort(std::string_view host, uint16_t port) {
  const bool bare_ipv6 = host.find(':') != std::string_view::npos && host.front() != '[';
  const std::string written(host);
  return (bare_ipv6 ? "[" + written + "]" : written) + ":" + std::to_string(port);
}

std::string WithoutBrackets(std::string_view host) {
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  return std::string(host);
}

bool IsWildcardHost(const std::string& host) {
  if (host == "*") return true;
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST;  // no DNS lookup
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(WithoutBrackets(host).c_str(), nullptr, &hints, &found) != 0) return false;
  bool wildcard = false;
  if (found->ai_family == AF_INET) {
    wildcard = reinterpret_cast<const sockaddr_in*>(found->ai_addr)->sin_addr.s_addr == INADDR_ANY;
  } else if (found->ai_family == AF_INET6) {
    const in6_addr& address = reinterpret_cast<const sockaddr_in6*>(found->ai_addr)->sin6_addr;
    const bool mapped =
        IN6_IS_ADDR_V4MAPPED(&address) && std::all_of(address.s6_addr + 12, address.s6_addr + 16,
                                                      [](uint8_t byte) { return byte == 0; });
    wildcard = IN6_IS_ADDR_UNSPECIFIED(&address) || mapped;
  }
  ::freeaddrinfo(found);
  return wildcard;
}

bool IsLoopbackHost(const std::string& host) {
  const std::string bare = WithoutBrackets(host);
  if (bare == "localhost" || bare == "::1") return true;
  // A name may begin with 127., too, and lead anywhere.
  in_addr address{};
  return bare.starts_with("127.") && inet_pton(AF_INET, bare.c_str(), &address) == 1;
}

Status CheckReachable(std::string_view text) {
  ASSIGN_OR_RETURN(const HostPort parsed, ParseHostPort(text));
  if (!IsWildcardHost(parsed.host)) return OkStatus();
  return InvalidArgument("'" + std::string(text) +
                         "' names every address of a machine, so others cannot use it to reach the "
                         "node: give the address that they use");
}

}  // namespace cairn
