#include "rpc/endpoint.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include "base/host_port.h"

namespace cairn::rpc {
namespace {
constexpr int kReceiveBytesMax = 20 << 20;
}  // namespace

Status CheckEndpoint(const std::string& endpoint) { return ParseHostPort(endpoint).status(); }

std::shared_ptr<grpc::Channel> NewChannel(const std::string& endpoint) {
  grpc::ChannelArguments arguments;
  // Without a pool of its own, channels to one address would share a connection and its backoff.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 20);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);  // also bounds one attempt to connect
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  // Names are resolved anew when an attempt has failed; by default not for 30 s.
  arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 1000);
  // A request in flight over a link that was cut fails soon enough to go another way while it waits
  // for a leader (3 s).
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 750);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 1500);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetMaxReceiveMessageSize(kReceiveBytesMax);
  return grpc::CreateCustomChannel(endpoint, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace cairn::rpc
