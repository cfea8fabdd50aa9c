#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raft/core_impl.h"

namespace cairn::raft {

// ---- Leader -------------------------------------------------------------------------------------

void RaftCore::Impl::SendSnapshotTo(MemberId id, Peer& peer) {
  if (peer.progress.state() == Progress::State::kSnapshot) return;
  peer.progress.BecomeSnapshot();
  const LogIndex index_min = std::max(log_.snapshot_index(), peer.fitness.snapshot_min);
  out_.send_snapshots.push_back({id, term_, index_min});
  if (!peer.fitness.snapshot_min.is_none()) return;
  // What this log has lost, the follower may hold all the same: by a snapshot of a leader before,
  // and the word of that was lost. It would refuse each one from here, and nothing else would ever
  // be sent. Where this log begins it says how far it is; one that is behind refuses that.
  const LogIndex begin = log_.snapshot_index();
  SendNow(id, AppendRequest{begin, *log_.TermAt(begin), commit_, {}});
}

void RaftCore::Impl::On(SnapshotSent sent) {
  Leader* leader = leader_role();
  if (leader == nullptr) return;
  auto it = leader->peers.find(sent.peer);
  if (it == leader->peers.end()) return;
  it->second.progress.OnSnapshotSent(sent.ok ? sent.index : LogIndex());
}

void RaftCore::Impl::On(Compact compact) {
  log_.Compact(std::min(compact.index, applied_));
  // Not sooner: the state machine may be taken back as far as here (Restored).
  configs_.Prune(log_.snapshot_index());
}

// ---- Follower -----------------------------------------------------------------------------------

bool RaftCore::Impl::CoveredByLog(const SnapshotMeta& meta) {
  if (meta.index <= commit_) return true;
  if (!log_.Matches(meta.index, meta.term)) return false;
  // What a snapshot stands for is committed, and this log holds it.
  CommitTo(meta.index);
  return true;
}

void RaftCore::Impl::Handle(const Message& m, const SnapshotOffer& offer) {
  OnLeaderHeard(m.from);
  if (CoveredByLog(offer.meta)) {
    SendAfter(m.from, AppendReply{true, commit_, LogIndex(), Term()});
    return;
  }
  installing_ = InstallSnapshot{m.from, offer.meta};
  out_.install_snapshot = installing_;
}

void RaftCore::Impl::On(SnapshotFailed) { installing_.reset(); }

void RaftCore::Impl::On(const SnapshotReady& ready) {
  installing_.reset();
  // A leader's log holds all that is committed, and so all that a snapshot could bring.
  if (leader_role() != nullptr) return;
  // The copy may have been made after its sender had given leadership up and had applied what the
  // next leader committed, and it may come before any word of that term does.
  if (ready.meta.term > term_) BecomeFollower(ready.meta.term, MemberId());
  // A candidate counts by the configuration it campaigned in, which may change here.
  if (role() != Role::kFollower) BecomeFollower(term_, MemberId());
  if (!CoveredByLog(ready.meta)) ResetToSnapshot(ready.meta);
  if (!leader_.is_none()) SendAfter(leader_, AppendReply{true, commit_, LogIndex(), Term()});
}

void RaftCore::Impl::On(const Restored& restored) {
  const SnapshotMeta& meta = restored.meta;
  CHECK(meta.index >= log_.snapshot_index())
      << "the state machine was restored at " << meta.index.value() << ", before the log begins";
  // What it stands for is committed, also where this node has not heard of that term yet.
  if (meta.term > term_) BecomeFollower(meta.term, MemberId());
  if (CoveredByLog(meta)) {
    handed_ = applied_ = meta.index;
    DropApplying();
    return;
  }
  // Even the leader of an earlier term: what it lacks was committed without it.
  if (role() != Role::kFollower) BecomeFollower(term_, MemberId());
  ResetToSnapshot(meta);
}

void RaftCore::Impl::DropApplying() {
  applying_.Clear();
  fetched_.clear();
  apply_fetch_id_ = 0;
}

void RaftCore::Impl::ResetToSnapshot(const SnapshotMeta& meta) {
  CHECK(meta.term <= term_ && meta.config_index <= meta.index);
  CHECK(log_.Restore(meta.index, meta.term));
  configs_.Reset(meta.config_index, meta.config);
  commit_ = handed_ = applied_ = meta.index;
  commit_heard_in_ = term_;
  // Entries on their way to the state machine are part of the snapshot.
  DropApplying();
  reset_to_ = meta;
}

}  // namespace cairn::raft
