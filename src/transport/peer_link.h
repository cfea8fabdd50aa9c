// PeerLink: the outgoing message stream to one member, kept open.
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

// Thread-safe. One write is in flight at a time; what is queued meanwhile goes into the next. When
// the stream breaks, what is queued is dropped (Raft sends again, and what it sends then is
// fresher), the handler is told, and the stream is opened again after a short, bounded backoff.
class PeerLink : public std::enable_shared_from_this<PeerLink> {
 public:
  PeerLink(std::shared_ptr<TransportContext> context, Identity self, MemberId peer,
           Addresses addresses, size_t queue_bytes_max);

  // Starts connecting. Call once.
  void Open();
  // Ends the stream for good. Callbacks may still run until context->live has counted it out.
  void Close();
  // Queues what fits, in order; drops the rest.
  void Send(GroupId group, std::vector<raft::Message> messages);

  // Where to look for the member from now on. False: it is likelier elsewhere than where this link
  // has it, and another link must take its place.
  bool Follow(const Addresses& addresses);
  // Where the member was reached last, or is looked for.
  std::string address() const;

 private:
  class Stream;
  struct Queued {
    GroupId group;
    raft::Message message;
    size_t cost = 0;
  };

  // What goes into the next write: messages of one group, up to a bound in bytes.
  std::pair<GroupId, std::vector<raft::Message>> TakeBatch() CAIRN_REQUIRES(mutex_);
  static void Encode(const std::pair<GroupId, std::vector<raft::Message>>& batch,
                     pb::MessagesRequest* request);
  void OnAccepted(Stream* stream);
  void OnRead(Stream* stream, bool ok);
  void OnWritten(Stream* stream, bool ok);
  void OnDone(Stream* stream, const Status& status);
  // What the log should say of an ended stream; empty: nothing new.
  std::string NewsOf(const Status& status, bool broke) CAIRN_REQUIRES(mutex_);
  SteadyTime NextDelay(const Status& status, bool lasted) CAIRN_REQUIRES(mutex_);

  const std::shared_ptr<TransportContext> context_;
  const Identity self_;
  const MemberId peer_;
  const size_t queue_bytes_max_;

  mutable Mutex mutex_;                           // never held while gRPC or the handler is called
  Addresses addresses_ CAIRN_GUARDED_BY(mutex_);  // not empty
  size_t next_address_ CAIRN_GUARDED_BY(mutex_) = 0;  // of the attempt under way, or the next
  std::string reached_at_
      CAIRN_GUARDED_BY(mutex_);  // where a stream was accepted last; empty: never
  std::deque<Queued> queue_ CAIRN_GUARDED_BY(mutex_);
  size_t queue_bytes_ CAIRN_GUARDED_BY(mutex_) = 0;
  std::set<GroupId> groups_ CAIRN_GUARDED_BY(mutex_);  // that have sent; told of a break
  std::shared_ptr<Stream> stream_ CAIRN_GUARDED_BY(mutex_);
  bool closed_ CAIRN_GUARDED_BY(mutex_) = false;
  int failures_ CAIRN_GUARDED_BY(mutex_) = 0;  // in a row
  bool down_logged_ CAIRN_GUARDED_BY(mutex_) = false;
  std::string refusal_logged_ CAIRN_GUARDED_BY(mutex_);
  SteadyTime last_report_ CAIRN_GUARDED_BY(mutex_){0};
};

}  // namespace cairn::transport
