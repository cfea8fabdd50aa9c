#include "transport/grpc_transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "transport/grpc_node_test_util.h"
#include "transport/message_codec.h"
#include "transport/peer_protocol.h"

namespace cairn::transport {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

TEST(GrpcTransport, MessagesArriveInOrderBothWays) {
  TestNode a(1), b(2);
  a.ConnectTo(b);
  b.ConnectTo(a);
  constexpr uint64_t kCount = 2000;
  for (uint64_t i = 1; i <= kCount; ++i) {
    a.transport().Send(kGroup, {HeartbeatOf(1, 2, i)});
    b.transport().Send(kGroup, {HeartbeatOf(2, 1, i)});
  }
  ASSERT_TRUE(a.handler.AwaitMessages(kCount));
  ASSERT_TRUE(b.handler.AwaitMessages(kCount));
  for (uint64_t i = 1; i <= kCount; ++i) {
    ASSERT_EQ(NumberOf(a.handler.received()[i - 1]), i);
    ASSERT_EQ(NumberOf(b.handler.received()[i - 1]), i);
    if (i > 50) i += 97;  // received() copies
  }
  EXPECT_EQ(a.transport().messages_dropped(), 0u);
}

TEST(GrpcTransport, EntriesBeyondGrpcsDefaultLimitOf4MbPass) {
  TestNode a(1), b(2);
  a.ConnectTo(b);
  const std::string payload(16 << 20, 'x');
  a.transport().Send(kGroup, {AppendOf(1, 2, std::string(5 << 20, 'y'))});
  a.transport().Send(kGroup, {AppendOf(1, 2, payload)});
  ASSERT_TRUE(b.handler.AwaitMessages(2));
  const auto received = b.handler.received();
  EXPECT_EQ(std::get<raft::AppendRequest>(received[0].body).entries[0].payload->size(), 5u << 20);
  EXPECT_EQ(*std::get<raft::AppendRequest>(received[1].body).entries[0].payload, payload);
}

TEST(GrpcTransport, WhatDoesNotFitTheQueueIsDropped) {
  GrpcTransportOptions options;
  options.send_queue_bytes_max = 1 << 20;
  TestNode a(1, 0, options);
  TestNode b(2);
  b.Stop();
  a.ConnectTo(b);
  for (int i = 0; i < 100; ++i) {
    a.transport().Send(kGroup, {AppendOf(1, 2, std::string(100'000, 'x'))});
  }
  EXPECT_GE(a.transport().messages_dropped(), 80u);
}

TEST(GrpcTransport, MessagesToUnknownMembersAreDropped) {
  TestNode a(1);
  a.transport().Send(kGroup, {HeartbeatOf(1, 7, 1)});
  EXPECT_EQ(a.transport().messages_dropped(), 1u);
}

TEST(GrpcTransport, WhoSendsIsToldWithItsAddressBeforeItsFirstMessage) {
  TestNode a(1);
  TestNode b(2);
  a.ConnectTo(b);
  a.transport().Send(kGroup, {HeartbeatOf(1, 2, 1)});
  ASSERT_TRUE(b.handler.AwaitMessages(1));
  ASSERT_TRUE(b.handler.callers().contains(MemberId(1)));
  EXPECT_EQ(b.handler.callers().at(MemberId(1)).address, a.address());
}

TEST(GrpcTransport, TheHelloTellsWithWhatTheProcessBeganAndItsEndIsTold) {
  TestNode a(1);
  TestNode b(2);
  a.identity.start = {{7, 77}, {{5, 55}, {6, 66}}, Term(4), LogIndex(900)};
  a.transport().SetIdentity(a.identity);
  a.ConnectTo(b);
  a.transport().Send(kGroup, {HeartbeatOf(1, 2, 1)});
  ASSERT_TRUE(b.handler.AwaitMessages(1));
  const Start told = b.handler.callers().at(MemberId(1)).start;
  EXPECT_EQ(told.boot, (raft::Boot{7, 77}));
  EXPECT_EQ(told.earlier, (std::vector<raft::Boot>{{5, 55}, {6, 66}}));
  EXPECT_EQ(told.term, Term(4));
  EXPECT_EQ(told.last, LogIndex(900));
  a.Stop();
  EXPECT_TRUE(b.handler.AwaitLeft(1));
}

TEST(GrpcTransport, ACallerThatIsTakenForACopyHearsSo) {
  TestNode a(1);
  TestNode b(2);
  b.handler.verdict_on_callers = AlreadyExists("you are a copy");
  a.ConnectTo(b);
  a.transport().Send(kGroup, {HeartbeatOf(1, 2, 1)});
  ASSERT_TRUE(a.handler.AwaitRefusals(1));
  EXPECT_EQ(a.handler.refusals().front().code(), StatusCode::kAlreadyExists);
  EXPECT_TRUE(b.handler.received().empty());
}

TEST(GrpcTransport, AMemberIsLookedForAtEachOfItsAddresses) {
  TestNode a(1);
  TestNode b(2);
  TestNode other(3);  // took the address that 2 had before
  a.transport().SetPeers({{MemberId(2), {{"127.0.0.1:1", other.address(), b.address()}}}});
  ASSERT_TRUE(SendUntilReceived(&a, 1, &b, 2));
  EXPECT_TRUE(other.handler.received().empty());
  // Nobody listens at the first address: that says nothing of 2, reached elsewhere before.
  const size_t gone = a.handler.gone().size();
  b.Stop();
  ASSERT_TRUE(a.handler.AwaitGone(gone + 1));
}

TEST(GrpcTransport, AProcessThatDoesNotSpeakForTheMemberIsNotTheOneThatIsSentTo) {
  TestNode a(1);
  TestNode copy(2);
  TestNode b(2);
  copy.identity.start.boot = {9, 1};
  copy.transport().SetIdentity(copy.identity);
  b.identity.start.boot = {9, 2};
  b.transport().SetIdentity(b.identity);
  a.handler.not_to_be_reached = {9, 1};
  a.transport().SetPeers({{MemberId(2), {{copy.address(), b.address()}}}});
  EXPECT_TRUE(SendUntilReceived(&a, 1, &b, 2));
}

TEST(GrpcTransport, ALinkIsKeptWhereTheMemberWasReachedWhenHintsAreAddedToIt) {
  TestNode a(1);
  TestNode b(2);
  a.ConnectTo(b);
  ASSERT_TRUE(SendUntilReceived(&a, 1, &b, 2));
  a.transport().SetPeers({{MemberId(2), {{b.address(), "127.0.0.1:1"}, b.identity.node_id}}});
  a.transport().Send(kGroup, {HeartbeatOf(1, 2, 5)});
  ASSERT_TRUE(b.handler.AwaitMessages(2));
  EXPECT_TRUE(b.handler.left().empty());
}

// The status with which `to` ends a message stream whose first request is `request`.
grpc::Status StreamTo(const TestNode& to, const pb::MessagesRequest& request) {
  const auto stub =
      pb::Peer::NewStub(grpc::CreateChannel(to.address(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(DeadlineAfter(seconds(10)));
  const auto stream = stub->Messages(&context);
  stream->Write(request);
  pb::MessagesResponse response;
  while (stream->Read(&response)) {
  }
  return stream->Finish();
}

pb::MessagesRequest HelloTo(uint64_t target, const Identity& self) {
  pb::MessagesRequest request;
  FillHello(self, MemberId(target), request.mutable_hello());
  return request;
}

void ExpectRefused(const grpc::Status& status, const std::string& theirs, const std::string& ours) {
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr(theirs));
  EXPECT_THAT(status.error_message(), HasSubstr(ours));
}

TEST(GrpcTransport, APeerOfAnotherClusterIsRefusedAndBothAreNamed) {
  TestNode b(2);
  Identity stranger = MemberIdentity(1, "x:1");
  stranger.cluster_id = 4711;
  ExpectRefused(StreamTo(b, HelloTo(2, stranger)), ClusterIdText(4711), ClusterIdText(42));
}

TEST(GrpcTransport, APeerThatMeansAnotherMemberIsRefused) {
  TestNode b(2);
  ExpectRefused(StreamTo(b, HelloTo(7, MemberIdentity(1, "x:1"))), "member 7", "member 2");
}

TEST(GrpcTransport, APeerOfAFutureProtocolVersionIsRefused) {
  TestNode b(2);
  pb::MessagesRequest request = HelloTo(2, MemberIdentity(1, "x:1"));
  request.mutable_hello()->set_protocol_version(kProtocolVersion + 1);
  ExpectRefused(StreamTo(b, request), "version 3", "version 2");
}

TEST(GrpcTransport, APeerOfAnotherMachineIsRefused) {
  TestNode b(2);
  Identity other = MemberIdentity(1, "x:1");
  other.engine.machine = "aarch64";
  ExpectRefused(StreamTo(b, HelloTo(2, other)), "aarch64", "x86_64");
}

TEST(GrpcTransport, APeerWithAnotherBuildOfTheEngineIsHeardAndItsBuildIsTold) {
  TestNode a(1), b(2);
  a.identity.engine.build = "sqlite 3.46";
  a.transport().SetIdentity(a.identity);
  a.ConnectTo(b);
  ASSERT_TRUE(SendUntilReceived(&a, 1, &b, 2));
  EXPECT_EQ(b.handler.engine_build(MemberId(1)), "sqlite 3.46");
}

TEST(GrpcTransport, ANodeThatIsNotYetAMemberIsAskedAgainSoon) {
  TestNode a(1), b(2);
  b.transport().SetIdentity({});
  a.ConnectTo(b);
  a.transport().Send(kGroup, {HeartbeatOf(1, 2, 1)});
  ASSERT_TRUE(a.handler.AwaitUnreachable(1));
  EXPECT_EQ(StreamTo(b, HelloTo(2, a.identity)).error_code(), grpc::StatusCode::UNAVAILABLE);
  b.transport().SetIdentity(b.identity);
  const SteadyTime start = SystemClock().SteadyNow();
  ASSERT_TRUE(SendUntilReceived(&a, 1, &b, 2));
  EXPECT_LT(SystemClock().SteadyNow() - start, seconds(1) * kSlowness);
}

TEST(GrpcTransport, ARefusedSenderIsToldThatThePeerIsUnreachableAndDeliversNothing) {
  TestNode a(1), b(2);
  Identity stranger = a.identity;
  stranger.cluster_id = 4711;
  a.transport().SetIdentity(stranger);
  a.ConnectTo(b);
  a.transport().Send(kGroup, {HeartbeatOf(1, 2, 1)});
  EXPECT_TRUE(a.handler.AwaitUnreachable(1));
  EXPECT_TRUE(b.handler.received().empty());
}

TEST(GrpcTransport, MalformedMessagesEndTheStreamButNotTheNode) {
  TestNode b(2);
  const Identity peer = MemberIdentity(1, "x:1");
  std::string good;
  EncodeMessage(HeartbeatOf(1, 2, 1), &good);
  for (const std::string& bytes : {std::string("\x05\xff\xff\xff\xff"), std::string(), good + "x",
                                   good.substr(0, good.size() - 1)}) {
    pb::MessagesRequest request = HelloTo(2, peer);
    request.set_group_id(1);
    *request.add_messages() = bytes;
    EXPECT_EQ(StreamTo(b, request).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  }
  // A well-formed message in another member's name.
  pb::MessagesRequest forged = HelloTo(2, peer);
  forged.set_group_id(1);
  EncodeMessage(HeartbeatOf(3, 2, 1), forged.add_messages());
  EXPECT_EQ(StreamTo(b, forged).error_code(), grpc::StatusCode::INVALID_ARGUMENT);

  EXPECT_TRUE(b.handler.received().empty());
  TestNode a(1);
  a.ConnectTo(b);
  EXPECT_TRUE(SendUntilReceived(&a, 1, &b, 2));
}

TEST(GrpcTransport, OnUnreachableFiresWhenAPeerDies) {
  TestNode a(1), b(2);
  a.ConnectTo(b);
  ASSERT_TRUE(SendUntilReceived(&a, 1, &b, 2));
  const size_t before = a.handler.unreachable().size();
  b.Stop();
  ASSERT_TRUE(a.handler.AwaitUnreachable(before + 1));
  EXPECT_EQ(a.handler.unreachable().back(), MemberId(2));
  // The handler is told again while the peer stays away, but not at every attempt.
  ASSERT_TRUE(a.handler.AwaitUnreachable(before + 2));
  EXPECT_LE(a.handler.unreachable().size(), before + 4);
}

TEST(GrpcTransport, APeerWhoseHostRefusesConnectionsIsToldToBeGoneAtOnce) {
  TestNode a(1), b(2);
  a.ConnectTo(b);
  ASSERT_TRUE(SendUntilReceived(&a, 1, &b, 2));
  const size_t before = a.handler.gone().size();
  b.Stop();
  ASSERT_TRUE(a.handler.AwaitGone(before + 1));
  EXPECT_EQ(a.handler.gone().back(), MemberId(2));
}

TEST(GrpcTransport, AStreamThatBrokeToAPeerThatListensDoesNotMeanThatItIsGone) {
  TestNode a(1), b(2);
  a.ConnectTo(b);
  ASSERT_TRUE(SendUntilReceived(&a, 1, &b, 2));
  const size_t gone = a.handler.gone().size();
  const size_t unreachable = a.handler.unreachable().size();
  // SetIdentity ends the streams; b goes on listening.
  b.transport().SetIdentity(MemberIdentity(3, b.address()));
  ASSERT_TRUE(a.handler.AwaitUnreachable(unreachable + 2));
  EXPECT_EQ(a.handler.gone().size(), gone);
}

TEST(GrpcTransport, ARestartedPeerIsReachedAgainWithinASecond) {
  TestNode a(1);
  auto b = std::make_unique<TestNode>(2);
  const int port = b->port();
  a.ConnectTo(*b);
  ASSERT_TRUE(SendUntilReceived(&a, 1, b.get(), 2));
  b.reset();
  ASSERT_TRUE(a.handler.AwaitUnreachable(2));  // some failed attempts
  b = std::make_unique<TestNode>(2, port);
  const SteadyTime start = SystemClock().SteadyNow();
  ASSERT_TRUE(SendUntilReceived(&a, 1, b.get(), 2));
  EXPECT_LT(SystemClock().SteadyNow() - start, seconds(1) * kSlowness);
}

TEST(GrpcTransport, AChangedIdentityEndsTheStreamsMadeUnderTheOldOne) {
  TestNode a(1), b(2);
  a.ConnectTo(b);
  ASSERT_TRUE(SendUntilReceived(&a, 1, &b, 2));
  // b was wiped and readmitted as member 3. Messages meant for member 2 must not reach member 3.
  const size_t before = a.handler.unreachable().size();
  b.transport().SetIdentity(MemberIdentity(3, b.address()));
  ASSERT_TRUE(a.handler.AwaitUnreachable(before + 1));
  const size_t received = b.handler.received().size();
  a.transport().Send(kGroup, {HeartbeatOf(1, 2, 1)});
  a.transport().SetPeers({{MemberId(3), {{b.address()}}}});
  ASSERT_TRUE(SendUntilReceived(&a, 1, &b, 3));
  for (size_t i = received; i < b.handler.received().size(); ++i) {
    EXPECT_EQ(b.handler.received()[i].to, MemberId(3));
  }
}

TEST(GrpcTransport, ProbeTellsWhoANodeIs) {
  TestNode a(1), b(2);
  b.handler.probe_reply.identity = b.identity;
  b.handler.probe_reply.stage = LifeStage::kFounding;
  b.handler.probe_reply.listed_peers = {{1, "h:1"}, {2, "h:2"}};
  b.handler.probe_reply.leader_node_id = 1;
  b.handler.probe_reply.leader_address = "h:1";
  Answer<Result<ProbeReply>> answer;
  a.transport().Probe(b.address(), seconds(5), answer.Callback());
  ASSERT_TRUE(answer.Await());
  const auto reply = answer.Get();
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->stage, LifeStage::kFounding);
  EXPECT_EQ(reply->identity.cluster_id, 42u);
  EXPECT_EQ(reply->identity.nonce, 2000u);
  EXPECT_EQ(reply->identity.member, MemberId(2));
  EXPECT_EQ(reply->identity.engine, b.identity.engine);
  EXPECT_EQ(reply->listed_peers, b.handler.probe_reply.listed_peers);
  EXPECT_EQ(reply->leader_node_id, 1u);
  EXPECT_EQ(reply->leader_address, "h:1");
}

TEST(GrpcTransport, ProbeOfADeadAddressFailsSoon) {
  TestNode a(1);
  TestNode b(2);
  b.Stop();
  Answer<Result<ProbeReply>> answer;
  a.transport().Probe(b.address(), seconds(5), answer.Callback());
  ASSERT_TRUE(answer.Await());
  EXPECT_EQ(answer.Get().status().code(), StatusCode::kUnavailable);
}

TEST(GrpcTransport, JoinIsAnsweredWhenTheHandlerDecides) {
  TestNode a(1), b(2);
  Answer<Result<JoinReply>> answer;
  const JoinRequest request{9, 900, "h:9", b.identity.engine};
  a.transport().Join(b.address(), request, seconds(10), answer.Callback());
  ASSERT_TRUE(b.handler.AwaitJoins(1));
  EXPECT_FALSE(answer.arrived());
  EXPECT_EQ(b.handler.joins()[0].first.nonce, 900u);
  JoinReply reply;
  reply.cluster_id = 42;
  reply.member = MemberId(17);
  reply.config = PatternSource(1, 1).meta().config;
  b.handler.joins()[0].second(reply);
  ASSERT_TRUE(answer.Await());
  ASSERT_TRUE(answer.Get().ok()) << answer.Get().status();
  EXPECT_EQ(answer.Get()->member, MemberId(17));
  EXPECT_EQ(answer.Get()->config, reply.config);
}

TEST(GrpcTransport, JoinErrorsComeBackAndAMissingAnswerMeetsTheDeadline) {
  TestNode a(1), b(2);
  const JoinRequest request{9, 900, "h:9", b.identity.engine};
  Answer<Result<JoinReply>> refused;
  a.transport().Join(b.address(), request, seconds(10), refused.Callback());
  ASSERT_TRUE(b.handler.AwaitJoins(1));
  b.handler.joins()[0].second(PermissionDenied("node 9 is not listed"));
  ASSERT_TRUE(refused.Await());
  EXPECT_EQ(refused.Get().status(), PermissionDenied("node 9 is not listed"));

  Answer<Result<JoinReply>> late;
  a.transport().Join(b.address(), request, milliseconds(200), late.Callback());
  ASSERT_TRUE(late.Await());
  EXPECT_EQ(late.Get().status().code(), StatusCode::kDeadlineExceeded);
  ASSERT_TRUE(b.handler.AwaitJoins(2));
  b.handler.joins()[1].second(PermissionDenied("too late"));  // must do no harm

  Answer<Result<JoinReply>> other_engine;
  a.transport().Join(b.address(), {9, 900, "h:9", {"aarch64", "sqlite 3.40.1"}}, seconds(10),
                     other_engine.Callback());
  ASSERT_TRUE(other_engine.Await());
  EXPECT_EQ(other_engine.Get().status().code(), StatusCode::kFailedPrecondition);
}

TEST(GrpcTransport, ShutdownUnderLoadEndsEverything) {
  for (int round = 0; round < 3; ++round) {
    std::atomic<int> probes{0};  // under way
    TestNode a(1), b(2), c(3);
    const Peers all = {{MemberId(1), {{a.address()}}},
                       {MemberId(2), {{b.address()}}},
                       {MemberId(3), {{c.address()}}}};
    for (TestNode* node : {&a, &b, &c}) node->transport().SetPeers(all);
    std::jthread load([&](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        a.transport().Send(kGroup, {AppendOf(1, 2, std::string(50'000, 'x')),
                                    AppendOf(1, 3, std::string(50'000, 'x'))});
        // Without a bound there would be thousands of probes, and nothing else would reach b.
        if (probes == 100) continue;
        ++probes;
        a.transport().Probe(b.address(), seconds(1), [&](Result<ProbeReply>) { --probes; });
      }
    });
    Answer<Result<JoinReply>> join;
    a.transport().Join(b.address(), {9, 1, "h:9", b.identity.engine}, seconds(60) * kSlowness,
                       join.Callback());
    ASSERT_TRUE(b.handler.AwaitMessages(10));
    ASSERT_TRUE(b.handler.AwaitJoins(1));
    Answer<Status> snapshot;
    auto source = std::make_shared<PatternSource>(100, 40 << 20);
    a.transport().SendSnapshot(kGroup, MemberId(1), MemberId(2), source, snapshot.Callback());
    if (round == 0) b.transport().Shutdown();
    a.transport().Shutdown();
    const size_t heard = a.handler.unreachable().size();
    EXPECT_TRUE(join.arrived());
    EXPECT_TRUE(snapshot.arrived());
    load.request_stop();
    load.join();
    b.Stop();
    c.Stop();
    EXPECT_EQ(a.handler.unreachable().size(), heard);
  }
}

TEST(GrpcTransport, ShutdownWhileStreamsAreConnectingReturns) {
  for (int i = 0; i < 20; ++i) {
    TestNode a(1), b(2);
    a.transport().SetPeers({{MemberId(2), {{b.address()}}}, {MemberId(3), {{"127.0.0.1:1"}}}});
    a.transport().Send(kGroup, {HeartbeatOf(1, 2, 1), HeartbeatOf(1, 3, 1)});
    a.transport().Shutdown();
    a.transport().Shutdown();
  }
}

}  // namespace
}  // namespace cairn::transport
