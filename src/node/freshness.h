// Freshness: how old what this node holds may be, by proof and not by hope.
//
// Heartbeats and their replies carry two stamps: when the sender sent it, and the newest stamp of
// the receiver that the sender had got. So whoever gets a message knows a time of its own clock
// after which the sender had sent it, however long the message waited in a socket since.
//
//   A leader is fresh as of the time T for which a majority has answered, in this term, what the
//   leader had sent at T or later. Each of them was in this term after T, so nobody was elected in
//   a later term before T, and nothing was committed before T that this leader does not know.
//   A heartbeat tells the leader's age A (the time since T) at its sending, and the leader's commit
//   index C. A follower that gets it, as the answer to a question of its own of the time Q, is fresh
//   as of Q - A once it has applied C.
//
// The bad schedule that this prevents: the machine of a leader is stopped for five seconds. Others
// elect a leader and write. When the first goes on, the replies that have waited in its socket
// would count as heard now, and it would call a value fresh that was replaced four seconds ago.
//
// The times are of a clock that goes on while the machine is suspended. This part owns the stamps
// and what follows from them, and fills in those of messages that leave. It calls nobody. The proof
// in full: docs/decisions/013-staleness.md.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "node/replica_context.h"
#include "raft/types.h"

namespace cairn::node {

// One owner (the core thread).
class Freshness {
 public:
  // `life` tells the stamps of this process from those of another: drawn anew at each start, not 0.
  Freshness(ReplicaContext* context, uint64_t life) : context_(*context), life_(life) {}

  // Fills in the timing of heartbeats and their replies, which leave now.
  void Stamp(std::vector<raft::Message>* messages);
  // Before the Raft core takes the message. One of a term that it does not know yet is ignored.
  void OnMessage(const raft::Message& message);
  void OnTick();
  void OnApplied(LogIndex applied);
  // The state was replaced or reopened, and may be older than it was.
  void OnStateReplaced(LogIndex applied);

  // What this node has applied holds all that anybody could know to be committed so long ago.
  // None: it has never known.
  std::optional<SteadyTime> Age();

 private:
  struct Peer {
    raft::Stamp sent;        // the newest that it has sent in this term
    SteadyTime answered{0};  // it was in this term after that time of this node's clock
  };
  // Once `index` is applied, this node is fresh as of that time.
  struct Point {
    LogIndex index;
    SteadyTime as_of;
  };

  SteadyTime now() const;
  // The peer, if the message is of the present term.
  Peer* PeerIn(MemberId member, Term term);
  // Gives when this node asked what the message answers.
  std::optional<SteadyTime> NoteTiming(Peer* peer, const raft::Timing& timing);
  // A leader: the latest time that a majority has answered for; none: it can not tell.
  std::optional<SteadyTime> QuorumAsOf(SteadyTime now) const;
  void OnHeartbeat(Peer* peer, const raft::Heartbeat& heartbeat);
  void Add(Point point);
  void Settle();

  const ReplicaContext& context_;
  const uint64_t life_;
  Term term_;  // that peers_ is of
  std::map<MemberId, Peer> peers_;
  LogIndex applied_;
  std::optional<SteadyTime> as_of_;  // by what is applied
  // In the order of both index and time; their indexes are not applied yet.
  std::deque<Point> points_;
};

}  // namespace cairn::node
