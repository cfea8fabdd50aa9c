// Transport: Raft messages, snapshots and the first-boot conversation between nodes.
//
// Thread-safe. Nothing here blocks the caller: Send drops what does not fit its bounds (Raft sends
// again), calls report through callbacks on threads of the transport.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/engine_id.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/status.h"
#include "raft/types.h"

namespace cairn::transport {

// Version of everything that peers say to each other. A peer of a later version that cannot speak
// this one is refused with a clear error, on both sides.
inline constexpr uint32_t kProtocolVersion = 2;

// With what a process of a member began: enough for others to tell whether it is the one that came
// last, or runs from a copy of the member's data.
struct Start {
  raft::Boot boot;
  std::vector<raft::Boot> earlier;  // from the same directory, oldest first
  // What the log held on the disk.
  Term term;
  LogIndex last;
};

// Who a node is. Sent first on every connection; the other side refuses a stranger.
struct Identity {
  uint64_t cluster_id = 0;  // 0: none yet (an empty node)
  uint64_t node_id = 0;     // the operator's --id
  uint64_t nonce = 0;       // of the data directory
  MemberId member;          // none: not (yet) a member
  std::string address;
  EngineId engine;         // state_machine::EngineFingerprint()
  uint64_t level_max = 0;  // the feature levels that it knows (state_machine/feature_level.h)
  Start start{};
};

// Where a member may be found, the likeliest first. None of them says who lives there: that the
// hello tells, which the one who is called checks.
using Addresses = std::vector<std::string>;

// How far a node is in its life. See docs/decisions on first boot: an empty node must not vote
// until every listed peer is empty or founding too, so that a wiped node is never taken for a new
// one.
enum class LifeStage : uint8_t {
  kEmpty = 0,     // no identity on disk
  kFounding = 1,  // has persisted the cluster id, but does not yet know that all founders have
  kStarted = 2,   // takes part
};
struct ProbeReply {
  Identity identity;
  LifeStage stage = LifeStage::kEmpty;
  // Of the --peers flag, so that founders can see that they were started with the same list.
  std::map<uint64_t, std::string> listed_peers;
  uint64_t leader_node_id = 0;  // 0: unknown
  std::string leader_address;
  // The committed configuration that this node knows of, and where it came from; empty before it
  // takes part. A node that hears no leader learns from it that it was removed.
  raft::Configuration config;
  LogIndex config_index;
};

// An empty node that finds a started cluster asks its leader to be let in (again).
struct JoinRequest {
  uint64_t node_id = 0;
  uint64_t nonce = 0;
  std::string address;
  EngineId engine;
  uint64_t level_max = 0;
};
struct JoinReply {
  uint64_t cluster_id = 0;
  MemberId member;  // the id to live under
  raft::Configuration config;
};

// A snapshot being sent: the bytes stay where they are until asked for. (The state machine's
// SnapshotReader is adapted to it.) One thread at a time.
class SnapshotSource {
 public:
  virtual ~SnapshotSource() = default;
  virtual const raft::SnapshotMeta& meta() const = 0;
  virtual uint64_t size_bytes() const = 0;
  // Tells the copies of the same state apart.
  virtual uint64_t copy_id() const = 0;
  // CRC32C of the whole. It may have to wait for the end of the copy, as Read for its bytes.
  virtual Result<uint32_t> Crc() = 0;
  virtual Result<std::string> Read(uint64_t offset, size_t size) = 0;
  // The receiver has answered: it is at work, also when it has all and looks through it. Called on
  // the thread that reads.
  virtual void OnAnswer() {}
};

// What the node does with what arrives. Called on the transport's threads; must not block, but for
// OnSnapshotReceived, which has the receiver's thread.
class Handler {
 public:
  virtual ~Handler() = default;
  // From a process that OnCaller let in.
  virtual void OnMessages(GroupId group, const raft::Boot& sender,
                          std::vector<raft::Message> messages) = 0;
  // A process that says it is a member of this cluster, to be reached at its address, begins to send
  // messages. Not OK: it is refused with that. ABORTED and ALREADY_EXISTS reach its OnRefused.
  virtual Status OnCaller(const Identity& /*caller*/) { return OkStatus(); }
  // Once for each OnCaller that said OK, when the connection has ended.
  virtual void OnCallerLeft(const Identity& /*caller*/) {}
  // Whether what that process sends counts: it was let in, or is what is known of the member. Asked
  // of who begins to send a snapshot.
  virtual bool Counts(const Identity& /*caller*/) { return true; }
  // A process that started so took this node's hello as that member. False: it is not the one that
  // speaks for the member, and the member is looked for elsewhere.
  virtual bool OnReached(MemberId /*member*/, const raft::Boot& /*boot*/) { return true; }
  // That member takes this process for no rightful one: ABORTED, because another still runs under the
  // same member id; ALREADY_EXISTS, because this one runs from a copy, or from data that were set
  // back. Told again with each attempt.
  virtual void OnRefused(MemberId /*by*/, const Status& /*why*/) {}
  // The connection to that member broke (told once), or could still not be made (told again, but
  // not with each attempt). Told to the groups that have sent to the member.
  virtual void OnUnreachable(GroupId group, MemberId member) = 0;
  // The member's process is gone: its host refused a connection. Told again with each attempt that
  // is refused. A host that is down, or a network that swallows packets, says nothing of the kind.
  virtual void OnPeerGone(GroupId /*group*/, MemberId /*member*/) {}
  virtual ProbeReply OnProbe() = 0;
  // Decided elsewhere; `reply` is called once, from any thread.
  virtual void OnJoin(const JoinRequest& request, std::function<void(Result<JoinReply>)> reply) = 0;
  // Asked before a snapshot is received: false if it is not wanted (not behind, or busy).
  virtual bool OnSnapshotOffered(GroupId group, MemberId from, const raft::SnapshotMeta& meta) = 0;
  // A whole snapshot lies in the file at `path`, as it was sent; the handler owns the file now. It
  // may take its time to look through it, calling `proceed` now and then, which ends the work with
  // false. Not OK: it is of no use; the sender hears that as a transfer that failed.
  virtual Status OnSnapshotReceived(GroupId group, MemberId from, const raft::SnapshotMeta& meta,
                                    const std::string& path,
                                    const std::function<bool()>& proceed) = 0;
};

class Transport {
 public:
  virtual ~Transport() = default;

  // Identity used from now on for new connections; closes those made under another.
  virtual void SetIdentity(const Identity& identity) = 0;
  // Members to keep connections to; connections to others are closed. Where one address fails the
  // next is tried, in turn; each attempt resolves names anew.
  virtual void SetPeers(const std::map<MemberId, Addresses>& peers) = 0;

  // Queues messages for their receivers; those that do not fit the bound of a receiver's queue, and
  // those to unknown members, are dropped.
  virtual void Send(GroupId group, std::vector<raft::Message> messages) = 0;

  // Streams a snapshot in checked chunks, resuming where a broken transfer of the same snapshot
  // left off. `done` is called once. At most one at a time per member.
  virtual void SendSnapshot(GroupId group, MemberId from, MemberId to,
                            std::shared_ptr<SnapshotSource> source,
                            std::function<void(Status)> done) = 0;

  // First boot.
  virtual void Probe(const std::string& address, SteadyTime timeout,
                     std::function<void(Result<ProbeReply>)> done) = 0;
  virtual void Join(const std::string& address, const JoinRequest& request, SteadyTime timeout,
                    std::function<void(Result<JoinReply>)> done) = 0;
};

}  // namespace cairn::transport
