#include "node/snapshot_worker.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <utility>

#include "node/replica_test_util.h"

namespace cairn::node {
namespace {

// Keeps the source of the last snapshot that it was told to send.
class KeepingTransport final : public transport::Transport {
 public:
  void SetIdentity(const transport::Identity&) override {}
  void SetPeers(const transport::Peers&) override {}
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

// The state of a database that two transfers read, until it is dropped.
class PinnedStateMachine final : public ListStateMachine {
 public:
  PinnedStateMachine() : ListStateMachine("") {}
  Result<std::shared_ptr<state_machine::SnapshotReader>> OpenSnapshot(LogIndex) override {
    return std::shared_ptr<state_machine::SnapshotReader>(std::make_shared<Reader>(this));
  }
  void DropSnapshot() override { dropped_.set_value(); }

  std::promise<void> making;  // one thread waits to make the copy; a second one would throw

 private:
  class Reader final : public state_machine::SnapshotReader {
   public:
    explicit Reader(PinnedStateMachine* state) : state_(*state) {}
    const raft::SnapshotMeta& meta() const override { return meta_; }
    uint64_t size_bytes() const override { return 0; }
    uint64_t copy_id() const override { return 7; }
    Status Complete(const std::function<bool()>&) override {
      state_.making.set_value();
      state_.dropped_.get_future().wait();
      return OkStatus();
    }
    Status ReadInto(uint64_t, size_t, SummedBytes*) override { return OkStatus(); }
    Result<uint32_t> Crc() override { return 0U; }

   private:
    PinnedStateMachine& state_;
    const raft::SnapshotMeta meta_;
  };

  std::promise<void> dropped_;
};

// A second wiped node once waited until the first one had its whole snapshot.
TEST(SnapshotWorker, TwoPeersAreServedAtTheSameTime) {
  class AnnouncingTransport final : public transport::Transport {
   public:
    void SetIdentity(const transport::Identity&) override {}
    void SetPeers(const transport::Peers&) override {}
    void Send(GroupId, std::vector<raft::Message>) override {}
    void SendSnapshot(GroupId, MemberId, MemberId, std::shared_ptr<transport::SnapshotSource>,
                      std::function<void(Status)> when_done) override {
      begun.set_value(std::move(when_done));
    }
    void Probe(const std::string&, SteadyTime,
               std::function<void(Result<transport::ProbeReply>)>) override {}
    void Join(const std::string&, const transport::JoinRequest&, SteadyTime,
              std::function<void(Result<transport::JoinReply>)>) override {}
    std::promise<std::function<void(Status)>> begun;
  };

  PinnedStateMachine state;
  AnnouncingTransport one, other;
  SnapshotWorker worker(
      GroupId(1), &state, &SystemClock(), [](MemberId, LogIndex, uint64_t) {},
      [](MemberId, const Status& status, LogIndex) { EXPECT_TRUE(status.ok()) << status; });
  worker.Start();
  worker.Push({MemberId(1), MemberId(2), LogIndex(), &one});
  const auto first_is_over = one.begun.get_future().get();
  state.making.get_future().wait();
  worker.Push({MemberId(1), MemberId(3), LogIndex(), &other});
  const auto second_is_over = other.begun.get_future().get();  // the first one still runs
  first_is_over(OkStatus());
  second_is_over(OkStatus());
  worker.Stop();
}

// Nobody drops the state between its opening and the beginning of its transfer.
TEST(SnapshotWorker, ATransferThatCouldNotBeginIsNotWaitedFor) {
  class Refusing final : public ListStateMachine {
   public:
    Refusing() : ListStateMachine("") {}
    Result<std::shared_ptr<state_machine::SnapshotReader>> OpenSnapshot(LogIndex index) override {
      if (refuses) return Unavailable("another copy of the database is being made");
      return ListStateMachine::OpenSnapshot(index);
    }
    void DropSnapshot() override { ++dropped; }
    bool refuses = false;
    int dropped = 0;
  } state;
  KeepingTransport transport;
  SnapshotWorker worker(
      GroupId(1), &state, &SystemClock(), [](MemberId, LogIndex, uint64_t) {},
      [](MemberId, const Status&, LogIndex) {});
  worker.Send({MemberId(1), MemberId(2), LogIndex(), &transport});
  state.refuses = true;
  worker.Send({MemberId(1), MemberId(3), LogIndex(), &transport});
  EXPECT_EQ(state.dropped, 0) << "the first one reads it";
  transport.done(OkStatus());
  EXPECT_EQ(state.dropped, 1);
}

}  // namespace
}  // namespace cairn::node
