#include <utility>

#include "raft/core_impl.h"

namespace cairn::raft {
namespace {

// How many rounds of heartbeats (on a leader) and requests (on a follower) may be in progress at
// once. With one, a barrier that just missed a round waits up to two round trips. With many, each
// barrier would have its own round and barriers would not share rounds.
constexpr size_t kReadRoundsMax = 2;
constexpr size_t kReadRequestsMax = 2;

}  // namespace

void RaftCore::Impl::On(ReadBarrier barrier) {
  Leader* leader = leader_role();
  if ((leader != nullptr ? leader->readers : reads_.count) >= options_.pending_reads_max) {
    Drop(barrier.id, DropReason::kTooManyReads,
         std::to_string(options_.pending_reads_max) + " reads wait already; try again later");
    return;
  }
  if (leader != nullptr) {
    AddReader(*leader, {MemberId(), barrier.id});
  } else {
    reads_.unsent.push_back(barrier.id);
    ++reads_.count;
  }
}

// ---- Leader (6.4) -------------------------------------------------------------------------------

void RaftCore::Impl::AddReader(Leader& leader, Reader reader) {
  leader.read_queue.push_back(reader);
  ++leader.readers;
}

// Runs when an output is made, so that all barriers that came in between share a round. A round's
// number is the leader's own and is never used twice in a term. The bad schedule if the number were
// the asker's: the delayed acknowledgement of an earlier request with the same number confirms a
// later request, after another leader was elected.
void RaftCore::Impl::StartReadRounds(Leader& leader) {
  // Before an entry of its own term is committed, a leader does not know which entries are
  // committed (6.4).
  if (leader.read_queue.empty()) return;
  if (!IsReady(leader)) return;
  if (leader.read_rounds.size() >= kReadRoundsMax) return;
  ReadRound round{++leader.last_read_id, commit_, {}};
  round.readers.assign(leader.read_queue.begin(), leader.read_queue.end());
  leader.read_queue.clear();
  leader.read_rounds.push_back(std::move(round));
  AskForRound(leader);
  // A single voter has no other voter to ask.
  FinishReadRounds(leader);
}

// If this leader and one other voter are a majority, the leader asks only the witness: the voter
// that confirmed the previous round first. The other voters' replies would arrive too late to
// matter, and would cost each of them and this leader a message. A witness that falls silent costs
// one heartbeat interval: the leader then asks all voters, and the first voter that confirms
// becomes the next witness.
void RaftCore::Impl::AskForRound(Leader& leader) {
  const bool one_is_enough = !leader.read_witness.is_none() && IsQuorumWith(leader.read_witness);
  for (auto& [id, peer] : leader.peers) {
    if (!config().IsVoter(id) || (one_is_enough && id != leader.read_witness)) continue;
    SendHeartbeat(leader, id, peer);
  }
}

// The leader also sends the commit index, because the follower must know the commit index before it
// can serve the reads.
void RaftCore::Impl::GrantTo(Leader& leader, MemberId to, uint64_t context, LogIndex index) {
  const auto it = leader.peers.find(to);
  if (it != leader.peers.end() && CommitUntold(it->second)) SendHeartbeat(leader, to, it->second);
  SendNow(to, ReadIndexReply{context, true, index});
}

void RaftCore::Impl::FinishReadRounds(Leader& leader) {
  const ReadId confirmed = QuorumReached<ReadId>(config(), [&](MemberId id) {
    if (IsSelf(id)) return leader.last_read_id;
    auto it = leader.peers.find(id);
    return it == leader.peers.end() ? ReadId() : it->second.read_acked;
  });
  while (!leader.read_rounds.empty() && leader.read_rounds.front().id <= confirmed) {
    const ReadRound& round = leader.read_rounds.front();
    for (const Reader& reader : round.readers) {
      if (reader.from.is_none()) {
        out_.reads.push_back({reader.id, round.index});
      } else {
        GrantTo(leader, reader.from, reader.id, round.index);
      }
    }
    leader.readers -= round.readers.size();
    leader.read_rounds.pop_front();
  }
}

void RaftCore::Impl::FailReads(Leader& leader) {
  const auto fail = [this](const Reader& reader) {
    if (reader.from.is_none()) {
      Drop(reader.id, DropReason::kLeadershipLost,
           "leadership was lost before the read was confirmed; try again");
    } else {
      SendNow(reader.from, ReadIndexReply{reader.id, false, LogIndex()});
    }
  };
  for (const ReadRound& round : leader.read_rounds) {
    for (const Reader& reader : round.readers) fail(reader);
  }
  for (const Reader& reader : leader.read_queue) fail(reader);
}

// Barriers that waited on this node for another leader become this leader's own barriers.
void RaftCore::Impl::AdoptOwnReads(Leader& leader) {
  for (const auto& [context, ids] : reads_.asked) {
    for (uint64_t id : ids) AddReader(leader, {MemberId(), id});
  }
  for (uint64_t id : reads_.unsent) AddReader(leader, {MemberId(), id});
  reads_.asked.clear();
  reads_.unsent.clear();
  reads_.count = 0;
}

// True if this leader and `other` are a majority by themselves.
bool RaftCore::Impl::IsQuorumWith(MemberId other) const {
  return QuorumReached<ReadId>(config(), [&](MemberId id) {
           return IsSelf(id) || id == other ? ReadId(1) : ReadId();
         }) == ReadId(1);
}

void RaftCore::Impl::Handle(const Message& m, const ReadIndexRequest& request) {
  Leader* leader = leader_role();
  if (leader == nullptr || leader->readers >= options_.pending_reads_max) {
    SendNow(m.from, ReadIndexReply{request.context, false, LogIndex()});
    return;
  }
  // The request is itself an acknowledgement. Its sender sent it in this term, after all the reads
  // that it stands for had been asked. So the sender had not voted in a later term by then, and
  // neither had this leader: no other leader can have committed anything before the reads were
  // asked. The request counts for its own reads only, because it may have been in transit since
  // long before other reads were asked.
  if (IsReady(*leader) && IsQuorumWith(m.from)) {
    GrantTo(*leader, m.from, request.context, commit_);
    return;
  }
  AddReader(*leader, {m.from, request.context});
}

// ---- Follower -----------------------------------------------------------------------------------

void RaftCore::Impl::SendReadRequest(uint64_t context) {
  SendNow(leader_, ReadIndexRequest{context});
}

// Runs when an output is made.
void RaftCore::Impl::AskForReads() {
  if (reads_.count == 0 || leader_.is_none()) return;
  if (leader_ != reads_.asked_leader || term_ != reads_.asked_term) {
    reads_.asked_leader = leader_;
    reads_.asked_term = term_;
    reads_.elapsed = 0;
    for (const auto& [context, ids] : reads_.asked) SendReadRequest(context);
  }
  if (reads_.unsent.empty() || reads_.asked.size() >= kReadRequestsMax) return;
  if (reads_.asked.empty()) reads_.elapsed = 0;
  const uint64_t context = ++reads_.last_context;
  reads_.asked.emplace(context, std::exchange(reads_.unsent, {}));
  SendReadRequest(context);
}

void RaftCore::Impl::TickReads() {
  if (reads_.asked.empty() || leader_.is_none()) return;
  if (++reads_.elapsed < options_.heartbeat_ticks) return;
  dirty_ = true;
  reads_.elapsed = 0;
  for (const auto& [context, ids] : reads_.asked) SendReadRequest(context);
}

// A reply is valid whenever it arrives: all barriers of a context existed before the first request
// with that context left, and the leader fixed the index after that. After a refusal the follower
// waits for the next tick that sends the request again. The owner decides how long a reader waits.
void RaftCore::Impl::Handle(const Message&, const ReadIndexReply& reply) {
  if (!reply.ok) return;
  auto it = reads_.asked.find(reply.context);
  if (it == reads_.asked.end()) return;
  for (uint64_t id : it->second) out_.reads.push_back({id, reply.index});
  reads_.count -= it->second.size();
  reads_.asked.erase(it);
}

}  // namespace cairn::raft
