#include "node/snapshot_worker.h"

#include <memory>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/thread_name.h"
#include "base/thread_priority.h"

namespace cairn::node {
namespace {

// How long a copy stays after a transfer that broke. The transfer is attempted again within some
// seconds.
constexpr SteadyTime kKeptAfterFailure = std::chrono::seconds(60);
constexpr SteadyTime kLookEvery = std::chrono::seconds(5);

// The transport's view of a snapshot that the state machine reads out.
class ReaderSource final : public transport::SnapshotSource {
 public:
  ReaderSource(std::shared_ptr<state_machine::SnapshotReader> reader,
               std::function<void()> progress, std::shared_ptr<SnapshotPace> pace, Clock* clock)
      : reader_(std::move(reader)),
        progress_(std::move(progress)),
        pace_(std::move(pace)),
        clock_(clock),
        piece_began_(clock->SteadyNow()) {}
  const raft::SnapshotMeta& meta() const override { return reader_->meta(); }
  uint64_t size_bytes() const override { return reader_->size_bytes(); }
  uint64_t copy_id() const override { return reader_->copy_id(); }
  Result<uint32_t> Crc() override { return reader_->Crc(); }
  Status ReadInto(uint64_t offset, size_t size, SummedBytes* piece) override {
    progress_();
    pace_->Wait(pace_->PauseAfter(clock_->SteadyNow() - piece_began_));
    piece_began_ = clock_->SteadyNow();
    return reader_->ReadInto(offset, size, piece);
  }
  // The receiver looks through a large snapshot for longer than the log is held for a transfer
  // without progress. The bad schedule without this: the log goes on past each snapshot before it
  // is installed, and the next one is sent, for ever.
  void OnAnswer() override { progress_(); }

 private:
  const std::shared_ptr<state_machine::SnapshotReader> reader_;
  const std::function<void()> progress_;
  const std::shared_ptr<SnapshotPace> pace_;
  Clock* const clock_;
  SteadyTime piece_began_;  // when the last piece was begun to be read; used by who reads
};

}  // namespace

// ---- SnapshotWorker::Transfers

void SnapshotWorker::Transfers::Begin() {
  const MutexLock lock(mutex_);
  ++running_;
}

void SnapshotWorker::Transfers::TakeBack() {
  const MutexLock lock(mutex_);
  --running_;
  DropLocked();
}

void SnapshotWorker::Transfers::End(MemberId to, bool well) {
  const MutexLock lock(mutex_);
  --running_;
  kept_ = true;
  if (well) {
    broken_.erase(to);
  } else {
    broken_[to] = clock_->SteadyNow();
  }
  DropLocked();
}

void SnapshotWorker::Transfers::DropIfDue() {
  const MutexLock lock(mutex_);
  DropLocked();
}

void SnapshotWorker::Transfers::DropLocked() {
  if (!kept_ || running_ > 0 || state_ == nullptr) return;
  const SteadyTime now = clock_->SteadyNow();
  std::erase_if(broken_, [&](const auto& each) { return now - each.second >= kKeptAfterFailure; });
  if (!broken_.empty()) return;
  kept_ = false;
  state_->DropSnapshot();
}

void SnapshotWorker::Transfers::Close() {
  const MutexLock lock(mutex_);
  state_ = nullptr;
}

// ---- SnapshotWorker

SnapshotWorker::SnapshotWorker(GroupId group, state_machine::StateMachine* state, Clock* clock,
                               Progress progress, Sent sent, std::function<bool()> writes_under_way)
    : group_(group),
      clock_(clock),
      state_(state),
      progress_(std::move(progress)),
      sent_(std::move(sent)),
      transfers_(std::make_shared<Transfers>(state, clock)),
      pace_(std::make_shared<SnapshotPace>(std::move(writes_under_way))) {}

void SnapshotWorker::Start() {
  thread_ = std::thread([this] {
    NameThread("cairn-snapshot");
    Run();
  });
}

void SnapshotWorker::Stop() {
  stopping_ = true;
  pace_->Stop();
  tasks_.Close();
  if (thread_.joinable()) thread_.join();
  if (maker_.joinable()) maker_.join();
  transfers_->Close();
}

void SnapshotWorker::Run() {
  LowerThreadPriority();
  std::vector<Task> tasks;
  while (tasks_.PopAll(&tasks, kLookEvery)) {
    for (const Task& task : std::exchange(tasks, {})) {
      if (stopping_) {
        sent_(task.to, Cancelled("the node is shutting down"), LogIndex());
      } else {
        Serve(task, /*beside=*/true);
      }
    }
    DropIfDue();
  }
}

void SnapshotWorker::Send(const Task& task) { Serve(task, /*beside=*/false); }

void SnapshotWorker::Serve(const Task& task, bool beside) {
  transfers_->Begin();
  Result<Reader> reader = state_->OpenSnapshot(task.index_min);
  Result<Reader> maker = reader;
  if (reader.ok() && beside) maker = OpenMaker(**reader);
  if (!maker.ok()) {
    transfers_->TakeBack();
    return sent_(task.to, maker.status(), LogIndex());
  }
  SendFrom(std::move(reader).value(), task);
  if (*maker == nullptr) return;
  if (beside) {
    maker_ = std::thread([this, reader = *std::move(maker)] { Make(reader.get()); });
  } else {
    Make(maker->get());
  }
}

// The maker has a reader of its own. The copy knows by the transfer's reader that the transfer is
// over.
Result<SnapshotWorker::Reader> SnapshotWorker::OpenMaker(
    const state_machine::SnapshotReader& reader) {
  if (maker_of_ == reader.copy_id()) return Reader();
  // There is a new copy, so the one before is whole, or has failed: its thread ends.
  if (maker_.joinable()) maker_.join();
  ASSIGN_OR_RETURN(Reader maker, state_->OpenSnapshot(reader.meta().index));
  maker_of_ = maker->copy_id();
  return maker;
}

void SnapshotWorker::SendFrom(Reader reader, const Task& task) {
  const LogIndex index = reader->meta().index;
  const auto progressed = [progress = progress_, to = task.to, index,
                           bytes = reader->size_bytes()] { progress(to, index, bytes); };
  progressed();
  task.transport->SendSnapshot(
      group_, task.from, task.to,
      std::make_shared<ReaderSource>(std::move(reader), progressed, pace_, clock_),
      [sent = sent_, transfers = transfers_, to = task.to, index](Status status) {
        transfers->End(to, status.ok());
        sent(to, std::move(status), index);
      });
}

// The readers of the copy wait for this. If it fails they hear why, and their transfers fail.
void SnapshotWorker::Make(state_machine::SnapshotReader* reader) {
  const Status made = reader->Complete([this] { return !stopping_; });
  if (!made.ok()) LOG_WARN("no copy of the database is made: {}", made.message());
}

}  // namespace cairn::node
