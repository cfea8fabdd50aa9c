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
#include "server/backups.h"
#include "server/cluster_service.h"
#include "server/database_service.h"
#include "server/fake_replica_test_util.h"
#include "server/health.h"
#include "server/module_host.h"
#include "server/seed_service.h"
#include "server/session_link.h"
#include "server/watch_hub.h"
#include "testing/sanitized.h"

namespace cairn::server {

inline constexpr std::chrono::milliseconds kPatience{20000 * kSlowness};

class ServiceHarness {
 public:
  explicit ServiceHarness(FakeReplica* replica, SteadyTime query_age_max = std::chrono::seconds(60),
                          size_t memory_bytes_max = 512 << 20)
      : clock_(&SystemClock()),
        memory_(memory_bytes_max),
        watches_(replica, clock_, WatchHub::Options()),
        backups_(replica, clock_, Backups::Options()) {
    Router::Options router;
    router.address = "self:1";
    router.leader_wait = std::chrono::milliseconds(200) * kSlowness;
    router_ = std::make_unique<Router>(
        replica, &timers_, clock_,
        SessionLinks(nullptr, &timers_, clock_, router.writes_max, router.write_bytes_max), router);
    ReadPool::Options reads;
    reads.leader_wait = std::chrono::milliseconds(200) * kSlowness;
    reads_ = std::make_unique<ReadPool>(replica, clock_, reads);
    reads.view_tasks_max = 1;
    long_reads_ = std::make_unique<LongReads>(replica, &timers_, LongReads::Options());
    api_ = std::make_unique<Api>(
        replica, router_.get(), reads_.get(), long_reads_.get(), clock_,
        Api::Options{std::chrono::seconds(10) * kSlowness, query_age_max, memory_.queries});
    watches_.set_read_history(
        [this](state_machine::RetainedQuery query, const std::string& principal, auto done) {
          api_->ReadRetained(std::move(query), principal, std::move(done));
        });
    modules_ = std::make_unique<ModuleHost>(ServiceHost{api_.get(), replica, clock_,
                                                        memory_.requests, memory_.results,
                                                        memory_.sessions, &watches_, &backups_});
    const ServiceHost& host = modules_->services();
    modules_->Add(NewSeedService(host, [replica] { return CanServe(*replica); }));
    modules_->Add(NewDatabaseService(host, &flusher_));
    modules_->Add(NewClusterService(host, {1, "self:1", "test", "fake"}));
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.SetMaxReceiveMessageSize(20 << 20);
    modules_->RegisterServices(&builder);
    server_ = builder.BuildAndStart();
    address_ = "127.0.0.1:" + std::to_string(port);
    channel_ = grpc::CreateChannel(address_, grpc::InsecureChannelCredentials());
  }
  ~ServiceHarness() { Stop(); }

  // Streams break, as when the process is killed.
  void Stop() {
    if (server_ == nullptr) return;
    router_->Stop();
    watches_.Stop();
    backups_.Stop();
    server_->Shutdown(std::chrono::system_clock::now());
    router_->Close();
    reads_->Stop();
    long_reads_->Stop();
    timers_.Stop();
    server_.reset();
  }

  const std::string& address() const { return address_; }
  WatchHub& watches() { return watches_; }
  const ServerMemory& memory() const { return memory_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

  struct RawAnswer {
    grpc::Status status;
    std::string bytes;
  };
  // Makes a unary call with any bytes.
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
  ServerMemory memory_;
  WatchHub watches_;
  Backups backups_;
  rpc::TimerQueue timers_{clock_};
  Flusher flusher_;
  std::unique_ptr<Router> router_;
  std::unique_ptr<ReadPool> reads_;
  std::unique_ptr<LongReads> long_reads_;
  std::unique_ptr<Api> api_;
  std::unique_ptr<ModuleHost> modules_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
  std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace cairn::server
