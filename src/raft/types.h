// The vocabulary of the Raft core: entries, configurations, messages. The types are plain data;
// their only behaviour is equality. Section numbers refer to Ongaro's thesis, "Consensus: Bridging
// Theory and Practice".
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

// Immutable bytes. The log thread, the messages in flight and the apply thread share the bytes
// without copying them. An Entry's payload is never null: an empty payload is an empty string.
using Payload = std::shared_ptr<const std::string>;

enum class EntryType : uint8_t {
  kNormal = 1,  // commands for the state machine
  kNoop = 2,    // a new leader appends it, so that it can commit and read in its term (6.4)
  kConfig = 3,  // payload is an encoded Configuration (configuration_codec.h)
};

struct Entry {
  Term term;
  LogIndex index;
  EntryType type = EntryType::kNormal;
  Payload payload;
};

// One start of a member. The data directory counts its starts, so a directory that was copied, or
// set back to an older state, starts with a count that was used before. Each start draws a new
// nonce. The nonce tells apart two processes that started from two copies of one directory and so
// have the same count. The directory keeps the last starts (node/boot_file.h).
struct Boot {
  uint64_t count = 0;  // 0: not recorded
  uint64_t nonce = 0;
  bool operator==(const Boot&) const = default;
};

// What the cluster knows of one member, besides the member's role.
struct MemberInfo {
  uint64_t node_id = 0;  // the number the operator gave (--id); unique among current members
  std::string address;   // host:port where the member was last reached
  uint64_t nonce = 0;    // the node draws it when it creates its data directory; it tells a wiped
                         // node from the admitted one
  Boot boot{};           // the last start that the cluster knows of
  bool operator==(const MemberInfo&) const = default;
};

// Joint consensus (4.3); a new member is a learner first. A configuration takes effect when it is
// committed. A configuration is joint when `outgoing` is not empty: a decision then needs a
// majority of `voters` and a majority of `outgoing`. Once a joint configuration is committed, the
// leader itself appends the configuration that leaves it (`outgoing` is cleared, `learners_next`
// become learners).
struct Configuration {
  std::set<MemberId> voters;
  std::set<MemberId> outgoing;
  std::set<MemberId> learners;
  // Voters in `outgoing` that become learners when the group leaves the joint configuration.
  std::set<MemberId> learners_next;
  std::map<MemberId, MemberInfo> info;  // exactly the members of the sets above
  uint64_t next_member_id = 1;          // greater than every member id ever used

  bool joint() const { return !outgoing.empty(); }
  bool IsVoter(MemberId id) const { return voters.contains(id) || outgoing.contains(id); }
  bool IsLearner(MemberId id) const { return learners.contains(id); }
  bool Contains(MemberId id) const { return info.contains(id); }
  bool operator==(const Configuration&) const = default;
};

// What must survive a crash besides the log (Figure 2: currentTerm, votedFor). The commit index is
// stored only to speed up a restart; it is never trusted past the end of the log.
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
  LogIndex config_index;  // index of the entry that holds `config`
  bool operator==(const SnapshotMeta&) const = default;
};

// ---- Messages -----------------------------------------------------------------------------------

// Pre-vote (9.6): asks whether the receiver would vote for the sender at `Message::term`, the term
// in which the sender would campaign. A pre-vote request changes nothing at the receiver.
struct PreVoteRequest {
  LogIndex last_index;
  Term last_term;
};
// A rejection carries the rejecting node's own term as the message's term, so that a stale asker
// catches up. A grant carries the term that was asked for.
struct PreVoteReply {
  bool granted = false;
};
struct VoteRequest {
  LogIndex last_index;
  Term last_term;
  // True when the leader itself started this election (TimeoutNow). Voters then vote even if they
  // heard from a leader recently (4.2.3).
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
  // On success: the last index up to which the follower's log is known to match the leader's log.
  // On failure: the prev_index that the follower refused.
  LogIndex index;
  // On failure: the index that the leader should probe next, and its term in the follower's log.
  // The index is the follower's last index, or the last index whose term is not above the refused
  // prev_term.
  LogIndex hint_index;
  Term hint_term;
};

// When a message was sent, by the sender's clock. Only the sender can interpret a stamp; the
// receiver sends it back.
struct Stamp {
  uint64_t life = 0;  // tells apart the processes that the sender ran as; 0: no stamp
  uint64_t time_ns = 0;
  bool operator==(const Stamp&) const = default;
};
// The owner of the core fills in and reads a Timing, because the owner has a clock
// (node/freshness.h).
struct Timing {
  Stamp sent;
  Stamp answers;  // the newest of the receiver's stamps that the sender got in this term
  bool operator==(const Timing&) const = default;
};

struct Heartbeat {
  LogIndex commit;  // min(this follower's match, leader's commit): never past what is verified
  ReadId read_id;   // the highest read round started so far
  Timing timing{};
  // The state at `fresh_index` holds everything that was committed `fresh_age_ns` before this
  // heartbeat was sent. None: the leader cannot tell. `fresh_index` may be past `commit`, and it
  // commits nothing. The owner of the core fills in and reads both fields, as it does `timing`.
  LogIndex fresh_index{};
  uint64_t fresh_age_ns = 0;
};
// What a node cannot do for now, because its state machine or its disk is in trouble. Every
// heartbeat reply carries the Fitness. It is a state, not an event, so a lost message does no harm:
// the next reply carries the state again.
struct Fitness {
  bool can_lead = true;  // false: ask other members first to take over leadership
  bool takes_entries = true;
  // The node's state machine must be replaced by a snapshot at or past this index, even if the
  // node's log reaches further. None: the state machine need not be replaced.
  LogIndex snapshot_min{};
  bool operator==(const Fitness&) const = default;
};

struct HeartbeatReply {
  ReadId read_id;
  Fitness fitness{};
  Timing timing{};
};

// The leader tells the follower that the follower needs this snapshot. The snapshot's bytes travel
// separately, on the snapshot stream. The message only names the snapshot: the core never sees the
// data.
struct SnapshotOffer {
  SnapshotMeta meta;
};

// Tells the receiver to start an election at once (3.10). The receiver drops the message unless its
// term and last index are current.
struct TimeoutNow {
  LogIndex last_index;
};

// A follower asks the leader for a read index. `context` is the follower's own number; the reply
// carries it back.
struct ReadIndexRequest {
  uint64_t context = 0;
};
struct ReadIndexReply {
  uint64_t context = 0;
  bool ok = false;  // false: the receiver is not (or no longer) the leader; ask again
  LogIndex index;
};

// The digest that a member computes of its database. The member repeats the report to the leader
// until the leader has answered. DigestReport and DigestVerdict travel between the owners of the
// cores: a core that is given one does nothing.
struct DigestReport {
  LogIndex index;  // the digest is of the database at this index
  uint64_t a = 0;
  uint64_t b = 0;
  // The member's database file does not hold what was written to it; the other fields then mean
  // nothing.
  bool damaged = false;
};
struct DigestVerdict {
  LogIndex index;  // a majority has the digest below at this index
  uint64_t a = 0;
  uint64_t b = 0;
  // The receiver has reported that it is damaged and must leave service; the other fields then mean
  // nothing.
  bool leave = false;
};

// The results that a member computed for the entries from `first` on: one hash after each entry,
// which stands for all results up to and including that entry. ResultReport and ResultVerdict also
// travel between the owners of the cores.
struct ResultReport {
  LogIndex first;
  std::vector<uint64_t> hashes;
};
struct ResultVerdict {
  LogIndex index;     // a majority computed the same results up to this index; none: nothing is
                      // known
  uint64_t hash = 0;  // the hash of those results
  // The leader is comparing results, so every member must report its own.
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
