// What peers ask of a replica, and what it asks of them.
#include "base/log.h"
#include "node/replica_impl.h"
#include "transport/message_codec.h"

namespace cairn::node {
namespace {

constexpr SteadyTime kProbeTimeout = std::chrono::seconds(1);
constexpr SteadyTime kJoinTimeout = std::chrono::seconds(10);

// What messages of a peer cost while they wait. Past the bound messages are dropped, and Raft sends
// them again.
size_t MessageBytes(const std::vector<raft::Message>& messages) {
  size_t bytes = 0;
  for (const raft::Message& message : messages) bytes += transport::MessageCost(message);
  return bytes;
}

}  // namespace

// ---- From the transport

void ReplicaImpl::OnMessages(GroupId group, const raft::Boot& sender,
                             std::vector<raft::Message> messages) {
  if (group != options_.group) return;
  const size_t bytes = MessageBytes(messages);
  if (message_bytes_.fetch_add(bytes) > options_.message_queue_bytes_max) {
    message_bytes_ -= bytes;
    return;
  }
  Post([this, bytes, sender, messages = std::move(messages)](ReplicaCore& core) mutable {
    message_bytes_ -= bytes;
    core.OnMessages(sender, std::move(messages));
  });
}

Status ReplicaImpl::OnCaller(const transport::Identity& caller) {
  RETURN_IF_ERROR(callers_->Admit(caller, clock_->SteadyNow()));
  Post([member = caller.member, build = caller.engine.build](ReplicaCore& core) {
    core.OnCaller(member, build);
  });
  return OkStatus();
}

void ReplicaImpl::OnUnreachable(GroupId group, MemberId member) {
  if (group != options_.group) return;
  Post([member](ReplicaCore& core) { core.OnUnreachable(member); });
}

void ReplicaImpl::OnPeerGone(GroupId group, MemberId member) {
  if (group != options_.group) return;
  Post([member](ReplicaCore& core) { core.OnPeerGone(member); });
}

transport::ProbeReply ReplicaImpl::OnProbe() {
  MutexLock lock(published_mutex_);
  return published_probe_;
}

void ReplicaImpl::OnJoin(const transport::JoinRequest& request,
                         std::function<void(Result<transport::JoinReply>)> reply) {
  if (!Post([=](ReplicaCore& core) { core.Join(request, reply); })) {
    reply(Unavailable("the node is shutting down"));
  }
}

bool ReplicaImpl::OnSnapshotOffered(GroupId group, MemberId /*from*/,
                                    const raft::SnapshotMeta& meta) {
  return group == options_.group && !shut_down_ && !installing_ && !handing_over_ && !is_leader_ &&
         meta.index.value() >= snapshot_min_;
}

// The file is checked before the core hears of it: a core that has begun cannot go back.
Status ReplicaImpl::OnSnapshotReceived(GroupId /*group*/, MemberId from,
                                       const raft::SnapshotMeta& meta, const std::string& path,
                                       const std::function<bool()>& proceed) {
  Status status = state_->CheckSnapshot(path, meta, proceed);
  if (status.ok()) {
    // Until the core has the file no other one is received. The same snapshot would be the same
    // file, and would take the file away if its sender left.
    handing_over_ = true;
    const bool posted = Post([=, this](ReplicaCore& core) {
      core.OnSnapshotReceived(from, meta, path);
      installing_ = core.installing();
      handing_over_ = false;
    });
    if (posted) return OkStatus();
    status = Unavailable("the node is shutting down");
  }
  if (Status removed = fs_->Remove(path); !removed.ok()) LOG_WARN("{}", removed.message());
  return status;
}

// ---- To the transport

void ReplicaImpl::Probe(const std::string& address,
                        std::function<void(Result<transport::ProbeReply>)> done) {
  transport_->Probe(address, kProbeTimeout,
                    [events = events_, done](Result<transport::ProbeReply> reply) {
                      events->Push([done, reply = std::move(reply)](ReplicaCore&) { done(reply); });
                    });
}

void ReplicaImpl::Join(const std::string& address, const transport::JoinRequest& request,
                       std::function<void(Result<transport::JoinReply>)> done) {
  transport_->Join(address, request, kJoinTimeout,
                   [events = events_, done](Result<transport::JoinReply> reply) {
                     events->Push([done, reply = std::move(reply)](ReplicaCore&) { done(reply); });
                   });
}

void ReplicaImpl::OnDurable(std::vector<raft::Message> send,
                            std::vector<raft::AppendTicket> tickets) {
  if (!send.empty()) transport_->Send(options_.group, std::move(send));
  PostNews([ticket = tickets.back()](ReplicaCore& core) { core.OnPersisted(ticket); },
           awaits_persisted_);
}

}  // namespace cairn::node
