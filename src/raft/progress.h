// Progress: what a leader knows of one peer's log, and how much the leader may send without an
// answer.
//
//   probe      the matching index is not known: the leader sends one append at a time, and sends
//              again only when a reply or a heartbeat reply arrives.
//   replicate  the log matches up to `match`: the leader sends appends optimistically, bounded by
//              the inflight limits in messages and bytes.
//   snapshot   the peer needs entries that the log no longer holds: the leader sends nothing until
//              the snapshot has been sent.
#pragma once

#include "base/ids.h"
#include "raft/byte_window.h"
#include "raft/core.h"

namespace cairn::raft {

class Progress {
 public:
  using State = PeerStatus::State;

  // Starts as a probe at `next`.
  explicit Progress(LogIndex next) : next_(next) {}

  State state() const { return state_; }
  LogIndex match() const { return match_; }
  LogIndex next() const { return next_; }
  size_t inflight_bytes() const { return inflight_.bytes(); }

  bool Paused(const Options& options) const;

  // The leader sent an append up to `last` (none if the append was empty), with entries of `bytes`.
  void OnSent(LogIndex last, size_t entries, size_t bytes);
  // The peer holds everything up to `index`. True if that is news: `match` rose or a probe ended.
  // `first` is the first index of the leader's log: the snapshot state ends once the peer's log
  // connects to the leader's log.
  bool OnAck(LogIndex index, LogIndex first);
  // The peer refused `prev`; `retry` is the next index to try. False if the refusal is stale.
  bool OnReject(LogIndex prev, LogIndex retry);
  // The peer answered a heartbeat: a probe that a lost message paused may continue.
  void OnHeartbeatReply() { probe_sent_ = false; }
  void OnUnreachable();
  void BecomeSnapshot();
  // The peer received the snapshot up to `index` (none: the snapshot failed). The next probe waits
  // for the peer's next reply, because installing a snapshot takes a while.
  void OnSnapshotSent(LogIndex index);

 private:
  void BecomeProbe(LogIndex next, bool wait);

  State state_ = State::kProbe;
  LogIndex match_;
  LogIndex next_;
  bool probe_sent_ = false;
  ByteWindow inflight_;
};

}  // namespace cairn::raft
