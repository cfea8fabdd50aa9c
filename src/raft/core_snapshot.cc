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
  // The follower may hold the entries that this log no longer holds: it may have installed a
  // previous leader's snapshot, and its report of that was lost. It would then refuse every
  // snapshot from this leader, and the leader would never send it anything else. An empty append at
  // the beginning of this log makes such a follower report how far its log reaches; a follower that
  // is behind refuses the append.
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
  // Configurations are not pruned sooner, because the owner may take the state machine back as far
  // as the snapshot index (Restored).
  configs_.Prune(log_.snapshot_index());
}

// ---- Follower -----------------------------------------------------------------------------------

bool RaftCore::Impl::CoveredByLog(const SnapshotMeta& meta) {
  if (meta.index <= commit_) return true;
  if (!log_.Matches(meta.index, meta.term)) return false;
  // The entries that a snapshot stands for are committed, and this log holds them.
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
  // A leader's log holds every committed entry, and so everything that a snapshot could bring.
  if (leader_role() != nullptr) return;
  // The sender may have made the snapshot after it had lost leadership and had applied entries that
  // the next leader committed; and the snapshot may arrive before any message of that next term.
  if (ready.meta.term > term_) BecomeFollower(ready.meta.term, MemberId());
  // A candidate counts votes by the configuration it campaigned in, and the snapshot may change
  // that configuration.
  if (role() != Role::kFollower) BecomeFollower(term_, MemberId());
  if (!CoveredByLog(ready.meta)) ResetToSnapshot(ready.meta);
  if (!leader_.is_none()) SendAfter(leader_, AppendReply{true, commit_, LogIndex(), Term()});
}

void RaftCore::Impl::On(const Restored& restored) {
  const SnapshotMeta& meta = restored.meta;
  CHECK(meta.index >= log_.snapshot_index())
      << "the state machine was restored at " << meta.index.value() << ", before the log begins";
  // The entries that `meta` stands for are committed, even if this node has not heard of their term
  // yet.
  if (meta.term > term_) BecomeFollower(meta.term, MemberId());
  if (CoveredByLog(meta)) {
    handed_ = applied_ = meta.index;
    DropApplying();
    return;
  }
  // Even the leader of an earlier term steps down: the entries that it lacks were committed without
  // it.
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
  // The snapshot already contains the entries that are on their way to the state machine.
  DropApplying();
  reset_to_ = meta;
}

}  // namespace cairn::raft
