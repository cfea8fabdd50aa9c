#include "server/operations.h"

#include "base/log.h"

namespace cairn::server {
namespace {

// At most so many bytes, of whole characters, on one line: it goes to the log and into messages.
std::string OneLine(std::string text) {
  if (text.size() > Operations::kTextBytesMax) {
    text.resize(Operations::kTextBytesMax);
    // The character that was cut has no more than three bytes left.
    while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0xC0) == 0x80) {
      text.pop_back();
    }
    if (!text.empty() && static_cast<unsigned char>(text.back()) >= 0x80) text.pop_back();
  }
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
  }
  return text;
}

}  // namespace

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
  failure = OneLine(std::move(failure));
  place = OneLine(std::move(place));
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
