#include "server/session_link.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "rpc/proto_convert.h"
#include "rpc/session_channel.h"
#include "server/convert.h"
#include "server/raw_call.h"

namespace cairn::server {
namespace {

// The failure of a link, as the client hears it. The certificate that a link shows is this node's. A
// client that read UNAUTHENTICATED would take its own for refused, and would try no other node.
Status OfLink(const Status& status) {
  if (status.code() != StatusCode::kUnauthenticated &&
      status.code() != StatusCode::kPermissionDenied) {
    return status;
  }
  return Unavailable("this node is not let in elsewhere: " + status.message())
      .With(status.outcome());
}

class SessionLink final : public WriteLink {
 public:
  SessionLink(std::shared_ptr<rpc::SessionChannel> channel, Clock* clock)
      : channel_(std::move(channel)), clock_(clock) {}

  void Send(const state_machine::Command& command, SteadyTime deadline, Done done) override {
    v1::SessionRequest request;
    ToRequest(command, &request);
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - clock_->SteadyNow()).count();
    request.set_timeout_ms(static_cast<uint32_t>(std::max<int64_t>(1, left)));
    channel_->Send(std::move(request), deadline,
                   [done = std::move(done)](const Status& status, v1::SessionResponse* response) {
                     if (!status.ok()) return done(status, OfLink(status));
                     done(status, FromResponse(response));
                   });
  }
  void Close() override { channel_->Close(); }
  const std::string& address() const override { return channel_->endpoint(); }
  bool broken() const override { return channel_->broken(); }
  bool ready() const override { return channel_->ready(); }
  bool ended() const override { return channel_->ended(); }
  void AwaitEnd() override { channel_->AwaitEnd(); }

 private:
  const std::shared_ptr<rpc::SessionChannel> channel_;
  Clock* const clock_;
};

}  // namespace

OpenWriteLink SessionLinks(security::TlsPtr tls, rpc::TimerQueue* timers, Clock* clock,
                           size_t writes_max, size_t write_bytes_max) {
  return [=](const std::string& address, Origin origin, uint64_t cluster_id) {
    rpc::SessionChannel::Options options;
    options.endpoint = address;
    options.tls = tls;
    options.metadata.emplace(rpc::kForwardedMetadata, std::to_string(cluster_id));
    if (origin == Origin::kRelay) options.metadata.emplace(kRelayMetadata, "1");
    options.inflight_max = writes_max;
    options.inflight_bytes_max = write_bytes_max;
    return std::make_shared<SessionLink>(
        rpc::SessionChannel::Open(std::move(options), timers, clock), clock);
  };
}

}  // namespace cairn::server
