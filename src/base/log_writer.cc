#include "base/log_writer.h"

#include <utility>

#include "base/thread_name.h"

namespace cairn {
namespace {

size_t BytesOf(const spdlog::details::log_msg& message) {
  return sizeof(spdlog::details::log_msg_buffer) + message.payload.size();
}

}  // namespace

LogWriter::LogWriter(std::shared_ptr<spdlog::sinks::sink> out, size_t bytes_max)
    : state_(std::make_shared<State>(std::move(out), bytes_max)), thread_([state = state_] {
        NameThread("cairn-log-lines");
        state->Run();
      }) {}

LogWriter::~LogWriter() {
  MutexLock lock(state_->mutex);
  state_->stopped = true;
  state_->changed.NotifyAll();
  const bool ended = state_->changed.WaitFor(
      lock, kFlushPatience, [this]() CAIRN_REQUIRES(state_->mutex) { return state_->ended; });
  lock.Unlock();
  if (ended) {
    thread_.join();
  } else {
    thread_.detach();
  }
}

void LogWriter::log(const spdlog::details::log_msg& message) {
  const size_t bytes = BytesOf(message);
  const MutexLock lock(state_->mutex);
  if (state_->stopped || state_->bytes + bytes > state_->bytes_max) {
    ++state_->left_out;
    ++state_->left_out_now;
    return;
  }
  state_->bytes += bytes;
  state_->waiting.emplace_back(message);
  state_->changed.NotifyAll();
}

bool LogWriter::Flush() {
  MutexLock lock(state_->mutex);
  return state_->changed.WaitFor(lock, kFlushPatience, [this]() CAIRN_REQUIRES(state_->mutex) {
    return state_->waiting.empty() && !state_->writing;
  });
}

void LogWriter::set_pattern(const std::string& pattern) { state_->out->set_pattern(pattern); }

void LogWriter::set_formatter(std::unique_ptr<spdlog::formatter> formatter) {
  state_->out->set_formatter(std::move(formatter));
}

void LogWriter::State::Run() {
  MutexLock lock(mutex);
  for (;;) {
    changed.Wait(lock, [this]() CAIRN_REQUIRES(mutex) { return stopped || !waiting.empty(); });
    if (waiting.empty()) break;
    const spdlog::details::log_msg_buffer line = std::move(waiting.front());
    waiting.pop_front();
    bytes -= BytesOf(line);
    const uint64_t missing = std::exchange(left_out_now, 0);
    writing = true;
    lock.Unlock();
    if (missing > 0) {
      const std::string text =
          "standard error took no lines: " + std::to_string(missing) + " were left out";
      out->log({line.time, spdlog::source_loc{}, line.logger_name, spdlog::level::warn, text});
    }
    out->log(line);
    out->flush();
    lock.Lock();
    writing = false;
    changed.NotifyAll();
  }
  ended = true;
  changed.NotifyAll();
}

}  // namespace cairn
