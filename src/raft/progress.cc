#include "raft/progress.h"

#include <algorithm>

namespace cairn::raft {

bool Progress::Paused(const Options& options) const {
  switch (state_) {
    case State::kProbe: return probe_sent_;
    case State::kReplicate:
      return inflight_.count() >= options.inflight_messages_max ||
             inflight_.bytes() >= options.inflight_bytes_max;
    case State::kSnapshot: return true;
  }
  return true;
}

void Progress::OnSent(LogIndex last, size_t entries, size_t bytes) {
  if (state_ == State::kProbe) {
    probe_sent_ = true;
    return;
  }
  if (entries == 0) return;
  next_ = last + 1;
  inflight_.Add(last, bytes);
}

bool Progress::OnAck(LogIndex index, LogIndex first) {
  // An acknowledgement at `match` is news to a probe that asked exactly there.
  if (index < match_ || (index == match_ && state_ != State::kProbe)) return false;
  match_ = index;
  inflight_.ReleaseUpTo(index);
  next_ = std::max(next_, match_ + 1);
  if (state_ == State::kProbe || (state_ == State::kSnapshot && match_ + 1 >= first)) {
    state_ = State::kReplicate;
    next_ = match_ + 1;
    inflight_.Clear();
  }
  return true;
}

bool Progress::OnReject(LogIndex prev, LogIndex retry) {
  if (state_ == State::kSnapshot) return false;
  if (state_ == State::kReplicate) {
    if (prev <= match_) return false;
    BecomeProbe(match_ + 1, /*wait=*/false);
    return true;
  }
  if (prev + 1 != next_) return false;
  BecomeProbe(std::max(std::min(prev, retry), match_ + 1), /*wait=*/false);
  return true;
}

void Progress::OnUnreachable() {
  if (state_ == State::kProbe) return;
  BecomeProbe(match_ + 1, /*wait=*/true);
}

void Progress::BecomeSnapshot() {
  state_ = State::kSnapshot;
  inflight_.Clear();
}

void Progress::OnSnapshotSent(LogIndex index) {
  if (state_ != State::kSnapshot) return;
  BecomeProbe(std::max(match_, index) + 1, /*wait=*/true);
}

void Progress::BecomeProbe(LogIndex next, bool wait) {
  state_ = State::kProbe;
  next_ = next;
  probe_sent_ = wait;
  inflight_.Clear();
}

}  // namespace cairn::raft
