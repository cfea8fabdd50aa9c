#include "recorder.h"

#include <chrono>
#include <utility>

namespace cairn::cluster_test {

using history::EventType;

void Recorder::Invoke(int64_t process, const std::string& f, history::Datum value) {
  Write({.type = EventType::kInvoke,
         .process = process,
         .time_ns = 0,
         .f = f,
         .value = std::move(value)});
}

void Recorder::Complete(int64_t process, EventType type, const std::string& f,
                        history::Datum value) {
  Write({.type = type, .process = process, .time_ns = 0, .f = f, .value = std::move(value)});
  if (type == EventType::kOk) ++counts_.ok;
  if (type == EventType::kFail) ++counts_.fail;
  if (type == EventType::kInfo) ++counts_.info;
}

void Recorder::Write(history::Event event) {
  std::lock_guard lock(mutex_);
  event.time_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(
                      std::chrono::steady_clock::now().time_since_epoch())
                      .count();
  file_ << history::ToJsonLine(event, index_++) << '\n';
}

bool Recorder::Close() {
  std::lock_guard lock(mutex_);
  file_.close();
  return !file_.fail();
}

}  // namespace cairn::cluster_test
