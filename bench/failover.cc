#include "failover.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "cairn/v1/cluster.grpc.pb.h"
#include "cairn/v1/database.grpc.pb.h"
#include "peers.grpc.pb.h"

namespace cairn::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;

// One blocking write at one endpoint with a short deadline: what a client without any knowledge of
// the cluster would do, the same for both systems.
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
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(3000));
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

bool Leads(const std::string& target, const std::string& endpoint) {
  auto channel = grpc::CreateChannel(endpoint, grpc::InsecureChannelCredentials());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(1000));
  if (target == "etcd") {
    etcdserverpb::StatusResponse status;
    return etcdserverpb::Maintenance::NewStub(channel)->Status(&context, {}, &status).ok() &&
           status.leader() != 0 && status.leader() == status.header().member_id();
  }
  v1::StatusResponse status;
  return v1::Cluster::NewStub(channel)->Status(&context, {}, &status).ok() &&
         status.role() == v1::ROLE_LEADER;
}

}  // namespace

int FindLeader(const std::string& target, const std::vector<std::string>& endpoints) {
  for (size_t i = 0; i < endpoints.size(); ++i) {
    if (Leads(target, endpoints[i])) return static_cast<int>(i);
  }
  return -1;
}

double LongestGapMs(const std::string& target, const std::vector<std::string>& endpoints,
                    std::chrono::milliseconds limit) {
  std::vector<std::unique_ptr<Writer>> writers;
  for (const std::string& endpoint : endpoints) {
    writers.push_back(std::make_unique<Writer>(target, endpoint));
  }
  size_t at = 0;
  bool ready = false;
  double longest_ms = -1;
  SteadyClock::time_point end = SteadyClock::now() + std::chrono::seconds(30);
  SteadyClock::time_point last;
  for (uint64_t n = 0; SteadyClock::now() < end;) {
    if (!writers[at]->Write(n)) {
      at = (at + 1) % writers.size();
      continue;
    }
    ++n;
    const auto now = SteadyClock::now();
    if (!ready) {
      ready = true;
      end = now + limit;
      std::puts("ready");
      std::fflush(stdout);
    } else {
      longest_ms =
          std::max(longest_ms, std::chrono::duration<double, std::milli>(now - last).count());
    }
    last = now;
  }
  return longest_ms;
}

}  // namespace cairn::bench
