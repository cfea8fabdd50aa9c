#include "transport/snapshot_sender.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/log.h"
#include "base/thread_priority.h"
#include "transport/snapshot_read_ahead.h"

namespace cairn::transport {
namespace {

constexpr size_t kTransfersMax = 2;
// The number of chunks sent and not yet answered. It bounds the memory of a transfer on both sides.
constexpr uint64_t kWindowChunks = 3;
// A transfer without progress for this long is given up.
constexpr std::chrono::seconds kSilenceMax{30};
constexpr std::chrono::seconds kWatchEvery{1};
// Before its first answer the receiver reads back its part of the snapshot, from a disk that may be
// slow and busy with other work.
constexpr uint64_t kReadBackBytesPerSecond = 4 << 20;

}  // namespace

struct SnapshotSender::Transfer {
  GroupId group;
  Identity self;
  MemberId to;
  Peer peer;
  std::shared_ptr<SnapshotSource> source;
  std::function<void(Status)> done;
  grpc::ClientContext context;
  std::thread thread;
  bool stream_over = false;  // seen by the thread: no read or write will succeed any more
  std::atomic<int64_t> last_progress{0};  // SteadyTime
  std::atomic<int64_t> silence_max_s{kSilenceMax.count()};
  std::atomic<bool> exited{false};  // the thread returns without doing anything more

  Status Over() {
    stream_over = true;
    return Unavailable("the stream broke off");
  }
  void Progressed() { last_progress = SystemClock().SteadyNow().count(); }
};

SnapshotSender::SnapshotSender(std::shared_ptr<TransportContext> context, size_t chunk_bytes)
    : context_(std::move(context)), chunk_bytes_(chunk_bytes) {}

SnapshotSender::~SnapshotSender() { Stop(); }

void SnapshotSender::Send(GroupId group, const Identity& self, MemberId to, Peer peer,
                          std::shared_ptr<SnapshotSource> source,
                          std::function<void(Status)> done) {
  Reap();
  auto transfer = std::make_shared<Transfer>();
  transfer->group = group;
  transfer->self = self;
  transfer->to = to;
  transfer->peer = std::move(peer);
  transfer->source = std::move(source);
  transfer->done = std::move(done);
  transfer->Progressed();
  const MutexLock lock(mutex_);
  if (running_.contains(to) || running_.size() >= kTransfersMax) {
    context_->tasks.Post([transfer] {
      transfer->done(Unavailable("another snapshot is being sent to member " +
                                 ToString(transfer->to) + ", or to too many others"));
    });
    return;
  }
  if (!context_->live.Enter()) return;
  running_.emplace(to, transfer);
  transfer->thread = std::thread([this, transfer] {
    LowerThreadPriority();
    const Status status = Run(transfer.get());
    {
      // This precedes `done`, because `done` may send the next snapshot.
      const MutexLock running_lock(mutex_);
      running_.erase(transfer->to);
      ended_.push_back(transfer);
    }
    transfer->source.reset();
    transfer->done(status);
    transfer->done = nullptr;
    transfer->exited = true;
    context_->live.Leave();
  });
  Watch(transfer);
}

void SnapshotSender::Watch(const std::shared_ptr<Transfer>& transfer) {
  context_->tasks.PostAfter(kWatchEvery, [this, weak = std::weak_ptr(transfer)] {
    const std::shared_ptr<Transfer> watched = weak.lock();
    if (!watched || watched->exited) return;
    const SteadyTime last(watched->last_progress.load());
    const std::chrono::seconds silence_max(watched->silence_max_s.load());
    if (SystemClock().SteadyNow() - last > silence_max) {
      watched->context.TryCancel();
    } else {
      Watch(watched);
    }
  });
}

void SnapshotSender::Reap() {
  std::vector<std::shared_ptr<Transfer>> exited;
  {
    const MutexLock lock(mutex_);
    const auto first = std::partition(ended_.begin(), ended_.end(),
                                      [](const auto& transfer) { return !transfer->exited; });
    exited.assign(first, ended_.end());
    ended_.erase(first, ended_.end());
  }
  for (const auto& transfer : exited) transfer->thread.join();
}

void SnapshotSender::Stop() {
  std::vector<std::shared_ptr<Transfer>> running;
  {
    const MutexLock lock(mutex_);
    for (const auto& [to, transfer] : running_) running.push_back(transfer);
  }
  for (const auto& transfer : running) transfer->context.TryCancel();
  context_->live.AwaitNone();
  Reap();
}

Status SnapshotSender::Run(Transfer* transfer) {
  const std::shared_ptr<grpc::Channel> channel =
      NewPeerChannel(transfer->peer.addresses.front(), context_->tls, transfer->peer.node_id);
  const std::unique_ptr<pb::Peer::Stub> stub = pb::Peer::NewStub(channel);
  const auto stream = stub->Snapshot(&transfer->context);
  Status streamed = Stream(transfer, stream.get());
  // Either the receiver ended the stream, and its status gives the reason; or the sender found an
  // error while the receiver still waits for more.
  const bool ours = !streamed.ok() && !transfer->stream_over;
  if (ours) transfer->context.TryCancel();
  const Status finished = FromGrpc(stream->Finish());
  if (ours) return streamed;
  if (!finished.ok()) {
    return Status(finished).Prefixed("snapshot to member " + ToString(transfer->to));
  }
  return streamed;
}

Status SnapshotSender::Stream(
    Transfer* transfer,
    grpc::ClientReaderWriter<pb::SnapshotRequest, pb::SnapshotResponse>* stream) {
  const uint64_t size = transfer->source->size_bytes();
  pb::SnapshotRequest request;
  FillHello(transfer->self, transfer->to, request.mutable_hello());
  FillSnapshotHeader({transfer->group, transfer->source->meta(), size, transfer->source->copy_id()},
                     request.mutable_header());
  pb::SnapshotResponse response;
  transfer->silence_max_s =
      kSilenceMax.count() + static_cast<int64_t>(size / kReadBackBytesPerSecond);
  if (!stream->Write(request) || !stream->Read(&response)) return transfer->Over();
  transfer->Progressed();
  transfer->silence_max_s = kSilenceMax.count();
  if (response.offset() > size) return Internal("the receiver claims more than there is");
  request.Clear();
  uint64_t sent = response.offset();
  const uint64_t window = kWindowChunks * chunk_bytes_;
  LOG_INFO("sending snapshot member={} index={} bytes={} from={}", transfer->to.value(),
           transfer->source->meta().index.value(), size, sent);
  bool told_crc = false;
  SnapshotReadAhead ahead(transfer->source.get(), sent, chunk_bytes_);
  SummedBytes chunk;
  while (!response.complete()) {
    while (sent < size && sent - response.offset() < window) {
      RETURN_IF_ERROR(ahead.Next(&chunk));
      request.set_offset(sent);
      request.set_crc(chunk.crc);
      request.mutable_data()->swap(chunk.bytes);
      if (!stream->Write(request)) return transfer->Over();
      sent += request.data().size();
    }
    if (sent == size && !std::exchange(told_crc, true)) {
      ASSIGN_OR_RETURN(const uint32_t crc_of_whole, transfer->source->Crc());
      request.Clear();
      request.set_crc_of_whole(crc_of_whole);
      if (!stream->Write(request)) return transfer->Over();
    }
    if (!stream->Read(&response)) return transfer->Over();
    transfer->Progressed();
    transfer->source->OnAnswer();
    if (response.offset() > sent) return Internal("the receiver claims more than it was sent");
  }
  stream->WritesDone();
  return OkStatus();
}

}  // namespace cairn::transport
