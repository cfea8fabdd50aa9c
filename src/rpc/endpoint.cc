#include "rpc/endpoint.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <algorithm>
#include <cctype>

namespace cairn::rpc {
namespace {
constexpr int kReceiveBytesMax = 20 << 20;
}  // namespace

Status CheckEndpoint(const std::string& endpoint) {
  const auto bad = [&](const std::string& why) {
    return InvalidArgument("endpoint '" + endpoint + "' is not host:port: " + why);
  };
  const size_t colon = endpoint.rfind(':');
  if (colon == std::string::npos) return bad("no port");
  const std::string host = endpoint.substr(0, colon);
  const std::string port = endpoint.substr(colon + 1);
  if (host.empty()) return bad("no host");
  const bool bracketed = host.front() == '[' && host.back() == ']';
  if (!bracketed && host.find(':') != std::string::npos) {
    return bad("an IPv6 address goes in brackets");
  }
  const bool printable =
      std::all_of(host.begin(), host.end(), [](unsigned char c) { return std::isgraph(c) != 0; });
  if (!printable || host.find('/') != std::string::npos) return bad("bad host");
  const bool digits =
      !port.empty() && port.size() <= 5 &&
      std::all_of(port.begin(), port.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
  if (!digits || std::stoul(port) == 0 || std::stoul(port) > 65535) {
    return bad("the port is a number from 1 to 65535");
  }
  return OkStatus();
}

std::shared_ptr<grpc::Channel> NewChannel(const std::string& endpoint) {
  grpc::ChannelArguments arguments;
  // Without a pool of its own, channels to one address would share a connection and its backoff.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 20);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);  // also bounds one attempt to connect
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 2000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 2000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetMaxReceiveMessageSize(kReceiveBytesMax);
  return grpc::CreateCustomChannel(endpoint, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace cairn::rpc
