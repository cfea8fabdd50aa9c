// All services of a node on a free port, over a fake replica.
#pragma once

#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/proto_utils.h>

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "server/api.h"
#include "server/cluster_service.h"
#include "server/database_service.h"
#include "server/fake_replica_test_util.h"
#include "server/health.h"
#include "server/seed_service.h"
#include "testing/sanitized.h"

namespace cairn::server {

inline constexpr std::chrono::milliseconds kPatience{20000 * kSlowness};

class ServiceHarness {
 public:
  explicit ServiceHarness(FakeReplica* replica, SteadyTime query_age_max = kQueryAgeMax,
                          Clock* clock = &SystemClock())
      : clock_(clock) {
    Router::Options router;
    router.address = "self:1";
    router.leader_wait = std::chrono::milliseconds(200) * kSlowness;
    router_ = std::make_unique<Router>(replica, &timers_, clock_, router);
    ReadPool::Options reads;
    reads.leader_wait = std::chrono::milliseconds(200) * kSlowness;
    reads_ = std::make_unique<ReadPool>(replica, clock_, reads);
    reads.view_tasks_max = 1;
    streams_ = std::make_unique<ReadPool>(replica, clock_, reads);
    api_ = std::make_unique<Api>(replica, router_.get(), reads_.get(), clock_,
                                 std::chrono::seconds(10) * kSlowness);
    services_.push_back(
        NewSeedService(api_.get(), replica, clock_, [replica] { return CanServe(*replica); }));
    services_.push_back(
        NewDatabaseService(api_.get(), replica, streams_.get(), &flusher_, clock_, query_age_max));
    services_.push_back(NewClusterService(replica, {1, "self:1", "test", "fake"}, clock_));
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.SetMaxReceiveMessageSize(20 << 20);
    for (const auto& service : services_) builder.RegisterService(service.get());
    server_ = builder.BuildAndStart();
    address_ = "127.0.0.1:" + std::to_string(port);
    channel_ = grpc::CreateChannel(address_, grpc::InsecureChannelCredentials());
  }
  ~ServiceHarness() { Stop(); }

  // As when the process is killed: streams break.
  void Stop() {
    if (server_ == nullptr) return;
    router_->Stop();
    server_->Shutdown(std::chrono::system_clock::now());
    router_->Close();
    reads_->Stop();
    streams_->Stop();
    timers_.Stop();
    server_.reset();
  }

  const std::string& address() const { return address_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

  struct RawAnswer {
    grpc::Status status;
    std::string bytes;
  };
  // A unary call of any bytes.
  RawAnswer Call(const std::string& method, const std::string& request) {
    grpc::ClientContext context;
    grpc::GenericStub stub(channel_);
    grpc::Slice slice(request);
    grpc::ByteBuffer in(&slice, 1);
    grpc::ByteBuffer out;
    std::promise<grpc::Status> done;
    stub.UnaryCall(&context, method, grpc::StubOptions(), &in, &out,
                   [&done](grpc::Status status) { done.set_value(std::move(status)); });
    RawAnswer answer{done.get_future().get(), {}};
    std::vector<grpc::Slice> slices;
    if (answer.status.ok() && out.Dump(&slices).ok()) {
      for (const grpc::Slice& one : slices) {
        answer.bytes.append(reinterpret_cast<const char*>(one.begin()), one.size());
      }
    }
    return answer;
  }

 private:
  Clock* const clock_;
  rpc::TimerQueue timers_{clock_};
  Flusher flusher_;
  std::unique_ptr<Router> router_;
  std::unique_ptr<ReadPool> reads_;
  std::unique_ptr<ReadPool> streams_;
  std::unique_ptr<Api> api_;
  std::vector<std::unique_ptr<grpc::Service>> services_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
  std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace cairn::server
