// Peers over TLS: a peer is who its certificate says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "security/security_test_util.h"
#include "transport/grpc_node_test_util.h"
#include "transport/peer_protocol.h"

namespace cairn::transport {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;

// The cluster of MemberIdentity.
constexpr uint64_t kCluster = 42;

class TlsTransport : public testing::Test {
 protected:
  security::TlsPtr Tls(const std::string& directory) {
    Result<security::TlsPtr> tls = security::Tls::ForClient(directory, &SystemClock());
    EXPECT_TRUE(tls.ok()) << tls.status();
    return *tls;
  }
  GrpcTransportOptions With(const std::string& directory) {
    GrpcTransportOptions options;
    options.tls = Tls(directory);
    return options;
  }
  // The status with which `to` ends a stream of messages, or of a snapshot, from a caller that says
  // it is node 1.
  template <class Request, class Open>
  grpc::Status Say(const TestNode& to, const std::string& directory, Open open) {
    const auto stub = pb::Peer::NewStub(NewPeerChannel(to.address(), Tls(directory)));
    grpc::ClientContext context;
    context.set_deadline(DeadlineAfter(seconds(10)));
    const auto stream = open(stub.get(), &context);
    Request request;
    FillHello(MemberIdentity(1, "x:1"), MemberId(2), request.mutable_hello());
    stream->Write(request);
    stream->WritesDone();
    return stream->Finish();
  }
  grpc::Status Message(const TestNode& to, const std::string& directory) {
    return Say<pb::MessagesRequest>(
        to, directory, [](auto* stub, auto* context) { return stub->Messages(context); });
  }
  grpc::Status Snapshot(const TestNode& to, const std::string& directory) {
    return Say<pb::SnapshotRequest>(
        to, directory, [](auto* stub, auto* context) { return stub->Snapshot(context); });
  }
  Result<ProbeReply> Probe(TestNode* from, const std::string& address) {
    Answer<Result<ProbeReply>> answer;
    from->transport().Probe(address, seconds(5), answer.Callback());
    if (!answer.Await()) return DeadlineExceeded("no answer");
    return answer.Get();
  }

  security::TestSite site_{kCluster};
};

TEST_F(TlsTransport, MessagesAndSnapshotsPassBetweenNodes) {
  TestNode a(1, 0, With(site_.Node(1))), b(2, 0, With(site_.Node(2)));
  a.ConnectTo(b);
  b.ConnectTo(a);
  a.transport().Send(kGroup, {HeartbeatOf(1, 2, 1)});
  b.transport().Send(kGroup, {HeartbeatOf(2, 1, 1)});
  EXPECT_TRUE(a.handler.AwaitMessages(1));
  EXPECT_TRUE(b.handler.AwaitMessages(1));
  const Status sent = a.SendSnapshot(2, std::make_shared<PatternSource>(5, 3 << 20));
  EXPECT_TRUE(sent.ok()) << sent;
}

TEST_F(TlsTransport, ANodeThatSaysItIsAnotherIsRefused) {
  TestNode b(2, 0, With(site_.Node(2)));
  for (const grpc::Status& status : {Message(b, site_.Node(3)), Snapshot(b, site_.Node(3))}) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
    EXPECT_THAT(status.error_message(), HasSubstr("says that it is node 1"));
    EXPECT_THAT(status.error_message(), HasSubstr("node 3 of cluster"));
  }
  // Node 1 itself gets further.
  EXPECT_NE(Message(b, site_.Node(1)).error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(TlsTransport, AClientThatKnowsTheClusterIdIsNoPeer) {
  TestNode b(2, 0, With(site_.Node(2)));
  for (const grpc::Status& status :
       {Message(b, site_.Client("mallory")), Snapshot(b, site_.Client("mallory"))}) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
    EXPECT_THAT(status.error_message(), HasSubstr("only nodes"));
  }
}

TEST_F(TlsTransport, ANodeOfAnotherClusterOfTheSiteIsNoPeer) {
  TestNode b(2, 0, With(site_.Node(2)));
  const std::string other = site_.Issue({{kCluster + 1, 1, ""}, {}, 9});
  // It would not even send anything to a server of this cluster.
  EXPECT_THAT(Message(b, other).error_message(), HasSubstr("certificate of this process is for"));
}

TEST_F(TlsTransport, AProbeBelievesTheCertificate) {
  TestNode a(1, 0, With(site_.Node(1))), b(2, 0, With(site_.Node(2)));
  b.handler.probe_reply.identity = b.identity;
  const Result<ProbeReply> right = Probe(&a, b.address());
  EXPECT_TRUE(right.ok()) << right.status();
  TestNode liar(2, 0, With(site_.Node(3)));  // answers as node 2
  liar.handler.probe_reply.identity = liar.identity;
  const Result<ProbeReply> reply = Probe(&a, liar.address());
  EXPECT_EQ(reply.status().code(), StatusCode::kPermissionDenied) << reply.status();
}

TEST_F(TlsTransport, ANodeAtTheAddressOfAnotherIsSentNothing) {
  TestNode a(1, 0, With(site_.Node(1))), b(2, 0, With(site_.Node(2)));
  TestNode stray(2, 0, With(site_.Node(3)));  // speaks for member 2, and is node 3
  a.transport().SetPeers({{MemberId(2), {{stray.address(), b.address()}, 2}}});
  ASSERT_TRUE(SendUntilReceived(&a, 1, &b, 2));
  EXPECT_TRUE(stray.handler.received().empty());
  a.transport().SetPeers({{MemberId(2), {{stray.address()}, 2}}});
  const Status sent = a.SendSnapshot(2, std::make_shared<PatternSource>(5, 3 << 20));
  EXPECT_THAT(sent.message(), HasSubstr("node 2 is sought there"));
  EXPECT_THAT(sent.message(), HasSubstr("node 3 of cluster"));
}

TEST_F(TlsTransport, PlainTextAndTlsDoNotMix) {
  TestNode plain(1), b(2, 0, With(site_.Node(2)));
  EXPECT_FALSE(Probe(&plain, b.address()).ok());
  const Result<ProbeReply> reply = Probe(&b, plain.address());
  EXPECT_THAT(reply.status().message(), HasSubstr("does not speak TLS"));
}

}  // namespace
}  // namespace cairn::transport
