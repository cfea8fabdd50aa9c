#include "server/cluster_service.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <utility>

#include "base/mutex.h"
#include "cairn/v1/cluster.grpc.pb.h"
#include "rpc/deadline.h"
#include "rpc/endpoint.h"
#include "rpc/proto_convert.h"
#include "server/limits.h"
#include "server/raw_call.h"

namespace cairn::server {
namespace {

using V1Cluster = v1::Cluster;
using RawCluster =
    V1Cluster::WithRawCallbackMethod_Status<V1Cluster::WithRawCallbackMethod_ChangeMembership<
        V1Cluster::WithRawCallbackMethod_TransferLeadership<
            V1Cluster::WithRawCallbackMethod_RaiseLevel<V1Cluster::Service>>>>;
using Bytes = grpc::ByteBuffer;

// A change of membership copies a database to the new member. The default is ample for that.
constexpr uint32_t kChangeTimeoutMs = 5 * 60 * 1000;
constexpr uint32_t kTransferTimeoutMs = 10 * 1000;
constexpr std::chrono::milliseconds kTransferTimeout(kTransferTimeoutMs);
constexpr size_t kProgressLinesMax = 64;
constexpr size_t kChangeBytesMax = 4096;

v1::Role RoleOf(const raft::CoreStatus& core) {
  if (core.role == raft::Role::kLeader) return v1::ROLE_LEADER;
  if (core.config.IsLearner(core.self)) return v1::ROLE_LEARNER;
  return core.role == raft::Role::kFollower ? v1::ROLE_FOLLOWER : v1::ROLE_CANDIDATE;
}

const char* StageName(transport::LifeStage stage) {
  switch (stage) {
    case transport::LifeStage::kEmpty: return "empty";
    case transport::LifeStage::kFounding: return "founding";
    case transport::LifeStage::kStarted: break;
  }
  return "started";
}

const char* ProgressName(raft::PeerStatus::State state) {
  switch (state) {
    case raft::PeerStatus::State::kProbe: return "probe";
    case raft::PeerStatus::State::kReplicate: return "replicate";
    case raft::PeerStatus::State::kSnapshot: break;
  }
  return "snapshot";
}

void AddMember(const raft::CoreStatus& core, MemberId id, const raft::MemberInfo& info,
               v1::StatusResponse* out) {
  v1::Member* member = out->add_members();
  member->set_node_id(info.node_id);
  member->set_member_id(id.value());
  member->set_address(info.address);
  member->set_voter(core.config.IsVoter(id));
  if (core.role != raft::Role::kLeader) return;
  if (id == core.self) {
    member->set_match_index(core.durable.value());
    member->set_active(true);
    member->set_progress("leader");
  } else if (const auto peer = core.peers.find(id); peer != core.peers.end()) {
    member->set_match_index(peer->second.match.value());
    member->set_active(peer->second.recently_active);
    member->set_progress(ProgressName(peer->second.state));
  }
}

void AddBusy(const node::BusyApply& busy, SteadyTime now, v1::StatusResponse* out) {
  v1::BusyApply* const to = out->mutable_busy_apply();
  to->set_index(busy.command.index.value());
  to->set_command(busy.command.number + 1);
  to->set_session(rpc::Utf8OrQuestionMarks(busy.command.id.session));
  to->set_sequence(busy.command.id.sequence);
  to->set_statement(rpc::Utf8OrQuestionMarks(busy.command.statement));
  const auto for_ms = std::chrono::duration_cast<std::chrono::milliseconds>(now - busy.since);
  to->set_for_ms(static_cast<uint64_t>(for_ms.count()));
}

v1::StatusResponse ToProto(const node::ReplicaStatus& status, const NodeInfo& info,
                           SteadyTime now) {
  const raft::CoreStatus& core = status.core;
  v1::StatusResponse out;
  out.set_cluster_id(status.cluster_id);
  out.set_node_id(info.node_id);
  out.set_member_id(core.self.value());
  out.set_address(info.address);
  out.set_stage(StageName(status.stage));
  out.set_waiting_for(rpc::Utf8OrQuestionMarks(status.waiting_for));
  if (status.stage == transport::LifeStage::kStarted) out.set_role(RoleOf(core));
  out.set_term(core.term.value());
  if (const auto leader = core.config.info.find(core.leader); leader != core.config.info.end()) {
    out.set_leader_node_id(leader->second.node_id);
    out.set_leader_address(leader->second.address);
  }
  out.set_commit_index(core.commit.value());
  out.set_applied_index(core.applied.value());
  out.set_first_index(core.first.value());
  out.set_last_index(core.last.value());
  out.set_durable_state_index(status.durable_state.value());
  out.set_log_bytes(status.log_bytes);
  for (const auto& [id, member] : core.config.info) AddMember(core, id, member, &out);
  out.set_config_in_progress(core.config_in_progress);
  if (!status.trouble.ok()) out.set_trouble(rpc::Utf8OrQuestionMarks(status.trouble.ToString()));
  out.set_fenced(status.fenced);
  v1::Digests* const digests = out.mutable_digests();
  digests->set_right_index(status.digests.right_index.value());
  digests->set_made(status.digests.made);
  digests->set_differences(status.digests.differences);
  digests->set_scrubs(status.digests.scrubs);
  digests->set_scrubs_failed(status.digests.scrubs_failed);
  digests->set_fences(status.digests.fences);
  digests->set_doubt(rpc::Utf8OrQuestionMarks(status.digests.doubt));
  out.set_level(status.level);
  out.set_level_max(status.level_max);
  if (status.busy_apply) AddBusy(*status.busy_apply, now, &out);
  out.set_version(info.version);
  out.set_engine(info.engine);
  return out;
}

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

// Streams lines of progress to the operator, and the verdict.
class MembershipStream final : public grpc::ServerWriteReactor<Bytes>,
                               public std::enable_shared_from_this<MembershipStream> {
 public:
  explicit MembershipStream(grpc::CallbackServerContext* context) : context_(context) {}

  void Start() { self_ = shared_from_this(); }

  // `call` is called once if the client goes away before it has the verdict.
  void OnClientGone(std::function<void()> call) {
    {
      MutexLock lock(mutex_);
      if (!gone_) {
        on_client_gone_ = std::move(call);
        return;
      }
    }
    call();
  }

  void Progress(const std::string& line) {
    v1::ChangeMembershipResponse response;
    response.set_progress(rpc::Utf8OrQuestionMarks(line));
    Add(std::move(response));
  }
  void Done(const Status& status) {
    if (status.ok()) {
      v1::ChangeMembershipResponse response;
      response.set_done(true);
      Add(std::move(response));
    }
    {
      MutexLock lock(mutex_);
      if (!verdict_) verdict_ = status;
    }
    Advance();
  }

  void OnWriteDone(bool ok) override {
    {
      MutexLock lock(mutex_);
      writing_ = false;
      if (!ok) lines_.clear();
    }
    Advance();
  }
  // The change itself goes on. Nobody hears of it here any more.
  void OnCancel() override {
    std::function<void()> on_client_gone;
    {
      MutexLock lock(mutex_);
      gone_ = true;
      on_client_gone = std::exchange(on_client_gone_, nullptr);
      lines_.clear();
      if (!verdict_) verdict_ = Cancelled("the client has gone").With(Outcome::kUnknown);
    }
    if (on_client_gone) on_client_gone();
    Advance();
  }
  void OnDone() override { self_.reset(); }

 private:
  void Add(v1::ChangeMembershipResponse response) {
    {
      MutexLock lock(mutex_);
      if (verdict_) return;
      if (lines_.size() >= kProgressLinesMax) lines_.pop_front();  // newer news are better
      lines_.push_back(std::move(response));
    }
    Advance();
  }

  void Advance() {
    std::optional<Status> end;
    {
      MutexLock lock(mutex_);
      if (writing_ || finished_) return;
      if (!lines_.empty()) {
        SerializeMessage(lines_.front(), &outgoing_);
        lines_.pop_front();
        writing_ = true;
      } else if (verdict_) {
        finished_ = true;
        end = verdict_;
      } else {
        return;
      }
    }
    if (end) {
      Finish(ToGrpc(*end, context_));
    } else {
      StartWrite(&outgoing_);
    }
  }

  grpc::CallbackServerContext* const context_;
  std::shared_ptr<MembershipStream> self_;
  Bytes outgoing_;
  Mutex mutex_;
  std::deque<v1::ChangeMembershipResponse> lines_ CAIRN_GUARDED_BY(mutex_);
  std::optional<Status> verdict_ CAIRN_GUARDED_BY(mutex_);
  std::function<void()> on_client_gone_ CAIRN_GUARDED_BY(mutex_);
  bool gone_ CAIRN_GUARDED_BY(mutex_) = false;
  bool writing_ CAIRN_GUARDED_BY(mutex_) = false;
  bool finished_ CAIRN_GUARDED_BY(mutex_) = false;
};

// The same call at the leader, for a client of this node. Ends with the client, and with the
// client's deadline at the latest.
class MembershipRelay final : public grpc::ClientReadReactor<v1::ChangeMembershipResponse> {
 public:
  MembershipRelay(const std::string& leader, uint64_t cluster_id,
                  v1::ChangeMembershipRequest request, std::chrono::milliseconds timeout,
                  std::shared_ptr<MembershipStream> to)
      : stub_(v1::Cluster::NewStub(rpc::NewChannel(leader))),
        request_(std::move(request)),
        to_(std::move(to)) {
    context_->AddMetadata(rpc::kForwardedMetadata, std::to_string(cluster_id));
    context_->set_deadline(rpc::DeadlineAfter(timeout));
    stub_->async()->ChangeMembership(context_.get(), &request_, this);
    StartRead(&response_);
    // Set before the call begins: the call may end at once, and this object with it.
    to_->OnClientGone([context = context_] { context->TryCancel(); });
    StartCall();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    if (!response_.progress().empty()) to_->Progress(response_.progress());
    StartRead(&response_);
  }
  void OnDone(const grpc::Status& status) override {
    to_->Done(rpc::FromGrpc(status, context_->GetServerTrailingMetadata(), Outcome::kUnknown));
    delete this;
  }

 private:
  const std::unique_ptr<v1::Cluster::Stub> stub_;
  // Shared with the stream, which may cancel the call when this object is gone.
  const std::shared_ptr<grpc::ClientContext> context_ = std::make_shared<grpc::ClientContext>();
  const v1::ChangeMembershipRequest request_;
  v1::ChangeMembershipResponse response_;
  const std::shared_ptr<MembershipStream> to_;
};

// A call that is passed on to the leader. Lives as long as the call. The call that is passed on shares
// the context, and cancels this call when its client goes or this node ends.
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
        context, host_, bytes, response, [this](auto*, const auto&, auto done) {
          done(ToProto(replica_->status(), info_, clock_->SteadyNow()));
        });
  }

  grpc::ServerWriteReactor<Bytes>* ChangeMembership(grpc::CallbackServerContext* context,
                                                    const Bytes* bytes) override {
    auto stream = std::make_shared<MembershipStream>(context);
    stream->Start();
    v1::ChangeMembershipRequest request;
    // Given back when the change has begun, because what is kept of the request is small.
    MemoryCharge charge;
    cairn::Status bad = ParseMessage(*bytes, host_.requests, &request, &charge);
    if (bad.ok() && bytes->Length() > kChangeBytesMax) {
      bad = InvalidArgument("the request is larger than any address");
    }
    Result<CallContext> call = ContextOf(*context, *clock_);
    if (bad.ok()) bad = call.status();
    if (bad.ok()) bad = CheckForwarder(*call, *replica_);
    if (bad.ok()) bad = Change(std::move(request), *call, stream);
    if (!bad.ok()) stream->Done(std::move(bad).With(Outcome::kNotApplied));
    return stream.get();
  }

  grpc::ServerUnaryReactor* TransferLeadership(grpc::CallbackServerContext* context,
                                               const Bytes* bytes, Bytes* response) override {
    const auto relay = std::make_shared<grpc::ClientContext>();
    auto* const answer = RunUnary<v1::TransferLeadershipRequest, v1::TransferLeadershipResponse>(
        context, host_, bytes, response, [this, relay](auto* request, const auto& call, auto done) {
          if (cairn::Status bad = CheckForwarder(call, *replica_); !bad.ok()) {
            done(std::move(bad));
            return;
          }
          if (const auto leader = LeaderElsewhere(); leader && !call.forwarded) {
            RelayTransfer(*leader, *request, relay, std::move(done));
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
          if (cairn::Status bad = CheckForwarder(call, *replica_); !bad.ok()) {
            done(std::move(bad));
            return;
          }
          const SteadyTime by = DeadlineOf(request->timeout_ms(), kChangeTimeoutMs, call, *clock_);
          if (const auto leader = LeaderElsewhere(); leader && !call.forwarded) {
            RelayRaise(*leader, *request, by, relay, std::move(done));
            return;
          }
          replica_->RaiseLevel(by, [done](const Result<uint64_t>& level) {
            if (!level.ok()) return done(level.status());
            v1::RaiseLevelResponse raised;
            raised.set_level(*level);
            done(std::move(raised));
          });
        });
    answer->OnClientGone([relay] { relay->TryCancel(); });
    return answer;
  }

 private:
  // The leader, if another node leads and is known.
  std::optional<LeaderHint> LeaderElsewhere() const {
    if (replica_->is_leader()) return std::nullopt;
    std::optional<LeaderHint> leader = replica_->leader_hint();
    if (!leader || leader->address.empty() || leader->address == info_.address) return std::nullopt;
    return leader;
  }

  // Not OK: nothing was begun.
  cairn::Status Change(v1::ChangeMembershipRequest request, const CallContext& call,
                       const std::shared_ptr<MembershipStream>& stream) {
    ASSIGN_OR_RETURN(node::Replica::MembershipChange change, ToChange(request));
    const SteadyTime by = DeadlineOf(request.timeout_ms(), kChangeTimeoutMs, call, *clock_);
    if (const auto leader = LeaderElsewhere(); leader && !call.forwarded) {
      Relay(*leader, std::move(request), by, stream);
      return OkStatus();
    }
    if (change.kind == node::Replica::MembershipChange::Kind::kRemove &&
        change.node_id == info_.node_id && replica_->status().core.config.voters.size() > 1) {
      HandOverAndRelay(request, by, stream);
      return OkStatus();
    }
    replica_->ChangeMembership(
        std::move(change), by, [stream](const std::string& line) { stream->Progress(line); },
        [stream](const cairn::Status& status) { stream->Done(status); });
    return OkStatus();
  }

  void Relay(const LeaderHint& leader, v1::ChangeMembershipRequest request, SteadyTime by,
             const std::shared_ptr<MembershipStream>& stream) {
    const auto timeout = std::chrono::ceil<std::chrono::milliseconds>(by - clock_->SteadyNow());
    new MembershipRelay(leader.address, replica_->status().cluster_id, std::move(request), timeout,
                        stream);
  }

  // A leader that removes itself is gone before it can make sure that the others know. The bad
  // schedule: they have not heard of it, the operator switches the node off, and the others still
  // count with it. One more that fails leaves them without a majority.
  void HandOverAndRelay(const v1::ChangeMembershipRequest& request, SteadyTime by,
                        const std::shared_ptr<MembershipStream>& stream) {
    stream->Progress("node " + std::to_string(request.node_id()) + " hands leadership over");
    const SteadyTime transferred_by =
        std::min<SteadyTime>(by, clock_->SteadyNow() + kTransferTimeout);
    replica_->TransferLeadership(0, transferred_by, [=, this](cairn::Status status) {
      const std::optional<LeaderHint> leader = LeaderElsewhere();
      if (status.ok() && leader) return Relay(*leader, request, by, stream);
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
                     std::shared_ptr<grpc::ClientContext> context, Done done) {
    auto relay = std::make_shared<TransferRelay>(std::move(context));
    relay->stub = v1::Cluster::NewStub(rpc::NewChannel(leader.address));
    relay->request = request;
    relay->context->AddMetadata(rpc::kForwardedMetadata,
                                std::to_string(replica_->status().cluster_id));
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
  void RelayRaise(const LeaderHint& leader, const v1::RaiseLevelRequest& request, SteadyTime by,
                  std::shared_ptr<grpc::ClientContext> context, Done done) {
    auto relay = std::make_shared<RaiseRelay>(std::move(context));
    relay->stub = v1::Cluster::NewStub(rpc::NewChannel(leader.address));
    relay->request = request;
    relay->context->AddMetadata(rpc::kForwardedMetadata,
                                std::to_string(replica_->status().cluster_id));
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
