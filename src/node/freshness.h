// Freshness: how old the state of this node can be at most, by proof and not by hope.
//
// Heartbeats and their replies carry two stamps: when the sender sent the message, and the newest
// stamp of the receiver that the sender had got. So the receiver knows a time of its own clock
// after which the message was sent, however long the message has waited in a socket since.
//
//   A leader is fresh as of the time T if a majority has answered, in this term, what the leader
//   had sent at T or later. Each of these members was in this term after T. So nobody was elected
//   in a later term before T, and nothing that this leader does not know was committed before T.
//   A heartbeat tells the leader's age A (the time since T) at its sending, and the leader's commit
//   index C. A follower that gets the heartbeat as the answer to its own question of the time Q is
//   fresh as of Q - A once the follower has applied C.
//
// The bad schedule that this prevents: the machine of a leader is stopped for five seconds. The
// others elect a leader and write. When the first leader goes on, the replies that have waited in
// its socket would count as heard now. The first leader would call a value fresh that was replaced
// four seconds ago.
//
// The times are of a clock that goes on while the machine is suspended. Freshness owns the stamps
// and what follows from them, and writes the stamps into messages that leave. It calls nobody.
// docs/decisions/013-staleness.md has the whole proof.
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

// Not thread-safe: the core thread owns it.
class Freshness {
 public:
  // `life` tells the stamps of this process from those of another one. It is drawn anew at each
  // start and is not 0.
  Freshness(ReplicaContext* context, uint64_t life) : context_(*context), life_(life) {}

  // Writes the timing into heartbeats and their replies, which leave now.
  void Stamp(std::vector<raft::Message>* messages);
  // Called before the Raft core takes the message. A message of a term that Freshness does not know
  // yet is ignored.
  void OnMessage(const raft::Message& message);
  void OnTick();
  void OnApplied(LogIndex applied);
  // The state was replaced or reopened, and may be older than before.
  void OnStateReplaced(LogIndex applied);

  // What this node has applied includes all that anybody could know to be committed this long ago.
  // None: nothing has been proved yet.
  std::optional<SteadyTime> Age();
  // The same as of the last tick: it may be older than need be.
  std::optional<SteadyTime> age() const;

 private:
  struct Peer {
    raft::Stamp sent;        // the newest stamp that the peer has sent in this term
    SteadyTime answered{0};  // the peer was in this term after that time of this node's clock
  };
  // Once `index` is applied, this node is fresh as of `time`.
  struct Point {
    LogIndex index;
    SteadyTime as_of;
  };

  SteadyTime now() const;
  // The peer, if the message is of the present term.
  Peer* PeerIn(MemberId member, Term term);
  // Returns when this node asked the question that the message answers.
  std::optional<SteadyTime> NoteTiming(Peer* peer, const raft::Timing& timing);
  // Of a leader: the latest time for which a majority has answered. None: there is no such time
  // yet.
  std::optional<SteadyTime> QuorumAsOf(SteadyTime now) const;
  void OnHeartbeat(Peer* peer, const raft::Heartbeat& heartbeat);
  void Add(Point point);
  void Settle();

  const ReplicaContext& context_;
  const uint64_t life_;
  Term term_;  // the term that peers_ belongs to
  std::map<MemberId, Peer> peers_;
  LogIndex applied_;
  std::optional<SteadyTime> as_of_;  // by what is applied
  // Points whose indexes are not applied yet, in the order of both index and time.
  std::deque<Point> points_;
};

}  // namespace cairn::node
