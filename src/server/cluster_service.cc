#include "server/cluster_service.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>

#include "cairn/v1/cluster.grpc.pb.h"
#include "rpc/deadline.h"
#include "rpc/endpoint.h"
#include "rpc/proto_convert.h"
#include "server/access_control.h"
#include "server/audit_writer.h"
#include "server/cluster_status.h"
#include "server/limits.h"
#include "server/membership_stream.h"
#include "server/raw_call.h"

namespace cairn::server {
namespace {

using V1Cluster = v1::Cluster;
using RawCluster =
    V1Cluster::WithRawCallbackMethod_Status<V1Cluster::WithRawCallbackMethod_ChangeMembership<
        V1Cluster::WithRawCallbackMethod_TransferLeadership<
            V1Cluster::WithRawCallbackMethod_RaiseLevel<V1Cluster::Service>>>>;
using Bytes = grpc::ByteBuffer;

// A change of membership copies a database to the new member, which may take minutes.
constexpr uint32_t kChangeTimeoutMs = 5 * 60 * 1000;
constexpr uint32_t kTransferTimeoutMs = 10 * 1000;
constexpr std::chrono::milliseconds kTransferTimeout(kTransferTimeoutMs);
constexpr size_t kChangeBytesMax = 4096;

SteadyTime DeadlineOf(uint32_t timeout_ms, uint32_t otherwise_ms, const CallContext& call,
                      const Clock& clock) {
  const uint32_t ms = timeout_ms == 0 ? otherwise_ms : std::min(timeout_ms, kTimeoutMsMax);
  return std::min<SteadyTime>(clock.SteadyNow() + std::chrono::milliseconds(ms), call.deadline);
}

Result<node::Replica::MembershipChange> ToChange(const v1::ChangeMembershipRequest& request) {
  using Kind = node::Replica::MembershipChange::Kind;
  node::Replica::MembershipChange change;
  switch (request.kind()) {
    case v1::ChangeMembershipRequest::KIND_ADD: change.kind = Kind::kAdd; break;
    case v1::ChangeMembershipRequest::KIND_REMOVE: change.kind = Kind::kRemove; break;
    case v1::ChangeMembershipRequest::KIND_REPLACE: change.kind = Kind::kReplace; break;
    default: return InvalidArgument("unknown kind of change");
  }
  if (request.node_id() == 0) return InvalidArgument("node ids start at 1");
  change.node_id = request.node_id();
  change.address = request.address();
  if (change.kind != Kind::kRemove) RETURN_IF_ERROR(rpc::CheckEndpoint(change.address));
  return change;
}

std::string InWords(const node::Replica::MembershipChange& change) {
  using Kind = node::Replica::MembershipChange::Kind;
  const std::string node = "node " + std::to_string(change.node_id);
  if (change.kind == Kind::kRemove) return "asks to remove " + node;
  const std::string verb = change.kind == Kind::kAdd ? "add " : "replace ";
  return "asks to " + verb + node + " at " + change.address;
}

// One unary call at the leader, made for a client of this node. It lives as long as the call at the
// leader. The client's call shares the context, and cancels the call at the leader when the client
// goes or this node ends.
template <class Request, class Response>
struct LeaderCall {
  explicit LeaderCall(std::shared_ptr<grpc::ClientContext> shared) : context(std::move(shared)) {}
  std::unique_ptr<v1::Cluster::Stub> stub;
  std::shared_ptr<grpc::ClientContext> context;
  Request request;
  Response response;
};
using TransferRelay = LeaderCall<v1::TransferLeadershipRequest, v1::TransferLeadershipResponse>;
using RaiseRelay = LeaderCall<v1::RaiseLevelRequest, v1::RaiseLevelResponse>;

class ClusterService final : public RawCluster {
 public:
  ClusterService(const ServiceHost& host, NodeInfo info)
      : host_(host), replica_(host.replica), info_(std::move(info)), clock_(host.clock) {}

  grpc::ServerUnaryReactor* Status(grpc::CallbackServerContext* context, const Bytes* bytes,
                                   Bytes* response) override {
    return RunUnary<v1::StatusRequest, v1::StatusResponse>(
        context, host_, bytes, response, [this](auto*, const auto& call, auto done) {
          if (auto denied = Check(call, "/cairn.v1.Cluster/Status"); !denied.ok()) {
            return done(denied);
          }
          done(StatusOf(replica_->status(), info_, clock_->SteadyNow()));
        });
  }

  grpc::ServerWriteReactor<Bytes>* ChangeMembership(grpc::CallbackServerContext* context,
                                                    const Bytes* bytes) override {
    auto stream = std::make_shared<MembershipStream>(context);
    stream->Start();
    v1::ChangeMembershipRequest request;
    // The memory is given back when the change has begun, because little of the request is kept.
    MemoryCharge charge;
    cairn::Status bad = ParseMessage(*bytes, host_.requests, &request, &charge);
    if (bad.ok() && bytes->Length() > kChangeBytesMax) {
      bad = InvalidArgument("the request is larger than any address");
    }
    Result<CallContext> call = ContextOf(*context, host_);
    if (bad.ok()) bad = call.status();
    if (bad.ok()) bad = CheckForwarder(*call, *replica_);
    if (bad.ok()) bad = Check(*call, "/cairn.v1.Cluster/ChangeMembership");
    if (bad.ok()) bad = Change(std::move(request), *call, stream);
    if (!bad.ok()) stream->Done(std::move(bad).With(Outcome::kNotApplied));
    return stream.get();
  }

  grpc::ServerUnaryReactor* TransferLeadership(grpc::CallbackServerContext* context,
                                               const Bytes* bytes, Bytes* response) override {
    const auto relay = std::make_shared<grpc::ClientContext>();
    auto* const answer = RunUnary<v1::TransferLeadershipRequest, v1::TransferLeadershipResponse>(
        context, host_, bytes, response, [this, relay](auto* request, const auto& call, auto done) {
          if (auto denied = Check(call, "/cairn.v1.Cluster/TransferLeadership"); !denied.ok()) {
            return done(denied);
          }
          TellAudit(call,
                    "asks to transfer leadership to " +
                        (request->node_id() == 0 ? std::string("any node")
                                                 : "node " + std::to_string(request->node_id())));
          if (const auto leader = LeaderElsewhere(); leader && !call.forwarded) {
            RelayTransfer(*leader, *request, call, relay, std::move(done));
            return;
          }
          Transfer(*request, call, std::move(done));
        });
    answer->OnClientGone([relay] { relay->TryCancel(); });
    return answer;
  }

  grpc::ServerUnaryReactor* RaiseLevel(grpc::CallbackServerContext* context, const Bytes* bytes,
                                       Bytes* response) override {
    const auto relay = std::make_shared<grpc::ClientContext>();
    auto* const answer = RunUnary<v1::RaiseLevelRequest, v1::RaiseLevelResponse>(
        context, host_, bytes, response, [this, relay](auto* request, const auto& call, auto done) {
          if (auto denied = Check(call, "/cairn.v1.Cluster/RaiseLevel"); !denied.ok()) {
            return done(denied);
          }
          const SteadyTime by = DeadlineOf(request->timeout_ms(), kChangeTimeoutMs, call, *clock_);
          TellAudit(call, "asks to raise the feature level");
          if (const auto leader = LeaderElsewhere(); leader && !call.forwarded) {
            RelayRaise(*leader, *request, call, by, relay, std::move(done));
            return;
          }
          const auto raise = [this, sent = *request, call, by, relay,
                              done](const Result<uint64_t>& level) {
            // The bad schedule: this node led when the call came, and has handed over since.
            if (level.status().leader_hint() && !call.forwarded) {
              return RelayRaise(*level.status().leader_hint(), sent, call, by, relay, done);
            }
            if (!level.ok()) return done(level.status());
            v1::RaiseLevelResponse raised;
            raised.set_level(*level);
            done(std::move(raised));
          };
          replica_->RaiseLevel(by, raise);
        });
    answer->OnClientGone([relay] { relay->TryCancel(); });
    return answer;
  }

 private:
  // Judges the call once more. The bad schedule: a caller begins a call, and sends its message when its
  // privilege has been revoked. gRPC gives the call to its service only then.
  cairn::Status Check(const CallContext& call, std::string_view method) const {
    return host_.access == nullptr ? OkStatus() : host_.access->CheckCall(call.principal, method);
  }

  // The node that the client asks tells it, because it knows from where. What is then done has a row of its
  // own (state_machine/audit.h).
  void TellAudit(const CallContext& call, std::string text) const {
    if (host_.audit == nullptr || call.forwarded) return;
    host_.audit->Add({std::string(state_machine::audit_kind::kAsked), call.principal, call.address,
                      std::move(text), 1});
  }

  // The leader, if another node leads and is known.
  std::optional<LeaderHint> LeaderElsewhere() const {
    if (replica_->is_leader()) return std::nullopt;
    std::optional<LeaderHint> leader = replica_->leader_hint();
    if (!leader || leader->address.empty() || leader->address == info_.address) return std::nullopt;
    return leader;
  }

  // Begins the change here, or at the leader. An error means that nothing was begun.
  cairn::Status Change(v1::ChangeMembershipRequest request, const CallContext& call,
                       const std::shared_ptr<MembershipStream>& stream) {
    ASSIGN_OR_RETURN(node::Replica::MembershipChange change, ToChange(request));
    TellAudit(call, InWords(change));
    const SteadyTime by = DeadlineOf(request.timeout_ms(), kChangeTimeoutMs, call, *clock_);
    if (const auto leader = LeaderElsewhere(); leader && !call.forwarded) {
      Relay(*leader, std::move(request), call.principal, by, stream);
      return OkStatus();
    }
    if (change.kind == node::Replica::MembershipChange::Kind::kRemove &&
        change.node_id == info_.node_id && replica_->status().core.config.voters.size() > 1) {
      HandOverAndRelay(request, call.principal, by, stream);
      return OkStatus();
    }
    const auto gone = std::make_shared<std::atomic<bool>>(false);
    stream->OnClientGone([gone] { *gone = true; });
    change.gone = gone;
    replica_->ChangeMembership(
        std::move(change), by, [stream](const std::string& line) { stream->Progress(line); },
        [stream](const cairn::Status& status) { stream->Done(status); });
    return OkStatus();
  }

  void Relay(const LeaderHint& leader, v1::ChangeMembershipRequest request,
             const std::string& principal, SteadyTime by,
             const std::shared_ptr<MembershipStream>& stream) {
    const auto timeout = std::chrono::ceil<std::chrono::milliseconds>(by - clock_->SteadyNow());
    RelayMembershipChange(leader.address, host_.tls, {replica_->status().cluster_id, principal},
                          std::move(request), timeout, stream);
  }

  // A leader that is to be removed hands leadership over first, and the next leader removes it. A
  // leader that removes itself steps down before it can make sure that the others know. The bad
  // schedule: the others have not heard of the removal, and the operator switches the node off. The
  // others still count the node as a voter. One more node fails, and no majority is left.
  void HandOverAndRelay(const v1::ChangeMembershipRequest& request, const std::string& principal,
                        SteadyTime by, const std::shared_ptr<MembershipStream>& stream) {
    stream->Progress("node " + std::to_string(request.node_id()) + " hands leadership over");
    const SteadyTime transferred_by =
        std::min<SteadyTime>(by, clock_->SteadyNow() + kTransferTimeout);
    replica_->TransferLeadership(0, transferred_by, [=, this](cairn::Status status) {
      const std::optional<LeaderHint> leader = LeaderElsewhere();
      if (status.ok() && leader) return Relay(*leader, request, principal, by, stream);
      if (status.ok()) status = Unavailable("nobody leads yet; run the command again");
      stream->Done(std::move(status)
                       .Prefixed("handing leadership over before this node is removed")
                       .With(Outcome::kNotApplied));
    });
  }

  template <class Done>
  void Transfer(const v1::TransferLeadershipRequest& request, const CallContext& call, Done done) {
    const uint32_t timeout_ms = std::min(request.timeout_ms(), kTransferTimeoutMs);
    const SteadyTime by = DeadlineOf(timeout_ms, kTransferTimeoutMs, call, *clock_);
    replica_->TransferLeadership(request.node_id(), by, [this, done](cairn::Status status) {
      if (!status.ok()) return done(status);
      v1::TransferLeadershipResponse answer;
      if (const auto leader = replica_->leader_hint()) answer.set_leader_node_id(leader->node_id);
      done(std::move(answer));
    });
  }

  template <class Done>
  void RelayTransfer(const LeaderHint& leader, const v1::TransferLeadershipRequest& request,
                     const CallContext& call, std::shared_ptr<grpc::ClientContext> context,
                     Done done) {
    auto relay = std::make_shared<TransferRelay>(std::move(context));
    relay->stub = v1::Cluster::NewStub(rpc::NewChannel(leader.address, host_.tls));
    relay->request = request;
    PassedOn{replica_->status().cluster_id, call.principal}.AddTo(relay->context.get());
    const uint32_t ms = request.timeout_ms() == 0 ? kTransferTimeoutMs : request.timeout_ms();
    relay->context->set_deadline(
        rpc::DeadlineAfter(std::chrono::milliseconds(std::min(ms, kTransferTimeoutMs))));
    relay->stub->async()->TransferLeadership(
        relay->context.get(), &relay->request, &relay->response,
        [relay, done](const grpc::Status& status) {
          if (status.ok()) return done(std::move(relay->response));
          done(rpc::FromGrpc(status, relay->context->GetServerTrailingMetadata(),
                             Outcome::kUnknown));
        });
  }

  template <class Done>
  void RelayRaise(const LeaderHint& leader, const v1::RaiseLevelRequest& request,
                  const CallContext& call, SteadyTime by,
                  std::shared_ptr<grpc::ClientContext> context, Done done) {
    auto relay = std::make_shared<RaiseRelay>(std::move(context));
    relay->stub = v1::Cluster::NewStub(rpc::NewChannel(leader.address, host_.tls));
    relay->request = request;
    PassedOn{replica_->status().cluster_id, call.principal}.AddTo(relay->context.get());
    relay->context->set_deadline(rpc::DeadlineAfter(by - clock_->SteadyNow()));
    relay->stub->async()->RaiseLevel(
        relay->context.get(), &relay->request, &relay->response,
        [relay, done](const grpc::Status& status) {
          if (status.ok()) return done(std::move(relay->response));
          done(rpc::FromGrpc(status, relay->context->GetServerTrailingMetadata(),
                             Outcome::kUnknown));
        });
  }

  const ServiceHost host_;
  node::Replica* const replica_;
  const NodeInfo info_;
  Clock* const clock_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewClusterService(const ServiceHost& host, NodeInfo info) {
  return std::make_unique<ClusterService>(host, std::move(info));
}

}  // namespace cairn::server
