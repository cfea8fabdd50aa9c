// cairn-bench: the client program of `make bench`. scripts/bench runs it.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>

#include "echo_server.h"
#include "failover.h"
#include "load.h"

namespace {

using cairn::bench::LoadOptions;
using cairn::bench::LoadResult;
using cairn::bench::Op;

int Load(LoadOptions options, const std::string& op, int warm_up_ms, int duration_ms) {
  static const std::map<std::string, Op> kOps = {{"write", Op::kWrite},
                                                 {"read", Op::kReadLinearizable},
                                                 {"read-stale", Op::kReadStale},
                                                 {"insert-rows", Op::kInsertRows}};
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
  load->add_option("--op", op, "write, read, read-stale or insert-rows")
      ->check(CLI::IsMember({"write", "read", "read-stale", "insert-rows"}))
      ->capture_default_str();
  load->add_option("--clients", options.clients)->capture_default_str();
  load->add_option("--rows", options.rows, "rows in one INSERT")->capture_default_str();
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

  CLI11_PARSE(app, argc, argv);
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
