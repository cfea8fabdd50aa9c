#include "node/snapshot_sends.h"

#include <gtest/gtest.h>

#include <memory>
#include <utility>

#include "node/replica_core_test_util.h"

namespace cairn::node {
namespace {

constexpr MemberId kPeer(2);

// A leader whose learner needs a snapshot.
class SnapshotSendsTest : public ReplicaCoreTest {
 protected:
  SnapshotSendsTest() {
    raft::InitialState initial;
    initial.config.voters = {MemberId(1)};
    initial.config.learners = {kPeer};
    initial.config.info = {{MemberId(1), {1, "one", 1}}, {kPeer, {2, "two", 2}}};
    initial.config.next_member_id = 3;
    raft::Options options;
    options.self = context_.self = MemberId(1);
    context_.raft = std::make_unique<raft::RaftCore>(options, std::move(initial), &rng_);
    for (int i = 0; i < 100; ++i) {
      context_.raft->Step(raft::Tick{});
      for (const raft::Persist& persist : context_.raft->TakeOutput().persists) {
        context_.raft->Step(raft::Persisted{persist.ticket});
      }
    }
  }

  ReplicaContext context_{options_, &clock_, &rng_, &effects_};
  SnapshotSends sends_{&context_};
};

TEST_F(SnapshotSendsTest, ThePeerMayHaveMissedAsManyBytesAsTheSnapshotHas) {
  ASSERT_EQ(context_.raft->role(), raft::Role::kLeader);
  const uint64_t missed = 20 * options_.log_bytes_max;
  sends_.Start(kPeer, LogIndex(1));
  sends_.OnProgress(kPeer, LogIndex(1), missed);
  EXPECT_EQ(sends_.Pinned(missed), LogIndex(1));
  EXPECT_EQ(sends_.Pinned(40 * options_.log_bytes_max), std::nullopt)
      << "another snapshot is cheaper";
}

// The log was let go at the moment when the snapshot arrived, so the peer was sent another snapshot,
// and another, as long as clients wrote.
TEST_F(SnapshotSendsTest, TheLogIsHeldUntilAPeerThatHasTheSnapshotHasCaughtUp) {
  ASSERT_EQ(context_.raft->role(), raft::Role::kLeader);
  ASSERT_GT(context_.raft->status().commit, LogIndex(0));
  const uint64_t missed = 20 * options_.log_bytes_max;
  sends_.Start(kPeer, LogIndex(0));
  sends_.OnProgress(kPeer, LogIndex(0), missed);
  sends_.OnSent(kPeer, OkStatus(), LogIndex(0));
  EXPECT_EQ(sends_.Pinned(missed), LogIndex(0));
}

}  // namespace
}  // namespace cairn::node
