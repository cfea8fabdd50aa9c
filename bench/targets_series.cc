// Telemetry into time series of Cairn: encoded blocks, or rows of SQL. Each client is a device of its
// own, with a point each second.
#include <atomic>
#include <chrono>
#include <cstdio>

#include "cairn/client.h"
#include "load.h"
#include "telemetry.h"

namespace cairn::bench {
namespace {

class SeriesTarget final : public Target {
 public:
  explicit SeriesTarget(const LoadOptions& options) : options_(options) {
    // Devices of one run are not those of another: their points would overlap.
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    first_device_ = std::chrono::duration_cast<std::chrono::milliseconds>(now).count() << 12;
  }

  bool SetUp() override {
    auto client =
        Client::Connect({.endpoints = options_.endpoints, .tls_directory = options_.tls_directory});
    if (!client.ok()) return false;
    client_ = std::move(client).value();
    const std::string rollups = options_.op == Op::kBlocksRollups ? ", rollups='1m,1h,1d'" : "";
    const auto made =
        client_->Execute({{.sql = "CREATE VIRTUAL TABLE IF NOT EXISTS " + Table() +
                                  " USING timeseries(device INTEGER TAG, ts TIMESTAMP_MS, "
                                  "value REAL" +
                                  rollups + ")"}});
    if (made.ok()) return true;
    std::fprintf(stderr, "set-up failed: %s\n", made.status().ToString().c_str());
    return false;
  }

  void Start(int client, uint64_t sequence, std::function<void(bool)> done) override {
    const int64_t device = first_device_ + client;
    client_->ExecuteAsync(
        options_.op == Op::kPoints ? Points(device, sequence) : Blocks(device, sequence),
        [this, done](const Result<ExecuteResult>& r) {
          if (!r.ok() && told_.fetch_add(1) < 3) {
            std::fprintf(stderr, "cairn: %s\n", r.status().ToString().c_str());
          }
          done(r.ok());
        });
  }

 private:
  std::string Table() const {
    if (options_.op == Op::kPoints) return "telemetry_points";
    return options_.op == Op::kBlocks ? "telemetry_blocks" : "telemetry_rollups";
  }
  std::vector<Statement> Blocks(int64_t device, uint64_t sequence) const {
    std::vector<Statement> statements;
    const auto blocks = static_cast<uint64_t>(options_.rows);
    for (uint64_t i = 0; i < blocks; ++i) {
      statements.push_back({.sql = "INSERT INTO " + Table() + "(device, block) VALUES(?1, ?2)",
                            .positional = {device, Blob{TelemetryBlock(sequence * blocks + i)}}});
    }
    return statements;
  }
  std::vector<Statement> Points(int64_t device, uint64_t sequence) const {
    std::string sql = "INSERT INTO " + Table() + " VALUES ";
    const auto points = static_cast<uint64_t>(options_.rows);
    for (uint64_t i = 0; i < points; ++i) {
      const TelemetryPoint point = TelemetryPointOf(sequence * points + i);
      char row[96];
      std::snprintf(row, sizeof(row), "%s(%lld,%lld,%.2f)", i == 0 ? "" : ",",
                    static_cast<long long>(device), static_cast<long long>(point.time_ms),
                    point.value);
      sql += row;
    }
    return {{.sql = std::move(sql)}};
  }

  const LoadOptions& options_;
  int64_t first_device_ = 0;
  std::unique_ptr<Client> client_;
  std::atomic<int> told_{0};
};

}  // namespace

std::unique_ptr<Target> MakeCairnSeriesTarget(const LoadOptions& options) {
  return std::make_unique<SeriesTarget>(options);
}

}  // namespace cairn::bench
