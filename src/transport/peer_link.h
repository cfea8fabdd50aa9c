// PeerLink: keeps open the outgoing message stream to one member.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "transport/peer_protocol.h"
#include "transport/transport_context.h"

namespace cairn::transport {

// Thread-safe. One write is in flight at a time; messages queued meanwhile go into the next write.
// When the stream breaks, the queue is dropped (Raft sends again, and its new messages are
// fresher), the handler is told, and the stream is opened again after a short, bounded backoff.
class PeerLink : public std::enable_shared_from_this<PeerLink> {
 public:
  PeerLink(std::shared_ptr<TransportContext> context, Identity self, MemberId member, Peer peer,
           size_t queue_bytes_max);

  // Starts connecting. Call Open once.
  void Open();
  // Ends the stream for good. Callbacks may still run until context->live counts the stream out.
  void Close();
  // Queues the messages that fit, in order, and drops the rest.
  void Send(GroupId group, std::vector<raft::Message> messages);

  // Sets the addresses at which the member is sought from now on. Returns false if another link must
  // replace this one: the member is likelier at another address than at this link's, or is another
  // node.
  bool Follow(const Peer& peer);
  // Ends the stream, to be opened anew, if the member's certificate is not good any more.
  void Recheck();
  // The address where the member was last reached, or where the link looks for it.
  std::string address() const;
  uint64_t node_id() const { return node_id_; }
  // Whether the member has accepted the stream, and it is not broken.
  bool connected() const {
    const MutexLock lock(mutex_);
    return IsAccepted();
  }

 private:
  class Stream;
  struct Queued {
    GroupId group;
    raft::Message message;
    size_t cost = 0;
  };

  // Takes the messages of the next write: messages of one group, up to a bound in bytes.
  std::pair<GroupId, std::vector<raft::Message>> TakeBatch() CAIRN_REQUIRES(mutex_);
  static void Encode(const std::pair<GroupId, std::vector<raft::Message>>& batch,
                     pb::MessagesRequest* request);
  bool IsAccepted() const CAIRN_REQUIRES(mutex_);
  void OnAccepted(Stream* stream);
  void OnRead(Stream* stream, bool ok);
  void OnWritten(Stream* stream, bool ok);
  void OnDone(Stream* stream, const Status& status);
  // Returns what to log about an ended stream. Empty means nothing new.
  std::string NewsOf(const Status& status, bool broke) CAIRN_REQUIRES(mutex_);
  SteadyTime NextDelay(const Status& status, bool lasted) CAIRN_REQUIRES(mutex_);

  const std::shared_ptr<TransportContext> context_;
  const Identity self_;
  const MemberId peer_;
  const uint64_t node_id_;  // as in Peer
  const size_t queue_bytes_max_;

  mutable Mutex mutex_;                           // never held while gRPC or the handler is called
  Addresses addresses_ CAIRN_GUARDED_BY(mutex_);  // not empty
  size_t next_address_ CAIRN_GUARDED_BY(mutex_) = 0;  // of the present or the next attempt
  std::string reached_at_
      CAIRN_GUARDED_BY(mutex_);  // where a stream was last accepted; empty: never
  std::deque<Queued> queue_ CAIRN_GUARDED_BY(mutex_);
  size_t queue_bytes_ CAIRN_GUARDED_BY(mutex_) = 0;
  std::set<GroupId> groups_ CAIRN_GUARDED_BY(mutex_);  // groups that sent; told of a break
  std::shared_ptr<Stream> stream_ CAIRN_GUARDED_BY(mutex_);
  bool closed_ CAIRN_GUARDED_BY(mutex_) = false;
  int failures_ CAIRN_GUARDED_BY(mutex_) = 0;  // consecutive failures
  bool down_logged_ CAIRN_GUARDED_BY(mutex_) = false;
  std::string refusal_logged_ CAIRN_GUARDED_BY(mutex_);
  SteadyTime last_report_ CAIRN_GUARDED_BY(mutex_){0};
};

}  // namespace cairn::transport
