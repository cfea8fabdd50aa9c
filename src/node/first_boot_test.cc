// First boot, as a pure state machine: nodes that probe each other in any order.
#include "node/first_boot.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>

namespace cairn::node {
namespace {

using transport::LifeStage;
using transport::ProbeReply;

const std::map<uint64_t, std::string> kThree = {{1, "a:1"}, {2, "b:1"}, {3, "c:1"}};

// A node in its first boot, with the contents of its disk.
class Node {
 public:
  Node(uint64_t id, uint64_t nonce, std::map<uint64_t, std::string> listed = kThree)
      : listed_(std::move(listed)), rng_(nonce) {
    IdentityRecord record;
    record.node_id = id;
    record.nonce = nonce;
    Open(record);
  }
  void Restart() { Open(boot_->record()); }

  FirstBoot& boot() { return *boot_; }
  LifeStage stage() const { return boot_->record().stage; }
  uint64_t cluster_id() const { return boot_->record().cluster_id; }
  ProbeReply Answer() const {
    ProbeReply reply;
    reply.identity.node_id = boot_->record().node_id;
    reply.identity.nonce = boot_->record().nonce;
    reply.identity.cluster_id = boot_->record().cluster_id;
    reply.identity.engine.machine = "x86_64";
    reply.identity.member = boot_->record().member;
    reply.stage = stage();
    reply.listed_peers = listed_;
    if (reply.stage == LifeStage::kStarted) reply.config = boot_->record().config;
    return reply;
  }
  // Takes the answers of all others. Null: that node does not answer.
  void Hear(const std::map<uint64_t, Node*>& others) {
    boot_->OnTick(1000);
    Drain();
    for (const auto& [id, other] : others) {
      if (stage() == LifeStage::kStarted) return;
      boot_->OnProbed(id, other ? Result<ProbeReply>(other->Answer())
                                : Result<ProbeReply>(Unavailable("no answer")));
      Drain();
    }
  }
  const std::optional<std::string>& join() const { return join_; }

 private:
  void Open(IdentityRecord record) {
    FirstBootOptions options;
    options.address = "self:1";
    options.listed_peers = listed_;
    options.engine.machine = "x86_64";
    boot_ = std::make_unique<FirstBoot>(options, std::move(record), &rng_);
    Drain();
  }
  void Drain() {
    for (;;) {
      FirstBoot::Requests requests = boot_->TakeRequests();
      if (requests.join) join_ = requests.join;
      if (!requests.persist) return;
      boot_->OnPersisted();
    }
  }
  const std::map<uint64_t, std::string> listed_;
  Rng rng_;
  std::unique_ptr<FirstBoot> boot_;
  std::optional<std::string> join_;
};

TEST(FirstBoot, ANodeAloneStartsAtOnce) {
  Node node(7, 70, {});
  EXPECT_EQ(node.stage(), LifeStage::kStarted);
  EXPECT_NE(node.cluster_id(), 0u);
  EXPECT_EQ(node.boot().record().member, MemberId(7));
  EXPECT_EQ(node.boot().record().config.voters, std::set{MemberId(7)});
  EXPECT_EQ(node.boot().record().config.next_member_id, 8u);
}

TEST(FirstBoot, ThreeEmptyNodesFoundOneClusterNamedByTheLowest) {
  Node a(1, 10), b(2, 20), c(3, 30);
  for (int round = 0; round < 6; ++round) {
    a.Hear({{2, &b}, {3, &c}});
    b.Hear({{1, &a}, {3, &c}});
    c.Hear({{1, &a}, {2, &b}});
  }
  for (Node* node : {&a, &b, &c}) {
    EXPECT_EQ(node->stage(), LifeStage::kStarted);
    EXPECT_EQ(node->cluster_id(), a.cluster_id());
    EXPECT_EQ(node->boot().record().config.voters.size(), 3u);
    EXPECT_TRUE(node->boot().waiting_for().empty());
  }
  EXPECT_EQ(a.boot().record().config.info.at(MemberId(2)).nonce, 20u);
}

TEST(FirstBoot, NothingIsFoundedWhileOneListedPeerIsSilent) {
  Node a(1, 10), b(2, 20);
  for (int round = 0; round < 6; ++round) {
    a.Hear({{2, &b}, {3, nullptr}});
    b.Hear({{1, &a}, {3, nullptr}});
  }
  EXPECT_EQ(a.stage(), LifeStage::kEmpty);
  EXPECT_EQ(b.stage(), LifeStage::kEmpty);
  EXPECT_NE(a.boot().waiting_for().find("node 3"), std::string::npos) << a.boot().waiting_for();
}

TEST(FirstBoot, AFoundingNodeDoesNotStartWhileAPeerIsStillEmpty) {
  Node a(1, 10), b(2, 20), c(3, 30);
  a.Hear({{2, &b}, {3, &c}});
  EXPECT_EQ(a.stage(), LifeStage::kFounding);
  b.Hear({{1, &a}, {3, &c}});
  EXPECT_EQ(b.stage(), LifeStage::kFounding);
  for (int round = 0; round < 3; ++round) {
    a.Hear({{2, &b}, {3, &c}});
    b.Hear({{1, &a}, {3, &c}});
  }
  EXPECT_EQ(a.stage(), LifeStage::kFounding);
  EXPECT_EQ(b.stage(), LifeStage::kFounding);
  // The step is durable: a restart in the middle goes on from there.
  a.Restart();
  EXPECT_EQ(a.stage(), LifeStage::kFounding);
  c.Hear({{1, &a}, {2, &b}});
  a.Hear({{2, &b}, {3, &c}});
  EXPECT_EQ(a.stage(), LifeStage::kStarted);
  EXPECT_EQ(c.cluster_id(), a.cluster_id());
}

TEST(FirstBoot, ANodeWipedAfterTheStartNeverFoundsOrVotesButAsksToBeLetIn) {
  Node a(1, 10), b(2, 20), c(3, 30);
  for (int round = 0; round < 6; ++round) {
    a.Hear({{2, &b}, {3, &c}});
    b.Hear({{1, &a}, {3, &c}});
    c.Hear({{1, &a}, {2, &b}});
  }
  Node wiped(3, 31);
  // Even if all others are down except one, and if none is reached at first.
  wiped.Hear({{1, nullptr}, {2, nullptr}});
  EXPECT_EQ(wiped.stage(), LifeStage::kEmpty);
  wiped.Hear({{1, nullptr}, {2, &b}});
  EXPECT_EQ(wiped.stage(), LifeStage::kEmpty);
  EXPECT_FALSE(wiped.join()) << "no leader is known yet";
  ProbeReply reply = b.Answer();
  reply.leader_address = "a:1";
  wiped.boot().OnProbed(2, reply);
  EXPECT_EQ(wiped.boot().TakeRequests().join, "a:1");
  raft::Configuration config = b.boot().record().config;
  wiped.boot().OnJoined(transport::JoinReply{b.cluster_id(), MemberId(4), config});
  const auto persist = wiped.boot().TakeRequests().persist;
  ASSERT_TRUE(persist);
  EXPECT_EQ(wiped.stage(), LifeStage::kEmpty) << "not before it is durable";
  wiped.boot().OnPersisted();
  EXPECT_EQ(wiped.stage(), LifeStage::kStarted);
  EXPECT_EQ(wiped.boot().record().member, MemberId(4));
}

TEST(FirstBoot, ANodeWipedWhileFoundingAdoptsTheNameAndIsKnownByItsNewNonce) {
  Node a(1, 10), b(2, 20), c(3, 30);
  a.Hear({{2, &b}, {3, &c}});
  b.Hear({{1, &a}, {3, &c}});
  Node a2(1, 11);
  a2.Hear({{2, &b}, {3, &c}});
  EXPECT_EQ(a2.stage(), LifeStage::kFounding);
  EXPECT_EQ(a2.cluster_id(), b.cluster_id());
  for (int round = 0; round < 4; ++round) {
    c.Hear({{1, &a2}, {2, &b}});
    b.Hear({{1, &a2}, {3, &c}});
    a2.Hear({{2, &b}, {3, &c}});
  }
  EXPECT_EQ(b.stage(), LifeStage::kStarted);
  EXPECT_EQ(b.boot().record().config.info.at(MemberId(1)).nonce, 11u);
}

TEST(FirstBoot, AFounderThatStartsOnTheWordOfOnePeerKnowsAllNodes) {
  Node a(1, 10), b(2, 20), c(3, 30);
  a.Hear({{2, &b}, {3, &c}});
  b.Hear({{1, &a}, {3, &c}});
  c.Hear({{1, &a}, {2, &b}});
  c.Hear({{1, &a}, {2, &b}});
  ASSERT_EQ(c.stage(), LifeStage::kStarted);
  a.Hear({{2, nullptr}, {3, &c}});
  EXPECT_EQ(a.stage(), LifeStage::kStarted);
  // Not by node 2 itself. As a stranger node 2 would be refused when it moves.
  EXPECT_EQ(a.boot().record().config.info.at(MemberId(2)).nonce, 20u);
  EXPECT_EQ(a.boot().record().config.info.at(MemberId(3)).nonce, 30u);
}

TEST(FirstBoot, NodesStartedWithDifferentPeersWaitAndSaySo) {
  Node a(1, 10), b(2, 20), c(3, 30, {{1, "a:1"}, {3, "c:1"}});
  for (int round = 0; round < 3; ++round) a.Hear({{2, &b}, {3, &c}});
  EXPECT_EQ(a.stage(), LifeStage::kEmpty);
  EXPECT_NE(a.boot().waiting_for().find("same --peers"), std::string::npos);
}

TEST(FirstBoot, APeerOfAnotherClusterIsRefusedAndNamed) {
  Node a(1, 10), b(2, 20), c(3, 30);
  a.Hear({{2, &b}, {3, &c}});
  Node stranger(3, 99, {});
  ASSERT_EQ(stranger.stage(), LifeStage::kStarted);
  for (int round = 0; round < 3; ++round) a.Hear({{2, &b}, {3, &stranger}});
  EXPECT_EQ(a.stage(), LifeStage::kFounding);
  EXPECT_NE(a.boot().waiting_for().find("another cluster"), std::string::npos)
      << a.boot().waiting_for();
}

TEST(FirstBoot, AWrongNodeOrAnotherMachineAtAListedAddressIsNamed) {
  Node a(1, 10), b(2, 20), c(3, 30);
  ProbeReply reply = b.Answer();
  reply.identity.node_id = 5;
  a.boot().OnProbed(2, reply);
  EXPECT_NE(a.boot().waiting_for().find("is node 5"), std::string::npos);
  reply = b.Answer();
  reply.identity.engine.machine = "another";
  a.boot().OnProbed(2, reply);
  EXPECT_NE(a.boot().waiting_for().find("another kind of machine"), std::string::npos);
  EXPECT_EQ(a.stage(), LifeStage::kEmpty);
}

TEST(FirstBoot, ARefusedJoinIsRepeatedAtTheLeaderItWasSentTo) {
  Node a(1, 10);
  ProbeReply started;
  started.identity.node_id = 2;
  started.identity.engine.machine = "x86_64";
  started.identity.cluster_id = 5;
  started.stage = LifeStage::kStarted;
  started.leader_address = "old:1";
  a.boot().OnProbed(2, started);
  ASSERT_EQ(a.boot().TakeRequests().join, "old:1");
  a.boot().OnJoined(Unavailable("not the leader").With(LeaderHint{3, "new:1"}));
  EXPECT_NE(a.boot().waiting_for().find("not the leader"), std::string::npos);
  a.boot().OnTick(1);
  EXPECT_FALSE(a.boot().TakeRequests().join) << "not at once";
  a.boot().OnTick(100);
  EXPECT_EQ(a.boot().TakeRequests().join, "new:1");
}

}  // namespace
}  // namespace cairn::node
