#include <algorithm>
#include <type_traits>
#include <utility>

#include "base/check.h"
#include "raft/core_impl.h"

namespace cairn::raft {
namespace {

template <class T>
bool Is(const Message& message) {
  return std::holds_alternative<T>(message.body);
}

bool IsFromLeader(const Message& message) {
  return Is<AppendRequest>(message) || Is<Heartbeat>(message) || Is<SnapshotOffer>(message);
}

// A node asks for pre-votes this many times after short timeouts: the other members may learn a
// moment later than this node that the leader is gone.
constexpr int kHastyTimeouts = 3;

}  // namespace

bool RaftCore::Impl::PassesTermCheck(const Message& message) {
  if (message.term < term_) {
    AnswerOldTerm(message);
    return false;
  }
  if (message.term == term_) return true;
  // A pre-vote request names a term that does not exist yet, and so does the grant.
  if (Is<PreVoteRequest>(message)) return true;
  if (const auto* reply = std::get_if<PreVoteReply>(&message.body); reply && reply->granted) {
    return true;
  }
  // 4.2.3: a member that was removed, or is cut off one way, must not depose a leader that this
  // node hears. This node does not answer; the leader itself learns of the higher term from the
  // reply to its next append.
  if (const auto* request = std::get_if<VoteRequest>(&message.body)) {
    if (HoldsToLeader() && !request->leadership_transfer) return false;
  }
  BecomeFollower(message.term, IsFromLeader(message) ? message.from : MemberId());
  return true;
}

void RaftCore::Impl::AnswerOldTerm(const Message& message) {
  // Answer, rather than ignore the message. The bad schedule without an answer: a node with a
  // higher term and a shorter log can neither win an election nor be heard, so it refuses a leader
  // for ever; and pre-candidates of a lower term ask for ever.
  if (Is<PreVoteRequest>(message)) {
    SendNow(message.from, PreVoteReply{false});
  } else if (Is<VoteRequest>(message)) {
    SendAfter(message.from, VoteReply{false});
  } else if (IsFromLeader(message)) {
    SendAfter(message.from, AppendReply{false, LogIndex(), log_.last(), log_.last_term()});
  } else if (const auto* request = std::get_if<ReadIndexRequest>(&message.body)) {
    SendNow(message.from, ReadIndexReply{request->context, false, LogIndex()});
  }
}

void RaftCore::Impl::ResetElectionTimer() {
  election_elapsed_ = 0;
  if (hasty_timeouts_ > 0) {
    // Short, but still random: two nodes that ask at the same moment may both campaign and split
    // the votes.
    election_timeout_ = options_.heartbeat_ticks + 1 + rng_->Below(options_.election_ticks / 2);
  } else {
    election_timeout_ = options_.election_ticks + rng_->Below(options_.election_ticks);
  }
}

void RaftCore::Impl::On(PeerGone gone) {
  On(Unreachable{gone.peer});
  if (role() != Role::kFollower || leader_ != gone.peer || hasty_timeouts_ > 0) return;
  hasty_timeouts_ = kHastyTimeouts;
  const uint64_t elapsed = election_elapsed_;
  ResetElectionTimer();
  election_elapsed_ = elapsed;
  ForgetLostLeader();
}

// The news that the leader's process ended may be wrong: a firewall, say, refuses connections to
// the leader but lets its messages through. So the follower keeps its leader until a heartbeat is
// missing too. But the follower waits only one heartbeat interval, so a heartbeat that is one tick
// late counts as missing.
//
// What wrong news costs, until the leader's next message arrives: this follower knows no leader, so
// its clients' requests wait, and it grants pre-votes and votes against the leader it had. The
// follower asks for pre-votes itself after one heartbeat interval and up to half an election
// timeout more, and every member that holds to the leader refuses. A live leader is deposed only if
// a majority has wrong news at the same time and the leader's messages are that late at all of
// them. Even then the cost is one needless election; no committed entry is lost.
void RaftCore::Impl::ForgetLostLeader() {
  if (hasty_timeouts_ == 0 || leader_.is_none()) return;
  if (election_elapsed_ < options_.heartbeat_ticks) return;
  dirty_ = true;
  leader_ = MemberId();
}

void RaftCore::Impl::BecomeFollower(Term term, MemberId leader) {
  CHECK(term >= term_);
  dirty_ = true;
  if (Leader* old = leader_role()) FailReads(*old);
  // A vote is forgotten only here, and only when the term rises. If a step-down within a term
  // cleared the vote, this node could vote twice.
  if (term > term_) {
    term_ = term;
    vote_ = MemberId();
  }
  // A higher term from a node that is not the leader does not by itself postpone this node's own
  // candidacy (5.2).
  if (!leader.is_none()) hasty_timeouts_ = 0;
  if (!leader.is_none() || role() != Role::kFollower) ResetElectionTimer();
  role_ = Follower{};
  leader_ = leader;
}

bool RaftCore::Impl::MayCampaign() const {
  return quiet_ticks_ == 0 && config().IsVoter(options_.self);
}

bool RaftCore::Impl::HoldsToLeader() const {
  if (role() == Role::kLeader) return true;
  return !leader_.is_none() && election_elapsed_ < options_.election_ticks;
}

// 5.4.1, with one exception: a node that knows that it was removed (or demoted) judges a
// candidate's log by the committed entries, not by its whole log.
//
// The bad schedule without the exception: leader 2 commits its own removal, from {1, 2} to {1}. Its
// log has entries after the removal that node 1 lacks. Its messages are lost and it resigns. Node 1
// does not know that the removal is committed and still needs node 2's vote. Node 2 refuses because
// its own log is longer, and never campaigns: the group never has a leader again. The entries after
// the removal were never counted for anything on node 2, because they commit by the new
// configuration alone; unless a later configuration, also in node 2's log, made node 2 a voter
// again.
//
// The term to compare with is not the term of the last committed entry. An entry of a later term
// may have committed that entry (Figure 8): this node acknowledged the later entry, and a leader of
// a term between the two may lack both entries. The term of this node's last entry is no earlier
// than the later entry's term, and neither is the term in which this node heard of the commitment.
// Either term would be safe, so the code uses the lesser.
bool RaftCore::Impl::MayElect(LogIndex last, Term last_term) const {
  if (log_.IsUpToDate(last, last_term)) return true;
  if (config().voters.empty() || config().IsVoter(options_.self)) return false;
  if (configs_.last() > commit_) return false;
  const Term settled = std::min(commit_heard_in_, log_.last_term());
  return last_term > settled || (last_term == settled && last >= commit_);
}

void RaftCore::Impl::TickLeader(Leader& leader) {
  const bool heartbeat = ++leader.heartbeat_elapsed >= options_.heartbeat_ticks;
  for (auto& [id, peer] : leader.peers) ++peer.silent_ticks;
  if (++election_elapsed_ >= options_.election_ticks) {
    election_elapsed_ = 0;
    // A leader that is cut off from its quorum must step down, so that its clients go elsewhere.
    if (!QuorumIsActive(leader)) {
      BecomeFollower(term_, MemberId());
      return;
    }
  }
  TickTransfer(leader, heartbeat);
  if (!heartbeat) return;
  dirty_ = true;
  leader.heartbeat_elapsed = 0;
  leader.read_witness = MemberId();
  for (auto& [id, peer] : leader.peers) {
    peer.nudge = true;
    SendHeartbeat(leader, id, peer);
  }
}

bool RaftCore::Impl::QuorumIsActive(const Leader& leader) const {
  std::map<MemberId, bool> active{{options_.self, true}};
  for (const auto& [id, peer] : leader.peers) {
    active[id] = peer.silent_ticks < options_.election_ticks;
  }
  return CountVotes(config(), active) == VoteResult::kWon;
}

void RaftCore::Impl::TickOthers() {
  TickReads();
  if (quiet_ticks_ > 0) --quiet_ticks_;
  ++election_elapsed_;
  ForgetLostLeader();
  if (!MayCampaign()) return;
  // The only voter has no other voter to wait for.
  const Configuration& now = config();
  const bool alone = now.voters.size() == 1 && !now.joint() && role() == Role::kFollower;
  if (alone || election_elapsed_ >= election_timeout_) StartPreVote();
}

void RaftCore::Impl::StartPreVote() {
  dirty_ = true;
  // Forget the leader, so that two nodes that miss the leader can agree.
  leader_ = MemberId();
  if (hasty_timeouts_ > 0) --hasty_timeouts_;
  ResetElectionTimer();
  auto& candidate = role_.emplace<PreCandidate>();
  candidate.votes[options_.self] = true;
  if (CountVotes(config(), candidate.votes) == VoteResult::kWon) {
    Campaign(/*transfer=*/false);
    return;
  }
  for (const auto& [id, info] : config().info) {
    if (IsSelf(id) || !config().IsVoter(id)) continue;
    SendNowAt(term_ + 1, id, PreVoteRequest{log_.last(), log_.last_term()});
  }
}

void RaftCore::Impl::Campaign(bool transfer) {
  // A configuration takes effect when it is committed, so no committed configuration can be pending
  // here. A candidate that counted votes by an older configuration could win beside a leader
  // elected by the newer configuration.
  CHECK(MayCampaign());
  dirty_ = true;
  ++term_;
  vote_ = options_.self;
  leader_ = MemberId();
  // Votes wait for fsync, so a split election is repeated only after a long timeout.
  hasty_timeouts_ = 0;
  ResetElectionTimer();
  role_ = Candidate{{}, next_sequence_};
  for (const auto& [id, info] : config().info) {
    if (IsSelf(id) || !config().IsVoter(id)) continue;
    SendAfter(id, VoteRequest{log_.last(), log_.last_term(), transfer});
  }
}

void RaftCore::Impl::CountOwnVote(uint64_t durable_sequence) {
  auto* candidate = std::get_if<Candidate>(&role_);
  if (candidate == nullptr || durable_sequence < candidate->vote_sequence) return;
  candidate->votes[options_.self] = true;
  CountElection(*candidate);
}

void RaftCore::Impl::CountElection(Candidate& candidate) {
  switch (CountVotes(config(), candidate.votes)) {
    case VoteResult::kWon: BecomeLeader(); break;
    case VoteResult::kLost: BecomeFollower(term_, MemberId()); break;
    case VoteResult::kPending: break;
  }
}

void RaftCore::Impl::BecomeLeader() {
  Leader& leader = role_.emplace<Leader>();
  leader_ = options_.self;
  election_elapsed_ = 0;
  leader.term_start = log_.last() + 1;
  for (const auto& [id, info] : config().info) {
    if (!IsSelf(id)) leader.peers.emplace(id, Peer(leader.term_start));
  }
  AdoptOwnReads(leader);
  // 5.4.2: entries of earlier terms commit only together with a later entry of this term, so the
  // new leader appends such an entry.
  AppendAsLeader(EntryType::kNoop, std::make_shared<const std::string>());
  leader.told_config = configs_.InForce(commit_).index;
  leader.told_by = log_.last();
}

void RaftCore::Impl::OnLeaderHeard(MemberId from) {
  CHECK(role() != Role::kLeader) << "two leaders in term " << term_.value() << ": this node and "
                                 << from.value();
  CHECK(leader_.is_none() || leader_ == from) << "two leaders in term " << term_.value() << ": "
                                              << leader_.value() << " and " << from.value();
  // This runs before any handler can return early: a follower that hears its leader by any message,
  // even by one that it refuses, must not time out.
  if (role() != Role::kFollower || leader_.is_none() || hasty_timeouts_ > 0) {
    BecomeFollower(term_, from);
  }
  election_elapsed_ = 0;
}

void RaftCore::Impl::Handle(const Message& m, const PreVoteRequest& request) {
  const bool granted =
      m.term > term_ && !HoldsToLeader() && MayElect(request.last_index, request.last_term);
  SendNowAt(granted ? m.term : term_, m.from, PreVoteReply{granted});
}

void RaftCore::Impl::Handle(const Message& m, const PreVoteReply& reply) {
  auto* candidate = std::get_if<PreCandidate>(&role_);
  if (candidate == nullptr) return;
  // A grant for a term other than the next one answers an old request.
  if (reply.granted && m.term != term_ + 1) return;
  candidate->votes[m.from] = reply.granted;
  switch (CountVotes(config(), candidate->votes)) {
    case VoteResult::kWon: Campaign(/*transfer=*/false); break;
    case VoteResult::kLost: BecomeFollower(term_, MemberId()); break;
    case VoteResult::kPending: break;
  }
}

void RaftCore::Impl::Handle(const Message& m, const VoteRequest& request) {
  // A learner also votes when it is asked: an entry that the learner does not know to be committed
  // may have made it a voter, and without its vote the group could be stuck.
  const bool free = vote_ == m.from || (vote_.is_none() && leader_.is_none());
  const bool granted = free && MayElect(request.last_index, request.last_term);
  if (granted) {
    vote_ = m.from;
    // The candidate that got this node's vote gets the time that disks take.
    if (std::exchange(hasty_timeouts_, 0) > 0) ResetElectionTimer();
    election_elapsed_ = 0;
  }
  SendAfter(m.from, VoteReply{granted});
}

void RaftCore::Impl::Handle(const Message& m, const VoteReply& reply) {
  auto* candidate = std::get_if<Candidate>(&role_);
  if (candidate == nullptr) return;
  candidate->votes.emplace(m.from, reply.granted);
  CountElection(*candidate);
}

}  // namespace cairn::raft
