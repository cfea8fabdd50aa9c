// cairn-bench: the client program of `make bench`. scripts/bench runs it.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>
#include <optional>

#include "echo_server.h"
#include "failover.h"
#include "load.h"
#include "telemetry.h"
#include "watchers.h"

namespace {

using cairn::bench::LoadOptions;
using cairn::bench::LoadResult;
using cairn::bench::Op;

int Load(LoadOptions options, const std::string& op, int warm_up_ms, int duration_ms) {
  static const std::map<std::string, Op> kOps = {
      {"write", Op::kWrite},          {"read", Op::kReadLinearizable},
      {"read-stale", Op::kReadStale}, {"insert-rows", Op::kInsertRows},
      {"blocks", Op::kBlocks},        {"blocks-rollups", Op::kBlocksRollups},
      {"points", Op::kPoints}};
  options.op = kOps.at(op);
  options.warm_up = std::chrono::milliseconds(warm_up_ms);
  options.duration = std::chrono::milliseconds(duration_ms);
  const auto target = cairn::bench::MakeTarget(options);
  if (!target || !target->SetUp()) {
    std::fprintf(stderr, "cannot set up target %s\n", options.target.c_str());
    return 1;
  }
  const LoadResult r = cairn::bench::RunLoad(options, *target);
  std::printf(
      "{\"target\":\"%s\",\"op\":\"%s\",\"clients\":%d,\"rows\":%d,\"per_second\":%.1f,"
      "\"completed\":%llu,\"failed\":%llu,\"p50_ms\":%.3f,\"p90_ms\":%.3f,\"p99_ms\":%.3f,"
      "\"max_ms\":%.3f}\n",
      options.target.c_str(), op.c_str(), options.clients, options.rows, r.per_second,
      static_cast<unsigned long long>(r.completed), static_cast<unsigned long long>(r.failed),
      r.p50_ms, r.p90_ms, r.p99_ms, r.max_ms);
  return r.completed > 0 ? 0 : 1;
}

// The commands for the data platform.
class PlatformCommands {
 public:
  explicit PlatformCommands(CLI::App* app) {
    plain_ = app->add_subcommand("plain-blocks", "One process of SQLite stores blocks");
    plain_->add_option("--file", plain_file_, "made anew")->required();
    plain_->add_option("--clients", load_.clients)->capture_default_str();
    plain_->add_option("--rows", load_.rows, "blocks of a client in a transaction")
        ->capture_default_str();
    plain_->add_option("--duration-ms", duration_ms_)->capture_default_str();
    stream_ =
        app->add_subcommand("stream", "Writes as fast as watchers take the changes; prints JSON");
    watch_ = app->add_subcommand("watch", "Watches all changes; prints JSON");
    for (CLI::App* command : {stream_, watch_}) {
      command->add_option("--endpoints", watchers_.endpoints, "host:port,...")
          ->delimiter(',')
          ->required();
      command->add_option("--watchers", watchers_.watchers)->capture_default_str();
      command->add_option("--duration-ms", duration_ms_)->capture_default_str();
    }
    stream_->add_option("--rows", watchers_.rows, "rows in one INSERT")->capture_default_str();
    stream_->add_option("--inflight", watchers_.inflight, "INSERTs under way")
        ->capture_default_str();
  }

  // The exit code; none: another command was called.
  std::optional<int> Run() {
    load_.duration = watchers_.duration = std::chrono::milliseconds(duration_ms_);
    if (*stream_) return Tell(cairn::bench::RunStream(watchers_));
    if (*watch_) return Tell(cairn::bench::RunWatchers(watchers_));
    if (!*plain_) return std::nullopt;
    const LoadResult r = cairn::bench::StoreInPlainSqlite(load_, plain_file_);
    std::printf("{\"per_second\":%.1f}\n", r.per_second);
    return 0;
  }

 private:
  static int Tell(const cairn::bench::WatchersResult& r) {
    std::printf("{\"events_per_second\":%.1f,\"rows_per_second\":%.1f}\n", r.events_per_second,
                r.rows_per_second);
    if (!r.error.empty()) std::fprintf(stderr, "a watch ended: %s\n", r.error.c_str());
    return r.error.empty() ? 0 : 1;
  }

  CLI::App* plain_ = nullptr;
  CLI::App* stream_ = nullptr;
  CLI::App* watch_ = nullptr;
  std::string plain_file_;
  int duration_ms_ = 5000;
  LoadOptions load_;
  cairn::bench::WatchersOptions watchers_;
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Load generator of Cairn's benchmark"};
  app.require_subcommand(1);
  LoadOptions options;
  std::string op = "write", listen;
  int warm_up_ms = 1000, duration_ms = 5000, limit_ms = 20000;

  CLI::App* load = app.add_subcommand("load", "Closed loop of clients; prints one JSON line");
  load->add_option("--target", options.target,
                   "cairn-client, cairn-session, cairn-unary, etcd, echo-unary or echo-stream")
      ->required();
  load->add_option("--endpoints", options.endpoints, "host:port,...")->delimiter(',')->required();
  load->add_option("--tls-dir", options.tls_directory,
                   "ca.crt, tls.crt and tls.key of a client (Cairn's targets)");
  load->add_option(
          "--op", op,
          "write, read, read-stale, insert-rows, or of telemetry blocks, blocks-rollups, points")
      ->check(CLI::IsMember(
          {"write", "read", "read-stale", "insert-rows", "blocks", "blocks-rollups", "points"}))
      ->capture_default_str();
  load->add_option("--clients", options.clients)->capture_default_str();
  load->add_option("--rows", options.rows, "rows in one INSERT; blocks in one request")
      ->capture_default_str();
  load->add_option("--value-bytes", options.value_bytes, "of a write")->capture_default_str();
  load->add_option("--warm-up-ms", warm_up_ms)->capture_default_str();
  load->add_option("--duration-ms", duration_ms)->capture_default_str();

  CLI::App* echo = app.add_subcommand("echo-server", "Bare gRPC echo");
  echo->add_option("--listen", listen, "host:port")->required();

  CLI::App* gap =
      app.add_subcommand("failover", "Prints the longest gap between acknowledged writes");
  gap->add_option("--target", options.target, "cairn or etcd")->required();
  gap->add_option("--endpoints", options.endpoints, "host:port,...")->delimiter(',')->required();
  gap->add_option("--limit-ms", limit_ms)->capture_default_str();

  CLI::App* leader = app.add_subcommand("leader", "Prints the position of the endpoint that leads");
  leader->add_option("--target", options.target, "cairn or etcd")->required();
  leader->add_option("--endpoints", options.endpoints, "host:port,...")->delimiter(',')->required();

  PlatformCommands platform(&app);
  CLI11_PARSE(app, argc, argv);
  if (const std::optional<int> done = platform.Run()) return *done;
  if (*load) return Load(options, op, warm_up_ms, duration_ms);
  if (*echo) return cairn::bench::RunEchoServer(listen) ? 0 : 1;
  if (*leader) {
    const int position = cairn::bench::FindLeader(options.target, options.endpoints);
    std::printf("%d\n", position);
    return position >= 0 ? 0 : 1;
  }
  std::printf("%.1f\n", cairn::bench::LongestGapMs(options.target, options.endpoints,
                                                   std::chrono::milliseconds(limit_ms)));
  return 0;
}
