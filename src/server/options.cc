#include "server/options.h"

#include <set>

#include "base/host_port.h"

namespace cairn::server {
namespace {

Status CheckOwnEntry(const ServerOptions& options) {
  const auto own = options.peers.find(options.node_id);
  if (own == options.peers.end()) {
    return InvalidArgument("peers: this node's id, " + std::to_string(options.node_id) +
                           ", is not in the list: --peers names all nodes, this one included");
  }
  if (!options.advertise.empty()) {
    if (own->second == options.advertise) return OkStatus();
    return InvalidArgument("peers: node " + std::to_string(options.node_id) + " is listed as " +
                           own->second + ", but this node is to advertise " + options.advertise);
  }
  ASSIGN_OR_RETURN(const HostPort listed, ParseHostPort(own->second));
  if (listed.port == options.port) return OkStatus();
  return InvalidArgument("peers: node " + std::to_string(options.node_id) + " is listed as " +
                         own->second + ", but this node listens on port " +
                         std::to_string(options.port) +
                         "; if one port is mapped to the other, add --advertise " + own->second);
}

Status CheckPeers(const ServerOptions& options) {
  std::set<std::string> addresses;
  for (const auto& [id, address] : options.peers) {
    if (id == 0) return InvalidArgument("peers: node ids start at 1");
    if (Status bad = CheckReachable(address); !bad.ok()) {
      return std::move(bad).Prefixed("peers: node " + std::to_string(id));
    }
    if (!addresses.insert(address).second) {
      return InvalidArgument("peers: " + address + " is listed twice");
    }
  }
  return CheckOwnEntry(options);
}

// The others write down what a node says of itself, and give it to clients.
Status CheckAddress(const ServerOptions& options) {
  if (options.host.empty()) return InvalidArgument("the host to listen on is empty");
  if (!options.advertise.empty()) {
    if (Status bad = CheckReachable(options.advertise); !bad.ok()) {
      return std::move(bad).Prefixed("advertise");
    }
    return OkStatus();
  }
  if (!options.peers.empty() || !IsWildcardHost(options.host)) return OkStatus();
  return InvalidArgument("the host " + options.host +
                         " stands for every address of this machine, so others cannot use it to "
                         "reach this node: name the address that they use with --advertise "
                         "HOST:PORT");
}

// Without TLS a node believes everyone who reaches its port, so nobody else shall reach it by accident.
Status CheckSecurity(const ServerOptions& options) {
  if (options.auth.value_or(false) && options.tls_directory.empty()) {
    return InvalidArgument(
        "--auth on needs TLS: without certificates nobody can be told apart (--tls-dir)");
  }
  if (!options.tls_directory.empty()) {
    if (!options.insecure) return OkStatus();
    return InvalidArgument("--insecure and --tls-dir contradict each other: choose one");
  }
  if (options.insecure || IsLoopbackHost(options.host)) return OkStatus();
  return InvalidArgument(
      "without TLS everyone who reaches " + options.host +
      " may read and change the data: give this node a certificate (cairn cert init, cairn cert "
      "issue) and name its directory with --tls-dir; or listen on 127.0.0.1; or, in a network that "
      "you trust wholly, add --insecure");
}

}  // namespace

Status CheckOptions(const ServerOptions& options) {
  if (options.engine != "sqlite") {
    return InvalidArgument("unknown engine '" + options.engine + "': only sqlite is known");
  }
  if (options.node_id == 0) return InvalidArgument("node ids start at 1");
  if (options.db_path.empty()) return InvalidArgument("the database needs a file name");
  if (options.tick.count() <= 0 || options.heartbeat_ticks == 0 ||
      options.election_ticks <= options.heartbeat_ticks) {
    return InvalidArgument(
        "tick and heartbeat must be above zero, and the election timeout longer than the "
        "heartbeat");
  }
  if (options.http_port != 0 && options.http_port == options.port) {
    return InvalidArgument("the HTTP door needs a port of its own, and " +
                           std::to_string(options.port) + " is the port for clients and peers");
  }
  if (options.http_port != 0 && options.http_host.empty()) {
    return InvalidArgument("the host of the HTTP door is empty");
  }
  if (options.request_timeout.count() <= 0 || options.leader_wait.count() < 0) {
    return InvalidArgument("the request timeout must be above zero");
  }
  RETURN_IF_ERROR(CheckAddress(options));
  RETURN_IF_ERROR(CheckSecurity(options));
  if (!options.peers.empty()) return CheckPeers(options);
  return OkStatus();
}

std::string AddressOf(const ServerOptions& options, uint16_t port) {
  if (!options.advertise.empty()) return options.advertise;
  if (const auto own = options.peers.find(options.node_id); own != options.peers.end()) {
    return own->second;
  }
  return JoinHostPort(options.host, port);
}

}  // namespace cairn::server
