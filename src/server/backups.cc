#include "server/backups.h"

#include <algorithm>
#include <future>
#include <utility>

#include "base/log.h"
#include "base/summed_bytes.h"
#include "base/thread_priority.h"
#include "server/backup_stream.h"
#include "server/convert.h"
#include "server/limits.h"
#include "server/raw_call.h"
#include "state_machine/state_machine.h"

namespace cairn::server {
namespace {

using Reader = std::shared_ptr<state_machine::SnapshotReader>;

// How often a wait looks whether the client is still there.
constexpr std::chrono::milliseconds kLookEvery(100);
constexpr uint64_t kBytesPerSecondMin = 64 << 10;

// The state of the database that is sent. Its copy, if the client needs one, is made on a thread of
// its own. The destructor drops state and copy, and waits for the thread.
class PinnedCopy {
 public:
  explicit PinnedCopy(state_machine::StateMachine* state) : state_(*state) {}
  ~PinnedCopy() {
    state_.DropBackup();
    if (maker_.joinable()) maker_.join();
  }
  PinnedCopy(const PinnedCopy&) = delete;
  PinnedCopy& operator=(const PinnedCopy&) = delete;

  Status Open(LogIndex index_min, const BackupStream& stream) {
    ASSIGN_OR_RETURN(reader_, state_.OpenBackup(index_min));
    ASSIGN_OR_RETURN(Reader maker, state_.OpenBackup(reader_->meta().index));
    maker_ = std::thread([maker = std::move(maker), &stream] {
      // A failure reaches the client through the reader that waits for the copy.
      const Status made = maker->Complete([&stream] { return stream.standing().ok(); });
      if (!made.ok()) LOG_WARN("no copy of the database is made: {}", made.message());
    });
    return OkStatus();
  }
  state_machine::SnapshotReader& reader() const { return *reader_; }

 private:
  state_machine::StateMachine& state_;
  Reader reader_;
  std::thread maker_;
};

}  // namespace

Backups::Backups(node::Replica* replica, Clock* clock, Options options)
    : replica_(replica), clock_(clock), options_(options) {}

Backups::~Backups() { Stop(); }

grpc::ServerWriteReactor<grpc::ByteBuffer>* Backups::Serve(grpc::CallbackServerContext* context,
                                                           const grpc::ByteBuffer& bytes,
                                                           const ServiceHost& host) {
  auto stream = std::make_shared<BackupStream>(context, host.open_calls, host.results);
  stream->Start();
  v1::BackupRequest request;
  MemoryCharge charge;
  Status bad = ParseMessage(bytes, host.requests, &request, &charge);
  Result<CallContext> call = ContextOf(*context, *clock_);
  if (bad.ok()) bad = call.status();
  if (bad.ok() && request.bytes_per_second_max() != 0 &&
      request.bytes_per_second_max() < kBytesPerSecondMin) {
    bad = InvalidArgument("bytes_per_second_max is 0 or at least " +
                          std::to_string(kBytesPerSecondMin));
  }
  // The piece that is read, the message that it becomes, and gRPC's copy of the message.
  if (bad.ok()) bad = stream->Reserve(3 * options_.piece_bytes);
  if (bad.ok()) {
    std::chrono::milliseconds timeout = options_.request_timeout;
    if (request.timeout_ms() != 0) {
      timeout = std::chrono::milliseconds(std::min(request.timeout_ms(), kTimeoutMsMax));
    }
    const SteadyTime deadline = std::min<SteadyTime>(clock_->SteadyNow() + timeout, call->deadline);
    bad = Begin(stream, std::move(request), deadline);
  }
  if (!bad.ok()) stream->End(std::move(bad));
  return stream.get();
}

Status Backups::Begin(const std::shared_ptr<BackupStream>& stream, v1::BackupRequest request,
                      SteadyTime deadline) {
  MutexLock lock(mutex_);
  if (stopping_) return Unavailable("this node is shutting down");
  if (current_ != nullptr) {
    return ResourceExhausted(
        "this node is making another backup, and makes one at a time; ask another node, or later");
  }
  if (thread_.joinable()) thread_.join();  // it has ended, or is about to
  current_ = stream;
  thread_ = std::thread([this, stream, request = std::move(request), deadline] {
    LowerThreadPriority();
    Run(stream.get(), request, deadline);
  });
  return OkStatus();
}

void Backups::Run(BackupStream* stream, const v1::BackupRequest& request, SteadyTime deadline) {
  Status status = Make(stream, request, deadline);
  // The client may ask for the next backup as soon as it hears of the end of this one.
  {
    MutexLock lock(mutex_);
    current_.reset();
  }
  if (!status.ok()) LOG_WARN("a backup ends: {}", status.message());
  stream->End(std::move(status));
}

Status Backups::Make(BackupStream* stream, const v1::BackupRequest& request, SteadyTime deadline) {
  ASSIGN_OR_RETURN(const LogIndex index_min,
                   AwaitBarrier(*stream, FromProto(request.read()), deadline));
  PinnedCopy copy(&replica_->state());
  RETURN_IF_ERROR(copy.Open(index_min, *stream));
  state_machine::SnapshotReader& reader = copy.reader();
  const LogIndex index = reader.meta().index;
  // Members of different builds may still have to agree on the last entries.
  if (replica_->compares_results()) {
    const node::ReadOptions agreed{.level = node::ReadLevel::kStale, .index_min = index};
    RETURN_IF_ERROR(AwaitBarrier(*stream, agreed, deadline).status());
  }
  const node::ReplicaStatus status = replica_->status();
  LOG_INFO("a backup begins index={} bytes={}", index.value(), reader.size_bytes());
  v1::BackupResponse first;
  first.mutable_header()->set_cluster_id(status.cluster_id);
  first.mutable_header()->set_index(index.value());
  first.mutable_header()->set_term(reader.meta().term.value());
  first.mutable_header()->set_size_bytes(reader.size_bytes());
  RETURN_IF_ERROR(stream->Write(first, options_.stall_max));
  RETURN_IF_ERROR(Send(stream, &reader, request.bytes_per_second_max()));
  LOG_INFO("a backup is sent index={}", index.value());
  return OkStatus();
}

Result<LogIndex> Backups::AwaitBarrier(const BackupStream& stream, const node::ReadOptions& read,
                                       SteadyTime deadline) {
  // The promise outlives this call if the client goes first.
  auto answered = std::make_shared<std::promise<Result<LogIndex>>>();
  std::future<Result<LogIndex>> answer = answered->get_future();
  replica_->ReadBarrier(read, deadline, [answered](Result<LogIndex> index) {
    answered->set_value(std::move(index));
  });
  while (answer.wait_for(kLookEvery) != std::future_status::ready) {
    RETURN_IF_ERROR(stream.standing());
  }
  return answer.get();
}

Status Backups::Send(BackupStream* stream, state_machine::SnapshotReader* reader,
                     uint64_t bytes_per_second_max) {
  const SteadyTime begun = clock_->SteadyNow();
  const uint64_t size = reader->size_bytes();
  // Several pieces a second, so that nobody is taken for gone.
  size_t piece_bytes = options_.piece_bytes;
  if (bytes_per_second_max != 0) {
    piece_bytes = std::min<uint64_t>(piece_bytes, std::max<uint64_t>(bytes_per_second_max / 4, 1));
  }
  SummedBytes piece;
  v1::BackupResponse response;
  for (uint64_t at = 0; at < size; at += response.data().size()) {
    RETURN_IF_ERROR(reader->ReadInto(at, piece_bytes, &piece));
    if (piece.bytes.empty()) return Internal("the copy of the database is shorter than it was");
    response.mutable_data()->swap(piece.bytes);
    RETURN_IF_ERROR(stream->Write(response, options_.stall_max));
    if (bytes_per_second_max == 0) continue;
    const double due_s = static_cast<double>(at + response.data().size()) /
                         static_cast<double>(bytes_per_second_max);
    const SteadyTime due =
        begun + std::chrono::duration_cast<SteadyTime>(std::chrono::duration<double>(due_s));
    stream->Pause(std::max<SteadyTime>(due - clock_->SteadyNow(), SteadyTime(0)));
  }
  ASSIGN_OR_RETURN(const uint32_t crc, reader->Crc());
  v1::BackupResponse last;
  last.set_crc32c(crc);
  RETURN_IF_ERROR(stream->Write(last, options_.stall_max));
  return stream->AwaitWritten(options_.stall_max);
}

void Backups::Stop() {
  stopping_ = true;
  std::shared_ptr<BackupStream> current;
  std::thread thread;
  {
    MutexLock lock(mutex_);
    current = current_;
    thread.swap(thread_);
  }
  if (current != nullptr) {
    current->Stop(Unavailable("this node is shutting down; ask another one"));
    replica_->state().DropBackup();  // wakes a thread that waits for the copy
  }
  if (thread.joinable()) thread.join();
}

}  // namespace cairn::server
