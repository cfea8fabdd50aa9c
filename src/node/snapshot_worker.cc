#include "node/snapshot_worker.h"

#include <memory>
#include <utility>
#include <vector>

namespace cairn::node {
namespace {

// The transport's view of a snapshot that the state machine reads out.
class ReaderSource final : public transport::SnapshotSource {
 public:
  ReaderSource(std::shared_ptr<state_machine::SnapshotReader> reader,
               std::function<void()> progress)
      : reader_(std::move(reader)), progress_(std::move(progress)) {}
  const raft::SnapshotMeta& meta() const override { return reader_->meta(); }
  uint64_t size_bytes() const override { return reader_->size_bytes(); }
  uint32_t crc() const override { return reader_->crc(); }
  Result<std::string> Read(uint64_t offset, size_t size) override {
    progress_();
    return reader_->Read(offset, size);
  }
  // The receiver looks through a large one for longer than the log is held for one that gets
  // nothing done. The bad schedule without this: the log goes on past each before it is installed,
  // and the next one is sent, for ever.
  void OnAnswer() override { progress_(); }

 private:
  const std::shared_ptr<state_machine::SnapshotReader> reader_;
  const std::function<void()> progress_;
};

}  // namespace

SnapshotWorker::SnapshotWorker(GroupId group, state_machine::StateMachine* state, Progress progress,
                               Sent sent)
    : group_(group),
      state_(state),
      progress_(std::move(progress)),
      sent_(std::move(sent)),
      tasks_(0) {}

void SnapshotWorker::Start() {
  thread_ = std::thread([this] { Run(); });
}

void SnapshotWorker::Stop() {
  stopping_ = true;
  tasks_.Close();
  if (thread_.joinable()) thread_.join();
}

void SnapshotWorker::Run() {
  std::vector<Task> tasks;
  while (tasks_.PopAll(&tasks)) {
    for (const Task& task : std::exchange(tasks, {})) {
      if (stopping_) {
        sent_(task.to, Cancelled("the node is shutting down"), LogIndex());
      } else {
        Send(task);
      }
    }
  }
}

void SnapshotWorker::Send(const Task& task) {
  auto reader = state_->OpenSnapshot(task.index_min);
  if (!reader.ok()) return sent_(task.to, reader.status(), LogIndex());
  const LogIndex index = (*reader)->meta().index;
  const auto progressed = [progress = progress_, to = task.to, index,
                           bytes = (*reader)->size_bytes()] { progress(to, index, bytes); };
  progressed();
  auto source = std::make_shared<ReaderSource>(std::move(reader).value(), progressed);
  task.transport->SendSnapshot(
      group_, task.from, task.to, std::move(source),
      [sent = sent_, to = task.to, index](Status status) { sent(to, std::move(status), index); });
}

}  // namespace cairn::node
