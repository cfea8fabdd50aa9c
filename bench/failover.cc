#include "failover.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <memory>
#include <optional>
#include <thread>

#include "cairn/v1/cluster.grpc.pb.h"
#include "cairn/v1/database.grpc.pb.h"
#include "peers.grpc.pb.h"

namespace cairn::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;

// The timeout of one write. etcd's followers lose the writes that they forwarded to a leader that
// died, and let the call wait. With a long timeout the result would be the timeout.
constexpr std::chrono::milliseconds kCallTimeout{500};

// The gap is over once this many writes that began after the kill are acknowledged.
constexpr int kAcknowledgedAfterKill = 20;

// One blocking write at one endpoint. A client without any knowledge of the cluster would do the
// same, for both systems.
class Writer {
 public:
  Writer(const std::string& target, const std::string& endpoint) : etcd_(target == "etcd") {
    grpc::ChannelArguments args;
    args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 50);
    args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
    args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 100);
    auto channel = grpc::CreateCustomChannel(endpoint, grpc::InsecureChannelCredentials(), args);
    kv_ = etcdserverpb::KV::NewStub(channel);
    database_ = v1::Database::NewStub(channel);
  }

  bool Write(uint64_t n) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
    if (etcd_) {
      etcdserverpb::PutRequest request;
      etcdserverpb::PutResponse response;
      request.set_key("failover");
      request.set_value(std::to_string(n));
      return kv_->Put(&context, request, &response).ok();
    }
    v1::ExecuteRequest request;
    v1::ExecuteResponse response;
    request.add_statements()->set_sql(n == 0 ? "CREATE TABLE IF NOT EXISTS failover(n INTEGER)"
                                             : "INSERT INTO failover VALUES (" + std::to_string(n) +
                                                   ")");
    return database_->Execute(&context, request, &response).ok();
  }

 private:
  const bool etcd_;
  std::unique_ptr<etcdserverpb::KV::Stub> kv_;
  std::unique_ptr<v1::Database::Stub> database_;
};

// A node's answer: its own id and the id of the leader it follows. 0: none, or no answer.
struct Roles {
  uint64_t self = 0;
  uint64_t leader = 0;
};

Roles AskRoles(const std::string& target, const std::string& endpoint) {
  auto channel = grpc::CreateChannel(endpoint, grpc::InsecureChannelCredentials());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(1000));
  if (target == "etcd") {
    etcdserverpb::StatusResponse status;
    if (!etcdserverpb::Maintenance::NewStub(channel)->Status(&context, {}, &status).ok()) return {};
    return {status.header().member_id(), status.leader()};
  }
  v1::StatusResponse status;
  if (!v1::Cluster::NewStub(channel)->Status(&context, {}, &status).ok()) return {};
  return {status.node_id(), status.leader_node_id()};
}

}  // namespace

int FindLeader(const std::string& target, const std::vector<std::string>& endpoints) {
  int position = -1;
  uint64_t agreed = 0;
  for (size_t i = 0; i < endpoints.size(); ++i) {
    const Roles roles = AskRoles(target, endpoints[i]);
    if (roles.leader == 0 || (i != 0 && roles.leader != agreed)) return -1;
    agreed = roles.leader;
    if (roles.self == agreed) position = static_cast<int>(i);
  }
  return position;
}

double LongestGapMs(const std::string& target, const std::vector<std::string>& endpoints,
                    std::chrono::milliseconds limit) {
  std::vector<std::unique_ptr<Writer>> writers;
  writers.reserve(endpoints.size());
  for (const std::string& endpoint : endpoints) {
    writers.push_back(std::make_unique<Writer>(target, endpoint));
  }
  std::atomic<bool> killed{false};
  std::thread listener([&] {
    std::getchar();
    killed = true;
  });
  size_t at = 0;
  double longest_ms = -1;
  int after_kill = 0;
  const SteadyClock::time_point end = SteadyClock::now() + limit;
  std::optional<SteadyClock::time_point> last;
  for (uint64_t n = 0; SteadyClock::now() < end && after_kill < kAcknowledgedAfterKill;) {
    const bool begun_after_kill = killed;
    if (!writers[at]->Write(n)) {
      at = (at + 1) % writers.size();
      continue;
    }
    ++n;
    if (begun_after_kill) ++after_kill;
    const auto now = SteadyClock::now();
    if (last) {
      longest_ms =
          std::max(longest_ms, std::chrono::duration<double, std::milli>(now - *last).count());
    } else {
      std::puts("ready");
      std::fflush(stdout);
    }
    last = now;
  }
  listener.join();
  return after_kill < kAcknowledgedAfterKill ? -1 : longest_ms;
}

}  // namespace cairn::bench
