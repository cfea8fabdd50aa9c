#include "watchers.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "cairn/client.h"

namespace cairn::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr uint64_t kBehindMax = 100'000;
constexpr char kTable[] = "streamed";

// Each on a thread and with a client of its own.
class Watchers {
 public:
  explicit Watchers(const WatchersOptions& options) {
    for (int i = 0; i < options.watchers; ++i) {
      readers_.emplace_back();
      Reader& reader = readers_.back();
      const std::string& endpoint =
          options.endpoints[static_cast<size_t>(i) % options.endpoints.size()];
      auto client = Client::Connect({.endpoints = {endpoint}, .pin_endpoint = true});
      if (!client.ok()) continue;
      reader.client = std::move(client).value();
      auto watcher = reader.client->Watch({});
      if (!watcher.ok()) continue;
      reader.watcher = std::move(watcher).value();
      reader.thread = std::thread([this, &reader] { Read(&reader); });
    }
  }
  ~Watchers() {
    for (Reader& reader : readers_) {
      if (reader.watcher != nullptr) reader.watcher->Cancel();
      if (reader.thread.joinable()) reader.thread.join();
    }
  }

  uint64_t Slowest() const {
    uint64_t slowest = UINT64_MAX;
    for (const Reader& reader : readers_) slowest = std::min(slowest, reader.events.load());
    return readers_.empty() ? 0 : slowest;
  }
  bool ended() const { return ended_; }
  std::string error() {
    std::lock_guard lock(mutex_);
    return error_;
  }

 private:
  struct Reader {
    std::unique_ptr<Client> client;
    std::unique_ptr<Watcher> watcher;
    std::thread thread;
    std::atomic<uint64_t> events{0};
  };

  void Read(Reader* reader) {
    for (;;) {
      const auto event = reader->watcher->Next(std::chrono::seconds(1));
      if (event.ok()) {
        if (event->kind == ChangeKind::kInsert || event->kind == ChangeKind::kUpdate) {
          ++reader->events;
        }
      } else if (event.status().code() != StatusCode::kDeadlineExceeded) {
        std::lock_guard lock(mutex_);
        if (event.status().code() != StatusCode::kCancelled) error_ = event.status().ToString();
        ended_ = true;
        return;
      }
    }
  }

  std::deque<Reader> readers_;
  std::atomic<bool> ended_{false};
  std::mutex mutex_;
  std::string error_;
};

std::string InsertSql(int rows) {
  std::string sql = std::string("INSERT INTO ") + kTable + "(a, b) VALUES ";
  for (int i = 0; i < rows; ++i) {
    sql += (i == 0 ? "(" : ",(") + std::to_string(i) + ",'some text of a row')";
  }
  return sql;
}

double Seconds(SteadyClock::duration time) { return std::chrono::duration<double>(time).count(); }

}  // namespace

WatchersResult RunStream(const WatchersOptions& options) {
  WatchersResult result;
  auto writer = Client::Connect({.endpoints = options.endpoints});
  if (!writer.ok() || !(*writer)
                           ->Execute({{.sql = std::string("CREATE TABLE IF NOT EXISTS ") + kTable +
                                              "(id INTEGER PRIMARY KEY, a INTEGER, b TEXT)"}})
                           .ok()) {
    result.error = "set-up failed";
    return result;
  }
  const std::string sql = InsertSql(options.rows);
  Watchers watchers(options);
  // A watch has begun once an event has come.
  while (watchers.Slowest() == 0 && !watchers.ended()) {
    (void)(*writer)->Execute({{.sql = sql}});
  }
  const uint64_t seen_before = watchers.Slowest();
  std::atomic<uint64_t> written{seen_before};
  std::atomic<int> under_way{0};
  const auto begin = SteadyClock::now();
  while (SteadyClock::now() - begin < options.duration && !watchers.ended()) {
    if (under_way >= options.inflight || written > watchers.Slowest() + kBehindMax) {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
      continue;
    }
    ++under_way;
    (*writer)->ExecuteAsync({{.sql = sql}}, [&](const Result<ExecuteResult>& r) {
      if (r.ok()) written += static_cast<uint64_t>(options.rows);
      --under_way;
    });
  }
  const double seconds = Seconds(SteadyClock::now() - begin);
  result.events_per_second = static_cast<double>(watchers.Slowest() - seen_before) / seconds;
  result.rows_per_second = static_cast<double>(written - seen_before) / seconds;
  result.error = watchers.error();
  while (under_way > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return result;
}

WatchersResult RunWatchers(const WatchersOptions& options) {
  Watchers watchers(options);
  const auto begin = SteadyClock::now();
  while (SteadyClock::now() - begin < options.duration && !watchers.ended()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return {static_cast<double>(watchers.Slowest()) / Seconds(SteadyClock::now() - begin), 0,
          watchers.error()};
}

}  // namespace cairn::bench
