#include "raft/invariants.h"

#include <algorithm>
#include <sstream>

namespace cairn::raft {
namespace {

using Breach = std::optional<std::string>;

template <class... Parts>
std::string Say(const CoreStatus& status, const Parts&... parts) {
  std::ostringstream out;
  out << "node " << status.self.value() << " in term " << status.term.value() << ": ";
  (out << ... << parts);
  return out.str();
}

}  // namespace

Breach CheckStatus(const CoreStatus& s) {
  if (s.commit > s.last) return Say(s, "commit ", s.commit.value(), " > last ", s.last.value());
  if (s.applied > s.commit) return Say(s, "applied ", s.applied.value(), " > commit");
  if (s.first > s.applied + 1) return Say(s, "the log begins after what is applied");
  if (s.durable > s.last) return Say(s, "durable ", s.durable.value(), " > last");
  if (s.config_index > s.commit) return Say(s, "the configuration in force is not committed");
  if (s.role == Role::kLeader || s.role == Role::kCandidate) {
    if (s.vote != s.self) return Say(s, "leads or campaigns without its own vote");
    if (!s.config.IsVoter(s.self)) return Say(s, "leads or campaigns without being a voter");
  }
  if ((s.role == Role::kLeader) != (s.leader == s.self)) return Say(s, "role and leader disagree");
  if (s.role != Role::kLeader && (s.leader_ready || !s.peers.empty())) {
    return Say(s, "has a leader's data without being one");
  }
  for (const auto& [id, peer] : s.peers) {
    if (peer.match >= peer.next) return Say(s, "peer ", id.value(), " has match >= next");
    if (peer.match > s.last) return Say(s, "peer ", id.value(), " matches past the end");
  }
  return std::nullopt;
}

Breach CheckDelta(const CoreStatus& before, const CoreStatus& after) {
  if (after.term < before.term) return Say(after, "the term fell");
  if (after.commit < before.commit) return Say(after, "the commit index fell");
  if (after.applied < before.applied) return Say(after, "the applied index fell");
  if (after.first < before.first) return Say(after, "the log grew at its beginning");
  if (after.config_index < before.config_index) return Say(after, "an older configuration rules");
  if (after.term > before.term) return std::nullopt;
  if (!before.vote.is_none() && after.vote != before.vote) {
    return Say(after, "the vote changed from ", before.vote.value(), " to ", after.vote.value());
  }
  if (!before.leader.is_none() && !after.leader.is_none() && before.leader != after.leader) {
    return Say(after, "the leader changed within the term");
  }
  if (before.role == Role::kLeader && after.role == Role::kLeader && after.last < before.last) {
    return Say(after, "a leader cut its own log");
  }
  return std::nullopt;
}

std::optional<Term> ClusterInvariants::Mirror::TermAt(LogIndex index) const {
  if (index < snapshot_index || index > last()) return std::nullopt;
  if (index == snapshot_index) return snapshot_term;
  return terms[index - snapshot_index - 1];
}

LogIndex ClusterInvariants::committed_last() const {
  return committed_.empty() ? LogIndex() : committed_.rbegin()->first;
}

std::optional<Term> ClusterInvariants::TermAt(MemberId id, LogIndex index) const {
  const auto mirror = mirrors_.find(id);
  return mirror == mirrors_.end() ? std::nullopt : mirror->second.TermAt(index);
}

Breach ClusterInvariants::OnStart(const InitialState& initial, const CoreStatus& status) {
  Mirror mirror;
  mirror.snapshot_index = initial.snapshot_index;
  mirror.snapshot_term = initial.snapshot_term;
  mirror.promised = initial.hard_state;
  mirror.handed = mirror.commit_checked = initial.applied;
  mirror.status = status;
  for (const Entry& entry : initial.log) {
    if (auto breach = OnEntry(&mirror, entry)) return breach;
  }
  mirrors_[status.self] = std::move(mirror);
  return CheckStatus(status);
}

void ClusterInvariants::OnRestored(MemberId id, LogIndex index) {
  Mirror& mirror = mirrors_.at(id);
  mirror.handed = index;
  mirror.status.applied = std::min(mirror.status.applied, index);
}

Breach ClusterInvariants::OnOutput(const Output& output, const CoreStatus& status) {
  Mirror& mirror = mirrors_.at(status.self);
  const CoreStatus before = std::exchange(mirror.status, status);
  if (auto breach = CheckStatus(status)) return breach;
  if (auto breach = CheckDelta(before, status)) return breach;
  for (const Persist& persist : output.persists) {
    if (auto breach = OnPersist(&mirror, persist)) return breach;
  }
  if (mirror.last() != status.last) return Say(status, "its log was not all handed to the disk");
  if (auto breach = CheckLeader(mirror, status)) return breach;
  if (auto breach = CheckLeadersCommit(mirror, before, status)) return breach;
  if (auto breach = CheckCommitted(&mirror, status)) return breach;
  if (output.committed) return OnCommitted(&mirror, *output.committed);
  return std::nullopt;
}

Breach ClusterInvariants::OnPersist(Mirror* mirror, const Persist& persist) {
  const CoreStatus& s = mirror->status;
  if (persist.hard_state) {
    const HardState& old = mirror->promised;
    const HardState& now = *persist.hard_state;
    if (now.term < old.term || now.commit < old.commit) return Say(s, "hard state went back");
    if (now.term == old.term && !old.vote.is_none() && now.vote != old.vote) {
      return Say(s, "two votes in one term handed to the disk");
    }
    mirror->promised = now;
  }
  if (persist.reset_to) {
    mirror->snapshot_index = persist.reset_to->index;
    mirror->snapshot_term = persist.reset_to->term;
    mirror->terms.clear();
    mirror->changes.clear();
    mirror->handed = std::max(mirror->handed, persist.reset_to->index);
    mirror->commit_checked = std::max(mirror->commit_checked, persist.reset_to->index);
  }
  if (persist.truncate_from) {
    const LogIndex from = *persist.truncate_from;
    if (from <= mirror->commit_checked) return Say(s, "cuts committed entry ", from.value());
    if (from > mirror->last()) return Say(s, "cuts past the end");
    mirror->terms.resize(from - mirror->snapshot_index - 1);
    mirror->changes.erase(mirror->changes.lower_bound(from), mirror->changes.end());
  }
  for (const Entry& entry : persist.entries) {
    const bool own = s.role == Role::kLeader && entry.term == s.term;
    if (own && entry.type == EntryType::kConfig && !mirror->changes.empty() &&
        *mirror->changes.rbegin() > s.commit) {
      return Say(s, "two changes of membership at once, in entries ",
                 mirror->changes.rbegin()->value(), " and ", entry.index.value());
    }
    if (auto breach = OnEntry(mirror, entry)) return breach;
  }
  if (mirror->last() != persist.ticket.last) return Say(s, "ticket and batch disagree");
  return std::nullopt;
}

Breach ClusterInvariants::OnEntry(Mirror* mirror, const Entry& entry) {
  const CoreStatus& s = mirror->status;
  const LogIndex index = entry.index;
  if (index != mirror->last() + 1) return Say(s, "hole before entry ", index.value());
  const Term previous = *mirror->TermAt(mirror->last());
  if (entry.term < previous) return Say(s, "terms fall at ", index.value());
  mirror->terms.push_back(entry.term);
  if (entry.type == EntryType::kConfig) mirror->changes.insert(index);
  auto [it, is_new] =
      entries_.try_emplace({index, entry.term}, Seen{previous, entry.type, entry.payload});
  if (is_new) return std::nullopt;
  Seen& seen = it->second;
  if (seen.previous_term != previous || seen.type != entry.type) {
    return Say(s, "logs do not match at ", index.value());
  }
  if (seen.payload == nullptr) seen.payload = entry.payload;
  if (entry.payload != nullptr && *entry.payload != *seen.payload) {
    return Say(s, "entry ", index.value(), " has two contents");
  }
  return std::nullopt;
}

Breach ClusterInvariants::CheckLeader(const Mirror& mirror, const CoreStatus& s) {
  if (s.role != Role::kLeader) return std::nullopt;
  auto [it, is_new] = leaders_.try_emplace(s.term, s.self);
  if (it->second != s.self) return Say(s, "node ", it->second.value(), " leads this term too");
  if (!is_new) return std::nullopt;
  for (auto entry = committed_.lower_bound(mirror.snapshot_index); entry != committed_.end();
       ++entry) {
    // A leader need not hold what a later leader committed: the votes for this leader may have been
    // so slow that it begins to lead when the later leader already leads.
    if (entry->second.in > s.term) continue;
    if (mirror.TermAt(entry->first) != entry->second.term) {
      return Say(s, "elected without the committed entry ", entry->first.value());
    }
  }
  return std::nullopt;
}

Breach ClusterInvariants::CheckLeadersCommit(const Mirror& mirror, const CoreStatus& before,
                                             const CoreStatus& now) {
  const bool led = before.role == Role::kLeader && now.role == Role::kLeader;
  if (!led || before.term != now.term || now.commit <= before.commit) return std::nullopt;
  // A leader whose state machine was restored from a snapshot may move its commit index to what
  // other leaders committed.
  if (now.commit == mirror.handed || mirror.changes.contains(now.commit)) return std::nullopt;
  const std::optional<Term> term = mirror.TermAt(now.commit);
  if (!term || *term == now.term) return std::nullopt;
  return Say(now, "commits entry ", now.commit.value(), " of term ", term->value(), " by count");
}

Breach ClusterInvariants::CheckCommitted(Mirror* mirror, const CoreStatus& s) {
  for (LogIndex index = mirror->commit_checked + 1; index <= s.commit; ++index) {
    const std::optional<Term> term = mirror->TermAt(index);
    if (!term) continue;  // part of a snapshot
    auto [it, is_new] = committed_.try_emplace(index, Committed{*term, s.term});
    if (it->second.term != *term) {
      return Say(s, "entry ", index.value(), " was committed with term ", it->second.term.value(),
                 " and now with ", term->value());
    }
  }
  mirror->commit_checked = std::max(mirror->commit_checked, s.commit);
  return std::nullopt;
}

Breach ClusterInvariants::OnCommitted(Mirror* mirror, const CommittedBatch& batch) {
  const CoreStatus& s = mirror->status;
  for (const Entry& entry : batch.entries) {
    if (entry.index != ++mirror->handed) return Say(s, "handed out of order");
    auto it = committed_.find(entry.index);
    if (it == committed_.end() || it->second.term != entry.term) {
      return Say(s, "entry ", entry.index.value(), " was handed out but not committed");
    }
    const Seen& seen = entries_.at({entry.index, entry.term});
    if (seen.type != entry.type || (seen.payload && *seen.payload != *entry.payload)) {
      return Say(s, "entry ", entry.index.value(), " was handed out with another content");
    }
  }
  if (mirror->handed > std::min(s.commit, s.durable)) return Say(s, "handed out what may be lost");
  return std::nullopt;
}

}  // namespace cairn::raft
