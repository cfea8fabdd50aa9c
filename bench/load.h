// A closed loop of many clients, each with one request in flight, against one kind of target.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace cairn::bench {

enum class Op : uint8_t {
  kWrite,
  kReadLinearizable,
  kReadStale,
  kInsertRows,
  kBlocks,         // of a time series
  kBlocksRollups,  // of one with rollups
  kPoints,         // of a time series, in one INSERT of many rows
};

struct LoadOptions {
  std::string target;                  // see MakeTarget
  std::vector<std::string> endpoints;  // clients are spread over them, round robin
  std::string tls_directory;           // empty: no TLS
  Op op = Op::kWrite;
  int clients = 1;
  int rows = 1;             // of an INSERT; blocks of a request
  size_t value_bytes = 64;  // kWrite only
  std::chrono::milliseconds warm_up{1000};
  std::chrono::milliseconds duration{5000};
};

// One way to talk to one kind of server. Thread-safe.
class Target {
 public:
  virtual ~Target() = default;
  // Makes the tables and rows that the operations need.
  virtual bool SetUp() = 0;
  // Starts one operation of client number `client`; calls `done(ok)` once, from any thread.
  virtual void Start(int client, uint64_t sequence, std::function<void(bool)> done) = 0;
};

// Kinds: cairn-client, cairn-session, cairn-unary, etcd, echo-unary, echo-stream. Returns null for
// an unknown kind.
std::unique_ptr<Target> MakeTarget(const LoadOptions& options);
std::unique_ptr<Target> MakeCairnSessionTarget(const LoadOptions& options);
std::unique_ptr<Target> MakeCairnSeriesTarget(const LoadOptions& options);
std::unique_ptr<Target> MakeCairnUnaryTarget(const LoadOptions& options);
std::unique_ptr<Target> MakeEtcdTarget(const LoadOptions& options);
std::unique_ptr<Target> MakeEchoTarget(const LoadOptions& options, bool stream);

struct LoadResult {
  uint64_t completed = 0;
  uint64_t failed = 0;
  double seconds = 0;
  double per_second = 0;  // operations; rows of an INSERT; points of a time series
  double p50_ms = 0, p90_ms = 0, p99_ms = 0, max_ms = 0;
};

LoadResult RunLoad(const LoadOptions& options, Target& target);

}  // namespace cairn::bench
