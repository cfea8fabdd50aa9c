#include "sim/network.h"

#include <algorithm>

#include "base/crc32c.h"
#include "transport/identity_check.h"
#include "transport/message_codec.h"

namespace cairn::sim {

// A snapshot in transit: the sender reads and the receiver writes, chunk by chunk.
struct Network::Transfer {
  uint64_t from = 0;
  uint64_t from_incarnation = 0;
  uint64_t to = 0;
  uint64_t to_incarnation = 0;  // 0: not begun
  GroupId group;
  MemberId from_member;
  MemberId to_member;
  std::shared_ptr<const transport::Identity> sender;
  uint32_t version = 0;
  std::shared_ptr<transport::SnapshotSource> source;
  std::unique_ptr<transport::IncomingSnapshot> incoming;
  std::function<void(Status)> done;
};

Network::Network(World* world, NetworkOptions options)
    : world_(world), options_(options), rng_(world->Fork("network")) {}

void Network::Attach(uint64_t node, const std::string& address, Endpoint* endpoint) {
  attached_[node] = Attached{next_incarnation_++, address, endpoint, {}, {}};
}

void Network::Detach(uint64_t node) {
  if (const auto gone = attached_.find(node); gone != attached_.end()) {
    for (auto& [other, attached] : attached_) {
      // The connections of the process end with it, where the network delivers that news.
      const auto caller = attached.callers.extract(gone->second.incarnation);
      if (!caller.empty() && !cut(node, other)) attached.endpoint->OnCallerLeft(caller.mapped());
    }
    attached_.erase(gone);
  }
  for (const std::shared_ptr<Transfer>& transfer : transfers_) {
    if (transfer->from == node) transfer->source.reset();
    if (transfer->to == node) transfer->incoming.reset();
  }
}

Network::Attached* Network::Find(uint64_t node, uint64_t incarnation) {
  const auto it = attached_.find(node);
  return it == attached_.end() || it->second.incarnation != incarnation ? nullptr : &it->second;
}

uint64_t Network::NodeAt(const std::string& address) const {
  for (const auto& [node, attached] : attached_) {
    if (attached.address == address) return node;
  }
  return 0;
}

uint64_t Network::NodeOf(const Attached& from, MemberId member,
                         const transport::Addresses& addresses) const {
  uint64_t there = 0;
  for (const std::string& address : addresses) {
    const uint64_t node = NodeAt(address);
    if (node == 0) continue;
    const std::shared_ptr<const transport::Identity> identity =
        attached_.at(node).endpoint->identity();
    if (identity->member == member && from.endpoint->OnReached(member, identity->start.boot)) {
      return node;
    }
    if (there == 0) there = node;
  }
  return there;
}

// ---- Faults

void Network::SetCut(uint64_t from, uint64_t to, bool cut) { link(from, to).cut = cut; }

void Network::Clog(uint64_t from, uint64_t to, SteadyTime until) {
  link(from, to).clogged_until = until;
}

void Network::HealAll() {
  loss = duplicate = reorder = slow = chunk_reset = chunk_flip = 0;
  for (auto& [ends, link] : links_) {
    link.cut = false;
    link.lag = SteadyTime(0);
    link.clogged_until = std::min(link.clogged_until, world_->now());
  }
}

bool Network::cut(uint64_t from, uint64_t to) const {
  const auto it = links_.find({from, to});
  return it != links_.end() && it->second.cut;
}

bool Network::Passes(uint64_t from, uint64_t to) {
  if (link(from, to).cut) return false;
  return loss == 0 || !Chance(rng_, loss);
}

SteadyTime Network::Delay(uint64_t from, uint64_t to) {
  SteadyTime delay = options_.delay_min + Exponential(rng_, options_.delay_mean);
  if (slow > 0 && Chance(rng_, slow)) delay *= 100;
  const Link& way = link(from, to);
  return std::max(delay + way.lag, way.clogged_until - world_->now());
}

// ---- Messages

void Network::Send(uint64_t from, GroupId group, const transport::Peers& peers,
                   const std::vector<raft::Message>& messages) {
  for (const raft::Message& message : messages) {
    const auto peer = peers.find(message.to);
    if (peer == peers.end()) continue;
    const uint64_t to = NodeOf(attached_.at(from), message.to, peer->second.addresses);
    if (to == 0) {
      TellUnreachable(from, attached_.at(from).incarnation, group, message.to);
      // A host without the process refuses; a host without power does not answer.
      if (Chance(rng_, 0.5)) {
        attached_.at(from).endpoint->OnPeerGone(message.to);
      }
      continue;
    }
    SendOne(from, group, to, message);
  }
}

void Network::SendOne(uint64_t from, GroupId group, uint64_t to, const raft::Message& message) {
  ++counts_.messages;
  const Attached& sender = attached_.at(from);
  if (!Passes(from, to)) {
    ++counts_.lost;
    if (link(from, to).cut) TellUnreachable(from, sender.incarnation, group, message.to);
    return;
  }
  std::string bytes;
  transport::EncodeMessage(message, &bytes);
  Link& way = link(from, to);
  if (way.bytes + bytes.size() > options_.link_bytes_max) {
    ++counts_.lost;
    return;
  }
  world_->Trace(Crc32c(bytes));
  const int copies = duplicate > 0 && Chance(rng_, duplicate) ? 2 : 1;
  if (copies == 2) ++counts_.duplicated;
  for (int copy = 0; copy < copies; ++copy) {
    SteadyTime arrival = world_->now() + Delay(from, to);
    const bool in_line = copy == 0 && !(reorder > 0 && Chance(rng_, reorder));
    if (in_line) {
      arrival = std::max(arrival, way.last_arrival);
      way.last_arrival = arrival;
    } else {
      arrival += Exponential(rng_, 10 * options_.delay_mean);
    }
    way.bytes += bytes.size();
    world_->At(
        arrival, Label(Kind::kMessage, to),
        [this, from, incarnation = sender.incarnation, identity = sender.endpoint->identity(),
         version = sender.endpoint->protocol_version(), group, to,
         bytes] { Deliver(from, incarnation, *identity, version, group, to, bytes); });
  }
}

void Network::Deliver(uint64_t from, uint64_t from_incarnation, const transport::Identity& sender,
                      uint32_t version, GroupId group, uint64_t to, const std::string& bytes) {
  link(from, to).bytes -= bytes.size();
  Result<raft::Message> message = transport::DecodeMessage(bytes);
  if (!message.ok()) {
    return world_->Fail("a message does not decode: " + message.status().ToString());
  }
  const auto target = attached_.find(to);
  const bool reached =
      target != attached_.end() && !cut(from, to) &&
      transport::CheckCaller(version, sender, message->to, *target->second.endpoint->identity(),
                             target->second.endpoint->protocol_version())
          .ok();
  if (!reached) return TellUnreachable(from, from_incarnation, group, message->to);
  Attached* const told = Find(from, from_incarnation);
  Attached& receiver = target->second;
  if (!receiver.callers.contains(from_incarnation)) {
    const Status let_in = receiver.endpoint->OnCaller(sender);
    if (!let_in.ok()) {
      if (told != nullptr) told->endpoint->OnRefused(message->to, let_in);
      return TellUnreachable(from, from_incarnation, group, message->to);
    }
    // A process that ended while this was in transit has no connection any more.
    if (told != nullptr) {
      receiver.callers.emplace(from_incarnation, sender);
    } else {
      receiver.endpoint->OnCallerLeft(sender);
    }
  }
  if (told != nullptr) told->told_unreachable.erase(message->to);
  std::vector<raft::Message> messages;
  messages.push_back(std::move(message).value());
  receiver.endpoint->OnMessages(group, sender.start.boot, std::move(messages));
}

// Reports once, until something gets through again.
void Network::TellUnreachable(uint64_t node, uint64_t incarnation, GroupId group, MemberId member) {
  Attached* sender = Find(node, incarnation);
  if (sender == nullptr || !sender->told_unreachable.emplace(member, true).second) return;
  world_->After(Exponential(rng_, milliseconds(5)), Label(Kind::kCall, node),
                [this, node, incarnation, group, member] {
                  if (Attached* told = Find(node, incarnation)) {
                    told->endpoint->OnUnreachable(group, member);
                  }
                });
}

// ---- Calls

void Network::Probe(uint64_t from, const std::string& address, SteadyTime timeout,
                    const std::function<void(Result<transport::ProbeReply>)>& done) {
  const uint64_t incarnation = attached_.at(from).incarnation;
  const uint32_t version = attached_.at(from).endpoint->protocol_version();
  const auto answer = [this, from, incarnation, done](SteadyTime after,
                                                      const Result<transport::ProbeReply>& reply) {
    world_->After(after, Label(Kind::kCall, from), [this, from, incarnation, done, reply] {
      if (Find(from, incarnation) != nullptr) done(reply);
    });
  };
  const uint64_t to = NodeAt(address);
  if (to == 0) return answer(milliseconds(1), Unavailable("cannot reach " + address));
  if (!Passes(from, to)) return answer(timeout, DeadlineExceeded("no answer from " + address));
  world_->After(
      Delay(from, to), Label(Kind::kCall, to), [this, from, to, version, address, answer, timeout] {
        const auto target = attached_.find(to);
        if (target == attached_.end() || target->second.endpoint->runs_at() > world_->now() ||
            !Passes(to, from)) {
          return answer(timeout, DeadlineExceeded("no answer from " + address));
        }
        const Status same =
            transport::CheckProtocolVersion(version, target->second.endpoint->protocol_version());
        if (!same.ok()) return answer(Delay(to, from), same);
        answer(Delay(to, from), target->second.endpoint->OnProbe());
      });
}

void Network::Join(uint64_t from, const std::string& address, const transport::JoinRequest& request,
                   SteadyTime timeout,
                   const std::function<void(Result<transport::JoinReply>)>& done) {
  const uint64_t incarnation = attached_.at(from).incarnation;
  const uint32_t version = attached_.at(from).endpoint->protocol_version();
  auto answered = std::make_shared<bool>(false);
  const auto answer = [this, from, incarnation, done, answered](
                          SteadyTime after, const Result<transport::JoinReply>& reply) {
    world_->After(after, Label(Kind::kCall, from),
                  [this, from, incarnation, done, answered, reply] {
                    if (Find(from, incarnation) == nullptr || std::exchange(*answered, true))
                      return;
                    done(reply);
                  });
  };
  answer(timeout, DeadlineExceeded("the join was not answered in time"));
  const uint64_t to = NodeAt(address);
  if (to == 0) return answer(milliseconds(1), Unavailable("cannot reach " + address));
  if (!Passes(from, to)) return;
  world_->After(
      Delay(from, to), Label(Kind::kCall, to), [this, from, to, version, request, answer] {
        const auto target = attached_.find(to);
        if (target == attached_.end() || target->second.endpoint->runs_at() > world_->now()) return;
        Status same =
            transport::CheckProtocolVersion(version, target->second.endpoint->protocol_version());
        if (same.ok()) {
          same =
              transport::CheckEngine(request.engine, target->second.endpoint->identity()->engine);
        }
        if (!same.ok()) return answer(Delay(to, from), same);
        target->second.endpoint->OnJoin(
            request, [this, from, to, answer](const Result<transport::JoinReply>& reply) {
              if (Passes(to, from)) answer(Delay(to, from), reply);
            });
      });
}

// ---- Snapshots

void Network::SendSnapshot(uint64_t from, GroupId group, const transport::Peers& peers,
                           MemberId from_member, MemberId to,
                           std::shared_ptr<transport::SnapshotSource> source,
                           std::function<void(Status)> done) {
  const Attached& sender = attached_.at(from);
  auto transfer = std::make_shared<Transfer>();
  transfer->from = from;
  transfer->from_incarnation = sender.incarnation;
  transfer->group = group;
  transfer->from_member = from_member;
  transfer->to_member = to;
  transfer->sender = sender.endpoint->identity();
  transfer->version = sender.endpoint->protocol_version();
  transfer->source = std::move(source);
  transfer->done = std::move(done);
  const auto peer = peers.find(to);
  transfer->to = peer == peers.end() ? 0 : NodeOf(sender, to, peer->second.addresses);
  transfers_.push_back(transfer);
  ++counts_.snapshots_sent;
  world_->After(options_.chunk_time, Label(Kind::kSnapshot, from),
                [this, transfer] { StepTransfer(transfer); });
}

void Network::StepTransfer(const std::shared_ptr<Transfer>& transfer) {
  const bool begun = transfer->to_incarnation != 0;
  const auto found = attached_.find(transfer->to);
  Attached* receiver = found == attached_.end() ? nullptr : &found->second;
  if (begun && receiver != nullptr && receiver->incarnation != transfer->to_incarnation) {
    receiver = nullptr;
  }
  const bool sender_lives = Find(transfer->from, transfer->from_incarnation) != nullptr;
  if (receiver == nullptr || !sender_lives || cut(transfer->from, transfer->to) ||
      cut(transfer->to, transfer->from) || (chunk_reset > 0 && Chance(rng_, chunk_reset))) {
    ++counts_.snapshots_broken;
    if (receiver != nullptr && transfer->incoming != nullptr) {
      (void)transfer->incoming->Suspend();  // the next Open sees what fails here
    }
    return EndTransfer(transfer, Unavailable("the connection broke"));
  }
  const SteadyTime stopped_until = receiver->endpoint->runs_at();
  if (stopped_until > world_->now()) {
    world_->At(std::min<SteadyTime>(stopped_until, world_->now() + seconds(1)),
               Label(Kind::kSnapshot, transfer->to), [this, transfer] { StepTransfer(transfer); });
    return;
  }
  transfer->to_incarnation = receiver->incarnation;
  if (!begun) ++receiving_[receiver->incarnation];
  const Status status = SendChunk(transfer.get(), receiver->endpoint);
  if (!status.ok() || transfer->incoming == nullptr) return EndTransfer(transfer, status);
  const SteadyTime next = options_.chunk_time + Delay(transfer->from, transfer->to);
  world_->After(next, Label(Kind::kSnapshot, transfer->to),
                [this, transfer] { StepTransfer(transfer); });
}

// Begins, sends one chunk, or completes (then `incoming` is null).
Status Network::SendChunk(Transfer* t, Endpoint* receiver) {
  const raft::SnapshotMeta& meta = t->source->meta();
  if (t->incoming == nullptr) {
    RETURN_IF_ERROR(transport::CheckCaller(t->version, *t->sender, t->to_member,
                                           *receiver->identity(), receiver->protocol_version()));
    if (receiving_[t->to_incarnation] > 1) return Aborted("another snapshot is being received");
    if (!receiver->OnSnapshotOffered(t->from_member, meta)) {
      return Aborted("the snapshot is not wanted");
    }
    const transport::SnapshotKey key{
        t->sender->cluster_id,  t->group, meta.index, meta.term, t->source->copy_id(),
        t->source->size_bytes()};
    ASSIGN_OR_RETURN(t->incoming,
                     transport::IncomingSnapshot::Open(receiver->snapshot_files(),
                                                       receiver->snapshot_directory(), key,
                                                       /*free_bytes_min=*/0));
    return OkStatus();
  }
  if (!t->incoming->whole()) {
    const uint64_t left = t->source->size_bytes() - t->incoming->offset();
    const auto size = static_cast<size_t>(std::min<uint64_t>(left, options_.chunk_bytes));
    SummedBytes chunk;
    RETURN_IF_ERROR(t->source->ReadInto(t->incoming->offset(), size, &chunk));
    if (chunk_flip > 0 && Chance(rng_, chunk_flip)) {
      chunk.bytes[rng_.Below(chunk.bytes.size())] ^= static_cast<char>(1U << rng_.Below(8));
    }
    return t->incoming->Append(t->incoming->offset(), chunk.bytes, chunk.crc);
  }
  ASSIGN_OR_RETURN(const uint32_t crc_of_whole, t->source->Crc());
  ASSIGN_OR_RETURN(const std::string path,
                   t->incoming->Complete(crc_of_whole, [] { return true; }));
  t->incoming.reset();
  return receiver->OnSnapshotReceived(t->from_member, meta, path);
}

void Network::EndTransfer(const std::shared_ptr<Transfer>& transfer, Status status) {
  std::erase(transfers_, transfer);
  transfer->incoming.reset();
  if (transfer->to_incarnation != 0 && --receiving_[transfer->to_incarnation] == 0) {
    receiving_.erase(transfer->to_incarnation);
  }
  world_->Trace(static_cast<uint64_t>(status.code()));
  if (Find(transfer->from, transfer->from_incarnation) == nullptr) return;
  transfer->done(std::move(status));
}

}  // namespace cairn::sim
