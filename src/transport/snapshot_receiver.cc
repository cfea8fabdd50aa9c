#include "transport/snapshot_receiver.h"

#include <chrono>
#include <utility>

#include "base/log.h"
#include "base/thread_priority.h"
#include "transport/certified_peer.h"

namespace cairn::transport {
namespace {

// A sender that is silent for this long is treated as dead. Its part file stays.
constexpr std::chrono::seconds kSilenceMax{15};
// While the receiver reads back and checks the whole snapshot, it tells the sender at this interval
// that it is alive. It stops after the time that the slowest disk needs, because a disk that hangs
// must not hold the sender's transfer, and its log, for ever.
constexpr std::chrono::seconds kSignOfLifeEvery{2};
constexpr std::chrono::seconds kLookThroughMax{60};  // plus one more second for each MiB
constexpr uint64_t kLookThroughBytesPerSecond = 1 << 20;

}  // namespace

SnapshotCall::SnapshotCall(TransportContext* context, SnapshotReceiver* receiver,
                           grpc::CallbackServerContext* server_context)
    : context_(context), receiver_(receiver), server_context_(server_context) {
  if (context_->tls != nullptr) caller_certificate_ = server_context_->auth_context();
}

void SnapshotCall::Start() {
  {
    const MutexLock lock(mutex_);
    read_ = Progress::kPending;
  }
  StartRead(&request_);
}

void SnapshotCall::Abort() {
  const MutexLock lock(mutex_);
  aborted_ = true;
  if (!done_) server_context_->TryCancel();
}

void SnapshotCall::Recheck() {
  if (caller_certificate_ && !context_->tls->CallerOf(*caller_certificate_).ok()) Abort();
}

Status SnapshotCall::Admit() {
  const Identity self = context_->identity();
  RETURN_IF_ERROR(CheckCertified(*context_, *server_context_, request_.hello().node_id()));
  RETURN_IF_ERROR(CheckHello(request_.hello(), self));
  if (!context_->handler->Counts(IdentityOf(request_.hello()))) {
    return FailedPrecondition("another process speaks for member " +
                              std::to_string(request_.hello().member_id()) + " than the sender");
  }
  ASSIGN_OR_RETURN(SnapshotHeader header, ParseSnapshotHeader(request_.header()));
  return receiver_->Begin(this, MemberId(request_.hello().member_id()), self.cluster_id,
                          std::move(header));
}

bool SnapshotCall::over() {
  const MutexLock lock(mutex_);
  return aborted_ || done_ || server_context_->IsCancelled();
}

void SnapshotCall::OnReadDone(bool ok) {
  if (!admitted_) {
    {
      const MutexLock lock(mutex_);
      read_ = Progress::kIdle;
    }
    // This is set first, because once begun the receiver's thread may start the next read at once.
    admitted_ = true;
    const Status status = ok ? Admit() : Cancelled("the sender ended the stream");
    if (!status.ok()) Finish(ToGrpc(status));
    return;
  }
  const MutexLock lock(mutex_);
  read_ = ok ? Progress::kOk : Progress::kFailed;
  changed_.NotifyAll();
}

void SnapshotCall::OnWriteDone(bool ok) {
  const MutexLock lock(mutex_);
  write_ = ok ? Progress::kOk : Progress::kFailed;
  changed_.NotifyAll();
}

void SnapshotCall::OnDone() {
  {
    const MutexLock lock(mutex_);
    done_ = true;
  }
  context_->EndCall(this);
}

// The next message is read while the caller works on this one.
bool SnapshotCall::Read(pb::SnapshotRequest* request) {
  if (!BeginRead() || !Await(&read_)) return false;
  request->Swap(&request_);
  return BeginRead();
}

bool SnapshotCall::BeginRead() {
  {
    const MutexLock lock(mutex_);
    if (aborted_) return false;
    if (read_ != Progress::kIdle) return true;
    read_ = Progress::kPending;
  }
  StartRead(&request_);
  return true;
}

bool SnapshotCall::Write(uint64_t offset, bool complete) {
  if (!AwaitWrite()) return false;
  {
    const MutexLock lock(mutex_);
    if (aborted_) return false;
    write_ = Progress::kPending;
  }
  response_.set_offset(offset);
  response_.set_complete(complete);
  StartWrite(&response_);
  return !complete || AwaitWrite();
}

bool SnapshotCall::AwaitWrite() {
  {
    const MutexLock lock(mutex_);
    if (write_ == Progress::kIdle) return true;
  }
  return Await(&write_);
}

bool SnapshotCall::Await(Progress* progress) {
  MutexLock lock(mutex_);
  const auto finished = [progress] { return *progress != Progress::kPending; };
  if (!changed_.WaitFor(lock, kSilenceMax, finished)) {
    aborted_ = true;
    server_context_->TryCancel();
    // The operation belongs to gRPC until it returns. A cancelled operation returns soon.
    changed_.Wait(lock, finished);
  }
  const bool ok = *progress == Progress::kOk && !aborted_;
  *progress = Progress::kIdle;
  return ok;
}

SnapshotReceiver::SnapshotReceiver(TransportContext* context, FileSystem* fs, std::string directory,
                                   uint64_t free_bytes_min)
    : context_(context),
      fs_(*fs),
      directory_(std::move(directory)),
      free_bytes_min_(free_bytes_min) {
  // Each leftover is as large as the database, and the next wanted snapshot is another one.
  if (Status removed = RemoveReceivedSnapshots(fs_, directory_); !removed.ok()) {
    LOG_WARN("snapshots left over from an earlier run are not deleted: {}", removed.ToString());
  }
}

SnapshotReceiver::~SnapshotReceiver() { Join(); }

void SnapshotReceiver::Join() {
  if (thread_.joinable()) thread_.join();
}

Status SnapshotReceiver::Begin(SnapshotCall* call, MemberId from, uint64_t cluster_id,
                               SnapshotHeader header) {
  const MutexLock lock(mutex_);
  if (running_ != nullptr) {
    if (running_from_ == from) running_->Abort();
    return Unavailable("a snapshot from member " + ToString(running_from_) + " is being received");
  }
  // The thread of the last transfer has given up its place. It only has its call left to finish.
  if (thread_.joinable()) thread_.join();
  running_ = call;
  running_from_ = from;
  thread_ = std::thread([this, call, from, cluster_id, moved = std::move(header)] {
    LowerThreadPriority();
    const Status status = Receive(call, from, cluster_id, moved);
    {
      const MutexLock running_lock(mutex_);
      running_ = nullptr;
    }
    if (!status.ok()) {
      LOG_WARN("snapshot not received member={} index={} reason=\"{}\"", from.value(),
               moved.meta.index.value(), status.ToString());
    }
    (void)call->AwaitWrite();
    call->Finish(ToGrpc(status));
  });
  return OkStatus();
}

Status SnapshotReceiver::Receive(SnapshotCall* call, MemberId from, uint64_t cluster_id,
                                 const SnapshotHeader& header) {
  if (!context_->handler->OnSnapshotOffered(header.group, from, header.meta)) {
    return Aborted("the snapshot at index " + ToString(header.meta.index) + " is not wanted");
  }
  ASSIGN_OR_RETURN(std::unique_ptr<IncomingSnapshot> incoming,
                   IncomingSnapshot::Open(
                       fs_, directory_, KeyOf(header, cluster_id), free_bytes_min_,
                       [call] { return !call->over(); }, Recording::kBesides));
  LOG_INFO("receiving snapshot member={} index={} bytes={} resumed_at={}", from.value(),
           header.meta.index.value(), header.size_bytes, incoming->offset());
  const Result<uint32_t> crc_of_whole = ReceiveChunks(call, incoming.get());
  if (!crc_of_whole.ok()) {
    if (Status kept = incoming->Suspend(); !kept.ok()) return kept;
    return crc_of_whole.status();
  }
  SteadyTime told = SystemClock().SteadyNow();
  const SteadyTime given_up =
      told + kLookThroughMax + std::chrono::seconds(header.size_bytes / kLookThroughBytesPerSecond);
  const auto proceed = [&] {
    const SteadyTime now = SystemClock().SteadyNow();
    if (now > given_up || call->over()) return false;
    if (now - told < kSignOfLifeEvery) return true;
    told = now;
    return call->Write(incoming->offset(), /*complete=*/false);
  };
  ASSIGN_OR_RETURN(const std::string path, incoming->Complete(*crc_of_whole, proceed));
  LOG_INFO("snapshot received member={} index={}", from.value(), header.meta.index.value());
  RETURN_IF_ERROR(
      context_->handler->OnSnapshotReceived(header.group, from, header.meta, path, proceed));
  if (!call->Write(header.size_bytes, /*complete=*/true)) {
    return Cancelled("the sender left before it was told that the snapshot is complete");
  }
  return OkStatus();
}

// Returns the CRC32C of the whole snapshot as the sender states it.
Result<uint32_t> SnapshotReceiver::ReceiveChunks(SnapshotCall* call, IncomingSnapshot* incoming) {
  if (!call->Write(incoming->offset(), /*complete=*/false)) {
    return Cancelled("the sender ended the stream");
  }
  pb::SnapshotRequest chunk;
  while (!incoming->whole()) {
    if (!call->Read(&chunk)) return Cancelled("the stream broke off");
    RETURN_IF_ERROR(incoming->Append(chunk.offset(), chunk.data(), chunk.crc()));
    if (!call->Write(incoming->offset(), /*complete=*/false)) {
      return Cancelled("the stream broke off");
    }
  }
  if (!call->Read(&chunk)) return Cancelled("the stream broke off");
  if (!chunk.has_crc_of_whole()) return InvalidArgument("a chunk behind the end of the snapshot");
  return chunk.crc_of_whole();
}

}  // namespace cairn::transport
