// Raw calls: requests come as bytes and are parsed here, so that a malformed request (also one with
// text that is not UTF-8) gets INVALID_ARGUMENT. gRPC's generated code answers UNIMPLEMENTED.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>
#include <grpcpp/support/status.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/memory_budget.h"
#include "base/result.h"
#include "rpc/request_size.h"
#include "server/api.h"
#include "server/message_cost.h"
#include "server/module_host.h"

namespace cairn::server {

// Request metadata beside kForwardedMetadata, sent by a node that does not reach the leader: the
// receiver passes the write on once more.
inline constexpr char kRelayMetadata[] = "cairn-relay";

// Request metadata beside kForwardedMetadata: the principal for whom the node passes the call on. A
// write names it in its message (Origin) instead.
inline constexpr char kPrincipalMetadata[] = "cairn-principal";

// What a node says in the metadata of a call that it passes on.
struct PassedOn {
  uint64_t cluster_id = 0;
  std::string principal;  // for whom
  void AddTo(grpc::ClientContext* context) const;
};

// Reads the call's principal, metadata and deadline. INVALID_ARGUMENT for a malformed request id.
// UNAUTHENTICATED for a certificate that has been refused since the call began.
Result<CallContext> ContextOf(const grpc::CallbackServerContext& context, const ServiceHost& host);

// UNAVAILABLE, not applied, for a call that a node of another cluster forwarded. The bad schedule:
// the leader's machine comes back with the data of another cluster. A follower that has not noticed
// forwards a write to the old address, and the wrong cluster acknowledges the write.
Status CheckForwarder(const CallContext& call, const node::Replica& replica);

// The status of a failed call. Adds the details to the trailing metadata. Call before Finish.
grpc::Status ToGrpc(const Status& status, grpc::CallbackServerContext* context);

// INVALID_ARGUMENT: the bytes are not a message of this type.
Status Malformed(const std::string& type);

// The bytes of a message in one piece; copied if they lie in several.
class FlatBytes {
 public:
  explicit FlatBytes(const grpc::ByteBuffer& bytes);
  std::string_view view() const {
    return {reinterpret_cast<const char*>(slice_.begin()), slice_.size()};
  }

 private:
  grpc::Slice slice_;
};

// The memory that a message of type T takes, decoded. INVALID_ARGUMENT for bytes that are no such
// message.
template <class T>
Result<size_t> CostOf(std::string_view bytes) {
  static const MessageCost& cost = MessageCost::Of(T::descriptor());
  return cost.Of(bytes);
}

template <class T>
Status ParseFlat(std::string_view bytes, T* out) {
  if (out->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return OkStatus();
  return Malformed(T::descriptor()->full_name());
}

// The memory that gRPC and this program take for a call in addition to its messages.
inline constexpr size_t kCallBytes = 8 << 10;

// Takes the memory of a request from `share`, then decodes the request. Keep `charge` as long as
// what was decoded. INVALID_ARGUMENT for a malformed or too large request, RESOURCE_EXHAUSTED
// without memory.
template <class T>
Status ParseMessage(const grpc::ByteBuffer& bytes, MemoryShare* share, T* out,
                    MemoryCharge* charge) {
  if (Status bad = rpc::CheckRequestSize(bytes.Length()); !bad.ok()) return bad;
  const FlatBytes flat(bytes);
  const Result<size_t> cost = CostOf<T>(flat.view());
  if (!cost.ok()) return Malformed(T::descriptor()->full_name());
  ASSIGN_OR_RETURN(*charge, MemoryCharge::Take(share, *cost + kCallBytes));
  return ParseFlat(flat.view(), out);
}

template <class T>
void SerializeMessage(const T& message, grpc::ByteBuffer* out) {
  out->Clear();  // gRPC's writer needs an empty buffer
  bool own = false;
  grpc::GenericSerialize<grpc::ProtoBufferWriter, T>(message, out, &own);
}

// The charge of a request also pays for an answer up to this size.
inline constexpr size_t kSmallAnswerBytes = 1024;

// A unary call, with the memory that its request and its answer take until gRPC is done with them.
class UnaryCall final : public grpc::ServerUnaryReactor {
 public:
  UnaryCall(grpc::CallbackServerContext* context, MemoryShare* results)
      : context_(context), result_(results) {}
  MemoryCharge* request() { return &request_; }
  // `call` is called once if the client goes, or the server ends, before the answer. Set before
  // gRPC gets this object.
  void OnClientGone(std::function<void()> call) { on_client_gone_ = std::move(call); }
  // Set once nobody takes the answer.
  std::shared_ptr<const std::atomic<bool>> gone() const { return gone_; }

  template <class R>
  void Answer(Result<R> result, grpc::ByteBuffer* response) {
    Status status = result.status();
    if (status.ok()) status = HoldAnswer(result->ByteSizeLong());
    if (status.ok()) SerializeMessage(*result, response);
    Finish(ToGrpc(status, context_));
  }
  void OnCancel() override {
    *gone_ = true;
    if (on_client_gone_) on_client_gone_();
  }
  void OnDone() override { delete this; }

 private:
  // Takes memory for an answer that is not small.
  Status HoldAnswer(size_t bytes);

  grpc::CallbackServerContext* const context_;
  std::function<void()> on_client_gone_;
  const std::shared_ptr<std::atomic<bool>> gone_ = std::make_shared<std::atomic<bool>>(false);
  MemoryCharge request_;
  MemoryCharge result_;
};

// One unary call: parses the request, checks the forwarding node, calls `handle(T* request, const
// CallContext&, Done<R>)`, and finishes with the result of `handle`.
template <class T, class R, class Handle>
UnaryCall* RunUnary(grpc::CallbackServerContext* context, const ServiceHost& host,
                    const grpc::ByteBuffer* bytes, grpc::ByteBuffer* response, Handle handle) {
  auto* const call = new UnaryCall(context, host.results);
  T request;
  Status bad = ParseMessage(*bytes, host.requests, &request, call->request());
  Result<CallContext> caller = ContextOf(*context, host);
  if (bad.ok()) bad = caller.status();
  if (bad.ok()) bad = CheckForwarder(*caller, *host.replica);
  if (!bad.ok()) {
    call->Finish(ToGrpc(std::move(bad).With(Outcome::kNotApplied), context));
    return call;
  }
  caller->gone = call->gone();
  call->OnClientGone([replica = host.replica] { replica->OnCallersGone(); });
  handle(&request, *caller,
         [call, response](Result<R> result) { call->Answer(std::move(result), response); });
  return call;
}

}  // namespace cairn::server
