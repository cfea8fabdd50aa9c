// RaftCore: consensus as a pure state machine. Inputs go in by Step, effects come out by
// TakeOutput.
//
// The core uses no thread, clock, socket, file or global. Time is the Tick input, randomness is
// injected, and containers are ordered, so a seed reproduces a run exactly. The core has one owner,
// is not thread-safe, and never blocks.
//
// The owner's duties. Duties from different outputs may be done in any order, unless stated:
//   1. send `send_now` messages at any time;
//   2. write each `persist` to the log as one atomic batch, in the order the core gave them, sync
//      the log, then send the persist's `send_after` messages and Step(Persisted{ticket}). Many
//      persists may share one sync;
//   3. hand `committed` entries to the state machine, in order, never past the locally durable end
//      of the log (see CommittedBatch), and Step(Applied{...}) when the entries have been applied;
//   4. answer `fetches` with Step(Fetched{...}) from the log store, off this thread;
//   5. on `install_snapshot` (a leader offers a snapshot; a newer offer replaces an older one)
//      receive the snapshot by the snapshot stream, verify it, and Step(SnapshotReady{meta}); or
//      Step(SnapshotFailed{}). If the next output has a persist with `reset_to`, the owner must
//      install the snapshot, and committed batches handed out before are void. If not, the log
//      already holds all that the snapshot holds, and the owner can discard the snapshot;
//   6. on `send_snapshots` stream a snapshot to that peer, announced by a SnapshotOffer message in
//      the given term, and Step(SnapshotSent{peer, ok, index});
//   7. when commit_untold() has held for some milliseconds, Step(TellCommit{}). Followers otherwise
//      learn of a commit from the next append, which in a busy cluster comes at once and costs
//      nothing more.
// A failed write or sync of the log aborts the process: the kernel may have dropped the dirty
// pages.
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

// A limit in payload bytes counts 32 bytes more for each entry, so that empty entries are bounded
// too.
struct Options {
  MemberId self;
  // The election timeout is drawn from [election_ticks, 2 * election_ticks) anew each time.
  uint64_t election_ticks = 15;
  uint64_t heartbeat_ticks = 3;
  // Payload bytes in one AppendRequest. A single entry that is larger goes alone.
  size_t append_bytes_max = 1 << 20;
  size_t append_entries_max = 4096;
  // Unacknowledged AppendRequests and payload bytes to one follower.
  size_t inflight_messages_max = 64;
  size_t inflight_bytes_max = 8 << 20;
  // Payload bytes that this leader has appended and not yet committed. Past this limit the leader
  // refuses proposals.
  size_t uncommitted_bytes_max = 32 << 20;
  // Payload bytes that the core has handed out in `committed` and that are not yet reported
  // Applied.
  size_t apply_inflight_bytes_max = 16 << 20;
  // Payload bytes of entries that stay in memory after they are durable and handed out to be
  // applied. Older entries are fetched from the log store.
  size_t cache_bytes_max = 8 << 20;
  // Read barriers that wait. Past this limit the core refuses read barriers.
  size_t pending_reads_max = 65536;
};

// ---- Inputs -------------------------------------------------------------------------------------

struct Tick {};
struct Received {
  Message message;
};
// A leader appends the proposals in order; any other node drops them. `id` is the owner's number.
// The core returns it in Output::accepted (with term and index) or in Output::dropped.
struct Proposal {
  uint64_t id = 0;
  Payload payload;
};
struct Propose {
  std::vector<Proposal> proposals;
};
// A change of membership. `config` is the target and is not joint. The core makes the configuration
// joint if the set of voters changes. The core refuses the change (Output::dropped, with a reason)
// while another change is in progress, before the leader has committed an entry of its own term, or
// if the target is illegal: a target with no voters, or with a voter that is not a learner or voter
// already.
struct ProposeConfig {
  uint64_t id = 0;
  Configuration config;
};
// A linearizable read asks for an index. The core answers in Output::reads, on leaders and
// followers alike.
struct ReadBarrier {
  uint64_t id = 0;
};
// The persist with this ticket, and every persist before it, is durable.
struct AppendTicket {
  uint64_t sequence = 0;  // 1, 2, 3, ...: one number for each persist
  Term leader_term;       // the term in which the persist's entries were accepted
  LogIndex last;          // the last index of the log after the persist
  bool operator==(const AppendTicket&) const = default;
};
struct Persisted {
  AppendTicket ticket;
};
// The state machine has applied up to `index`.
struct Applied {
  LogIndex index;
};
// The answer to a Fetch. Empty `entries`: the log has been compacted past the entries.
struct Fetched {
  uint64_t fetch_id = 0;
  std::vector<Entry> entries;
};
struct TransferLeader {
  MemberId target;  // none: the voter that has caught up best
};
struct SnapshotReady {
  SnapshotMeta meta;  // received and verified; the file is installed once the log reset is durable
};
struct SnapshotFailed {};
struct SnapshotSent {
  MemberId peer;
  bool ok = false;
  LogIndex index;  // index of the snapshot that was sent
};
// The transport lost its connection to a peer. The leader stops pipelining appends to the peer
// until the peer answers.
struct Unreachable {
  MemberId peer;
};
// The process of a peer has ended, as far as this node can tell: the peer's host refuses
// connections to the port that the peer listened on. If the peer was this follower's leader, and
// the follower hears nothing from it for one heartbeat interval either, the follower takes the
// leader for lost at once and asks for pre-votes after a short random time. The election keeps
// every other rule: a member that still hears the leader refuses its vote. If the news is wrong,
// and the leader is late at a majority, the news costs one election, no more. The owner may repeat
// the input.
struct PeerGone {
  MemberId peer;
};
// The core may forget entries up to `index`: the state machine holds them durably. The owner
// decides how many entries to keep for peers that still need them; the core just forgets the
// entries.
struct Compact {
  LogIndex index;
};
// The owner has waited long enough for an append that would carry the commit index (duty 7).
struct TellCommit {};
// The state machine is now at `meta`, wherever it was before: the owner reopened it after a
// failure, or replaced it by a snapshot that this node asked for by its Fitness. The core hands out
// the entries after `meta` again. `meta` must not lie before the beginning of the log. If the log
// does not hold `meta`, the next output has a persist with `reset_to`.
struct Restored {
  SnapshotMeta meta;
};
// (The input Fitness says what this node cannot do from now on; the core tells the node's leader.)
// StepDown: a leader steps down now (its disk stalls, or the node is shutting down). The node does
// not campaign until `quiet_ticks` ticks have passed.
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
  // Drop the whole log; the log now begins after this point (snapshot install).
  std::optional<SnapshotMeta> reset_to;
  // Drop the entries from this index on, before appending.
  std::optional<LogIndex> truncate_from;
  std::vector<Entry> entries;
  AppendTicket ticket;
  // Messages that vouch for what this batch writes: vote requests, vote replies, append
  // acknowledgements. They may leave only once the batch is durable. Vote requests must wait too.
  // The bad schedule: candidate A advertises an unsynced tail at term T, and B grants its vote. A
  // crashes, loses the tail and the term, and campaigns again at T with a shorter log. B's delayed
  // grant makes A leader without a committed entry.
  std::vector<Message> send_after;
  // True if there is nothing to write: `send_after` only waits for the batches before this one.
  bool empty() const { return !hard_state && !reset_to && !truncate_from && entries.empty(); }
};

// Committed entries, in order, each exactly once in the life of this core. They never pass
// min(commit, locally durable end of the log). Otherwise the state machine could be ahead of the
// log after a crash, and a leader could lose an entry that it has applied.
struct CommittedBatch {
  std::vector<Entry> entries;
  // The configuration in force after the last of these entries, and the index of its entry. The
  // state machine stores both beside its applied index.
  Configuration config;
  LogIndex config_index;
};

struct ReadGrant {
  uint64_t id = 0;  // of the ReadBarrier
  LogIndex index;   // a local read is linearizable once this index has been applied
};
struct Accepted {
  uint64_t id = 0;
  Term term;
  LogIndex index;
};
enum class DropReason : uint8_t {
  kNotLeader = 1,
  kUncommittedFull = 2,   // too many uncommitted bytes
  kTransferring = 3,      // leadership is being handed over
  kConfigInProgress = 4,  // one change at a time
  kConfigIllegal = 5,
  kTooManyReads = 6,
  kLeadershipLost = 7,  // read barriers only: leadership was lost before the round finished
};
// The proposal was not appended and certainly never takes effect (or the read was not granted).
struct Dropped {
  uint64_t id = 0;
  DropReason reason = DropReason::kNotLeader;
  std::string detail;
};
// Entries to read from the log store: [from, ...) until `bytes_max` or `to` (excluded).
struct Fetch {
  uint64_t fetch_id = 0;
  LogIndex from;
  LogIndex to;
  size_t bytes_max = 0;
};
struct SendSnapshot {
  MemberId peer;
  // The SnapshotOffer message that announces the stream carries this term, whatever the core's term
  // is when the message leaves. In a later term this node is not the leader and must not claim to
  // be.
  Term term;
  // The snapshot must reach at least this index; otherwise the peer could not continue from it.
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
  // The role, the term or the leader changed since the last output.
  bool soft_state_changed = false;
};

// What a leader knows of a peer's progress.
struct PeerStatus {
  enum class State : uint8_t { kProbe, kReplicate, kSnapshot };
  State state = State::kProbe;
  LogIndex match;
  LogIndex next;
  bool recently_active = false;  // the leader heard from the peer within two election timeouts
  bool can_lead = true;          // as the peer last reported (Fitness)
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
  // True if a configuration entry is in the log and not yet committed, or the configuration is
  // joint, or its commitment is not yet durable on this node and (as far as a leader knows) on a
  // quorum. The next change would then be refused, and if a member is lost, the members of the
  // previous configuration may still be needed for a majority.
  bool config_in_progress = false;
  // Leader only: an entry of the leader's own term is committed, so the leader may serve reads and
  // change members.
  bool leader_ready = false;
  MemberId transfer_target;
  std::map<MemberId, PeerStatus> peers;  // leader only
};

// What a core starts from: the contents of the log store and the state machine.
struct InitialState {
  HardState hard_state;
  // The log begins after this point; {0, 0} for a new log. `config` is the state machine's
  // configuration at `applied` (or the configuration of the founding members).
  LogIndex snapshot_index;
  Term snapshot_term;
  Configuration config;
  LogIndex config_index;
  LogIndex applied;
  // Every entry of the log after snapshot_index, with term, index and type. The payload may be
  // absent (null) for all but kConfig entries; the core fetches a payload when it needs it.
  std::vector<Entry> log;
};

class RaftCore {
 public:
  // `rng` must outlive the core. The constructor CHECK-fails on an initial state that no correct
  // log store produces (`applied` past the end of the log, holes, terms that decrease).
  RaftCore(Options options, InitialState initial, Rng* rng);
  ~RaftCore();
  RaftCore(const RaftCore&) = delete;
  RaftCore& operator=(const RaftCore&) = delete;

  void Step(Input input);
  // Cheap. Take the output after a batch of inputs: the appends that the batch causes then travel
  // together. The output may turn out to be empty. HasOutput is false for an idle core.
  bool HasOutput() const;
  Output TakeOutput();

  CoreStatus status() const;
  // Parts of status() that callers read often.
  Role role() const;
  Term term() const;
  MemberId leader() const;
  LogIndex commit() const;
  // The last index of the log in memory.
  LogIndex last() const;
  const Configuration& config() const;
  bool leader_ready() const;
  // True if committed entries wait in the core: until they are durable, or until entries that were
  // handed out before are applied.
  bool holds_back_committed() const;
  // Leader only: some follower has acknowledged entries and has not been told that they are
  // committed.
  bool commit_untold() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace cairn::raft
