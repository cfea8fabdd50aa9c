// A node on loopback for the tests of GrpcTransport.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "base/check.h"
#include "transport/grpc_transport.h"
#include "transport/transport_test_util.h"

namespace cairn::transport {

// The transport, the server and the handler of one node. The node runs from construction to Stop.
class TestNode {
 public:
  // `port` 0 means any free port.
  explicit TestNode(uint64_t member, int port = 0, GrpcTransportOptions options = {})
      : member_(member) {
    if (options.snapshot_directory.empty()) options.snapshot_directory = directory_.path();
    std::shared_ptr<grpc::ServerCredentials> credentials =
        options.tls == nullptr ? grpc::InsecureServerCredentials()
                               : options.tls->ForListener({{"/cairn.internal."}, {}});
    transport_ = NewGrpcTransport(std::move(options));
    transport_->SetHandler(&handler);
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:" + std::to_string(port), std::move(credentials), &port_);
    builder.RegisterService(transport_->service());
    transport_->ConfigureServer(&builder);
    server_ = builder.BuildAndStart();
    CHECK(server_ != nullptr) << "cannot listen on port " << port;
    identity = MemberIdentity(member, address());
    transport_->SetIdentity(identity);
  }
  ~TestNode() { Stop(); }

  void Stop() {
    if (!transport_) return;
    transport_->Shutdown();
    server_->Shutdown();
    server_.reset();
    transport_.reset();
  }
  void ConnectTo(const TestNode& other) {
    transport_->SetPeers({{MemberId(other.member_), {{other.address()}, other.identity.node_id}}});
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  int port() const { return port_; }
  GrpcTransport& transport() { return *transport_; }
  const TestDirectory& directory() const { return directory_; }

  Status SendSnapshot(uint64_t to, const std::shared_ptr<SnapshotSource>& source) {
    Answer<Status> answer;
    transport_->SendSnapshot(kGroup, MemberId(member_), MemberId(to), source, answer.Callback());
    if (!answer.Await()) return DeadlineExceeded("no answer");
    return answer.Get();
  }

  RecordingHandler handler;
  Identity identity;

 private:
  const uint64_t member_;
  TestDirectory directory_;
  std::unique_ptr<GrpcTransport> transport_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

// Sends heartbeats until one arrives. While streams connect, messages may be lost.
inline bool SendUntilReceived(TestNode* from, uint64_t from_id, TestNode* to, uint64_t to_id,
                              std::chrono::seconds patience = kPatience) {
  const SteadyTime end = SystemClock().SteadyNow() + patience;
  const size_t before = to->handler.received().size();
  while (SystemClock().SteadyNow() < end) {
    from->transport().Send(kGroup, {HeartbeatOf(from_id, to_id, 999'999)});
    if (to->handler.received().size() > before) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

}  // namespace cairn::transport
