#include "rpc/endpoint.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include "base/host_port.h"

namespace cairn::rpc {
namespace {
constexpr int kReceiveBytesMax = 20 << 20;

// A channel with an open call sends a ping when nothing has come from the server for kPingAfterMs.
// A cut link is found dead within 2.6 s, so a write in flight soon takes another way.
//
// The pings are as rare as servers of 0.1 demand: they end a connection that is pinged more often
// than every 1.5 s. gRPC then pings half as often, but only on the same channel. The next channel
// to that server would be cut off again.
constexpr int kPingAfterMs = 1600;
constexpr int kPingTimeoutMs = 1000;
}  // namespace

Status CheckEndpoint(const std::string& endpoint) { return ParseHostPort(endpoint).status(); }

std::shared_ptr<grpc::Channel> NewChannel(const std::string& endpoint,
                                          const security::TlsPtr& tls) {
  grpc::ChannelArguments arguments;
  // Without a pool of its own, channels to one address would share a connection and its backoff.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 20);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);  // also bounds one attempt to connect
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  // Resolves names anew after a failed attempt. By default gRPC does not do that for 30 s.
  arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 1000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kPingAfterMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kPingTimeoutMs);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetMaxReceiveMessageSize(kReceiveBytesMax);
  return grpc::CreateCustomChannel(
      endpoint, tls == nullptr ? grpc::InsecureChannelCredentials() : tls->ForChannel(), arguments);
}

}  // namespace cairn::rpc
