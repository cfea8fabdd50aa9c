#include "node/membership.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>

namespace cairn::node {
namespace {

using std::chrono::seconds;
using Kind = Replica::MembershipChange::Kind;

raft::Configuration Voters(std::initializer_list<uint64_t> nodes) {
  raft::Configuration config;
  for (const uint64_t node : nodes) {
    config.voters.insert(MemberId(node));
    config.info[MemberId(node)] = {node, "node" + std::to_string(node), 1};
  }
  config.next_member_id = 10;
  return config;
}

// What a leader with the configuration sees when all are alive.
Contacts AllHeardAt(SteadyTime now, const raft::Configuration& config) {
  Contacts contacts{MemberId(1), {}, now, seconds(1)};
  for (const MemberId voter : config.voters) contacts.last_heard[voter] = now;
  return contacts;
}

// Drives the job until the removal is proposed.
void Drive(MembershipJob* job, const raft::CoreStatus& core) {
  for (int second = 1; second <= 3; ++second) {
    job->Step(core, AllHeardAt(seconds(second), core.config), /*level=*/1);
    if (job->TakeRequests().propose) return;
  }
  FAIL() << "the change was not proposed";
}

// The configuration may be committed, and known to nobody who is left. The next leader says when
// the change is done.
TEST(MembershipJob, ALeaderThatIsDeposedWhileItRemovesAnotherDoesNotCallItDone) {
  for (const bool removes_itself : {false, true}) {
    std::optional<Status> said;
    MembershipJob::Callbacks callbacks;
    callbacks.done = [&](const Status& status) { said = status; };
    MembershipJob job({Kind::kRemove, removes_itself ? 1u : 3u, ""}, /*cluster_id=*/7, {},
                      seconds(100), std::move(callbacks));
    raft::CoreStatus core;
    core.self = MemberId(1);
    core.config = Voters({1, 2, 3});
    core.leader_ready = true;
    Drive(&job, core);
    EXPECT_FALSE(said.has_value());
    job.OnDeposed(removes_itself);
    ASSERT_TRUE(said.has_value());
    EXPECT_EQ(said->code(), removes_itself ? StatusCode::kOk : StatusCode::kUnavailable) << *said;
  }
}

// A job of the operator on a leader of nodes 1 to 3. Its probe is answered with `reply`.
class OperatorsJob {
 public:
  OperatorsJob(Kind kind, uint64_t node, const std::string& address,
               const transport::ProbeReply& reply, uint64_t nonce_written = 1,
               std::optional<uint64_t> level_then = 1) {
    core_.self = MemberId(1);
    core_.config = Voters({1, 2, 3});
    core_.config.info.at(MemberId(3)).nonce = nonce_written;
    core_.config.info.at(MemberId(3)).boot = {5, 55};
    core_.leader_ready = true;
    MembershipJob::Callbacks callbacks;
    callbacks.done = [this](const Status& status) { said_ = status; };
    job_ = std::make_unique<MembershipJob>(Replica::MembershipChange{kind, node, address},
                                           /*cluster_id=*/7, EngineId{"machine", "build"},
                                           seconds(100), std::move(callbacks));
    job_->Step(core_, contacts_, level_);
    if (!job_->TakeRequests().probe) return;
    job_->OnProbed(reply);
    level_ = level_then;
    Step();
  }
  // Steps the job with nodes 1 and 2 alive, and node 3 if `alive`.
  std::optional<raft::Configuration> Step(bool alive = false) {
    contacts_ = AllHeardAt(seconds(50), core_.config);
    if (!alive) contacts_.last_heard.erase(MemberId(3));
    job_->Step(core_, contacts_, level_);
    if (auto proposed = job_->TakeRequests().propose) proposed_ = proposed;
    return proposed_;
  }
  void Commit() { core_.config = *proposed_; }
  void SetLevel(std::optional<uint64_t> level) { level_ = level; }
  const std::optional<Status>& said() const { return said_; }
  const std::optional<raft::Configuration>& proposed() const { return proposed_; }

 private:
  raft::CoreStatus core_;
  Contacts contacts_{MemberId(1), {}, seconds(50), seconds(1)};
  std::optional<uint64_t> level_ = 1;
  std::optional<Status> said_;
  std::optional<raft::Configuration> proposed_;
  std::unique_ptr<MembershipJob> job_;
};

transport::ProbeReply Reply(uint64_t node, uint64_t nonce, const std::string& address) {
  transport::ProbeReply reply;
  reply.identity.cluster_id = 7;
  reply.identity.node_id = node;
  reply.identity.nonce = nonce;
  reply.identity.member = MemberId(node);
  reply.identity.address = address;
  reply.identity.engine = {"machine", "build"};
  reply.identity.level_max = 1;
  reply.stage = transport::LifeStage::kStarted;
  return reply;
}

TEST(MembershipJob, ReplaceOfANodeWhosePortHasChangedChangesItsAddress) {
  transport::ProbeReply moved = Reply(3, /*nonce=*/1, "host:9");
  moved.identity.start = {{6, 66}, {{4, 44}, {5, 55}}, Term(1), LogIndex(1)};
  OperatorsJob job(Kind::kReplace, 3, "host:9", moved);
  ASSERT_TRUE(job.proposed().has_value());
  EXPECT_FALSE(job.said().has_value());
  EXPECT_EQ(job.proposed()->voters, Voters({1, 2, 3}).voters);
  EXPECT_EQ(job.proposed()->info.at(MemberId(3)).address, "host:9");
  EXPECT_EQ(job.proposed()->info.at(MemberId(3)).boot, (raft::Boot{6, 66}));
  job.Commit();
  job.Step();
  ASSERT_TRUE(job.said().has_value());
  EXPECT_TRUE(job.said()->ok()) << *job.said();
}

// Of a founder whose nonce no leader was told.
TEST(MembershipJob, ReplaceOfANodeOfUnknownNonceWritesTheNonceDown) {
  transport::ProbeReply moved = Reply(3, /*nonce=*/9, "host:9");
  moved.identity.start = {{6, 66}, {{4, 44}, {5, 55}}, Term(1), LogIndex(1)};
  OperatorsJob job(Kind::kReplace, 3, "host:9", moved, /*nonce_written=*/0);
  ASSERT_TRUE(job.proposed().has_value()) << *job.said();
  EXPECT_EQ(job.proposed()->info.at(MemberId(3)).address, "host:9");
  EXPECT_EQ(job.proposed()->info.at(MemberId(3)).nonce, 9u);
}

TEST(MembershipJob, ReplaceByACopyOfTheNodesDataIsRefused) {
  transport::ProbeReply copy = Reply(3, /*nonce=*/1, "host:9");
  copy.identity.start = {{6, 66}, {{4, 44}, {5, 54}}, Term(1), LogIndex(1)};
  OperatorsJob job(Kind::kReplace, 3, "host:9", copy);
  ASSERT_TRUE(job.said().has_value());
  EXPECT_EQ(job.said()->code(), StatusCode::kFailedPrecondition) << *job.said();
  EXPECT_FALSE(job.proposed().has_value());
}

TEST(MembershipJob, AddOfANodeThatIsNotEmptySaysSoAtOnce) {
  // Node 4 was removed, and still has the data of that time.
  OperatorsJob job(Kind::kAdd, 4, "host:9", Reply(4, /*nonce=*/1, "host:9"));
  ASSERT_TRUE(job.said().has_value());
  EXPECT_EQ(job.said()->code(), StatusCode::kFailedPrecondition) << *job.said();
  EXPECT_NE(job.said()->message().find("is not empty"), std::string::npos) << *job.said();
}

transport::ProbeReply EmptyNode(uint64_t node) {
  transport::ProbeReply reply = Reply(node, /*nonce=*/4, "host:9");
  reply.identity.cluster_id = 0;
  reply.stage = transport::LifeStage::kEmpty;
  return reply;
}

// The job began at level 1. The node was let in with what it knew then, and could apply nothing.
TEST(MembershipJob, ANodeIsNotLetInWhenTheLevelHasRisenBeyondItMeanwhile) {
  OperatorsJob job(Kind::kAdd, 4, "host:9", EmptyNode(4), 1, /*level_then=*/2);
  EXPECT_FALSE(job.proposed().has_value());
  ASSERT_TRUE(job.said().has_value());
  EXPECT_EQ(job.said()->code(), StatusCode::kFailedPrecondition) << *job.said();
  EXPECT_NE(job.said()->message().find("the cluster is at level 2"), std::string::npos);
}

TEST(MembershipJob, ANodeIsLetInOnlyWhenTheLevelIsKnown) {
  OperatorsJob job(Kind::kAdd, 4, "host:9", EmptyNode(4), 1, /*level_then=*/std::nullopt);
  EXPECT_FALSE(job.proposed().has_value());
  EXPECT_FALSE(job.said().has_value());
  job.SetLevel(1);
  EXPECT_TRUE(job.Step().has_value());
}

TEST(MembershipJob, AWipedNodeThatAsksToBeLetInMustKnowTheLevelOfTheMomentToo) {
  std::optional<Status> said;
  MembershipJob::Callbacks callbacks;
  callbacks.done = [&](const Status& status) { said = status; };
  MembershipJob job({3, /*nonce=*/9, "node3", {}, /*level_max=*/1}, seconds(100),
                    std::move(callbacks));
  raft::CoreStatus core;
  core.self = MemberId(1);
  core.config = Voters({1, 2, 3});
  core.leader_ready = true;
  Contacts contacts = AllHeardAt(seconds(50), core.config);
  contacts.last_heard.erase(MemberId(3));
  job.Step(core, contacts, /*level=*/2);
  EXPECT_FALSE(job.TakeRequests().propose.has_value());
  ASSERT_TRUE(said.has_value());
  EXPECT_EQ(said->code(), StatusCode::kFailedPrecondition) << *said;
}

TEST(MembershipJob, AWildcardIsNoAddressOfANode) {
  OperatorsJob job(Kind::kAdd, 4, "0.0.0.0:9", Reply(4, 1, ""));
  ASSERT_TRUE(job.said().has_value());
  EXPECT_EQ(job.said()->code(), StatusCode::kInvalidArgument) << *job.said();
}

}  // namespace
}  // namespace cairn::node
