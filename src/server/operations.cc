#include "server/operations.h"

#include "base/log.h"

namespace cairn::server {

void Operations::Start() {
  started_ = true;
  thread_ = std::thread([this] { Run(); });
}

void Operations::Stop() {
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

void Operations::Run() {
  const auto stopped = [this]() CAIRN_REQUIRES(mutex_) { return stopped_; };
  for (;;) {
    Look();
    MutexLock lock(mutex_);
    if (changed_.WaitFor(lock, kLookInterval, stopped)) return;
  }
}

void Operations::Look() {
  Watched watched = watch_();
  watched.backups = backups();
  events_.Look(ConditionsOf(watched), clock_.SteadyNow(), clock_.WallNowMs());
}

void Operations::NoteBackup(std::string failure, std::string place) {
  if (failure.size() > kTextBytesMax) failure.resize(kTextBytesMax);
  if (place.size() > kTextBytesMax) place.resize(kTextBytesMax);
  if (failure.empty()) {
    LOG_INFO("backup verified place={}", place);
  } else {
    LOG_WARN("backup failed place={}: {}", place, failure);
  }
  MutexLock lock(mutex_);
  if (failure.empty()) {
    ++backups_.verified;
    backups_.last_verified_s = clock_.WallNowMs() / 1000;
  } else {
    ++backups_.failed;
  }
  backups_.failure = std::move(failure);
  backups_.place = std::move(place);
}

BackupNotes Operations::backups() const {
  MutexLock lock(mutex_);
  return backups_;
}

}  // namespace cairn::server
