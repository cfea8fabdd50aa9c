#include "server/backups.h"

#include <algorithm>
#include <future>
#include <optional>
#include <utility>

#include "base/log.h"
#include "base/splitmix.h"
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

// Names a copy. Another process does not give the same name to another copy. If it did all the same,
// the checksum of the whole backup would show it.
uint64_t NewCopyName(const Clock& clock) {
  const auto steady = static_cast<uint64_t>(clock.SteadyNow().count());
  return MixBits(steady ^ MixBits(static_cast<uint64_t>(clock.WallNowMs()))) | 1;
}

// Whether the client was lost, and not the copy: that may end with CANCELLED, too.
bool IsCutOff(const BackupStream& stream, const Status& status) {
  if (status.ok()) return false;
  return !stream.standing().ok() || status.code() == StatusCode::kDeadlineExceeded;
}

}  // namespace

// The state of the database that is sent. Its copy, if the client needs one, is made on a thread of
// its own. The destructor drops state and copy, and waits for the thread.
class Backups::PinnedCopy {
 public:
  PinnedCopy(state_machine::StateMachine* state, const Clock& clock)
      : state_(*state), name_(NewCopyName(clock)) {}
  ~PinnedCopy() {
    given_up_ = true;
    state_.DropBackup();
    if (maker_.joinable()) maker_.join();
  }
  PinnedCopy(const PinnedCopy&) = delete;
  PinnedCopy& operator=(const PinnedCopy&) = delete;

  // `goes_on` is asked now and then on another thread.
  Status Open(LogIndex index_min, std::function<bool()> goes_on) {
    ASSIGN_OR_RETURN(reader_, state_.OpenBackup(index_min));
    ASSIGN_OR_RETURN(Reader maker, state_.OpenBackup(reader_->meta().index));
    maker_ = std::thread([this, maker = std::move(maker), goes_on = std::move(goes_on)] {
      // A failure reaches the client through the reader that waits for the copy.
      const Status made = maker->Complete([&] { return !given_up_ && goes_on(); });
      if (!made.ok()) LOG_WARN("no copy of the database is made: {}", made.message());
    });
    return OkStatus();
  }
  state_machine::SnapshotReader& reader() const { return *reader_; }
  uint64_t name() const { return name_; }
  v1::BackupHeader header;  // of the first call

 private:
  state_machine::StateMachine& state_;
  const uint64_t name_;
  Reader reader_;
  std::atomic<bool> given_up_{false};
  std::thread maker_;
};

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
  Result<CallContext> call = ContextOf(*context, host);
  if (bad.ok()) bad = call.status();
  // Once more, because the message may have come long after the call began.
  if (bad.ok() && host.access != nullptr) {
    bad = host.access->CheckCall(call->principal, "/cairn.v1.Database/Backup");
  }
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
    bad = Begin({stream, std::move(request), deadline});
  }
  if (!bad.ok()) stream->End(std::move(bad));
  return stream.get();
}

Status Backups::Begin(Turn turn) {
  std::thread last;
  {
    MutexLock lock(mutex_);
    if (stopping_) return Unavailable("this node is shutting down");
    const bool returns = turn.request.copy() != 0 && turn.request.copy() == copy_;
    if (returns && !returned_.has_value()) {
      // The node may not have noticed yet that the call before is lost.
      if (current_ != nullptr) current_->Stop(Cancelled("the backup goes on in another call"));
      returned_ = std::move(turn);
      changed_.NotifyAll();
      return OkStatus();
    }
    if (current_ != nullptr || returned_.has_value()) {
      return ResourceExhausted(
          "this node is making another backup, and makes one at a time; ask another node, or "
          "later");
    }
    current_ = turn.stream;
    copy_ = 0;  // whoever might come back to it is too late
    changed_.NotifyAll();
    last.swap(thread_);
  }
  if (last.joinable()) last.join();  // it has ended, or is about to
  MutexLock lock(mutex_);
  if (stopping_) {
    current_.reset();
    return Unavailable("this node is shutting down");
  }
  thread_ = std::thread([this, turn = std::move(turn)] {
    LowerThreadPriority();
    Run(turn);
  });
  return OkStatus();
}

void Backups::Run(Turn turn) {
  std::optional<PinnedCopy> copy(std::in_place, &replica_->state(), *clock_);
  Status status = Make(turn, &*copy);
  const auto keeps = [&] { return turn.request.may_resume() && copy->header.copy() != 0; };
  while (IsCutOff(*turn.stream, status) && keeps() && !stopping_) {
    LOG_WARN("a backup is cut off: {}", status.message());
    turn.stream->End(std::move(status));
    std::optional<Turn> next = AwaitReturn(*copy);
    if (!next.has_value()) {
      LOG_INFO("the client of the backup has not come back");
      return;
    }
    turn = *std::move(next);
    status = GoOn(turn, &*copy);
  }
  copy.reset();
  std::optional<Turn> late;
  // The client may ask for the next backup as soon as it hears of the end of this one.
  {
    MutexLock lock(mutex_);
    current_.reset();
    copy_ = 0;
    late.swap(returned_);
  }
  if (late.has_value()) late->stream->End(Unavailable("the backup has ended; ask for another one"));
  if (!status.ok()) LOG_WARN("a backup ends: {}", status.message());
  turn.stream->End(std::move(status));
}

std::optional<Backups::Turn> Backups::AwaitReturn(const PinnedCopy& copy) {
  MutexLock lock(mutex_);
  current_.reset();
  const auto decided = [this, &copy]() CAIRN_REQUIRES(mutex_) {
    return returned_.has_value() || copy_ != copy.name() || stopping_;
  };
  changed_.WaitFor(lock, options_.resume_within, decided);
  // Otherwise what stands there is of the backup that comes next.
  if (copy_ != copy.name()) return std::nullopt;
  std::optional<Turn> next;
  next.swap(returned_);
  if (next.has_value()) {
    current_ = next->stream;
    if (stopping_) current_->Stop(Unavailable("this node is shutting down; ask another one"));
  } else {
    copy_ = 0;
  }
  return next;
}

Status Backups::Make(const Turn& turn, PinnedCopy* copy) {
  BackupStream& stream = *turn.stream;
  ASSIGN_OR_RETURN(const LogIndex index_min,
                   AwaitBarrier(stream, FromProto(turn.request.read()), turn.deadline));
  const bool may_resume = turn.request.may_resume();
  RETURN_IF_ERROR(copy->Open(index_min, [stream = turn.stream, may_resume] {
    return may_resume || stream->standing().ok();
  }));
  state_machine::SnapshotReader& reader = copy->reader();
  const LogIndex index = reader.meta().index;
  // Members of different builds may still have to agree on the last entries.
  if (replica_->compares_results()) {
    const node::ReadOptions agreed{.level = node::ReadLevel::kStale, .index_min = index};
    RETURN_IF_ERROR(AwaitBarrier(stream, agreed, turn.deadline).status());
  }
  const node::ReplicaStatus status = replica_->status();
  LOG_INFO("a backup begins index={} bytes={}", index.value(), reader.size_bytes());
  v1::BackupHeader& header = copy->header;
  header.set_cluster_id(status.cluster_id);
  header.set_index(index.value());
  header.set_term(reader.meta().term.value());
  header.set_size_bytes(reader.size_bytes());
  header.set_copy(copy->name());
  if (may_resume) {
    MutexLock lock(mutex_);
    copy_ = copy->name();
  }
  return Send(turn, copy, 0);
}

Status Backups::GoOn(const Turn& turn, PinnedCopy* copy) {
  const uint64_t offset = turn.request.offset();
  if (offset > copy->header.size_bytes()) {
    return InvalidArgument("a backup goes on behind its end");
  }
  LOG_INFO("a backup goes on index={} offset={}", copy->header.index(), offset);
  return Send(turn, copy, offset);
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

Status Backups::Send(const Turn& turn, PinnedCopy* copy, uint64_t offset) {
  BackupStream& stream = *turn.stream;
  state_machine::SnapshotReader& reader = copy->reader();
  const uint64_t bytes_per_second_max = turn.request.bytes_per_second_max();
  v1::BackupResponse first;
  *first.mutable_header() = copy->header;
  first.mutable_header()->set_offset(offset);
  RETURN_IF_ERROR(stream.Write(first, options_.stall_max));
  const SteadyTime begun = clock_->SteadyNow();
  const uint64_t size = reader.size_bytes();
  // Several pieces a second, so that nobody is taken for gone.
  size_t piece_bytes = options_.piece_bytes;
  if (bytes_per_second_max != 0) {
    piece_bytes = std::min<uint64_t>(piece_bytes, std::max<uint64_t>(bytes_per_second_max / 4, 1));
  }
  SummedBytes piece;
  v1::BackupResponse response;
  for (uint64_t at = offset; at < size; at += response.data().size()) {
    RETURN_IF_ERROR(reader.ReadInto(at, piece_bytes, &piece));
    if (piece.bytes.empty()) return Internal("the copy of the database is shorter than it was");
    response.mutable_data()->swap(piece.bytes);
    RETURN_IF_ERROR(stream.Write(response, options_.stall_max));
    if (bytes_per_second_max == 0) continue;
    const double due_s = static_cast<double>(at - offset + response.data().size()) /
                         static_cast<double>(bytes_per_second_max);
    const SteadyTime due =
        begun + std::chrono::duration_cast<SteadyTime>(std::chrono::duration<double>(due_s));
    stream.Pause(std::max<SteadyTime>(due - clock_->SteadyNow(), SteadyTime(0)));
  }
  ASSIGN_OR_RETURN(const uint32_t crc, reader.Crc());
  v1::BackupResponse last;
  last.set_crc32c(crc);
  RETURN_IF_ERROR(stream.Write(last, options_.stall_max));
  RETURN_IF_ERROR(stream.AwaitWritten(options_.stall_max));
  LOG_INFO("a backup is sent index={}", copy->header.index());
  return OkStatus();
}

void Backups::Stop() {
  stopping_ = true;
  std::shared_ptr<BackupStream> current;
  std::thread thread;
  {
    MutexLock lock(mutex_);
    current = current_;
    thread.swap(thread_);
    changed_.NotifyAll();
  }
  if (current != nullptr) {
    current->Stop(Unavailable("this node is shutting down; ask another one"));
    replica_->state().DropBackup();  // wakes a thread that waits for the copy
  }
  if (thread.joinable()) thread.join();
}

}  // namespace cairn::server
