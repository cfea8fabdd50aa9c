#include "testing/memory_transport.h"

#include <gtest/gtest.h>

#include "transport/transport_test_util.h"

namespace cairn::transport {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Node {
  Node(MemoryNetwork* network, uint64_t member) : address("node" + std::to_string(member)) {
    transport = network->Attach(address, &handler, directory.path());
    identity = MemberIdentity(member, address);
    transport->SetIdentity(identity);
    transport->SetPeers({{MemberId(1), {{"node1"}}}, {MemberId(2), {{"node2"}}}});
  }
  const std::string address;
  TestDirectory directory;
  RecordingHandler handler;
  Identity identity;
  std::unique_ptr<Transport> transport;
};

TEST(MemoryTransport, MessagesArriveInOrder) {
  const auto network = NewMemoryNetwork();
  Node a(network.get(), 1), b(network.get(), 2);
  for (uint64_t i = 1; i <= 100; ++i) a.transport->Send(kGroup, {HeartbeatOf(1, 2, i)});
  ASSERT_TRUE(b.handler.AwaitMessages(100));
  const auto received = b.handler.received();
  for (uint64_t i = 1; i <= 100; ++i) ASSERT_EQ(NumberOf(received[i - 1]), i);
}

TEST(MemoryTransport, ACutLosesMessagesOneWayAndTellsOnce) {
  const auto network = NewMemoryNetwork();
  Node a(network.get(), 1), b(network.get(), 2);
  network->SetCut("node1", "node2", true);
  for (int i = 0; i < 5; ++i) a.transport->Send(kGroup, {HeartbeatOf(1, 2, 1)});
  b.transport->Send(kGroup, {HeartbeatOf(2, 1, 7)});
  ASSERT_TRUE(a.handler.AwaitMessages(1));  // behind the five, on the same thread
  EXPECT_TRUE(b.handler.received().empty());
  EXPECT_EQ(a.handler.unreachable(), std::vector<MemberId>{MemberId(2)});

  network->SetCut("node1", "node2", false);
  a.transport->Send(kGroup, {HeartbeatOf(1, 2, 8)});
  ASSERT_TRUE(b.handler.AwaitMessages(1));
  EXPECT_EQ(NumberOf(b.handler.received()[0]), 8u);
}

TEST(MemoryTransport, AStrangerIsNotHeard) {
  const auto network = NewMemoryNetwork();
  Node a(network.get(), 1), b(network.get(), 2);
  Identity stranger = a.identity;
  stranger.cluster_id = 4711;
  a.transport->SetIdentity(stranger);
  a.transport->Send(kGroup, {HeartbeatOf(1, 2, 1)});
  ASSERT_TRUE(a.handler.AwaitUnreachable(1));
  EXPECT_TRUE(b.handler.received().empty());
}

TEST(MemoryTransport, ADetachedNodeIsUnreachableAndMayComeBack) {
  const auto network = NewMemoryNetwork();
  Node a(network.get(), 1);
  auto b = std::make_unique<Node>(network.get(), 2);
  b.reset();
  a.transport->Send(kGroup, {HeartbeatOf(1, 2, 1)});
  ASSERT_TRUE(a.handler.AwaitUnreachable(1));
  b = std::make_unique<Node>(network.get(), 2);
  a.transport->Send(kGroup, {HeartbeatOf(1, 2, 2)});
  ASSERT_TRUE(b->handler.AwaitMessages(1));
}

TEST(MemoryTransport, SnapshotsAreCopiedByFileAndResume) {
  const auto network = NewMemoryNetwork();
  Node a(network.get(), 1), b(network.get(), 2);
  const auto send = [&](const std::shared_ptr<SnapshotSource>& source) {
    Answer<Status> answer;
    a.transport->SendSnapshot(kGroup, MemberId(1), MemberId(2), source, answer.Callback());
    EXPECT_TRUE(answer.Await());
    return answer.Get();
  };
  const auto broken = std::make_shared<PatternSource>(100, 20 << 20);
  broken->fail_at = 15 << 20;
  EXPECT_FALSE(send(broken).ok());
  const auto whole = std::make_shared<PatternSource>(100, 20 << 20);
  const Status status = send(whole);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_GE(whole->first_read, 8u << 20);
  ASSERT_EQ(b.handler.snapshots().size(), 1u);
  EXPECT_EQ(std::filesystem::file_size(b.handler.snapshots()[0].second), 20u << 20);
  EXPECT_EQ(b.handler.snapshots()[0].first, whole->meta());

  b.handler.wants_snapshots = false;
  EXPECT_EQ(send(std::make_shared<PatternSource>(200, 10)).code(), StatusCode::kAborted);
}

TEST(MemoryTransport, ProbeAndJoinAreAnswered) {
  const auto network = NewMemoryNetwork();
  Node a(network.get(), 1), b(network.get(), 2);
  b.handler.probe_reply.stage = LifeStage::kStarted;
  Answer<Result<ProbeReply>> probe;
  a.transport->Probe("node2", seconds(5), probe.Callback());
  ASSERT_TRUE(probe.Await());
  ASSERT_TRUE(probe.Get().ok());
  EXPECT_EQ(probe.Get()->stage, LifeStage::kStarted);

  Answer<Result<JoinReply>> join;
  a.transport->Join("node2", {9, 900, "h:9", b.identity.engine}, seconds(20), join.Callback());
  ASSERT_TRUE(b.handler.AwaitJoins(1));
  b.handler.joins()[0].second(JoinReply{42, MemberId(9), {}});
  ASSERT_TRUE(join.Await());
  EXPECT_EQ(join.Get()->member, MemberId(9));

  Answer<Result<JoinReply>> unanswered;
  a.transport->Join("node2", {9, 900, "h:9", b.identity.engine}, milliseconds(50),
                    unanswered.Callback());
  ASSERT_TRUE(unanswered.Await());
  EXPECT_EQ(unanswered.Get().status().code(), StatusCode::kDeadlineExceeded);

  network->SetCut("node2", "node1", true);  // the answer cannot come back
  Answer<Result<ProbeReply>> cut;
  a.transport->Probe("node2", seconds(5), cut.Callback());
  ASSERT_TRUE(cut.Await());
  EXPECT_EQ(cut.Get().status().code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace cairn::transport
