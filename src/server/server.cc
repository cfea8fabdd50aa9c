#include "server/server.h"

#include <absl/synchronization/mutex.h>
#include <google/protobuf/stubs/logging.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <utility>

#include "base/host_port.h"
#include "base/log.h"
#include "base/mutex.h"
#include "log_store/segment_log.h"
#include "node/replica.h"
#include "node/start_state.h"
#include "rpc/deadline.h"
#include "rpc/proto_convert.h"
#include "server/access_control.h"
#include "server/api.h"
#include "server/audit_writer.h"
#include "server/backups.h"
#include "server/cluster_service.h"
#include "server/data_directory.h"
#include "server/database_service.h"
#include "server/door_rules.h"
#include "server/health.h"
#include "server/http_service.h"
#include "server/limits.h"
#include "server/listener.h"
#include "server/long_reads.h"
#include "server/module_host.h"
#include "server/node_watch.h"
#include "server/open_calls.h"
#include "server/options.h"
#include "server/port_check.h"
#include "server/raw_call.h"
#include "server/read_pool.h"
#include "server/readiness.h"
#include "server/router.h"
#include "server/seed_service.h"
#include "server/session_link.h"
#include "server/tls_watch.h"
#include "server/token_judge.h"
#include "server/watch_hub.h"
#include "state_machine/sqlite/sqlite_state_machine.h"
#include "transport/grpc_transport.h"

namespace cairn::server {
namespace {

constexpr char kVersion[] = CAIRN_VERSION;
// The time to hand over leadership and to see proposals decided. The rest of the 5 s of a clean
// stop is for the last checkpoint.
constexpr SteadyTime kShutdownTimeout = std::chrono::seconds(3);
// Calls that have not ended after this time are cancelled.
constexpr std::chrono::milliseconds kCallsTimeout(200);
constexpr int kHandshakeTimeoutMs = 5'000;
constexpr int kIdleMs = 10'000;

// Called once in a process, because all of this is global.
void EnableGrpcExtensions() {
  static const bool kDone = [] {
    // Protobuf writes to standard error for every text that is not UTF-8. The client is told
    // instead, so no stranger can fill the log.
    google::protobuf::SetLogHandler(nullptr);
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    return true;
  }();
  (void)kDone;
}

class ServerImpl final : public Server {
 public:
  explicit ServerImpl(const ServerOptions& options)
      : options_(options),
        clock_(SystemClock()),
        memory_(options.memory_bytes_max),
        write_queue_bytes_max_(
            std::min(options.write_queue_bytes_max, memory_.requests->bytes_max() / 3)) {}
  ~ServerImpl() override {
    Shutdown();
    CloseAll();
  }

  Status Start();
  uint16_t port() const override { return port_; }
  ServerHealth health() const override { return HealthOf(*replica_, clock_); }
  Status Wait() override;
  void Shutdown() override;

 private:
  Status OpenTls();
  Status OpenData();
  Status OpenReplica();
  void MakeServices();
  ScrapeSources Sources();
  Status StartGrpc(std::unique_ptr<PortCheck> port_check);
  void CloseAll();

  const ServerOptions options_;
  const std::shared_ptr<node::ReplicaCounts> replica_counts_ =
      std::make_shared<node::ReplicaCounts>();
  RequestCounts request_counts_;
  Clock& clock_;
  FileSystem& fs_ = PosixFileSystem();
  ServerMemory memory_;
  const size_t write_queue_bytes_max_;
  uint16_t port_ = 0;
  std::string address_;

  // Made in this order, and destroyed in the opposite order.
  security::TlsPtr tls_;  // null: without TLS
  std::unique_ptr<DataDirectory> directory_;
  std::unique_ptr<log_store::LogStore> log_;
  std::unique_ptr<state_machine::StateMachine> state_;
  std::unique_ptr<AccessControl> access_;
  std::unique_ptr<TokenJudge> tokens_;     // null: without TLS
  std::unique_ptr<OpenCalls> open_calls_;  // null: without TLS
  std::unique_ptr<transport::GrpcTransport> transport_;
  std::unique_ptr<node::Replica> replica_;
  std::unique_ptr<rpc::TimerQueue> timers_;
  std::unique_ptr<Router> router_;
  std::unique_ptr<AuditWriter> audit_;
  std::unique_ptr<ReadPool> reads_;
  std::unique_ptr<LongReads> long_reads_;
  std::unique_ptr<Flusher> flusher_;
  std::unique_ptr<WatchHub> watches_;
  std::unique_ptr<Backups> backups_;
  std::unique_ptr<Api> api_;
  std::unique_ptr<NodeWatch> node_watch_;
  std::unique_ptr<ModuleHost> modules_;
  std::unique_ptr<grpc::Server> grpc_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<HealthMonitor> health_;
  std::unique_ptr<TlsWatch> tls_watch_;
  NodeInfo info_;
  std::unique_ptr<HttpService> http_;  // null: there is none

  Mutex mutex_;
  CondVar stopped_cv_;
  bool started_ CAIRN_GUARDED_BY(mutex_) = false;
  bool stopping_ CAIRN_GUARDED_BY(mutex_) = false;
  bool stopped_ CAIRN_GUARDED_BY(mutex_) = false;
};

Status ServerImpl::Start() {
  RETURN_IF_ERROR(CheckOptions(options_));
  RETURN_IF_ERROR(OpenTls());
  ASSIGN_OR_RETURN(std::unique_ptr<PortCheck> port_check,
                   PortCheck::Bind(options_.host, options_.port));
  if (options_.http_port != 0) {
    ASSIGN_OR_RETURN(http_, HttpService::Hold(options_.http_host, options_.http_port));
  }
  RETURN_IF_ERROR(DataDirectory::Check(fs_, options_.db_path));
  port_ = port_check->port();
  address_ = AddressOf(options_, port_);
  RETURN_IF_ERROR(OpenData());
  RETURN_IF_ERROR(OpenReplica());
  MakeServices();
  RETURN_IF_ERROR(StartGrpc(std::move(port_check)));
  replica_->SetLeaderWatcher([this] { router_->OnLeaderChanged(); });
  replica_->Start(transport_.get());
  health_ = std::make_unique<HealthMonitor>(replica_.get(), grpc_->GetHealthCheckService());
  if (tls_ != nullptr) {
    tls_watch_ = std::make_unique<TlsWatch>(
        tls_, [this] { return replica_->status().wall_ms; },
        [this] { return access_->generation(); },
        [this] {
          transport_->RecheckPeers();
          open_calls_->Recheck();
        });
  }
  audit_->Start();
  RETURN_IF_ERROR(node_watch_->Start(listener_.get(), http_.get()));
  directory_->Keep();
  {
    MutexLock lock(mutex_);
    started_ = true;
  }
  LOG_INFO("serving address={} node={} db={}", address_, options_.node_id, options_.db_path);
  return OkStatus();
}

Status ServerImpl::OpenTls() {
  if (options_.tls_directory.empty()) return OkStatus();
  ASSIGN_OR_RETURN(tls_, security::Tls::ForServer(options_.tls_directory, &clock_));
  const uint64_t named = tls_->own_name()->node_id;
  if (named == options_.node_id) return OkStatus();
  return FailedPrecondition("the certificate in " + options_.tls_directory + " is that of node " +
                            std::to_string(named) + ", and this is node " +
                            std::to_string(options_.node_id) + " (--id)");
}

Status ServerImpl::OpenData() {
  ASSIGN_OR_RETURN(directory_,
                   DataDirectory::Open(fs_, options_.db_path, options_.node_id,
                                       options_.peers.size() > 1, options_.free_bytes_min));
  RETURN_IF_ERROR(directory_->CheckNotAlone());
  ASSIGN_OR_RETURN(log_, log_store::OpenSegmentLog(fs_, directory_->log(), {}));
  // Checked before the database is converted, because 0.1 must still be able to open it.
  ASSIGN_OR_RETURN(const auto file, state_machine::SummaryOfDataFile(directory_->database()));
  if (!file.is_present) {
    RETURN_IF_ERROR(node::CheckLogOf01(node::ReplicaOptions().group, file.applied, *log_));
  }
  state_machine::SqliteOptions sqlite;
  sqlite.path = directory_->database();
  sqlite.snapshot_directory = directory_->snapshot();
  sqlite.vector_directory = directory_->root() + "/vectors";
  sqlite.vector_bytes_max = options_.vector_bytes_max;
  sqlite.level_max = options_.level_max;
  // The replica finds out who founded the cluster, and starts from that until a configuration is
  // applied.
  ASSIGN_OR_RETURN(state_, state_machine::OpenSqliteStateMachine(sqlite, raft::Configuration()));
  access_ = std::make_unique<AccessControl>(state_.get(), options_.auth.value_or(tls_ != nullptr));
  if (tls_ == nullptr) return OkStatus();
  tokens_ = std::make_unique<TokenJudge>(state_.get(), tls_);
  open_calls_ = std::make_unique<OpenCalls>(tls_, access_.get(), tokens_.get());
  return OkStatus();
}

Status ServerImpl::OpenReplica() {
  transport::GrpcTransportOptions transport;
  transport.snapshot_directory = directory_->snapshot();
  transport.tls = tls_;
  transport_ = transport::NewGrpcTransport(transport);
  node::ReplicaOptions replica;
  replica.node_id = options_.node_id;
  replica.address = address_;
  replica.listed_peers = options_.peers;
  replica.joins_only = directory_->must_join();
  if (tls_ != nullptr) replica.cluster_id = tls_->own_name()->cluster_id;
  replica.data_directory = directory_->root();
  replica.engine = state_machine::EngineFingerprint(kVersion);
  replica.level_max = options_.level_max;
  replica.tick = options_.tick;
  replica.election_ticks = options_.election_ticks;
  replica.heartbeat_ticks = options_.heartbeat_ticks;
  replica.log_bytes_max = options_.log_bytes_max;
  replica.free_bytes_min = options_.free_bytes_min;
  replica.request_steps_max = options_.request_steps_max;
  replica.maintenance_steps_max = options_.maintenance_steps_max;
  replica.digest_every = options_.digest_every;
  replica.batch_commands_max = options_.batch_commands_max;
  replica.batch_bytes_max = options_.batch_bytes_max;
  replica.batch_delay_max = options_.batch_delay_max;
  replica.batch_entries_in_flight_max = options_.batch_entries_in_flight_max;
  replica.proposal_queue_commands_max = options_.write_queue_commands_max;
  replica.proposal_queue_bytes_max = write_queue_bytes_max_;
  replica.proposal_queue_wait_max = options_.write_queue_wait_max;
  replica.message_queue_bytes_max = memory_.peers->bytes_max();
  replica.counts = replica_counts_;
  replica.request_ttl_ms = static_cast<uint64_t>(options_.request_ttl.count());
  ASSIGN_OR_RETURN(replica_, node::Replica::Open(replica, &fs_, log_.get(), state_.get(), &clock_));
  transport_->SetHandler(replica_->handler());
  return OkStatus();
}

void ServerImpl::MakeServices() {
  timers_ = std::make_unique<rpc::TimerQueue>(&clock_);
  Router::Options router;
  router.node_id = options_.node_id;
  router.address = address_;
  router.leader_wait = options_.leader_wait;
  router_ = std::make_unique<Router>(
      replica_.get(), timers_.get(), &clock_,
      SessionLinks(tls_, timers_.get(), &clock_, router.writes_max, router.write_bytes_max),
      router);
  audit_ = std::make_unique<AuditWriter>(replica_.get(), router_.get(), &clock_, options_.node_id);
  ReadPool::Options reads;
  reads.leader_wait = options_.leader_wait;
  reads_ = std::make_unique<ReadPool>(replica_.get(), &clock_, reads);
  LongReads::Options long_reads;
  long_reads.agreement_wait = options_.leader_wait;
  long_reads_ = std::make_unique<LongReads>(replica_.get(), timers_.get(), long_reads);
  flusher_ = std::make_unique<Flusher>();
  watches_ = std::make_unique<WatchHub>(replica_.get(), &clock_, WatchHub::Options());
  Backups::Options backups;
  backups.request_timeout = options_.request_timeout;
  backups_ = std::make_unique<Backups>(replica_.get(), &clock_, backups);
  Api::Options api;
  api.request_timeout = options_.request_timeout;
  api.queries = memory_.queries;
  api.counts = &request_counts_;
  api.access = access_.get();
  if (tls_ != nullptr) api.now_s = [tls = tls_] { return tls->NowSeconds(); };
  api.refusals = audit_->refusals();
  // api_ is filled before the first watch.
  watches_->set_read_history(
      [this](state_machine::RetainedQuery query, const std::string& principal, auto done) {
        api_->ReadRetained(std::move(query), principal, std::move(done));
      });
  api_ = std::make_unique<Api>(replica_.get(), router_.get(), reads_.get(), long_reads_.get(),
                               &clock_, api);
  modules_ = std::make_unique<ModuleHost>(
      ServiceHost{api_.get(), replica_.get(), &clock_, memory_.requests, memory_.results,
                  memory_.sessions, watches_.get(), backups_.get(), tls_, open_calls_.get(),
                  access_.get(), tokens_.get(), audit_.get()});
  const ServiceHost& host = modules_->services();
  modules_->Add(NewSeedService(host, [this] { return CanServe(*replica_); }));
  modules_->Add(NewDatabaseService(host, flusher_.get()));
  const EngineId engine = state_machine::EngineFingerprint(kVersion);
  info_ = {options_.node_id, address_, kVersion, engine.build + " " + engine.machine};
  modules_->Add(NewClusterService(host, info_));
  node_watch_ = std::make_unique<NodeWatch>(Sources(), options_.settings_text);
  modules_->Add(node_watch_->NewService(host));
}

ScrapeSources ServerImpl::Sources() {
  ScrapeSources sources;
  sources.options = &options_;
  sources.info = info_;
  sources.clock = &clock_;
  sources.fs = &fs_;
  sources.replica = replica_.get();
  sources.counts = replica_counts_.get();
  sources.transport = transport_.get();
  sources.memory = {memory_.requests, memory_.results, memory_.queries, memory_.sessions};
  sources.write_queue_bytes_max = write_queue_bytes_max_;
  sources.router = router_.get();
  sources.reads = reads_.get();
  sources.long_reads = long_reads_.get();
  sources.watches = watches_.get();
  sources.requests = &request_counts_;
  sources.tls = tls_.get();
  return sources;
}

Status ServerImpl::StartGrpc(std::unique_ptr<PortCheck> port_check) {
  EnableGrpcExtensions();
  grpc::ServerBuilder builder;
  transport_->ConfigureServer(&builder);
  builder.RegisterService(transport_->service());
  modules_->RegisterServices(&builder);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsPerConnectionMax);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000);
  grpc::ResourceQuota quota("cairn");
  builder.SetResourceQuota(quota.Resize(memory_.grpc->bytes_max()));
  using Connections = grpc::ServerBuilder::experimental_type::ExternalConnectionType;
  // A handshake that takes longer is given up: whoever begins many holds little.
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeTimeoutMs);
  // Anyone may finish a handshake. A connection without a call is ended: clients connect anew.
  if (tls_ != nullptr) builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, kIdleMs);
  acceptor_ = builder.experimental().AddExternalConnectionAcceptor(
      Connections::FROM_FD,
      tls_ == nullptr
          ? grpc::InsecureServerCredentials()
          : tls_->ForListener(RulesOfDoor(access_.get(), tokens_.get(), audit_->refusals())));
  grpc_ = builder.BuildAndStart();
  if (grpc_ == nullptr) return Internal("the gRPC server does not start");
  port_check.reset();
  // The address to listen on, which is not how others reach this node.
  ASSIGN_OR_RETURN(listener_,
                   Listener::Listen(options_.host, port_, ConnectionDescriptorsMax(), &clock_));
  listener_->Start(
      [this](int fd) {
        grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
        connection.fd = fd;
        acceptor_->HandleNewConnection(&connection);
      },
      tls_ == nullptr ? Listener::First::kAnything : Listener::First::kTlsHello);
  return OkStatus();
}

Status ServerImpl::Wait() {
  MutexLock lock(mutex_);
  while (!stopped_) stopped_cv_.Wait(lock);
  return OkStatus();
}

void ServerImpl::Shutdown() {
  bool started = false;
  {
    MutexLock lock(mutex_);
    if (std::exchange(stopping_, true)) {
      while (!stopped_) stopped_cv_.Wait(lock);
      return;
    }
    started = started_;
  }
  if (started) {
    tls_watch_.reset();
    health_.reset();
    node_watch_->Stop();
    if (http_ != nullptr) http_->Stop();
    audit_->Drain();  // while there is a router
    router_->Stop();
    audit_->Stop();
    watches_->Stop();  // their clients go on at another node
    backups_->Stop();
    // Peers and the calls in progress are still served, so that leadership is handed over and
    // proposals are answered.
    replica_->Shutdown(kShutdownTimeout);
  }
  CloseAll();
  MutexLock lock(mutex_);
  stopped_ = true;
  stopped_cv_.NotifyAll();
}

// Closes what is open, from the outside to the inside, also after a start that failed half-way.
void ServerImpl::CloseAll() {
  tls_watch_.reset();
  health_.reset();
  if (node_watch_ != nullptr) node_watch_->Stop();
  if (http_ != nullptr) http_->Stop();
  if (audit_ != nullptr) audit_->Stop();
  if (router_ != nullptr) router_->Close();
  if (listener_ != nullptr) listener_->Stop();
  if (transport_ != nullptr) transport_->Shutdown();
  if (grpc_ != nullptr) grpc_->Shutdown(rpc::DeadlineAfter(kCallsTimeout));
  if (reads_ != nullptr) reads_->Stop();
  if (long_reads_ != nullptr) long_reads_->Stop();
  if (watches_ != nullptr) watches_->Stop();
  if (backups_ != nullptr) backups_->Stop();
  if (timers_ != nullptr) timers_->Stop();
  grpc_.reset();
  modules_.reset();
  flusher_.reset();
  watches_.reset();
  backups_.reset();
  replica_.reset();
  state_.reset();
  log_.reset();
  directory_.reset();  // and the lock with it
}

}  // namespace

Result<std::unique_ptr<Server>> Server::Start(const ServerOptions& options) {
  // Debian's abseil looks for cycles in the order of locks at every lock of gRPC. Measured, that
  // costs a tenth of the writes a second.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  auto server = std::make_unique<ServerImpl>(options);
  RETURN_IF_ERROR(server->Start());
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace cairn::server
