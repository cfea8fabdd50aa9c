#include "transport/grpc_transport.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <map>
#include <utility>
#include <vector>

#include "transport/certified_peer.h"
#include "transport/peer_link.h"
#include "transport/peer_protocol.h"
#include "transport/peer_service.h"
#include "transport/snapshot_sender.h"
#include "transport/transport_context.h"

namespace cairn::transport {
namespace {

// A unary call in progress. It owns what gRPC needs until the answer arrives.
template <class Request, class Response>
struct UnaryCall {
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<pb::Peer::Stub> stub;
  grpc::ClientContext context;
  Request request;
  Response response;

  UnaryCall(const std::string& address, const security::TlsPtr& tls, SteadyTime timeout)
      : channel(NewPeerChannel(address, tls)), stub(pb::Peer::NewStub(channel)) {
    context.set_deadline(DeadlineAfter(timeout));
  }
};

class Impl final : public GrpcTransport {
 public:
  explicit Impl(GrpcTransportOptions options)
      : options_(std::move(options)),
        context_(std::make_shared<TransportContext>()),
        sender_(context_, options_.snapshot_chunk_bytes),
        service_(context_.get(),
                 options_.file_system != nullptr ? options_.file_system : &PosixFileSystem(),
                 options_.snapshot_directory, options_.snapshot_free_bytes_min) {
    context_->tls = options_.tls;
  }
  ~Impl() override { Shutdown(); }

  grpc::Service* service() override { return &service_; }

  void ConfigureServer(grpc::ServerBuilder* builder) override {
    builder->SetMaxReceiveMessageSize(kMessageBytesMax);
    // By default a server of gRPC ends a connection after a few pings that come sooner than every
    // five minutes. The bad schedule: a node or a client of a later build pings more often than
    // this build knows of. This server ends the connection, the caller connects anew, and all that
    // was in flight is sent again, every few seconds. A ping costs less than a new connection, so
    // the server answers every ping. 0 stands for "never end a connection because of pings".
    builder->AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  }

  void SetHandler(Handler* handler) override { context_->handler = handler; }

  void SetIdentity(const Identity& identity) override {
    const MutexLock configure_lock(configure_mutex_);
    {
      const MutexLock lock(context_->mutex);
      const Identity old = std::exchange(context_->identity_now, identity);
      if (old.cluster_id == identity.cluster_id && old.member == identity.member &&
          old.engine == identity.engine && old.address == identity.address &&
          old.start.boot == identity.start.boot) {
        context_->identity_now = identity;
        return;
      }
    }
    context_->AbortCalls();
    Peers peers;
    {
      const MutexLock lock(mutex_);
      peers = peers_;
    }
    ReplaceLinks({});
    ReplaceLinks(peers);
  }

  void SetPeers(const Peers& peers) override {
    const MutexLock configure_lock(configure_mutex_);
    {
      const MutexLock lock(mutex_);
      peers_ = peers;
    }
    ReplaceLinks(peers);
  }

  void Send(GroupId group, std::vector<raft::Message> messages) override {
    std::map<MemberId, std::pair<std::shared_ptr<PeerLink>, std::vector<raft::Message>>> sorted;
    {
      const MutexLock lock(mutex_);
      for (raft::Message& message : messages) {
        const auto link = links_.find(message.to);
        if (link == links_.end()) {
          ++context_->messages_dropped;
          continue;
        }
        auto& batch = sorted[message.to];
        batch.first = link->second;
        batch.second.push_back(std::move(message));
      }
    }
    for (auto& [to, batch] : sorted) batch.first->Send(group, std::move(batch.second));
  }

  void SendSnapshot(GroupId group, MemberId from, MemberId to,
                    std::shared_ptr<SnapshotSource> source,
                    std::function<void(Status)> done) override {
    const Identity self = context_->identity();
    std::string address;
    uint64_t node_id = 0;
    {
      const MutexLock lock(mutex_);
      const auto link = links_.find(to);
      if (link != links_.end()) {
        address = link->second->address();
        node_id = link->second->node_id();
      }
    }
    if (address.empty() || from != self.member) {
      context_->tasks.Post([from, to, call = std::move(done)] {
        call(FailedPrecondition("cannot send a snapshot from member " + ToString(from) + " to " +
                                ToString(to) + ": unknown here"));
      });
      return;
    }
    sender_.Send(group, self, to, {{address}, node_id}, std::move(source), std::move(done));
  }

  void Probe(const std::string& address, SteadyTime timeout,
             std::function<void(Result<ProbeReply>)> done) override {
    auto call = std::make_shared<UnaryCall<pb::ProbeRequest, pb::ProbeResponse>>(
        address, context_->tls, timeout);
    call->request.set_protocol_version(kProtocolVersion);
    const uint64_t id = BeginUnary(call, &call->context);
    if (id == 0) return;
    call->stub->async()->Probe(
        &call->context, &call->request, &call->response,
        [this, id, call, report = std::move(done)](const grpc::Status& status) mutable {
          Result<ProbeReply> reply =
              status.ok() ? ParseProbeReply(call->response) : FromGrpc(status);
          if (reply.ok()) {
            const Status bad = CheckAnswerer(*context_, call->context, reply->identity.node_id);
            if (!bad.ok()) reply = bad;
          }
          report(std::move(reply));
          call.reset();
          EndUnary(id);
        });
  }

  void Join(const std::string& address, const JoinRequest& request, SteadyTime timeout,
            std::function<void(Result<JoinReply>)> done) override {
    auto call = std::make_shared<UnaryCall<pb::JoinRequest, pb::JoinResponse>>(
        address, context_->tls, timeout);
    FillJoinRequest(request, &call->request);
    const uint64_t id = BeginUnary(call, &call->context);
    if (id == 0) return;
    call->stub->async()->Join(
        &call->context, &call->request, &call->response,
        [this, id, call, report = std::move(done)](const grpc::Status& status) mutable {
          report(status.ok() ? ParseJoinReply(call->response) : FromGrpc(status));
          call.reset();
          EndUnary(id);
        });
  }

  void RecheckPeers() override {
    context_->RecheckCalls();
    std::vector<std::shared_ptr<PeerLink>> links;
    {
      const MutexLock lock(mutex_);
      for (const auto& [member, link] : links_) links.push_back(link);
    }
    for (const auto& link : links) link->Recheck();
  }

  void Shutdown() override {
    if (!context_->live.Close()) {
      // Another thread may be shutting down at the same time. Waiting twice does no harm.
      context_->live.AwaitNone();
      return;
    }
    ReplaceLinks({});
    context_->AbortCalls();
    {
      const MutexLock lock(mutex_);
      for (const auto& [id, unary] : unary_calls_) unary->TryCancel();
    }
    sender_.Stop();
    service_.snapshots().Join();
    context_->tasks.Stop();
  }

  uint64_t messages_dropped() const override { return context_->messages_dropped; }
  std::map<MemberId, bool> connections() const override {
    std::map<MemberId, bool> connections;
    const MutexLock lock(mutex_);
    for (const auto& [member, link] : links_) connections.emplace(member, link->connected());
    return connections;
  }

 private:
  // Sets the links to exactly those for `peers`, without this node itself. A link that is already
  // right is kept.
  void ReplaceLinks(const Peers& peers) {
    const Identity self = context_->identity();
    std::vector<std::shared_ptr<PeerLink>> closing;
    std::vector<std::shared_ptr<PeerLink>> opening;
    {
      const MutexLock lock(mutex_);
      for (auto it = links_.begin(); it != links_.end();) {
        const auto wanted = peers.find(it->first);
        if (wanted != peers.end() && it->second->Follow(wanted->second)) {
          ++it;
        } else {
          closing.push_back(std::move(it->second));
          it = links_.erase(it);
        }
      }
      for (const auto& [member, peer] : peers) {
        if (self.member.is_none() || member == self.member || links_.contains(member) ||
            context_->live.closed()) {
          continue;
        }
        auto link =
            std::make_shared<PeerLink>(context_, self, member, peer, options_.send_queue_bytes_max);
        links_.emplace(member, link);
        opening.push_back(std::move(link));
      }
    }
    for (const auto& link : closing) link->Close();
    for (const auto& link : opening) link->Open();
  }

  // Returns 0 after shutdown. Otherwise the caller must call EndUnary; `call` keeps the context
  // alive until then.
  template <class Call>
  uint64_t BeginUnary(const std::shared_ptr<Call>& call, grpc::ClientContext* client_context) {
    if (!context_->live.Enter()) return 0;
    const MutexLock lock(mutex_);
    const uint64_t id = ++last_unary_;
    unary_calls_.emplace(id, std::shared_ptr<grpc::ClientContext>(call, client_context));
    // Shutdown may have cancelled the calls that existed before this one was added.
    if (context_->live.closed()) client_context->TryCancel();
    return id;
  }
  void EndUnary(uint64_t id) {
    const std::shared_ptr<TransportContext> context = context_;
    {
      const MutexLock lock(mutex_);
      unary_calls_.erase(id);
    }
    context->live.Leave();
  }

  const GrpcTransportOptions options_;
  const std::shared_ptr<TransportContext> context_;
  SnapshotSender sender_;
  PeerService service_;

  // Held for the whole of SetIdentity and of SetPeers. Otherwise a link could be made for the peers
  // of one call under the identity from before the other call, and would stay refused.
  Mutex configure_mutex_;
  mutable Mutex
      mutex_;  // never held while a link, gRPC (but for cancelling) or the handler is called
  Peers peers_ CAIRN_GUARDED_BY(mutex_);
  std::map<MemberId, std::shared_ptr<PeerLink>> links_ CAIRN_GUARDED_BY(mutex_);
  std::map<uint64_t, std::shared_ptr<grpc::ClientContext>> unary_calls_ CAIRN_GUARDED_BY(mutex_);
  uint64_t last_unary_ CAIRN_GUARDED_BY(mutex_) = 0;
};

}  // namespace

std::unique_ptr<GrpcTransport> NewGrpcTransport(GrpcTransportOptions options) {
  return std::make_unique<Impl>(std::move(options));
}

}  // namespace cairn::transport
