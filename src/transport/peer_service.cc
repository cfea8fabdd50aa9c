#include "transport/peer_service.h"

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/log.h"
#include "transport/certified_peer.h"
#include "transport/identity_check.h"
#include "transport/message_codec.h"

namespace cairn::transport {
namespace {

// Refuses a stream before it begins.
template <class Request, class Response>
class RefusedStream final : public grpc::ServerBidiReactor<Request, Response> {
 public:
  explicit RefusedStream(const Status& status) { this->Finish(ToGrpc(status)); }
  void OnDone() override { delete this; }
};

Status ShuttingDown() { return Unavailable("the node is shutting down"); }

// The incoming messages of one peer. The call reads one request at a time and hands it over before
// the next read. This keeps the order and leaves a slow handler to gRPC's flow control.
class MessagesCall final
    : public grpc::ServerBidiReactor<pb::MessagesRequest, pb::MessagesResponse>,
      public ServedCall {
 public:
  MessagesCall(TransportContext* context, grpc::CallbackServerContext* server_context)
      : context_(context), server_context_(server_context) {
    if (context_->tls != nullptr) caller_certificate_ = server_context_->auth_context();
  }

  void Start() { StartRead(&request_); }

  void Abort() override {
    const MutexLock lock(mutex_);
    if (!done_) server_context_->TryCancel();
  }
  void Recheck() override {
    if (caller_certificate_ && !context_->tls->CallerOf(*caller_certificate_).ok()) Abort();
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      Finish(ToGrpc(Cancelled("the stream is over")));
      return;
    }
    if (Status status = Accept(); !status.ok()) {
      if (context_->IsNews(status.message())) {
        LOG_WARN("peer refused address={} reason=\"{}\"", server_context_->peer(),
                 status.ToString());
      }
      Finish(ToGrpc(status));
      return;
    }
    if (!std::exchange(greeted_, true)) {
      answer_.set_accepted(true);
      const raft::Boot boot = context_->identity().start.boot;
      answer_.mutable_boot()->set_count(boot.count);
      answer_.mutable_boot()->set_nonce(boot.nonce);
      StartWrite(&answer_);
    }
    pb::MessagesRequest().Swap(&request_);
    StartRead(&request_);
  }

  void OnDone() override {
    {
      const MutexLock lock(mutex_);
      done_ = true;
    }
    if (admitted_) context_->handler->OnCallerLeft(caller_);
    context_->EndCall(this);
  }

 private:
  Status Accept() {
    if (!greeted_) {
      const Identity self = context_->identity();
      RETURN_IF_ERROR(CheckCertified(*context_, *server_context_, request_.hello().node_id()));
      RETURN_IF_ERROR(CheckHello(request_.hello(), self));
      caller_ = IdentityOf(request_.hello());
      to_ = self.member;
      RETURN_IF_ERROR(context_->handler->OnCaller(caller_));
      admitted_ = true;
    }
    if (request_.messages().empty()) return OkStatus();
    if (request_.group_id() == 0) return InvalidArgument("peer messages without a group");
    std::vector<raft::Message> messages;
    messages.reserve(static_cast<size_t>(request_.messages_size()));
    for (const std::string& bytes : request_.messages()) {
      ASSIGN_OR_RETURN(raft::Message message, DecodeMessage(bytes));
      if (message.from != caller_.member || message.to != to_) {
        return InvalidArgument("a message from member " + ToString(message.from) + " to " +
                               ToString(message.to) + " on the stream from " +
                               ToString(caller_.member) + " to " + ToString(to_));
      }
      messages.push_back(std::move(message));
    }
    context_->handler->OnMessages(GroupId(request_.group_id()), caller_.start.boot,
                                  std::move(messages));
    return OkStatus();
  }

  TransportContext* const context_;
  grpc::CallbackServerContext* const server_context_;
  std::shared_ptr<const grpc::AuthContext> caller_certificate_;  // with TLS
  pb::MessagesRequest request_;
  pb::MessagesResponse answer_;
  bool greeted_ = false;
  bool admitted_ = false;
  Identity caller_;
  MemberId to_;
  Mutex mutex_;
  bool done_ CAIRN_GUARDED_BY(mutex_) = false;
};

// A JoinCall ends exactly once: by the handler's reply, by the caller's cancellation, or by
// Shutdown.
class JoinCall final : public grpc::ServerUnaryReactor, public ServedCall {
 public:
  JoinCall(TransportContext* context, pb::JoinResponse* response)
      : context_(context), response_(response) {}

  void Reply(const Result<JoinReply>& reply) {
    {
      const MutexLock lock(mutex_);
      if (std::exchange(finished_, true)) return;
      if (reply.ok()) FillJoinReply(*reply, response_);
    }
    Finish(ToGrpc(reply.status()));
  }
  void Abort() override { Reply(ShuttingDown()); }
  void OnCancel() override { Reply(Cancelled("the caller left")); }
  void OnDone() override { context_->EndCall(this); }

 private:
  TransportContext* const context_;
  pb::JoinResponse* const response_;
  Mutex mutex_;
  bool finished_ CAIRN_GUARDED_BY(mutex_) = false;
};

}  // namespace

PeerService::PeerService(TransportContext* context, FileSystem* fs, std::string snapshot_directory,
                         uint64_t free_bytes_min)
    : context_(context), snapshots_(context, fs, std::move(snapshot_directory), free_bytes_min) {}

grpc::ServerBidiReactor<pb::MessagesRequest, pb::MessagesResponse>* PeerService::Messages(
    grpc::CallbackServerContext* server_context) {
  auto call = std::make_shared<MessagesCall>(context_, server_context);
  if (!context_->BeginCall(call)) {
    return new RefusedStream<pb::MessagesRequest, pb::MessagesResponse>(ShuttingDown());
  }
  call->Start();
  return call.get();
}

grpc::ServerBidiReactor<pb::SnapshotRequest, pb::SnapshotResponse>* PeerService::Snapshot(
    grpc::CallbackServerContext* server_context) {
  auto call = std::make_shared<SnapshotCall>(context_, &snapshots_, server_context);
  if (!context_->BeginCall(call)) {
    return new RefusedStream<pb::SnapshotRequest, pb::SnapshotResponse>(ShuttingDown());
  }
  call->Start();
  return call.get();
}

grpc::ServerUnaryReactor* PeerService::Probe(grpc::CallbackServerContext* server_context,
                                             const pb::ProbeRequest* request,
                                             pb::ProbeResponse* response) {
  grpc::ServerUnaryReactor* reactor = server_context->DefaultReactor();
  Status status = CheckProtocolVersion(request->protocol_version());
  if (status.ok()) status = CheckCertified(*context_, *server_context, std::nullopt);
  if (status.ok()) {
    if (context_->live.Enter()) {
      FillProbeReply(context_->handler->OnProbe(), response);
      context_->live.Leave();
    } else {
      status = ShuttingDown();
    }
  }
  reactor->Finish(ToGrpc(status));
  return reactor;
}

grpc::ServerUnaryReactor* PeerService::Join(grpc::CallbackServerContext* server_context,
                                            const pb::JoinRequest* request,
                                            pb::JoinResponse* response) {
  Status refused = CheckProtocolVersion(request->protocol_version());
  if (refused.ok()) refused = CheckCertified(*context_, *server_context, request->node_id());
  if (refused.ok()) {
    refused = CheckEngine(ParseJoinRequest(*request).engine, context_->identity().engine);
  }
  auto call = std::make_shared<JoinCall>(context_, response);
  if (refused.ok() && !context_->BeginCall(call)) refused = ShuttingDown();
  if (!refused.ok()) {
    grpc::ServerUnaryReactor* reactor = server_context->DefaultReactor();
    reactor->Finish(ToGrpc(refused));
    return reactor;
  }
  context_->handler->OnJoin(ParseJoinRequest(*request),
                            [call](const Result<JoinReply>& reply) { call->Reply(reply); });
  return call.get();
}

}  // namespace cairn::transport
