#include "server/backup_stream.h"

#include <utility>

#include "server/raw_call.h"

namespace cairn::server {
namespace {

// How long the end of the call waits for a message that the client does not take.
constexpr SteadyTime kLastWriteMax = std::chrono::milliseconds(200);

}  // namespace

Status BackupStream::Reserve(size_t bytes) {
  if (memory_.TryResize(bytes)) return OkStatus();
  return ResourceExhausted("this node has no memory left for a backup; ask another node, or later");
}

Status BackupStream::Write(const v1::BackupResponse& response, SteadyTime stall_max) {
  RETURN_IF_ERROR(AwaitWritten(stall_max));
  {
    MutexLock lock(mutex_);
    writing_ = true;
  }
  SerializeMessage(response, &outgoing_);
  StartWrite(&outgoing_);
  return OkStatus();
}

Status BackupStream::AwaitWritten(SteadyTime stall_max) {
  MutexLock lock(mutex_);
  const auto ready = [this]() CAIRN_REQUIRES(mutex_) { return !writing_ || !stopped_.ok(); };
  if (!changed_.WaitFor(lock, stall_max, ready)) {
    return DeadlineExceeded("the client takes nothing of the backup any more");
  }
  return stopped_;
}

void BackupStream::Pause(SteadyTime time) {
  MutexLock lock(mutex_);
  changed_.WaitFor(lock, time, [this]() CAIRN_REQUIRES(mutex_) { return !stopped_.ok(); });
}

Status BackupStream::standing() const {
  MutexLock lock(mutex_);
  return stopped_;
}

void BackupStream::Stop(Status why) {
  MutexLock lock(mutex_);
  if (stopped_.ok()) stopped_ = std::move(why);
  changed_.NotifyAll();
}

void BackupStream::End(Status status) {
  {
    MutexLock lock(mutex_);
    const auto written = [this]() CAIRN_REQUIRES(mutex_) { return !writing_; };
    if (!changed_.WaitFor(lock, kLastWriteMax, written)) {
      context_->TryCancel();
      changed_.Wait(lock, written);
    }
  }
  Finish(ToGrpc(status, context_));
}

void BackupStream::OnWriteDone(bool ok) {
  MutexLock lock(mutex_);
  writing_ = false;
  if (!ok && stopped_.ok()) stopped_ = Cancelled("the client has gone");
  changed_.NotifyAll();
}

}  // namespace cairn::server
