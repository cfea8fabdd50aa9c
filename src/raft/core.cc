#include "raft/core.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raft/configuration_codec.h"
#include "raft/core_impl.h"

namespace cairn::raft {

RaftCore::RaftCore(Options options, InitialState initial, Rng* rng)
    : impl_(std::make_unique<Impl>(options, std::move(initial), rng)) {}
RaftCore::~RaftCore() = default;
void RaftCore::Step(Input input) { impl_->Step(std::move(input)); }
bool RaftCore::HasOutput() const { return impl_->HasOutput(); }
Output RaftCore::TakeOutput() { return impl_->TakeOutput(); }
CoreStatus RaftCore::status() const { return impl_->Status(); }
Role RaftCore::role() const { return impl_->role(); }
Term RaftCore::term() const { return impl_->term(); }
MemberId RaftCore::leader() const { return impl_->leader(); }
LogIndex RaftCore::commit() const { return impl_->commit(); }
LogIndex RaftCore::last() const { return impl_->last(); }
const Configuration& RaftCore::config() const { return impl_->config(); }
bool RaftCore::leader_ready() const { return impl_->leader_ready(); }
bool RaftCore::holds_back_committed() const { return impl_->HoldsBackCommitted(); }
bool RaftCore::commit_untold() const { return impl_->CommitUntold(); }

RaftCore::Impl::Impl(Options options, InitialState initial, Rng* rng)
    : options_(options),
      rng_(rng),
      term_(initial.hard_state.term),
      vote_(initial.hard_state.vote),
      commit_heard_in_(initial.hard_state.term),
      handed_(initial.applied),
      applied_(initial.applied),
      log_(initial.snapshot_index, initial.snapshot_term, initial.log, options_.cache_bytes_max),
      configs_(initial.config_index, std::move(initial.config)),
      written_hard_state_(initial.hard_state) {
  CHECK(!options_.self.is_none());
  CHECK(options_.election_ticks > options_.heartbeat_ticks && options_.heartbeat_ticks > 0);
  CHECK(applied_ >= log_.snapshot_index()) << "the log begins after what is applied";
  CHECK(applied_ <= log_.last()) << "applied " << applied_.value()
                                 << " is past the end of the log, " << log_.last().value();
  CHECK(initial.config_index <= applied_);
  CHECK(term_ >= log_.last_term()) << "an entry is of a later term than the hard state";
  durable_commit_ = std::min(initial.hard_state.commit, log_.last());
  commit_ = std::max(durable_commit_, applied_);
  for (const Entry& entry : initial.log) {
    if (entry.type != EntryType::kConfig || entry.index <= initial.config_index) continue;
    CHECK(entry.index > applied_) << "the applied configuration is older than the one applied";
    NoteConfigEntry(entry);
  }
  CommitEarlierConfig();
  log_.Evict(handed_);
  reads_.last_context = rng_->Next();
  reported_ = {role(), term_, leader_};
  ResetElectionTimer();
}

void RaftCore::Impl::Step(Input input) {
  // A tick usually changes only a counter; the code that does more on a tick sets dirty_ itself.
  if (!std::holds_alternative<Tick>(input)) dirty_ = true;
  std::visit([this](auto& event) { On(std::move(event)); }, input);
}

void RaftCore::Impl::On(Tick) {
  if (Leader* leader = leader_role()) {
    TickLeader(*leader);
  } else {
    TickOthers();
  }
}

void RaftCore::Impl::On(Received received) {
  Message& message = received.message;
  if (message.to != options_.self || message.from == options_.self || message.from.is_none())
    return;
  if (!PassesTermCheck(message)) return;
  std::visit([&](auto& body) { Handle(message, body); }, message.body);
}

void RaftCore::Impl::On(Propose propose) {
  Leader* leader = leader_role();
  for (Proposal& proposal : propose.proposals) {
    if (leader == nullptr) {
      Drop(proposal.id, DropReason::kNotLeader, WhereIsTheLeader());
      continue;
    }
    if (!leader->transfer_target.is_none()) {
      Drop(proposal.id, DropReason::kTransferring,
           "leadership is being handed to member " + ToString(leader->transfer_target) +
               "; try again there");
      continue;
    }
    CHECK(proposal.payload != nullptr);
    const size_t cost = proposal.payload->size() + kEntryOverheadBytes;
    // A proposal that is larger than the whole limit is admitted alone; otherwise it could never be
    // admitted.
    const size_t waiting = leader->uncommitted.bytes();
    if (waiting != 0 && waiting + cost > options_.uncommitted_bytes_max) {
      Drop(proposal.id, DropReason::kUncommittedFull,
           std::to_string(waiting) + " bytes wait for a quorum (limit " +
               std::to_string(options_.uncommitted_bytes_max) +
               "); try again when some are committed");
      continue;
    }
    AppendAsLeader(EntryType::kNormal, std::move(proposal.payload));
    leader->uncommitted.Add(log_.last(), cost);
    out_.accepted.push_back({proposal.id, term_, log_.last()});
  }
}

void RaftCore::Impl::On(Persisted persisted) {
  if (!log_.FinishWrite(persisted.ticket)) return;
  while (!commit_writes_.empty() && commit_writes_.front().sequence <= persisted.ticket.sequence) {
    durable_commit_ = commit_writes_.front().commit;
    commit_writes_.pop_front();
  }
  CountOwnVote(persisted.ticket.sequence);
  if (leader_role() != nullptr) CommitAsLeader();
  log_.Evict(handed_);
}

void RaftCore::Impl::On(Applied applied) {
  CHECK(applied.index <= handed_) << "applied what was not handed out";
  // Stale: the report is about entries that a snapshot has since replaced.
  if (applied.index <= applied_) return;
  applied_ = applied.index;
  applying_.ReleaseUpTo(applied_);
}

void RaftCore::Impl::On(Fetched fetched) {
  if (fetched.fetch_id == apply_fetch_id_ && apply_fetch_id_ != 0) {
    apply_fetch_id_ = 0;
    CHECK(!fetched.entries.empty()) << "committed entries that are not yet applied are gone";
    CHECK(fetched.entries.front().index == handed_ + 1);
    fetched_ = std::move(fetched.entries);
    return;
  }
  Leader* leader = leader_role();
  if (leader == nullptr) return;
  for (auto& [id, peer] : leader->peers) {
    if (peer.fetch_id != fetched.fetch_id || peer.fetch_id == 0) continue;
    peer.fetch_id = 0;
    if (fetched.entries.empty()) {
      SendSnapshotTo(id, peer);
    } else if (peer.progress.state() == Progress::State::kReplicate &&
               peer.progress.next() == fetched.entries.front().index &&
               log_.TermAt(peer.progress.next() - 1)) {
      // Otherwise the log was compacted past the entries while the disk read them, and the peer
      // takes no entries now: the peer is sent a snapshot once it takes entries again.
      SendAppendOf(id, peer, std::move(fetched.entries));
    }
    return;
  }
}

void RaftCore::Impl::On(StepDown step_down) {
  quiet_ticks_ = std::max(quiet_ticks_, step_down.quiet_ticks);
  if (const Leader* leader = leader_role()) AskToTakeOver(*leader);
  if (role() != Role::kFollower) BecomeFollower(term_, MemberId());
}

void RaftCore::Impl::SendNowAt(Term term, MemberId to, MessageBody body) {
  out_.send_now.push_back({options_.self, to, term, std::move(body)});
}

void RaftCore::Impl::SendAfter(MemberId to, MessageBody body) {
  send_after_.push_back({options_.self, to, term_, std::move(body)});
}

void RaftCore::Impl::Drop(uint64_t id, DropReason reason, std::string detail) {
  out_.dropped.push_back({id, reason, std::move(detail)});
}

std::string RaftCore::Impl::WhereIsTheLeader() const {
  if (leader_.is_none()) return "no leader is known; try again after the election";
  return "member " + ToString(leader_) + " leads; send it there";
}

void RaftCore::Impl::LeaderWork(Leader& leader) {
  TellConfig(leader);
  LeaveJointIfCommitted(leader);
  StartReadRounds(leader);
  for (auto& [id, peer] : leader.peers) SendAppends(id, peer);
  SendTimeoutNow(leader);
}

void RaftCore::Impl::HandOutCommitted() {
  const LogIndex limit = std::min(commit_, log_.durable());
  if (handed_ >= limit || applying_.bytes() >= options_.apply_inflight_bytes_max) return;
  const size_t budget = options_.apply_inflight_bytes_max - applying_.bytes();
  CommittedBatch batch;
  if (!fetched_.empty()) {
    batch.entries = std::exchange(fetched_, {});
  } else if (log_.Cached(handed_ + 1)) {
    batch.entries = log_.Slice(handed_ + 1, limit + 1, budget, limit - handed_);
  } else {
    if (apply_fetch_id_ != 0) return;
    apply_fetch_id_ = ++last_fetch_id_;
    const LogIndex to = std::min(limit + 1, log_.cache_first());
    // Fetch in small pieces: a piece that takes long looks like a disk that hangs.
    const size_t bytes_max = std::min(budget, options_.append_bytes_max);
    out_.fetches.push_back({apply_fetch_id_, handed_ + 1, to, bytes_max});
    return;
  }
  size_t bytes = 0;
  for (const Entry& entry : batch.entries) {
    CHECK(entry.index == ++handed_ && log_.Matches(entry.index, entry.term))
        << "entry " << entry.index.value() << " is not the one committed";
    bytes += EntryCost(entry);
  }
  CHECK(handed_ <= limit);
  applying_.Add(handed_, bytes);
  const ConfigurationLog::At in_force = configs_.InForce(handed_);
  batch.config = in_force.config;
  batch.config_index = in_force.index;
  out_.committed = std::move(batch);
  log_.Evict(handed_);
}

void RaftCore::Impl::BuildPersist() {
  Persist persist;
  RaftLog::Unwritten unwritten = log_.TakeUnwritten();
  persist.reset_to = std::exchange(reset_to_, std::nullopt);
  persist.truncate_from = unwritten.truncate_from;
  persist.entries = std::move(unwritten.entries);
  const HardState now{term_, vote_, commit_};
  const bool promised =
      now.term != written_hard_state_.term || now.vote != written_hard_state_.vote;
  // The commit index alone is not worth a write, unless a configuration took effect by it (see
  // ConfigInProgress).
  const bool config_news = configs_.InForce(commit_).index > written_hard_state_.commit;
  if (promised || config_news || (!persist.empty() && now != written_hard_state_)) {
    persist.hard_state = written_hard_state_ = now;
  }
  persist.send_after = std::exchange(send_after_, {});
  if (persist.empty() && persist.send_after.empty()) return;
  persist.ticket = {next_sequence_++, term_, log_.last()};
  log_.BeginWrite(persist.ticket);
  if (persist.hard_state) commit_writes_.push_back({persist.ticket.sequence, commit_});
  out_.persists.push_back(std::move(persist));
}

Output RaftCore::Impl::TakeOutput() {
  if (Leader* leader = leader_role()) {
    LeaderWork(*leader);
  } else {
    AskForReads();
  }
  HandOutCommitted();
  BuildPersist();
  const SoftState soft{role(), term_, leader_};
  out_.soft_state_changed = soft != reported_;
  reported_ = soft;
  // A batch that came from a fetch may leave room for a batch from memory.
  dirty_ = out_.committed.has_value() && handed_ < std::min(commit_, log_.durable()) &&
           applying_.bytes() < options_.apply_inflight_bytes_max && apply_fetch_id_ == 0;
  return std::exchange(out_, {});
}

CoreStatus RaftCore::Impl::Status() const {
  CoreStatus status;
  status.self = options_.self;
  status.role = role();
  status.term = term_;
  status.vote = vote_;
  status.leader = leader_;
  status.first = log_.first();
  status.last = log_.last();
  status.durable = log_.durable();
  status.commit = commit_;
  status.applied = applied_;
  const ConfigurationLog::At in_force = configs_.InForce(commit_);
  status.config = in_force.config;
  status.config_index = in_force.index;
  status.config_in_progress = ConfigInProgress();
  if (const Leader* leader = leader_role()) {
    status.leader_ready = IsReady(*leader);
    status.transfer_target = leader->transfer_target;
    for (const auto& [id, peer] : leader->peers) {
      status.peers[id] = {peer.progress.state(), peer.progress.match(),
                          peer.progress.next(),  peer.silent_ticks < 2 * options_.election_ticks,
                          peer.fitness.can_lead, peer.progress.inflight_bytes()};
    }
  }
  return status;
}

}  // namespace cairn::raft
