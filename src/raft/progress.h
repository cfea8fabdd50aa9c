// Progress: what a leader knows of one peer's log, and how much it may send without an answer.
//
//   probe      the matching index is not known: one append at a time, sent again only when a reply
//              or a heartbeat reply comes back.
//   replicate  the log matches up to `match`: appends go out optimistically, bounded by the
//              inflight limits in messages and bytes.
//   snapshot   the peer needs entries that are gone; nothing is sent until the snapshot has been.
#pragma once

#include "base/ids.h"
#include "raft/byte_window.h"
#include "raft/core.h"

namespace cairn::raft {

class Progress {
 public:
  using State = PeerStatus::State;

  // A probe at `next`.
  explicit Progress(LogIndex next) : next_(next) {}

  State state() const { return state_; }
  LogIndex match() const { return match_; }
  LogIndex next() const { return next_; }
  size_t inflight_bytes() const { return inflight_.bytes(); }

  bool Paused(const Options& options) const;

  // An append up to `last` (none if it was empty), with entries of `bytes`, was sent.
  void OnSent(LogIndex last, size_t entries, size_t bytes);
  // The peer holds everything up to `index`. True if that was news: `match` rose or a probe ended.
  // `first` is the first index of the leader's log: a snapshot state ends once the log connects.
  bool OnAck(LogIndex index, LogIndex first);
  // The peer refused `prev`; `retry` is where to try next. False if the refusal is an old one.
  bool OnReject(LogIndex prev, LogIndex retry);
  // The peer answered a heartbeat: what a lost message had paused may go on.
  void OnHeartbeatReply() { probe_sent_ = false; }
  void OnUnreachable();
  void BecomeSnapshot();
  // The snapshot up to `index` was received by the peer (none: it failed). The probe that follows
  // waits for the peer's next sign of life, because installing takes a while.
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
