#include "node/snapshot_worker.h"

#include <gtest/gtest.h>

#include <memory>
#include <utility>

#include "node/replica_test_util.h"

namespace cairn::node {
namespace {

// Keeps the source of the last snapshot that it was told to send.
class KeepingTransport final : public transport::Transport {
 public:
  void SetIdentity(const transport::Identity&) override {}
  void SetPeers(const std::map<MemberId, transport::Addresses>&) override {}
  void Send(GroupId, std::vector<raft::Message>) override {}
  void SendSnapshot(GroupId, MemberId, MemberId, std::shared_ptr<transport::SnapshotSource> sent,
                    std::function<void(Status)> when_done) override {
    source = std::move(sent);
    done = std::move(when_done);
  }
  void Probe(const std::string&, SteadyTime,
             std::function<void(Result<transport::ProbeReply>)>) override {}
  void Join(const std::string&, const transport::JoinRequest&, SteadyTime,
            std::function<void(Result<transport::JoinReply>)>) override {}

  std::shared_ptr<transport::SnapshotSource> source;
  std::function<void(Status)> done;
};

class DroppedSnapshots final : public ListStateMachine {
 public:
  DroppedSnapshots() : ListStateMachine("") {}
  void DropSnapshot() override { ++dropped; }
  int dropped = 0;
};

// The receiver looks through a large snapshot for longer than the log is held for a transfer
// without progress.
TEST(SnapshotWorker, AnAnswerOfTheReceiverIsProgress) {
  ListStateMachine state("");
  KeepingTransport transport;
  int progress = 0;
  SnapshotWorker worker(
      GroupId(1), &state, &SystemClock(), [&](MemberId, LogIndex, uint64_t) { ++progress; },
      [](MemberId, const Status&, LogIndex) {});
  worker.Send({MemberId(1), MemberId(2), LogIndex(), &transport});
  ASSERT_NE(transport.source, nullptr);
  EXPECT_EQ(progress, 1) << "the copy is made";
  ASSERT_TRUE(transport.source->Read(0, 1).ok());
  EXPECT_EQ(progress, 2);
  transport.source->OnAnswer();
  EXPECT_EQ(progress, 3);
}

// A copy is as large as the database. A copy of 48 MB was once kept for good.
TEST(SnapshotWorker, ACopyIsGivenUpWhenTheLastTransferOfItHasEnded) {
  DroppedSnapshots state;
  ManualClock clock;
  SnapshotWorker worker(
      GroupId(1), &state, &clock, [](MemberId, LogIndex, uint64_t) {},
      [](MemberId, const Status&, LogIndex) {});
  KeepingTransport one, other;
  worker.Send({MemberId(1), MemberId(2), LogIndex(), &one});
  worker.Send({MemberId(1), MemberId(3), LogIndex(), &other});
  one.done(OkStatus());
  EXPECT_EQ(state.dropped, 0) << "the other one reads it";
  other.done(OkStatus());
  EXPECT_EQ(state.dropped, 1);
}

TEST(SnapshotWorker, AfterATransferThatBrokeTheCopyWaitsForTheNextAttempt) {
  DroppedSnapshots state;
  ManualClock clock;
  SnapshotWorker worker(
      GroupId(1), &state, &clock, [](MemberId, LogIndex, uint64_t) {},
      [](MemberId, const Status&, LogIndex) {});
  KeepingTransport transport;
  worker.Send({MemberId(1), MemberId(2), LogIndex(), &transport});
  transport.done(Unavailable("the stream broke off"));
  clock.Advance(std::chrono::seconds(59));
  worker.DropIfDue();
  EXPECT_EQ(state.dropped, 0);
  worker.Send({MemberId(1), MemberId(2), LogIndex(), &transport});
  transport.done(OkStatus());
  EXPECT_EQ(state.dropped, 1) << "it has arrived after all";
  worker.Send({MemberId(1), MemberId(2), LogIndex(), &transport});
  transport.done(Unavailable("the stream broke off"));
  clock.Advance(std::chrono::seconds(60));
  worker.DropIfDue();
  EXPECT_EQ(state.dropped, 2) << "given up";
}

}  // namespace
}  // namespace cairn::node
