// The vocabulary of the Raft core: entries, configurations, messages. Plain data, no behaviour
// beyond equality. Section numbers refer to Ongaro's thesis, "Consensus: Bridging Theory and
// Practice".
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/ids.h"

namespace cairn::raft {

// Immutable bytes, shared between the log thread, the messages in flight and the apply thread
// without copying. Never null in an Entry (an empty payload is an empty string).
using Payload = std::shared_ptr<const std::string>;

enum class EntryType : uint8_t {
  kNormal = 1,  // commands for the state machine
  kNoop = 2,    // appended by a new leader, so that it can commit and read in its term (6.4)
  kConfig = 3,  // payload is an encoded Configuration (configuration_codec.h)
};

struct Entry {
  Term term;
  LogIndex index;
  EntryType type = EntryType::kNormal;
  Payload payload;
};

// One start of a member. The data directory counts its starts, so a directory that was copied or set
// back to an older state starts with a count that was used before. The nonce is drawn anew at each
// start: it tells two processes apart that started from two copies of one directory and so have the
// same count. The directory keeps the last ones (node/boot_file.h).
struct Boot {
  uint64_t count = 0;  // 0: not recorded
  uint64_t nonce = 0;
  bool operator==(const Boot&) const = default;
};

// What the cluster knows of one member, beside its role.
struct MemberInfo {
  uint64_t node_id = 0;  // the number the operator gave (--id); unique among current members
  std::string address;   // host:port, where the member was reached last
  uint64_t nonce = 0;  // made by the node when its data directory was; tells a wiped node from the
                       // one that was admitted
  Boot boot{};         // the last start that the cluster knows of
  bool operator==(const MemberInfo&) const = default;
};

// Joint consensus (4.3), learners first, effective when committed. When `outgoing` is not empty the
// configuration is joint: decisions need a majority of `voters` and one of `outgoing`; the leader
// appends the leave (outgoing cleared, learners_next made learners) by itself once this is
// committed.
struct Configuration {
  std::set<MemberId> voters;
  std::set<MemberId> outgoing;
  std::set<MemberId> learners;
  // Voters in `outgoing` that become learners when the joint configuration is left.
  std::set<MemberId> learners_next;
  std::map<MemberId, MemberInfo> info;  // exactly the members of the sets above
  uint64_t next_member_id = 1;          // greater than every member id ever used

  bool joint() const { return !outgoing.empty(); }
  bool IsVoter(MemberId id) const { return voters.contains(id) || outgoing.contains(id); }
  bool IsLearner(MemberId id) const { return learners.contains(id); }
  bool Contains(MemberId id) const { return info.contains(id); }
  bool operator==(const Configuration&) const = default;
};

// What must survive a crash beside the log (Figure 2: currentTerm, votedFor), and the commit index,
// which is kept only to speed up a restart and is never trusted past the end of the log.
struct HardState {
  Term term;
  MemberId vote;
  LogIndex commit;
  bool operator==(const HardState&) const = default;
};

// The state that a snapshot stands for: everything up to and including `index`.
struct SnapshotMeta {
  LogIndex index;
  Term term;
  Configuration config;
  LogIndex config_index;  // index of the entry that `config` came from
  bool operator==(const SnapshotMeta&) const = default;
};

// ---- Messages -----------------------------------------------------------------------------------

// Pre-vote (9.6): would you vote for me at `Message::term`? Changes nothing at the receiver. The
// message's term is the one the candidate would campaign in.
struct PreVoteRequest {
  LogIndex last_index;
  Term last_term;
};
// Rejections carry the rejecting node's own term as the message's term, so that a stale asker
// catches up; grants carry the term asked for.
struct PreVoteReply {
  bool granted = false;
};
struct VoteRequest {
  LogIndex last_index;
  Term last_term;
  // Set when the vote was asked for by the leader itself (TimeoutNow): voters do not hold to a
  // leader they heard from recently (4.2.3).
  bool leadership_transfer = false;
};
struct VoteReply {
  bool granted = false;
};

struct AppendRequest {
  LogIndex prev_index;
  Term prev_term;
  LogIndex commit;
  std::vector<Entry> entries;  // contiguous from prev_index + 1
};
struct AppendReply {
  bool success = false;
  // On success: the last index that now surely matches the leader's log. On failure: the prev_index
  // that was refused.
  LogIndex index;
  // On failure: where the leader should probe next (the follower's last index, or the last index of
  // a term not above the refused prev_term) and the term there.
  LogIndex hint_index;
  Term hint_term;
};

// When a message was sent, by the sender's clock. Nobody else can read it; it is sent back.
struct Stamp {
  uint64_t life = 0;  // tells one process of the sender from another; 0: no stamp
  uint64_t time_ns = 0;
  bool operator==(const Stamp&) const = default;
};
// Filled in and read by the owner of the core, which has a clock (node/freshness.h).
struct Timing {
  Stamp sent;
  Stamp answers;  // the newest of the receiver's that the sender had got in this term
  bool operator==(const Timing&) const = default;
};

struct Heartbeat {
  LogIndex commit;  // min(match of this follower, leader's commit): never past what is verified
  ReadId read_id;   // highest read round asked so far
  Timing timing{};
  // The state at this index holds all that was committed `fresh_age_ns` before this was sent. None:
  // the leader can not tell. It may be past `commit`, and commits nothing. The owner's, like timing.
  LogIndex fresh_index{};
  uint64_t fresh_age_ns = 0;
};
// What a node can not do for now, because its state machine or its disk is in trouble. Told with
// every heartbeat reply: a state, which no lost message can turn into another.
struct Fitness {
  bool can_lead = true;  // false: others should be asked first to take over
  bool takes_entries = true;
  // Its state machine must be replaced by a snapshot at or past this index, though its log may
  // reach further. None: it need not.
  LogIndex snapshot_min{};
  bool operator==(const Fitness&) const = default;
};

struct HeartbeatReply {
  ReadId read_id;
  Fitness fitness{};
  Timing timing{};
};

// The leader tells that the follower needs this snapshot. The bytes travel apart, on the snapshot
// stream; the message only names it (the core never sees the data).
struct SnapshotOffer {
  SnapshotMeta meta;
};

// Start an election at once (3.10). Dropped by the receiver unless term and last index are current.
struct TimeoutNow {
  LogIndex last_index;
};

// A follower asks the leader for a read index; `context` is the follower's own number and comes
// back.
struct ReadIndexRequest {
  uint64_t context = 0;
};
struct ReadIndexReply {
  uint64_t context = 0;
  bool ok = false;  // false: not the leader (any more), ask again
  LogIndex index;
};

// What a member finds in its database, told to the leader until that has answered. This and the
// next are between the owners of the cores: a core that is given one does nothing.
struct DigestReport {
  LogIndex index;  // what the digest is of
  uint64_t a = 0;
  uint64_t b = 0;
  // Its file does not hold what was written to it; the rest means nothing then.
  bool damaged = false;
};
struct DigestVerdict {
  LogIndex index;  // what a majority has the digest below of
  uint64_t a = 0;
  uint64_t b = 0;
  // The receiver, which has said that it is damaged, is to leave service; the rest means nothing.
  bool leave = false;
};

// What a member gave for the entries from `first` on: one number after each, which stands for all
// results up to there. This and the next are between the owners of the cores, too.
struct ResultReport {
  LogIndex first;
  std::vector<uint64_t> hashes;
};
struct ResultVerdict {
  LogIndex index;     // a majority has given the same results up to here; none: nothing is known
  uint64_t hash = 0;  // and they are these
  // The leader compares results, so all must tell theirs.
  bool comparing = false;
};

using MessageBody =
    std::variant<PreVoteRequest, PreVoteReply, VoteRequest, VoteReply, AppendRequest, AppendReply,
                 Heartbeat, HeartbeatReply, SnapshotOffer, TimeoutNow, ReadIndexRequest,
                 ReadIndexReply, DigestReport, DigestVerdict, ResultReport, ResultVerdict>;

struct Message {
  MemberId from;
  MemberId to;
  Term term;
  MessageBody body;
};

}  // namespace cairn::raft
