// Operations: watches this node for what needs somebody, and keeps what its operators ask for.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/mutex.h"
#include "server/conditions.h"
#include "server/event_ring.h"

namespace cairn::server {

// Thread-safe after Start.
class Operations {
 public:
  static constexpr std::chrono::milliseconds kLookInterval{2000};
  static constexpr size_t kTextBytesMax = 1024;  // of what a client tells

  // `watch` reads the node; the notes of backups are added here.
  Operations(Clock* clock, std::function<Watched()> watch)
      : clock_(*clock), watch_(std::move(watch)) {}
  ~Operations() { Stop(); }
  Operations(const Operations&) = delete;
  Operations& operator=(const Operations&) = delete;

  // Begins to look, on a thread of its own. All that `watch` reads is there from now on.
  void Start();
  // The node is not read any more when it returns. May be called twice.
  void Stop();
  void Look();

  // An empty failure: it is stored, and was read back. Longer texts are cut.
  void NoteBackup(std::string failure, std::string place);
  BackupNotes backups() const;
  const EventRing& events() const { return events_; }
  // Whether Start was called.
  bool started() const { return started_; }

 private:
  void Run();

  Clock& clock_;
  const std::function<Watched()> watch_;
  EventRing events_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::atomic<bool> started_{false};
  bool stopped_ CAIRN_GUARDED_BY(mutex_) = false;
  BackupNotes backups_ CAIRN_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace cairn::server
