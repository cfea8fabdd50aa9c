#include "server/options.h"

#include <set>

#include "rpc/endpoint.h"

namespace cairn::server {
namespace {

Status CheckPeers(const ServerOptions& options) {
  std::set<std::string> addresses;
  for (const auto& [id, address] : options.peers) {
    if (id == 0) return InvalidArgument("peers: node ids start at 1");
    if (Status bad = rpc::CheckEndpoint(address); !bad.ok()) {
      return std::move(bad).Prefixed("peers: node " + std::to_string(id));
    }
    if (!addresses.insert(address).second) {
      return InvalidArgument("peers: " + address + " is listed twice");
    }
  }
  const auto own = options.peers.find(options.node_id);
  if (own == options.peers.end()) {
    return InvalidArgument("peers: this node's id, " + std::to_string(options.node_id) +
                           ", is not in the list");
  }
  const std::string port = own->second.substr(own->second.rfind(':') + 1);
  if (options.port != 0 && std::stoul(port) == options.port) return OkStatus();
  return InvalidArgument("peers: node " + std::to_string(options.node_id) + " is listed as " +
                         own->second + ", but this node listens on port " +
                         std::to_string(options.port));
}

}  // namespace

Status CheckOptions(const ServerOptions& options) {
  if (options.engine != "sqlite") {
    return InvalidArgument("unknown engine '" + options.engine + "': only sqlite is known");
  }
  if (options.node_id == 0) return InvalidArgument("node ids start at 1");
  if (options.host.empty()) return InvalidArgument("the host to listen on is empty");
  if (options.db_path.empty()) return InvalidArgument("the database needs a file name");
  if (options.tick.count() <= 0 || options.heartbeat_ticks == 0 ||
      options.election_ticks <= options.heartbeat_ticks) {
    return InvalidArgument(
        "tick and heartbeat must be above zero, and the election timeout longer than the "
        "heartbeat");
  }
  if (options.request_timeout.count() <= 0 || options.leader_wait.count() < 0) {
    return InvalidArgument("the request timeout must be above zero");
  }
  if (!options.peers.empty()) return CheckPeers(options);
  return OkStatus();
}

std::string AddressOf(const ServerOptions& options, uint16_t port) {
  if (const auto own = options.peers.find(options.node_id); own != options.peers.end()) {
    return own->second;
  }
  const bool bare_ipv6 = options.host.find(':') != std::string::npos && options.host.front() != '[';
  return (bare_ipv6 ? "[" + options.host + "]" : options.host) + ":" + std::to_string(port);
}

}  // namespace cairn::server
