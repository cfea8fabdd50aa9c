#include "node/snapshot_worker.h"

#include <gtest/gtest.h>

#include <memory>
#include <utility>

#include "node/replica_test_util.h"

namespace cairn::node {
namespace {

// Keeps the source of the last snapshot that it was to send.
class KeepingTransport final : public transport::Transport {
 public:
  void SetIdentity(const transport::Identity&) override {}
  void SetPeers(const std::map<MemberId, transport::Addresses>&) override {}
  void Send(GroupId, std::vector<raft::Message>) override {}
  void SendSnapshot(GroupId, MemberId, MemberId, std::shared_ptr<transport::SnapshotSource> sent,
                    std::function<void(Status)>) override {
    source = std::move(sent);
  }
  void Probe(const std::string&, SteadyTime,
             std::function<void(Result<transport::ProbeReply>)>) override {}
  void Join(const std::string&, const transport::JoinRequest&, SteadyTime,
            std::function<void(Result<transport::JoinReply>)>) override {}

  std::shared_ptr<transport::SnapshotSource> source;
};

// The receiver of a large one looks through it for longer than the log is held for a transfer that
// makes no progress.
TEST(SnapshotWorker, AnAnswerOfTheReceiverIsProgress) {
  ListStateMachine state("");
  KeepingTransport transport;
  int progress = 0;
  SnapshotWorker worker(
      GroupId(1), &state, [&](MemberId, LogIndex, uint64_t) { ++progress; },
      [](MemberId, const Status&, LogIndex) {});
  worker.Send({MemberId(1), MemberId(2), LogIndex(), &transport});
  ASSERT_NE(transport.source, nullptr);
  EXPECT_EQ(progress, 1) << "the copy is made";
  ASSERT_TRUE(transport.source->Read(0, 1).ok());
  EXPECT_EQ(progress, 2);
  transport.source->OnAnswer();
  EXPECT_EQ(progress, 3);
}

}  // namespace
}  // namespace cairn::node
