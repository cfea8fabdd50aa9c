#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raft/core_impl.h"

namespace cairn::raft {
namespace {

// True if the entries are such as a correct leader sends.
bool WellFormed(const AppendRequest& request, Term term) {
  LogIndex index = request.prev_index;
  Term last_term = request.prev_term;
  for (const Entry& entry : request.entries) {
    if (entry.index != ++index || entry.term < last_term || entry.payload == nullptr) return false;
    last_term = entry.term;
  }
  return last_term <= term;
}

}  // namespace

// ---- Leader -------------------------------------------------------------------------------------

void RaftCore::Impl::AppendAsLeader(EntryType type, Payload payload) {
  Entry entry{term_, log_.last() + 1, type, std::move(payload)};
  if (type == EntryType::kConfig) NoteConfigEntry(entry);
  log_.Append(std::move(entry));
}

void RaftCore::Impl::SendAppends(MemberId id, Peer& peer) {
  if (!peer.fitness.takes_entries) return;
  while (!peer.progress.Paused(options_)) {
    const bool probing = peer.progress.state() == Progress::State::kProbe;
    if (!probing && peer.progress.next() > log_.last()) return;
    if (!SendOneAppend(id, peer)) return;
  }
}

bool RaftCore::Impl::SendOneAppend(MemberId id, Peer& peer) {
  const LogIndex next = peer.progress.next();
  if (!log_.TermAt(next - 1)) {
    SendSnapshotTo(id, peer);
    return false;
  }
  std::vector<Entry> entries;
  if (log_.Cached(next)) {
    entries =
        log_.Slice(next, log_.last() + 1, options_.append_bytes_max, options_.append_entries_max);
  } else if (peer.progress.state() == Progress::State::kReplicate) {
    FetchFor(id, peer);
    return false;
  }
  // A probe needs no entries to find where the logs match, so the leader does not read the disk for
  // a probe.
  SendAppendOf(id, peer, std::move(entries));
  return true;
}

void RaftCore::Impl::SendAppendOf(MemberId id, Peer& peer, std::vector<Entry> entries) {
  const LogIndex prev = peer.progress.next() - 1;
  const LogIndex last = prev + entries.size();
  size_t bytes = 0;
  for (const Entry& entry : entries) bytes += EntryCost(entry);
  if (peer.progress.state() == Progress::State::kReplicate) {
    peer.commit_sent = std::max(peer.commit_sent, std::min(commit_, last));
  }
  peer.progress.OnSent(last, entries.size(), bytes);
  SendNow(id, AppendRequest{prev, *log_.TermAt(prev), commit_, std::move(entries)});
}

void RaftCore::Impl::FetchFor(MemberId, Peer& peer) {
  if (peer.fetch_id != 0) return;
  const LogIndex from = peer.progress.next();
  const LogIndex to = std::min(log_.cache_first(), from + options_.append_entries_max);
  peer.fetch_id = ++last_fetch_id_;
  out_.fetches.push_back({peer.fetch_id, from, to, options_.append_bytes_max});
}

void RaftCore::Impl::SendHeartbeat(const Leader& leader, MemberId id, Peer& peer) {
  // The commit index never passes what this follower is known to hold: the follower may have other
  // entries after that index and would commit them.
  const LogIndex commit = std::min(peer.progress.match(), commit_);
  peer.commit_sent = std::max(peer.commit_sent, commit);
  SendNow(id, Heartbeat{commit, leader.last_read_id});
}

bool RaftCore::Impl::CommitUntold(const Peer& peer) const {
  return peer.commit_sent < std::min(peer.progress.match(), commit_);
}

bool RaftCore::Impl::CommitUntold() const {
  const Leader* leader = leader_role();
  return leader != nullptr &&
         std::any_of(leader->peers.begin(), leader->peers.end(),
                     [this](const auto& peer) { return CommitUntold(peer.second); });
}

void RaftCore::Impl::On(TellCommit) {
  Leader* leader = leader_role();
  if (leader == nullptr) return;
  for (auto& [id, peer] : leader->peers) {
    if (CommitUntold(peer)) SendHeartbeat(*leader, id, peer);
  }
}

void RaftCore::Impl::Handle(const Message& m, const AppendReply& reply) {
  Leader* leader = leader_role();
  if (leader == nullptr) return;
  auto it = leader->peers.find(m.from);
  if (it == leader->peers.end()) return;
  Peer& peer = it->second;
  peer.silent_ticks = 0;
  if (!reply.success) {
    // Skip all entries of this log whose terms the follower does not have near that index. A
    // follower whose log ends before this log begins needs a snapshot; no probe in between helps.
    const LogIndex retry = reply.hint_index < log_.snapshot_index()
                               ? reply.hint_index + 1
                               : log_.LastNotAbove(reply.hint_index, reply.hint_term) + 1;
    peer.progress.OnReject(reply.index, retry);
    return;
  }
  CHECK(reply.index <= log_.last()) << "member " << m.from.value() << " acknowledged "
                                    << reply.index.value() << ", past the end of the leader's log";
  if (peer.progress.OnAck(reply.index, log_.first())) CommitAsLeader();
}

void RaftCore::Impl::Handle(const Message& m, const HeartbeatReply& reply) {
  Leader* leader = leader_role();
  if (leader == nullptr) return;
  auto it = leader->peers.find(m.from);
  if (it == leader->peers.end()) return;
  Peer& peer = it->second;
  peer.silent_ticks = 0;
  if (reply.read_id > peer.read_acked) {
    peer.read_acked = reply.read_id;
    const size_t rounds = leader->read_rounds.size();
    FinishReadRounds(*leader);
    if (leader->read_rounds.size() < rounds && leader->read_witness.is_none()) {
      leader->read_witness = m.from;
    }
  }
  peer.fitness = reply.fitness;
  if (!peer.fitness.snapshot_min.is_none()) {
    SendSnapshotTo(m.from, peer);
    return;
  }
  if (!peer.fitness.takes_entries) return;
  // Appends or their replies may have been lost, and with a full window the leader would never send
  // anything again. An empty append at the end of what was sent detects a loss: the follower
  // refuses it if there is a gap. The leader sends one per heartbeat interval, because read rounds
  // cause many more replies than ticks do.
  if (!std::exchange(peer.nudge, false)) return;
  peer.progress.OnHeartbeatReply();
  if (peer.progress.state() != Progress::State::kReplicate) return;
  if (peer.progress.match() == log_.last()) return;
  if (log_.TermAt(peer.progress.next() - 1)) {
    SendAppendOf(m.from, peer, {});
  } else {
    // The log was compacted past a follower whose window is full: the follower would wait for ever.
    SendSnapshotTo(m.from, peer);
  }
}

void RaftCore::Impl::On(Unreachable unreachable) {
  Leader* leader = leader_role();
  if (leader == nullptr) return;
  auto it = leader->peers.find(unreachable.peer);
  if (it != leader->peers.end()) it->second.progress.OnUnreachable();
  if (leader->read_witness != unreachable.peer) return;
  leader->read_witness = MemberId();
  if (!leader->read_rounds.empty()) AskForRound(*leader);
}

void RaftCore::Impl::CommitAsLeader() {
  while (Leader* leader = leader_role()) {
    const auto match = [&](MemberId id) {
      if (IsSelf(id)) return log_.durable();
      auto it = leader->peers.find(id);
      return it == leader->peers.end() ? LogIndex() : it->second.progress.match();
    };
    LogIndex reached = std::min(QuorumReached<LogIndex>(config(), match), log_.last());
    // 5.4.2, Figure 8: a leader that lacks an entry of an earlier term may still replace that
    // entry, even if a majority holds it. Only an entry of this term settles the entries before it.
    if (reached <= commit_) return;
    if (log_.TermAt(reached) != term_) return;
    // A configuration takes effect when it is committed, so the entries after it need the new
    // quorums.
    const std::optional<LogIndex> change = configs_.FirstAfter(commit_);
    const bool changes = change && *change <= reached;
    if (changes) reached = *change;
    CommitTo(reached);
    leader->uncommitted.ReleaseUpTo(commit_);
    if (changes) EnterConfigAsLeader(*leader);
  }
}

// ---- Follower -----------------------------------------------------------------------------------

void RaftCore::Impl::Handle(const Message& m, AppendRequest& request) {
  OnLeaderHeard(m.from);
  if (!WellFormed(request, m.term)) return;
  // This node leaves the entries unanswered, so they fill the leader's window until the leader
  // learns from the next heartbeat reply that this node takes no entries.
  if (!fitness_.takes_entries && !request.entries.empty()) return;
  if (request.prev_index < commit_) {
    // An old append, or a probe that went back too far. Committed entries certainly match.
    SendAfter(m.from, AppendReply{true, commit_, LogIndex(), Term()});
    return;
  }
  if (!log_.Matches(request.prev_index, request.prev_term)) {
    // The snapshot that this leader is sending will close the gap. A refusal would only make the
    // leader send another snapshot.
    if (installing_ && installing_->leader == m.from && installing_->meta.index > commit_) return;
    const LogIndex hint =
        std::max(commit_, log_.LastNotAbove(request.prev_index, request.prev_term));
    SendAfter(m.from, AppendReply{false, request.prev_index, hint, *log_.TermAt(hint)});
    return;
  }
  const LogIndex verified = request.prev_index + request.entries.size();
  AcceptEntries(request);
  CommitEarlierConfig();
  // The commit index must not pass what this append verified: after that index this log may hold
  // entries of a deposed leader at the indexes of committed entries.
  CommitTo(std::min(request.commit, verified));
  SendAfter(m.from, AppendReply{true, verified, LogIndex(), Term()});
}

void RaftCore::Impl::AcceptEntries(AppendRequest& request) {
  for (Entry& entry : request.entries) {
    if (log_.Matches(entry.index, entry.term)) continue;
    if (entry.index <= log_.last()) {
      CHECK(entry.index > commit_)
          << "asked to replace the committed entry " << entry.index.value();
      log_.TruncateFrom(entry.index);
      configs_.TruncateFrom(entry.index);
    }
    if (entry.type == EntryType::kConfig) NoteConfigEntry(entry);
    log_.Append(std::move(entry));
  }
}

void RaftCore::Impl::Handle(const Message& m, const Heartbeat& heartbeat) {
  OnLeaderHeard(m.from);
  CHECK(heartbeat.commit <= log_.last())
      << "the leader knows this node to have acknowledged " << heartbeat.commit.value()
      << " but the log ends at " << log_.last().value()
      << ": acknowledged entries were lost; readmit the node under a new member id";
  CommitTo(heartbeat.commit);
  SendNow(m.from, HeartbeatReply{heartbeat.read_id, fitness_});
}

void RaftCore::Impl::CommitTo(LogIndex index) {
  if (index <= commit_) return;
  CHECK(index <= log_.last());
  commit_ = index;
  commit_heard_in_ = term_;
}

}  // namespace cairn::raft
