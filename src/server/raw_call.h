// Raw calls: requests come as bytes and are parsed here, so that a malformed one (text that is not
// UTF-8 among them) gets INVALID_ARGUMENT. Left to gRPC's generated code it gets UNIMPLEMENTED.
#pragma once

#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>
#include <grpcpp/support/status.h>

#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "rpc/request_size.h"
#include "server/api.h"

namespace cairn::server {

// Request metadata beside kForwardedMetadata, of a node that does not reach the leader: a write is
// passed on once more.
inline constexpr char kRelayMetadata[] = "cairn-relay";

// What the call's metadata and deadline say. INVALID_ARGUMENT for a malformed request id.
Result<CallContext> ContextOf(const grpc::CallbackServerContext& context, Clock& clock);

// UNAVAILABLE, not applied, for what a node of another cluster forwarded. The bad schedule: the
// leader's machine comes back with the data of another cluster; a follower that has not noticed
// forwards a write to the old address, and the wrong cluster acknowledges it.
Status CheckForwarder(const CallContext& call, const node::Replica& replica);

// A failed call's status; adds its details to the trailing metadata. Before Finish.
grpc::Status ToGrpc(const Status& status, grpc::CallbackServerContext* context);

// INVALID_ARGUMENT: the bytes are no such message.
Status Malformed(const std::string& type);

template <class T>
Status ParseMessage(const grpc::ByteBuffer& bytes, T* out) {
  if (Status bad = rpc::CheckRequestSize(bytes.Length()); !bad.ok()) return bad;
  grpc::ByteBuffer shared(bytes);  // shares the slices
  if (!grpc::GenericDeserialize<grpc::ProtoBufferReader, T>(&shared, out).ok()) {
    return Malformed(T::descriptor()->full_name());
  }
  return OkStatus();
}

template <class T>
void SerializeMessage(const T& message, grpc::ByteBuffer* out) {
  out->Clear();  // gRPC's writer wants an empty buffer
  bool own = false;
  grpc::GenericSerialize<grpc::ProtoBufferWriter, T>(message, out, &own);
}

// One unary call: parses the request, calls `handle(T* request, const CallContext&, Done<R>)`, and
// finishes with what it gives.
template <class T, class R, class Handle>
grpc::ServerUnaryReactor* RunUnary(grpc::CallbackServerContext* context, Clock& clock,
                                   const grpc::ByteBuffer* bytes, grpc::ByteBuffer* response,
                                   Handle handle) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  T request;
  Status bad = ParseMessage(*bytes, &request);
  Result<CallContext> call = ContextOf(*context, clock);
  if (bad.ok()) bad = call.status();
  if (!bad.ok()) {
    reactor->Finish(ToGrpc(std::move(bad).With(Outcome::kNotApplied), context));
    return reactor;
  }
  handle(&request, *call, [context, reactor, response](Result<R> result) {
    if (result.ok()) SerializeMessage(*result, response);
    reactor->Finish(ToGrpc(result.status(), context));
  });
  return reactor;
}

}  // namespace cairn::server
