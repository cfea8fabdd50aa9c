// Recorder: a history file, written while it happens.
#pragma once

#include <atomic>
#include <cstdint>
#include <fstream>
#include <mutex>
#include <string>

#include "testing/history/event.h"

namespace cairn::cluster_test {

// How many operations ended how. Shared by all recorders of a load; thread-safe.
struct Counts {
  std::atomic<uint64_t> ok{0};
  std::atomic<uint64_t> fail{0};
  std::atomic<uint64_t> info{0};
};

// One history. Thread-safe; the order of the calls is the order of the events: Invoke is called
// before a request is sent, Complete after its answer has come.
class Recorder {
 public:
  Recorder(const std::string& path, Counts* counts) : file_(path), counts_(*counts) {}

  void Invoke(int64_t process, const std::string& f, history::Datum value);
  void Complete(int64_t process, history::EventType type, const std::string& f,
                history::Datum value);
  // False if something could not be written.
  bool Close();

 private:
  void Write(history::Event event);

  std::mutex mutex_;
  std::ofstream file_;
  size_t index_ = 0;
  Counts& counts_;
};

}  // namespace cairn::cluster_test
