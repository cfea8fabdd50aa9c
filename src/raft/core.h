// RaftCore: consensus as a pure state machine. Inputs in by Step, effects out by TakeOutput.
//
// No thread, clock, socket, file or global: time is the Tick input, randomness is injected,
// containers are ordered, so a seed reproduces a run exactly. One owner; not thread-safe. It never
// blocks.
//
// The owner's duties, in any order between different outputs unless said:
//   1. send `send_now` messages at any time;
//   2. write each `persist` to the log as one atomic batch, in the order they came, sync it, then
//      send its `send_after` messages and Step(Persisted{ticket}). Many persists may share one
//      sync;
//   3. hand `committed` entries to the state machine, in order, never past the locally durable end
//      of the log (see CommittedBatch), and Step(Applied{...}) when they have been applied;
//   4. answer `fetches` with Step(Fetched{...}) from the log store, off this thread;
//   5. on `install_snapshot` (a leader offers one; a newer offer replaces an older) receive it by
//      the snapshot stream, verify it, and Step(SnapshotReady{meta}); or Step(SnapshotFailed{}). If
//      the next output has a persist with `reset_to`, the snapshot is to be installed, and
//      committed batches handed out before that are void; if not, the log holds all of it and it
//      can be thrown away;
//   6. on `send_snapshots` stream a snapshot to that peer, announced by a SnapshotOffer message in
//      the term given, and Step(SnapshotSent{peer, ok, index}).
//   7. when commit_untold() has held for some milliseconds, Step(TellCommit{}): followers learn of
//      a commit from the next append, which in a busy cluster comes at once and costs nothing more.
// A failed write or sync of the log aborts the process: the kernel may have dropped what it holds.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/rng.h"
#include "raft/types.h"

namespace cairn::raft {

// Limits in payload bytes count 32 bytes more for each entry, so that empty ones are bounded too.
struct Options {
  MemberId self;
  // Election timeout is drawn from [election_ticks, 2 * election_ticks) anew each time.
  uint64_t election_ticks = 15;
  uint64_t heartbeat_ticks = 3;
  // Payload bytes in one AppendRequest (a single larger entry goes alone).
  size_t append_bytes_max = 1 << 20;
  size_t append_entries_max = 4096;
  // Unacknowledged AppendRequests and payload bytes to one follower.
  size_t inflight_messages_max = 64;
  size_t inflight_bytes_max = 8 << 20;
  // Payload bytes appended by this leader and not yet committed; past it proposals are refused.
  size_t uncommitted_bytes_max = 32 << 20;
  // Payload bytes handed out in `committed` and not yet reported Applied.
  size_t apply_inflight_bytes_max = 16 << 20;
  // Payload bytes of entries kept in memory once durable and handed to apply; older ones are
  // fetched.
  size_t cache_bytes_max = 8 << 20;
  // Read barriers waiting; past it they are refused.
  size_t pending_reads_max = 65536;
};

// ---- Inputs -------------------------------------------------------------------------------------

struct Tick {};
struct Received {
  Message message;
};
// Appended in order if this node is the leader, else dropped. `id` is the owner's; it comes back in
// Output::accepted (with term and index) or Output::dropped.
struct Proposal {
  uint64_t id = 0;
  Payload payload;
};
struct Propose {
  std::vector<Proposal> proposals;
};
// A change of membership: `config` is the target (not joint). The core makes it joint where voters
// change, refuses it (Output::dropped, with a reason) while another is under way, before an
// own-term entry is committed, or when the target is illegal (no voters; a voter that was never a
// member or learner is allowed only for `voters` that already are learners or voters).
struct ProposeConfig {
  uint64_t id = 0;
  Configuration config;
};
// A linearizable read wants an index. Answered in Output::reads, on leader and follower alike.
struct ReadBarrier {
  uint64_t id = 0;
};
// The persist with this ticket, and so all before it, are durable.
struct AppendTicket {
  uint64_t sequence = 0;  // 1, 2, 3, ... one a persist
  Term leader_term;       // term in which its entries were accepted
  LogIndex last;          // last index of the log after it
  bool operator==(const AppendTicket&) const = default;
};
struct Persisted {
  AppendTicket ticket;
};
// The state machine has applied up to `index`.
struct Applied {
  LogIndex index;
};
// Answer to a Fetch. Empty `entries`: they are gone (compacted).
struct Fetched {
  uint64_t fetch_id = 0;
  std::vector<Entry> entries;
};
struct TransferLeader {
  MemberId target;  // none: the best caught-up voter
};
struct SnapshotReady {
  SnapshotMeta meta;  // received and verified; the file is installed when the log reset is durable
};
struct SnapshotFailed {};
struct SnapshotSent {
  MemberId peer;
  bool ok = false;
  LogIndex index;  // of the snapshot that was sent
};
// The transport lost its connection to a peer: optimistic pipelining to it stops until it answers.
struct Unreachable {
  MemberId peer;
};
// The process of a peer has ended, as far as one can tell: its host refuses connections where it
// listened. A follower that was led by it, and hears nothing of it for a heartbeat interval either,
// takes the leader for lost at once and asks for pre-votes after a short random time. An election
// is an election all the same: who still hears the leader refuses. Wrong news about a leader that
// is late at a majority cost an election, no more. May be repeated.
struct PeerGone {
  MemberId peer;
};
// Entries up to `index` may go: the state machine holds them durably. Keeps what peers still need
// only as far as the owner wishes; the core just forgets.
struct Compact {
  LogIndex index;
};
// The owner has waited long enough for an append that would carry the commit index (see duty 7).
struct TellCommit {};
// The state machine stands at `meta` now, wherever it stood before: it was reopened after a
// failure, or replaced by a snapshot that this node asked for by its Fitness. What follows is
// handed out anew. `meta` must not lie before the beginning of the log; if the log does not hold
// it, the next output has a persist with `reset_to`.
struct Restored {
  SnapshotMeta meta;
};
// (The input Fitness is what this node can not do from now on; its leader is told.)
// Step down now if leader (disk stalled, or shutting down): no campaign until `ticks` have passed.
struct StepDown {
  uint64_t quiet_ticks = 0;
};

using Input = std::variant<Tick, Received, Propose, ProposeConfig, ReadBarrier, Persisted, Applied,
                           Fetched, TransferLeader, SnapshotReady, SnapshotFailed, SnapshotSent,
                           Unreachable, PeerGone, Compact, TellCommit, Restored, Fitness, StepDown>;

// ---- Outputs ------------------------------------------------------------------------------------

// One atomic, synced batch for the log store.
struct Persist {
  std::optional<HardState> hard_state;
  // Drop everything and start anew after this point (snapshot install).
  std::optional<SnapshotMeta> reset_to;
  // Drop entries from here on, before appending.
  std::optional<LogIndex> truncate_from;
  std::vector<Entry> entries;
  AppendTicket ticket;
  // Vouch for what this batch writes: vote requests, vote replies, append acknowledgements. They
  // may leave only once it is durable. (Vote requests too: candidate A advertises an unsynced tail
  // at term T, B grants, A crashes and loses tail and term, campaigns again at T with a shorter
  // log, and B's delayed grant makes A leader without a committed entry.)
  std::vector<Message> send_after;
  // Nothing to write: `send_after` only waits for the batches before it.
  bool empty() const { return !hard_state && !reset_to && !truncate_from && entries.empty(); }
};

// Entries that are committed, in order, each exactly once in the life of this core. They never pass
// min(commit, locally durable end of the log): else after a crash the state machine could be ahead
// of the log, and a leader could lose what it has applied.
struct CommittedBatch {
  std::vector<Entry> entries;
  // Configuration in force after the last of these entries, and where it came from: what the state
  // machine stores beside its applied index.
  Configuration config;
  LogIndex config_index;
};

struct ReadGrant {
  uint64_t id = 0;  // of the ReadBarrier
  LogIndex index;   // a local read is linearizable once this has been applied
};
struct Accepted {
  uint64_t id = 0;
  Term term;
  LogIndex index;
};
enum class DropReason : uint8_t {
  kNotLeader = 1,
  kUncommittedFull = 2,   // too many bytes not yet committed
  kTransferring = 3,      // leadership is being handed over
  kConfigInProgress = 4,  // one change at a time
  kConfigIllegal = 5,
  kTooManyReads = 6,
  kLeadershipLost = 7,  // read barriers only: the round was not finished
};
// The proposal was not appended and surely never takes effect (or the read was not granted).
struct Dropped {
  uint64_t id = 0;
  DropReason reason = DropReason::kNotLeader;
  std::string detail;
};
// Entries to be read from the log store: [from, ...) until `bytes_max` or `to` (excluded).
struct Fetch {
  uint64_t fetch_id = 0;
  LogIndex from;
  LogIndex to;
  size_t bytes_max = 0;
};
struct SendSnapshot {
  MemberId peer;
  // The SnapshotOffer message that announces the stream carries this term, whatever the core's is
  // by the time it leaves: in a later term this node is not the leader, and must not claim to be.
  Term term;
  // It must reach as far, or the peer could not go on from it.
  LogIndex index_min;
};
struct InstallSnapshot {
  MemberId leader;
  SnapshotMeta meta;
};

enum class Role : uint8_t { kFollower, kPreCandidate, kCandidate, kLeader };

struct Output {
  std::vector<Message> send_now;
  std::vector<Persist> persists;
  std::optional<CommittedBatch> committed;
  std::vector<ReadGrant> reads;
  std::vector<Accepted> accepted;
  std::vector<Dropped> dropped;
  std::vector<Fetch> fetches;
  std::vector<SendSnapshot> send_snapshots;
  std::optional<InstallSnapshot> install_snapshot;
  // Role, term or leader changed since the last output.
  bool soft_state_changed = false;
};

// How far a leader knows a peer to be.
struct PeerStatus {
  enum class State : uint8_t { kProbe, kReplicate, kSnapshot };
  State state = State::kProbe;
  LogIndex match;
  LogIndex next;
  bool recently_active = false;  // heard from within two election timeouts
  bool can_lead = true;          // as it told last (Fitness)
  size_t inflight_bytes = 0;
};

struct CoreStatus {
  MemberId self;
  Role role = Role::kFollower;
  Term term;
  MemberId vote;
  MemberId leader;  // none: unknown
  LogIndex first;   // first index still in the log
  LogIndex last;
  LogIndex durable;
  LogIndex commit;
  LogIndex applied;
  Configuration config;
  LogIndex config_index;
  // A configuration entry is in the log and not yet committed, or the configuration is joint, or
  // its commitment is not yet durable here, and (as far as a leader knows) on a quorum: the next
  // change would be refused, and a loss may count against the members before it.
  bool config_in_progress = false;
  // Leader only: an entry of its own term is committed, so that it may serve reads and change
  // members.
  bool leader_ready = false;
  MemberId transfer_target;
  std::map<MemberId, PeerStatus> peers;  // leader only
};

// What a core starts from: what the log store and the state machine hold.
struct InitialState {
  HardState hard_state;
  // The log begins after this; {0, 0} for a new one. `config` is that of the state machine at
  // `applied` (or of the founding members).
  LogIndex snapshot_index;
  Term snapshot_term;
  Configuration config;
  LogIndex config_index;
  LogIndex applied;
  // Every entry of the log after snapshot_index, with term, index and type; payloads may be absent
  // (null) for all but kConfig entries, and are fetched when needed.
  std::vector<Entry> log;
};

class RaftCore {
 public:
  // `rng` must outlive the core. CHECK-fails on an initial state that no correct log store produces
  // (applied past the end of the log, holes, terms that fall).
  RaftCore(Options options, InitialState initial, Rng* rng);
  ~RaftCore();
  RaftCore(const RaftCore&) = delete;
  RaftCore& operator=(const RaftCore&) = delete;

  void Step(Input input);
  // Cheap. Take the output after a batch of inputs; appends made by them travel together. What is
  // taken may turn out empty; an idle core says false.
  bool HasOutput() const;
  Output TakeOutput();

  CoreStatus status() const;
  // Parts of status() that are read often.
  Role role() const;
  Term term() const;
  MemberId leader() const;
  LogIndex commit() const;
  // The last index of the log in memory.
  LogIndex last() const;
  const Configuration& config() const;
  bool leader_ready() const;
  // Committed entries wait here: to be durable, or for what was handed out to be applied.
  bool holds_back_committed() const;
  // Leader: some follower has acknowledged entries of which it was not told that they are
  // committed.
  bool commit_untold() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace cairn::raft
