#include "sim/checker.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <set>
#include <sstream>
#include <tuple>

#include "sim/digest.h"
#include "sim/process.h"
#include "state_machine/command.h"

namespace cairn::sim {
namespace {

// A node makes a digest every so many entries, because digests cost time. A node always compares
// itself at an index where another node has left a digest.
constexpr uint64_t kDigestEvery = 64;

// Some of the lines that only one of the two texts has.
std::string Difference(const std::string& a, const std::string& b) {
  const auto lines = [](const std::string& text) {
    std::multiset<std::string> out;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) out.insert(line);
    return out;
  };
  const auto in_a = lines(a);
  const auto in_b = lines(b);
  std::string out;
  int shown = 0;
  for (const auto& [mark, from, other] :
       {std::tuple("\n  < ", &in_a, &in_b), {"\n  > ", &in_b, &in_a}}) {
    std::vector<std::string> only;
    std::set_difference(from->begin(), from->end(), other->begin(), other->end(),
                        std::back_inserter(only));
    for (const std::string& line : only) {
      if (++shown <= 20) out += mark + line.substr(0, 200);
    }
  }
  return out;
}

std::string Show(const raft::HardState& s) {
  return "term " + ToString(s.term) + " vote " + ToString(s.vote) + " commit " + ToString(s.commit);
}

}  // namespace

void Checker::Fail(uint64_t node, const std::string& what) {
  world_->Fail("node " + std::to_string(node) + ": " + what);
}

void Checker::Forget(uint64_t node) {
  lives_on_.erase(disks_[node].member);
  disks_.erase(node);
  copies_.erase(node);
  rotten_rows_.erase(node);
  mistaken_.erase(node);
  fenced_.erase(node);
}

void Checker::OnDied(uint64_t node, const std::string& why, bool may_be) {
  if (!may_be) return Fail(node, why);
  if (on_died_) on_died_(node);
}

// ---- Durability

bool Checker::Image::Holds(LogIndex index, Term term) const {
  if (index <= snapshot_index) return true;
  return index <= last() && terms[index - snapshot_index - 1] == term;
}

bool Checker::Image::Matches(const raft::InitialState& found) const {
  if (hard_state != found.hard_state) return false;
  if (last() != found.snapshot_index + found.log.size()) return false;
  if (found.snapshot_index < snapshot_index) return false;
  for (const raft::Entry& entry : found.log) {
    if (entry.term != terms[entry.index - snapshot_index - 1]) return false;
  }
  return true;
}

void Checker::Apply(const Handed& handed, Image* image) {
  if (handed.hard_state) image->hard_state = *handed.hard_state;
  if (handed.reset_to) {
    image->snapshot_index = handed.reset_to->index;
    image->terms.clear();
  }
  if (handed.truncate_from) {
    image->terms.resize(*handed.truncate_from - image->snapshot_index - 1);
  }
  image->terms.insert(image->terms.end(), handed.terms.begin(), handed.terms.end());
}

// True if a snapshot had replaced the database when the node stopped, and the log was not yet reset
// to the snapshot.
bool Checker::CompletesInstall(const Disk& disk, const node::StartState& start) const {
  if (!start.raft.log.empty() || start.raft.snapshot_index != start.applied.index) return false;
  const raft::HardState& before = disk.durable.hard_state;
  const raft::HardState& now = start.raft.hard_state;
  if (now.term < before.term || (now.term == before.term && now.vote != before.vote)) return false;
  // A snapshot that replaces a damaged database is not reported to the log before the replacement
  // is done.
  if (!disk.replacing.is_none() && disk.replacing == start.applied.index) return true;
  return std::any_of(disk.handed.begin(), disk.handed.end(), [&](const Handed& handed) {
    return handed.reset_to && handed.reset_to->index == start.applied.index;
  });
}

void Checker::OnRecovered(uint64_t node, const node::StartState& start) {
  if (copies_.contains(node)) return;
  Disk& disk = disks_[node];
  disk.found = start.raft;
  disk.digested = LogIndex();
  // The node stopped before it wrote the fence down. It will detect the rotten rows again.
  if (start.fenced.empty()) fenced_.erase(node);
  Image image = disk.durable;
  bool matches = image.Matches(start.raft);
  for (const Handed& handed : disk.handed) {
    if (matches) break;
    Apply(handed, &image);
    matches = image.Matches(start.raft);
  }
  if (!matches && !CompletesInstall(disk, start)) {
    return Fail(node, "its disk holds " + Show(start.raft.hard_state) + " and a log to " +
                          ToString(start.raft.snapshot_index + start.raft.log.size()) +
                          "; it was told that " + Show(disk.durable.hard_state) + " and a log to " +
                          ToString(disk.durable.last()) + " are durable");
  }
  disk.replacing = LogIndex();
  disk.durable.hard_state = start.raft.hard_state;
  disk.durable.snapshot_index = start.raft.snapshot_index;
  disk.durable.terms.clear();
  for (const raft::Entry& entry : start.raft.log) disk.durable.terms.push_back(entry.term);
  disk.handed.clear();
}

void Checker::OnDurable(uint64_t node, const std::vector<raft::Message>& send,
                        const std::vector<raft::AppendTicket>& tickets) {
  if (copies_.contains(node)) return;
  Disk& disk = disks_[node];
  while (!disk.handed.empty() && disk.handed.front().sequence <= tickets.back().sequence) {
    Apply(disk.handed.front(), &disk.durable);
    disk.handed.pop_front();
    NoteVote(disk);
  }
  for (const raft::Message& message : send) CheckVouched(node, disk.durable, message);
}

void Checker::CheckVouched(uint64_t node, const Image& durable, const raft::Message& message) {
  const raft::HardState& kept = durable.hard_state;
  const auto* vote = std::get_if<raft::VoteReply>(&message.body);
  if (vote != nullptr && vote->granted) {
    const bool known =
        kept.term > message.term || (kept.term == message.term && kept.vote == message.to);
    if (!known) Fail(node, "sends a vote that is not durable: " + Show(kept));
    // The vote may never have been on the disk: if the same batch holds a vote of a later term, the
    // later vote equally keeps the node from voting in this term again.
    const auto [given, is_new] = votes_[message.term].emplace(message.from, message.to);
    if (!is_new && given->second != message.to) Fail(node, "gives two votes in one term");
  }
  if (std::holds_alternative<raft::VoteRequest>(message.body) && kept.term < message.term) {
    Fail(node, "asks for votes in a term that is not durable: " + Show(kept));
  }
  const auto* append = std::get_if<raft::AppendReply>(&message.body);
  if (append != nullptr && append->success && kept.term <= message.term &&
      append->index > durable.last()) {
    Fail(node, "acknowledges entry " + ToString(append->index) + " that is not durable");
  }
}

// ---- Raft

void Checker::OnCoreStarted(uint64_t node, const raft::RaftCore& core) {
  if (copies_.contains(node)) return;
  Disk& disk = disks_[node];
  disk.member = core.status().self;
  disk.led = Term();
  lives_on_[disk.member] = node;
  NoteVote(disk);
  if (const auto breach = invariants_.OnStart(disks_[node].found, core.status())) {
    Fail(node, *breach);
  }
}

void Checker::OnCoreOutput(uint64_t node, const raft::RaftCore& core, const raft::Output& output) {
  if (copies_.contains(node)) return;
  const raft::CoreStatus status = core.status();
  if (const auto breach = invariants_.OnOutput(output, status)) Fail(node, *breach);
  if (output.committed) CheckTime(node, output.committed->entries);
  NoteCommits();
  if (status.role == raft::Role::kLeader && status.term > last_leader_term_) {
    last_leader_term_ = status.term;
    ++elections_;
  }
  for (const raft::Message& message : output.send_now) {
    const auto* vote = std::get_if<raft::VoteReply>(&message.body);
    const auto* append = std::get_if<raft::AppendReply>(&message.body);
    if ((vote != nullptr && vote->granted) || (append != nullptr && append->success) ||
        std::holds_alternative<raft::VoteRequest>(message.body)) {
      Fail(node, "what vouches for the disk does not wait for it");
    }
  }
  Disk& disk = disks_[node];
  for (const raft::Persist& persist : output.persists) {
    Handed handed;
    handed.sequence = persist.ticket.sequence;
    handed.hard_state = persist.hard_state;
    handed.reset_to = persist.reset_to;
    handed.truncate_from = persist.truncate_from;
    for (const raft::Entry& entry : persist.entries) handed.terms.push_back(entry.term);
    disk.handed.push_back(std::move(handed));
    CheckChange(node, status, persist);
  }
  CheckDurable(node, status);
  if (status.role == raft::Role::kLeader) {
    if (disk.led != status.term) {
      CheckElected(node, status);
    } else if (status.commit > disk.commit) {
      CheckCommitted(node, status);
    }
    disk.led = status.term;
  }
  disk.commit = status.commit;
}

void Checker::NoteVote(const Disk& disk) {
  const raft::HardState& kept = disk.durable.hard_state;
  if (!kept.vote.is_none()) votes_[kept.term][disk.member] = kept.vote;
}

bool Checker::Majority(const raft::Configuration& config,
                       const std::function<bool(MemberId)>& has) {
  const auto most = [&](const std::set<MemberId>& voters) {
    const auto n = std::count_if(voters.begin(), voters.end(), has);
    return voters.empty() || static_cast<size_t>(n) > voters.size() / 2;
  };
  return most(config.voters) && most(config.outgoing);
}

void Checker::CheckElected(uint64_t node, const raft::CoreStatus& status) {
  const auto& votes = votes_[status.term];
  const bool elected = Majority(status.config, [&](MemberId voter) {
    const auto vote = votes.find(voter);
    return vote != votes.end() && vote->second == status.self;
  });
  if (!elected) Fail(node, "leads term " + ToString(status.term) + " without a majority's votes");
}

// Checks the durable logs alone, whatever the leader was told. A member whose disk is lost may have
// acknowledged the entry before the loss.
void Checker::CheckCommitted(uint64_t node, const raft::CoreStatus& status) {
  // The configuration before a change of membership commits the change.
  if (status.config_index == status.commit) return;
  const std::optional<Term> term = invariants_.TermAt(status.self, status.commit);
  if (!term) return;
  const bool on_most = Majority(status.config, [&](MemberId voter) {
    const auto lives_on = lives_on_.find(voter);
    return lives_on == lives_on_.end() ||
           disks_[lives_on->second].durable.Holds(status.commit, *term);
  });
  if (!on_most) {
    Fail(node, "commits entry " + ToString(status.commit) + ", which no majority holds durably");
  }
}

// See RaftCore::Impl::ConfigInProgress for the bad schedule.
void Checker::CheckChange(uint64_t node, const raft::CoreStatus& status,
                          const raft::Persist& persist) {
  if (status.role != raft::Role::kLeader) return;
  const Image& durable = disks_[node].durable;
  for (const raft::Entry& entry : persist.entries) {
    if (entry.type != raft::EntryType::kConfig || entry.term != status.term) continue;
    if (status.config_index > std::max(durable.hard_state.commit, durable.snapshot_index)) {
      Fail(node, "changes the membership in entry " + ToString(entry.index) +
                     " while the commitment of entry " + ToString(status.config_index) +
                     " is not durable");
    }
  }
}

void Checker::CheckTime(uint64_t node, const std::vector<raft::Entry>& committed) {
  for (const raft::Entry& entry : committed) {
    if (entry.index <= time_index_) continue;
    time_index_ = entry.index;
    if (entry.type != raft::EntryType::kNormal) continue;
    const Result<state_machine::CommandBatch> batch = state_machine::DecodeBatch(*entry.payload);
    if (!batch.ok()) continue;
    if (batch->header.wall_ms < time_ms_) {
      Fail(node, "commits entry " + ToString(entry.index) + ", whose time is " +
                     std::to_string(time_ms_ - batch->header.wall_ms) +
                     " ms before that of an entry before it");
    }
    time_ms_ = batch->header.wall_ms;
  }
}

void Checker::CheckDurable(uint64_t node, const raft::CoreStatus& status) {
  const Disk& disk = disks_[node];
  bool holds = status.durable <= disk.durable.last();
  for (const Handed& handed : disk.handed) {
    if (handed.reset_to && status.durable <= handed.reset_to->index) return;
    if (handed.truncate_from && status.durable >= *handed.truncate_from) holds = false;
  }
  if (!holds) {
    Fail(node, "takes its log to be durable to " + ToString(status.durable) +
                   "; what it holds there now is not");
  }
}

void Checker::OnReadIndex(uint64_t node, LogIndex committed_when_asked, LogIndex index) {
  if (fenced_.contains(node)) Fail(node, "lets a read go though it is fenced");
  if (index >= committed_when_asked) return;
  Fail(node, "lets a read go at " + ToString(index) + "; when it was asked, " +
                 ToString(committed_when_asked) + " was committed");
}

// A node judges by its own clock and by the leader's clock, and both may be slow.
void Checker::OnStaleRead(uint64_t node, SteadyTime asked, SteadyTime bound, LogIndex index) {
  if (fenced_.contains(node)) Fail(node, "lets a stale read go though it is fenced");
  const SteadyTime as_of = asked - bound - bound / 20 - milliseconds(1);
  LogIndex committed;
  for (const auto& [since, last] : commits_) {
    if (since <= as_of) committed = last;
  }
  if (index >= committed) return;
  Fail(node, "lets a stale read go at " + ToString(index) + " that may be " +
                 std::to_string(bound.count() / 1'000'000) + " ms old; so long before, " +
                 ToString(committed) + " was committed");
}

void Checker::NoteCommits() {
  const LogIndex last = committed_last();
  if (!commits_.empty() && commits_.back().second == last) return;
  commits_.emplace_back(world_->now(), last);
  // The last older value stays: it tells what was committed at that time.
  while (commits_.size() > 1 && commits_[1].first < world_->now() - seconds(60)) {
    commits_.pop_front();
  }
}

void Checker::OnCoreRestored(uint64_t node, const raft::RaftCore& core, LogIndex index) {
  if (copies_.contains(node)) return;
  invariants_.OnRestored(core.status().self, index);
}

// ---- Rows that rot

void Checker::OnFenced(uint64_t node, const std::string& why) {
  if (copies_.contains(node)) return;
  if (!rotten_rows_.contains(node) && !mistaken_.contains(node)) {
    return Fail(node, "fenced, and its rows are sound: " + why);
  }
  fenced_.insert(node);
}

void Checker::OnReplaced(uint64_t node) {
  if (copies_.contains(node)) return;
  rotten_rows_.erase(node);
  if (!nodes_->at(node)->version().miscounts) mistaken_.erase(node);
  rebuilt_ += fenced_.erase(node);
}

// ---- Equality

void Checker::OnApplied(uint64_t node, LogIndex applied) {
  if (copies_.contains(node)) return;
  const LogIndex digested = disks_[node].digested;
  if (applied == digested) return;
  if (!digests_.contains(applied) && applied.value() < digested.value() + kDigestEvery) return;
  Compare(node);
}

void Checker::Compare(uint64_t node) {
  if (rotten_rows_.contains(node) || mistaken_.contains(node)) return;
  const Result<DatabaseDigest> now =
      DigestOfDatabase(nodes_->at(node)->disk(), nodes_->at(node)->database_path());
  if (!now.ok()) return Fail(node, now.status().ToString());
  // After a failed commit the file may be ahead of the index that its node knows to be applied.
  const LogIndex applied = now->applied;
  disks_[node].digested = applied;
  world_->Trace(now->digest);
  const auto [known, is_new] = digests_.emplace(applied, std::pair(now->digest, node));
  if (is_new) {
    if (keep_dumps_) dumps_[applied] = Dump(node);
    return;
  }
  ++digests_compared_;
  if (known->second.first == now->digest) return;
  Fail(node, "at index " + ToString(applied) + " its database differs from that of node " +
                 std::to_string(known->second.second) +
                 (keep_dumps_ ? Difference(dumps_[applied], Dump(node)) : ""));
}

std::string Checker::Dump(uint64_t node) const {
  const Node& it = *nodes_->at(node);
  return DumpOfDatabase(const_cast<Node&>(it).disk(), it.database_path()).value();
}

}  // namespace cairn::sim
