#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>
#include <fstream>
#include <future>

#include "base/file_system.h"
#include "testing/sanitized.h"
#include "transport/grpc_node_test_util.h"
#include "transport/grpc_transport.h"
#include "transport/incoming_snapshot.h"
#include "transport/peer_protocol.h"

namespace cairn::transport {
namespace {

using ::testing::HasSubstr;

uint32_t CrcOfFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string block(1 << 20, '\0');
  uint32_t crc = 0;
  while (in) {
    in.read(block.data(), static_cast<std::streamsize>(block.size()));
    crc = Crc32c(std::string_view(block.data(), static_cast<size_t>(in.gcount())), crc);
  }
  return crc;
}

void FlipByte(const std::string& path, std::streamoff at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(at);
  const char byte = static_cast<char>(file.get() ^ 1);
  file.seekp(at);
  file.put(byte);
}

size_t HeapBytes() { return mallinfo2().uordblks + mallinfo2().hblkhd; }

// Records the peak memory in use while the source is read.
class MeasuredSource final : public SnapshotSource {
 public:
  explicit MeasuredSource(std::shared_ptr<PatternSource> source) : source_(std::move(source)) {}
  const raft::SnapshotMeta& meta() const override { return source_->meta(); }
  uint64_t size_bytes() const override { return source_->size_bytes(); }
  uint64_t copy_id() const override { return source_->copy_id(); }
  Result<uint32_t> Crc() override { return source_->Crc(); }
  Status ReadInto(uint64_t offset, size_t size, SummedBytes* piece) override {
    most = std::max(most.load(), HeapBytes());
    return source_->ReadInto(offset, size, piece);
  }
  std::atomic<size_t> most{0};

 private:
  std::shared_ptr<PatternSource> source_;
};

TEST(SnapshotStream, FiftyMegabytesPassInBoundedMemory) {
  TestNode a(1), b(2);
  a.ConnectTo(b);
  const uint64_t bytes = Samples(50) << 20;
  const auto pattern = std::make_shared<PatternSource>(100, bytes);
  const auto source = std::make_shared<MeasuredSource>(pattern);
  const size_t before = HeapBytes();
  const Status status = a.SendSnapshot(2, source);
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_EQ(b.handler.snapshots().size(), 1u);
  const auto [meta, path] = b.handler.snapshots()[0];
  EXPECT_EQ(meta, source->meta());
  EXPECT_EQ(std::filesystem::file_size(path), bytes);
  EXPECT_EQ(CrcOfFile(path), pattern->crc());
  EXPECT_EQ(b.directory().FileEndingIn(".part"), "");
  EXPECT_EQ(b.directory().FileEndingIn(".progress"), "");
  // Both ends live in this process.
  EXPECT_LT(source->most - std::min(before, source->most.load()), 12u << 20);
}

TEST(SnapshotStream, MessagesPassWhileASnapshotIsSent) {
  TestNode a(1), b(2);
  a.ConnectTo(b);
  Answer<Status> answer;
  a.transport().SendSnapshot(kGroup, MemberId(1), MemberId(2),
                             std::make_shared<PatternSource>(100, 50 << 20), answer.Callback());
  size_t received = 0;
  while (!answer.arrived()) {
    a.transport().Send(kGroup, {HeartbeatOf(1, 2, 1)});
    ASSERT_TRUE(b.handler.AwaitMessages(received + 1));
    received = b.handler.received().size();
  }
  EXPECT_TRUE(answer.Get().ok()) << answer.Get();
  EXPECT_GT(received, 10u);
}

TEST(SnapshotStream, ABrokenTransferResumesWhereItBroke) {
  TestNode a(1), b(2);
  a.ConnectTo(b);
  const auto broken = std::make_shared<PatternSource>(100, 20 << 20);
  broken->fail_at = 15 << 20;
  EXPECT_FALSE(a.SendSnapshot(2, broken).ok());
  EXPECT_TRUE(b.handler.snapshots().empty());
  // The receiver may still be writing the bytes it received.
  const auto whole = std::make_shared<PatternSource>(100, 20 << 20);
  Status status;
  do {
    status = a.SendSnapshot(2, whole);
  } while (status.code() == StatusCode::kUnavailable);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_GE(whole->first_read, 8u << 20);
  ASSERT_EQ(b.handler.snapshots().size(), 1u);
  EXPECT_EQ(CrcOfFile(b.handler.snapshots()[0].second), whole->crc());
}

TEST(SnapshotStream, AReceiverThatRestartedResumes) {
  TestDirectory directory;
  GrpcTransportOptions options;
  options.snapshot_directory = directory.path();
  TestNode a(1);
  auto b = std::make_unique<TestNode>(2, 0, options);
  a.ConnectTo(*b);
  const auto broken = std::make_shared<PatternSource>(100, 20 << 20);
  broken->fail_at = 15 << 20;
  EXPECT_FALSE(a.SendSnapshot(2, broken).ok());
  b = std::make_unique<TestNode>(2, 0, options);
  a.ConnectTo(*b);
  const auto whole = std::make_shared<PatternSource>(100, 20 << 20);
  const Status status = a.SendSnapshot(2, whole);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_GE(whole->first_read, 8u << 20);
}

TEST(SnapshotStream, AFlippedByteInThePartFileIsNotResumedFrom) {
  TestDirectory directory;
  GrpcTransportOptions options;
  options.snapshot_directory = directory.path();
  TestNode a(1);
  auto b = std::make_unique<TestNode>(2, 0, options);
  a.ConnectTo(*b);
  const auto broken = std::make_shared<PatternSource>(100, 20 << 20);
  broken->fail_at = 15 << 20;
  EXPECT_FALSE(a.SendSnapshot(2, broken).ok());
  b->Stop();
  FlipByte(directory.FileEndingIn(".part"), 1 << 20);
  b = std::make_unique<TestNode>(2, 0, options);
  a.ConnectTo(*b);
  const auto whole = std::make_shared<PatternSource>(100, 20 << 20);
  const Status status = a.SendSnapshot(2, whole);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(whole->first_read, 0u);
  EXPECT_EQ(CrcOfFile(b->handler.snapshots()[0].second), whole->crc());
}

TEST(SnapshotStream, ASnapshotThatIsNotWhatItsSenderPromisedIsRefusedAndDeleted) {
  TestNode a(1), b(2);
  a.ConnectTo(b);
  const auto source = std::make_shared<PatternSource>(100, 3 << 20);
  source->flip_at = 2 << 20;  // after the CRC of the whole was taken, before the chunk's
  const Status status = a.SendSnapshot(2, source);
  EXPECT_EQ(status.code(), StatusCode::kDataLoss) << status;
  EXPECT_TRUE(b.handler.snapshots().empty());
  EXPECT_TRUE(std::filesystem::is_empty(b.directory().path()));
}

TEST(SnapshotStream, AnEmptySnapshotPasses) {
  TestNode a(1), b(2);
  a.ConnectTo(b);
  const Status status = a.SendSnapshot(2, std::make_shared<PatternSource>(100, 0));
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(b.handler.snapshots().size(), 1u);
}

TEST(SnapshotStream, AnUnwantedSnapshotIsRefused) {
  TestNode a(1), b(2);
  b.handler.wants_snapshots = false;
  a.ConnectTo(b);
  const Status status = a.SendSnapshot(2, std::make_shared<PatternSource>(100, 1 << 20));
  EXPECT_EQ(status.code(), StatusCode::kAborted) << status;
  EXPECT_THAT(status.message(), HasSubstr("not wanted"));
  EXPECT_TRUE(std::filesystem::is_empty(b.directory().path()));
}

TEST(SnapshotStream, ASnapshotThatItsReceiverCanNotUseIsAFailureForTheSender) {
  TestNode a(1), b(2);
  b.handler.verdict_on_snapshots = DataLoss("its rows are not those that were written");
  a.ConnectTo(b);
  const Status status = a.SendSnapshot(2, std::make_shared<PatternSource>(100, 1 << 20));
  EXPECT_EQ(status.code(), StatusCode::kDataLoss) << status;
  EXPECT_THAT(status.message(), HasSubstr("its rows are not those"));
}

// Reports when the receiver has answered twice.
class AnsweredSource final : public SnapshotSource {
 public:
  const raft::SnapshotMeta& meta() const override { return source_.meta(); }
  uint64_t size_bytes() const override { return source_.size_bytes(); }
  uint64_t copy_id() const override { return source_.copy_id(); }
  Result<uint32_t> Crc() override { return source_.Crc(); }
  Status ReadInto(uint64_t offset, size_t size, SummedBytes* piece) override {
    return source_.ReadInto(offset, size, piece);
  }
  void OnAnswer() override {
    if (++answers_ == 2) twice_.set_value();
  }
  std::future<void> Twice() { return twice_.get_future(); }

 private:
  PatternSource source_{100, 1000};  // one chunk, and one answer to it
  int answers_ = 0;
  std::promise<void> twice_;
};

TEST(SnapshotStream, WhoeverSendsASnapshotHearsThatItIsStillLookedThrough) {
  TestNode a(1), b(2);
  const auto source = std::make_shared<AnsweredSource>();
  std::future<void> twice = source->Twice();
  bool heard = false;
  b.handler.look_through = [&](const std::function<bool()>& proceed) {
    const SteadyTime until = SystemClock().SteadyNow() + kPatience;
    while (!heard && SystemClock().SteadyNow() < until && proceed()) {
      heard = twice.wait_for(std::chrono::milliseconds(50)) == std::future_status::ready;
    }
  };
  a.ConnectTo(b);
  const Status status = a.SendSnapshot(2, source);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(heard);
}

TEST(SnapshotStream, ASnapshotThatWouldFillTheDiskIsRefused) {
  TestNode a(1);
  GrpcTransportOptions options;
  options.snapshot_free_bytes_min = 1ull << 60;
  TestNode b(2, 0, options);
  a.ConnectTo(b);
  const Status status = a.SendSnapshot(2, std::make_shared<PatternSource>(100, 1 << 20));
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted) << status;
  EXPECT_TRUE(b.handler.snapshots().empty());
}

TEST(SnapshotStream, AStrangersSnapshotIsRefused) {
  TestNode a(1), b(2);
  Identity stranger = a.identity;
  stranger.cluster_id = 4711;
  a.transport().SetIdentity(stranger);
  a.ConnectTo(b);
  const Status status = a.SendSnapshot(2, std::make_shared<PatternSource>(100, 1 << 20));
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << status;
  EXPECT_THAT(status.message(), HasSubstr(ClusterIdText(4711)));
}

TEST(SnapshotStream, OneAtATimePerReceiver) {
  TestNode a(1), b(2), c(3);
  a.ConnectTo(b);
  c.ConnectTo(b);
  Answer<Status> first;
  a.transport().SendSnapshot(kGroup, MemberId(1), MemberId(2),
                             std::make_shared<PatternSource>(100, 100 << 20), first.Callback());
  // The sender refuses a second snapshot to the same member.
  EXPECT_EQ(a.SendSnapshot(2, std::make_shared<PatternSource>(100, 1 << 20)).code(),
            StatusCode::kUnavailable);
  // The receiver refuses another sender while a transfer is in progress.
  while (b.directory().FileEndingIn(".part").empty() && !first.arrived()) {
    std::this_thread::yield();
  }
  ASSERT_FALSE(first.arrived());
  EXPECT_EQ(c.SendSnapshot(2, std::make_shared<PatternSource>(101, 1 << 20)).code(),
            StatusCode::kUnavailable);
  ASSERT_TRUE(first.Await());
  EXPECT_TRUE(first.Get().ok()) << first.Get();
}

// Speaks the snapshot stream by hand: the header, then one chunk. Returns the status of the stream.
grpc::Status SendOneChunk(const TestNode& from, const TestNode& to, const PatternSource& source,
                          const pb::SnapshotRequest& chunk) {
  const auto stub =
      pb::Peer::NewStub(grpc::CreateChannel(to.address(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(DeadlineAfter(std::chrono::seconds(10)));
  const auto stream = stub->Snapshot(&context);
  pb::SnapshotRequest header;
  FillHello(from.identity, MemberId(2), header.mutable_hello());
  FillSnapshotHeader({kGroup, source.meta(), source.size_bytes(), source.copy_id()},
                     header.mutable_header());
  stream->Write(header);
  pb::SnapshotResponse response;
  if (stream->Read(&response)) stream->Write(chunk);
  while (stream->Read(&response)) {
  }
  return stream->Finish();
}

TEST(SnapshotStream, ASecondOfferOfTheSameSenderReplacesItsDeadTransfer) {
  TestNode a(1), b(2);
  a.ConnectTo(b);
  const auto source = std::make_shared<PatternSource>(100, 1 << 20);
  // A transfer that falls silent, as if the sender's machine had lost power.
  const auto stub =
      pb::Peer::NewStub(grpc::CreateChannel(b.address(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  const auto silent = stub->Snapshot(&context);
  pb::SnapshotRequest header;
  FillHello(a.identity, MemberId(2), header.mutable_hello());
  FillSnapshotHeader({kGroup, source->meta(), source->size_bytes(), source->copy_id()},
                     header.mutable_header());
  silent->Write(header);
  pb::SnapshotResponse response;
  ASSERT_TRUE(silent->Read(&response));

  const SteadyTime start = SystemClock().SteadyNow();
  EXPECT_EQ(a.SendSnapshot(2, source).code(), StatusCode::kUnavailable);
  Status status;
  do {
    status = a.SendSnapshot(2, source);
  } while (status.code() == StatusCode::kUnavailable);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_LT(SystemClock().SteadyNow() - start, std::chrono::seconds(10) * kSlowness);
  EXPECT_FALSE(silent->Read(&response));
  EXPECT_FALSE(silent->Finish().ok());
}

TEST(SnapshotStream, AFlippedByteInAChunkIsCaught) {
  TestNode a(1), b(2);
  PatternSource source(100, 1 << 20);
  pb::SnapshotRequest chunk;
  std::string data = *source.Read(0, 1000);
  chunk.set_crc(Crc32c(data));
  data[500] ^= 1;
  chunk.set_data(data);
  EXPECT_EQ(SendOneChunk(a, b, source, chunk).error_code(), grpc::StatusCode::DATA_LOSS);
  EXPECT_TRUE(b.handler.snapshots().empty());
}

TEST(SnapshotStream, ChunksThatDoNotBelongAreRefused) {
  TestNode a(1), b(2);
  PatternSource source(100, 2000);
  const auto send = [&](uint64_t offset, const std::string& data) {
    pb::SnapshotRequest chunk;
    chunk.set_offset(offset);
    chunk.set_data(data);
    chunk.set_crc(Crc32c(data));
    return SendOneChunk(a, b, source, chunk).error_code();
  };
  EXPECT_EQ(send(7, std::string(10, 'x')), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(send(0, std::string(2001, 'x')), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(send(0, ""), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST(SnapshotStream, ADamagedHeaderIsRefused) {
  TestNode a(1), b(2);
  const auto stub =
      pb::Peer::NewStub(grpc::CreateChannel(b.address(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  const auto stream = stub->Snapshot(&context);
  pb::SnapshotRequest request;
  FillHello(a.identity, MemberId(2), request.mutable_hello());
  request.mutable_header()->set_config("garbage");
  stream->Write(request);
  pb::SnapshotResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

SnapshotKey KeyOfPattern(const PatternSource& source) {
  return {42, kGroup, source.meta().index, source.meta().term, source.crc(), source.size_bytes()};
}

TEST(IncomingSnapshot, PartsOfOtherSnapshotsAreDeleted) {
  TestDirectory directory;
  PatternSource old_one(100, 5000), new_one(200, 5000);
  FileSystem& fs = PosixFileSystem();
  {
    auto incoming = IncomingSnapshot::Open(fs, directory.path(), KeyOfPattern(old_one), 0);
    ASSERT_TRUE(incoming.ok());
    const std::string data = *old_one.Read(0, 1000);
    ASSERT_TRUE((*incoming)->Append(0, data, Crc32c(data)).ok());
    ASSERT_TRUE((*incoming)->Suspend().ok());
  }
  ASSERT_TRUE(IncomingSnapshot::Open(fs, directory.path(), KeyOfPattern(new_one), 0).ok());
  const auto names = *fs.List(directory.path());
  ASSERT_EQ(names.size(), 1u);
  EXPECT_THAT(names[0], HasSubstr("-200-"));
}

TEST(IncomingSnapshot, WhatAnEarlierProcessReceivedAndDidNotInstallIsDeletedAtTheStart) {
  TestDirectory directory;
  std::ofstream(directory.path() + "/received-1.snapshot") << "whole";
  std::ofstream(directory.path() + "/incoming-1.part") << "part";
  GrpcTransportOptions options;
  options.snapshot_directory = directory.path();
  const auto transport = NewGrpcTransport(options);
  EXPECT_EQ(*PosixFileSystem().List(directory.path()), std::vector<std::string>{"incoming-1.part"});
}

TEST(IncomingSnapshot, BytesAfterTheRecordedOffsetAreNotTrusted) {
  TestDirectory directory;
  PatternSource source(100, 5000);
  FileSystem& fs = PosixFileSystem();
  const std::string data = *source.Read(0, 1000);
  const std::string more = *source.Read(1000, 1000);
  {
    auto incoming = IncomingSnapshot::Open(fs, directory.path(), KeyOfPattern(source), 0);
    ASSERT_TRUE((*incoming)->Append(0, data, Crc32c(data)).ok());
    ASSERT_TRUE((*incoming)->Suspend().ok());
    // The bytes are written but neither synced nor recorded, as if the power went.
    ASSERT_TRUE((*incoming)->Append(1000, more, Crc32c(more)).ok());
  }
  auto incoming = IncomingSnapshot::Open(fs, directory.path(), KeyOfPattern(source), 0);
  ASSERT_TRUE(incoming.ok());
  EXPECT_EQ((*incoming)->offset(), 1000u);
}

// The sender that left while the part was read back returns, and finds the part again.
TEST(IncomingSnapshot, APartStaysWhenItsReadingBackIsGivenUp) {
  TestDirectory directory;
  PatternSource source(100, 5000);
  FileSystem& fs = PosixFileSystem();
  const std::string data = *source.Read(0, 4000);
  {
    auto incoming = IncomingSnapshot::Open(fs, directory.path(), KeyOfPattern(source), 0);
    ASSERT_TRUE((*incoming)->Append(0, data, Crc32c(data)).ok());
    ASSERT_TRUE((*incoming)->Suspend().ok());
  }
  const auto given_up =
      IncomingSnapshot::Open(fs, directory.path(), KeyOfPattern(source), 0, [] { return false; });
  EXPECT_EQ(given_up.status().code(), StatusCode::kCancelled);
  auto incoming = IncomingSnapshot::Open(fs, directory.path(), KeyOfPattern(source), 0);
  ASSERT_TRUE(incoming.ok());
  EXPECT_EQ((*incoming)->offset(), 4000u);
}

TEST(IncomingSnapshot, AByteThatRottedOnTheDiskFailsTheWholeAndDeletesIt) {
  TestDirectory directory;
  PatternSource source(100, 5000);
  auto incoming =
      IncomingSnapshot::Open(PosixFileSystem(), directory.path(), KeyOfPattern(source), 0);
  const std::string data = *source.Read(0, 5000);
  ASSERT_TRUE((*incoming)->Append(0, data, Crc32c(data)).ok());
  FlipByte(directory.FileEndingIn(".part"), 4000);
  const auto path = (*incoming)->Complete(source.crc(), [] { return true; });
  EXPECT_EQ(path.status().code(), StatusCode::kDataLoss);
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

TEST(IncomingSnapshot, ADamagedProgressRecordStartsAnew) {
  TestDirectory directory;
  PatternSource source(100, 5000);
  {
    auto incoming =
        IncomingSnapshot::Open(PosixFileSystem(), directory.path(), KeyOfPattern(source), 0);
    const std::string data = *source.Read(0, 1000);
    ASSERT_TRUE((*incoming)->Append(0, data, Crc32c(data)).ok());
    ASSERT_TRUE((*incoming)->Suspend().ok());
  }
  FlipByte(directory.FileEndingIn(".progress"), 0);
  auto incoming =
      IncomingSnapshot::Open(PosixFileSystem(), directory.path(), KeyOfPattern(source), 0);
  ASSERT_TRUE(incoming.ok());
  EXPECT_EQ((*incoming)->offset(), 0u);
}

}  // namespace
}  // namespace cairn::transport
