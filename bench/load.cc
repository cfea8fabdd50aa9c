#include "load.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>

#include "telemetry.h"

namespace cairn::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;

// Shared by the callbacks; outlives the last of them.
class ClosedLoop {
 public:
  ClosedLoop(const LoadOptions& options, Target& target)
      : options_(options), target_(target), clients_(options.clients) {}

  LoadResult Run() {
    const auto begin = SteadyClock::now();
    measure_from_ = begin + options_.warm_up;
    measure_to_ = measure_from_ + options_.duration;
    running_ = options_.clients;
    for (int i = 0; i < options_.clients; ++i) Next(i);
    std::unique_lock lock(mutex_);
    all_done_.wait(lock, [this] { return running_ == 0; });
    return Summarise();
  }

 private:
  struct Client {
    uint64_t sequence = 0;
    SteadyClock::time_point started;
    std::vector<uint32_t> latencies_us;
    uint64_t failed = 0;
  };

  void Next(int i) {
    Client& client = clients_[i];
    client.started = SteadyClock::now();
    if (client.started >= measure_to_) {
      std::lock_guard lock(mutex_);
      if (--running_ == 0) all_done_.notify_all();
      return;
    }
    target_.Start(i, ++client.sequence, [this, i](bool ok) { Finished(i, ok); });
  }

  void Finished(int i, bool ok) {
    Client& client = clients_[i];
    const auto now = SteadyClock::now();
    if (client.started >= measure_from_ && now <= measure_to_) {
      if (ok) {
        client.latencies_us.push_back(static_cast<uint32_t>(
            std::chrono::duration_cast<std::chrono::microseconds>(now - client.started).count()));
      } else {
        ++client.failed;
      }
    }
    Next(i);
  }

  double PerOperation() const {
    const auto rows = static_cast<double>(options_.rows);
    switch (options_.op) {
      case Op::kInsertRows:
      case Op::kPoints: return rows;
      case Op::kBlocks:
      case Op::kBlocksRollups: return rows * static_cast<double>(kTelemetryBlockPoints);
      default: return 1;
    }
  }

  LoadResult Summarise() {
    std::vector<uint32_t> all;
    LoadResult result;
    for (const Client& client : clients_) {
      all.insert(all.end(), client.latencies_us.begin(), client.latencies_us.end());
      result.failed += client.failed;
    }
    std::sort(all.begin(), all.end());
    result.completed = all.size();
    result.seconds = std::chrono::duration<double>(options_.duration).count();
    const double per_op = PerOperation();
    result.per_second = static_cast<double>(all.size()) * per_op / result.seconds;
    const auto at = [&](double q) {
      if (all.empty()) return 0.0;
      return all[static_cast<size_t>(q * static_cast<double>(all.size() - 1))] / 1000.0;
    };
    result.p50_ms = at(0.50);
    result.p90_ms = at(0.90);
    result.p99_ms = at(0.99);
    result.max_ms = at(1.0);
    return result;
  }

  const LoadOptions& options_;
  Target& target_;
  std::vector<Client> clients_;
  SteadyClock::time_point measure_from_, measure_to_;
  std::mutex mutex_;
  std::condition_variable all_done_;
  int running_ = 0;
};

}  // namespace

std::unique_ptr<Target> MakeTarget(const LoadOptions& options) {
  if (options.op >= Op::kBlocks) return MakeCairnSeriesTarget(options);
  if (options.target == "cairn-client" || options.target == "cairn-session")
    return MakeCairnSessionTarget(options);
  if (options.target == "cairn-unary") return MakeCairnUnaryTarget(options);
  if (options.target == "etcd") return MakeEtcdTarget(options);
  if (options.target == "echo-unary") return MakeEchoTarget(options, /*stream=*/false);
  if (options.target == "echo-stream") return MakeEchoTarget(options, /*stream=*/true);
  return nullptr;
}

LoadResult RunLoad(const LoadOptions& options, Target& target) {
  return ClosedLoop(options, target).Run();
}

}  // namespace cairn::bench
