#include "sim/network.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "base/crc32c.h"
#include "base/fault_file_system.h"

namespace cairn::sim {
namespace {

// A process that only exists.
class SilentEndpoint final : public Endpoint {
 public:
  std::shared_ptr<const transport::Identity> identity() const override { return identity_; }
  uint32_t protocol_version() const override { return 1; }
  void OnMessages(GroupId, const raft::Boot&, std::vector<raft::Message>) override {}
  Status OnCaller(const transport::Identity&) override { return OkStatus(); }
  void OnCallerLeft(const transport::Identity&) override {}
  bool OnReached(MemberId, const raft::Boot&) const override { return true; }
  void OnRefused(MemberId, const Status&) override {}
  void OnUnreachable(GroupId, MemberId) override {}
  void OnPeerGone(MemberId) override {}
  transport::ProbeReply OnProbe() override { return {}; }
  void OnJoin(const transport::JoinRequest&,
              std::function<void(Result<transport::JoinReply>)>) override {}
  bool OnSnapshotOffered(MemberId, const raft::SnapshotMeta&) override { return true; }
  Status OnSnapshotReceived(MemberId, const raft::SnapshotMeta&, const std::string&) override {
    return OkStatus();
  }
  FileSystem& snapshot_files() override { return disk_; }
  const std::string& snapshot_directory() const override { return directory_; }
  SteadyTime runs_at() const override { return SteadyTime(0); }

 private:
  const std::shared_ptr<const transport::Identity> identity_ =
      std::make_shared<transport::Identity>();
  FaultFileSystem disk_{1};
  const std::string directory_ = "/snapshot";
};

class EmptySource final : public transport::SnapshotSource {
 public:
  const raft::SnapshotMeta& meta() const override { return meta_; }
  uint64_t size_bytes() const override { return 1; }
  uint64_t copy_id() const override { return 1; }
  Result<uint32_t> Crc() override { return 0U; }
  Status ReadInto(uint64_t, size_t, SummedBytes* piece) override {
    *piece = {"x", Crc32c("x")};
    return OkStatus();
  }

 private:
  const raft::SnapshotMeta meta_{};
};

// Once, a transfer went on until it found that its sender was gone. By then the next process could
// have begun on the same disk, or the disk was gone: the copy that the transfer held of the dead
// process then removed a file of the living one, or touched memory that was no disk any more.
TEST(Network, HoldsNothingOfAProcessThatEnded) {
  World world(1);
  Network network(&world, {});
  SilentEndpoint endpoint;
  network.Attach(1, "node:1", &endpoint);
  auto source = std::make_shared<EmptySource>();
  const std::weak_ptr<EmptySource> held = source;
  bool told = false;
  network.SendSnapshot(1, GroupId(1), {{MemberId(2), {{"node:2"}}}}, MemberId(1), MemberId(2),
                       std::move(source), [&](const Status&) { told = true; });
  EXPECT_FALSE(held.expired());
  network.Detach(1);
  EXPECT_TRUE(held.expired());
  while (world.Step()) {
  }
  EXPECT_FALSE(told) << "there is nobody to tell";
  EXPECT_EQ(network.counts().snapshots_broken, 1u);
}

}  // namespace
}  // namespace cairn::sim
