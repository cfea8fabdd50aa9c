// ReplicaCounts: what the threads of a replica count, for whoever watches the node. Nothing in the
// replica reads them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/measures.h"

namespace cairn::node {

// Why a leader or its node refused a write, surely not applied.
enum class WriteRefusal : uint8_t {
  kNotLeader,     // another node leads, or none
  kQueueFull,     // too many writes wait
  kUncommitted,   // too much waits for a majority
  kDiskFull,      // the disk has no room
  kOutOfService,  // the state machine is in trouble, or the member was removed or is a copy
  kLevel,         // the feature level of the cluster is too low
  kMaintenance,   // another request of maintenance is under way
  kExpired,       // its time was over while it waited
  kQueueWait,     // it waited for longer than a write may
  kCancelled,     // its caller went while it waited
  kStopping,      // the node is shutting down, or hands leadership over
};
inline constexpr size_t kWriteRefusals = 11;
// As a label: "not_leader".
const char* WriteRefusalName(WriteRefusal refusal);

// Why a batch of commands left the queue when it did, and with what it has.
enum class BatchEnd : uint8_t {
  kIdle,      // no entry was under way, and nothing was waited for
  kAllCame,   // the clients that were answered last have asked again
  kDelay,     // the longest delay was over
  kCommands,  // as many commands as an entry may have
  kBytes,     // as many bytes
  kWork,      // as much expected work
};
inline constexpr size_t kBatchEnds = 6;
// As a label: "all_came".
const char* BatchEndName(BatchEnd end);

// Thread-safe.
struct ReplicaCounts {
  // ---- The log thread
  Histogram log_sync{kTimeBounds};  // to write and sync what shares one sync
  Counter log_bytes_written;        // payloads of entries
  Counter log_fulls;                // times that the log's disk became full
  Counter free_bytes;               // of the disk, as of the last look, once a second

  // ---- The apply thread
  Histogram apply{kTimeBounds};  // to apply the entries of one round
  Counter entries_applied;
  Counter commands_answered;  // this node's own proposals
  Histogram checkpoint{kTimeBounds};
  Counter apply_stops;
  Counter snapshots_installed;
  Counter snapshot_installs_failed;

  // ---- The core thread
  Histogram batch_commands{kCountBounds};  // of an entry that this leader proposed
  Histogram batch_bytes{kByteBounds};
  std::array<Counter, kBatchEnds> batches;  // by why they ended
  Histogram queue_wait{kTimeBounds};  // of the oldest command of an entry, before it is proposed
  Histogram commit{kTimeBounds};      // from when an entry is proposed until it is committed
  Counter read_rounds;                // rounds that prove reads linearizable
  Counter reads_proved;               // linearizable reads that asked for a round
  Counter elections;                  // that this node began as a candidate
  Counter terms_led;
  Counter leader_changes;  // times that this node learned of another leader
  Counter disk_stalls;
  Counter snapshots_sent;
  Counter snapshots_not_sent;
  Counter snapshots_received;
  Counter scrubbed_index;  // the last state that a scrub found right
  std::array<Counter, kWriteRefusals> writes_refused;

  void Refuse(WriteRefusal why) { writes_refused[static_cast<size_t>(why)].Add(); }
};

}  // namespace cairn::node
