// Transport: carries Raft messages, snapshots and the first-boot conversation between nodes.
//
// Thread-safe. No function here blocks the caller: Send drops messages that exceed its bounds (Raft
// sends again), and calls report through callbacks on threads of the transport.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/engine_id.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/status.h"
#include "base/summed_bytes.h"
#include "raft/types.h"

namespace cairn::transport {

// The version of everything that peers say to each other. Both sides refuse a peer that does not
// speak this version, with a clear error.
inline constexpr uint32_t kProtocolVersion = 2;

// Describes how a process of a member began. It lets others tell whether that process is the latest
// one or runs from a copy of the member's data.
struct Start {
  raft::Boot boot;
  std::vector<raft::Boot> earlier;  // from the same directory, oldest first
  // The last entry of the log that was found on the disk.
  Term term;
  LogIndex last;
};

// Identifies a node. It is sent first on every connection; the other side refuses a stranger.
struct Identity {
  uint64_t cluster_id = 0;  // 0: none yet (an empty node)
  uint64_t node_id = 0;     // the operator's --id
  uint64_t nonce = 0;       // of the data directory
  MemberId member;          // none: not (yet) a member
  std::string address;
  EngineId engine;         // state_machine::EngineFingerprint
  uint64_t level_max = 0;  // the feature levels that it knows (state_machine/feature_level.h)
  Start start{};
};

// The addresses where a member may be found, the likeliest first. An address does not say who lives
// there: the hello names the intended member, and the called node checks it.
using Addresses = std::vector<std::string>;

struct Peer {
  Addresses addresses;  // not empty
  // With TLS, nothing is sent to a node whose certificate names another one. The bad schedule
  // without this: node 3 gets the address that was node 2's, and takes what is sent to node 2. 0: not
  // known.
  uint64_t node_id = 0;
  bool operator==(const Peer&) const = default;
};
using Peers = std::map<MemberId, Peer>;

// The life stage of a node. See docs/decisions on first boot: an empty node must not vote until
// every listed peer is empty or founding too, so that a wiped node is never taken for a new one.
enum class LifeStage : uint8_t {
  kEmpty = 0,     // no identity on disk
  kFounding = 1,  // has persisted the cluster id, but does not yet know that all founders have
  kStarted = 2,   // takes part in the group
};
struct ProbeReply {
  Identity identity;
  LifeStage stage = LifeStage::kEmpty;
  // The peers of the --peers flag. Founders compare them to see that they were started with the
  // same list.
  std::map<uint64_t, std::string> listed_peers;
  uint64_t leader_node_id = 0;  // 0: unknown
  std::string leader_address;
  // The committed configuration that this node knows, and the index of that configuration. Both are
  // empty before the node takes part. A node that hears no leader learns from them that it was
  // removed.
  raft::Configuration config;
  LogIndex config_index;
};

// An empty node that finds a started cluster sends this to ask the leader to admit it (again).
struct JoinRequest {
  uint64_t node_id = 0;
  uint64_t nonce = 0;
  std::string address;
  EngineId engine;
  uint64_t level_max = 0;
};
struct JoinReply {
  uint64_t cluster_id = 0;
  MemberId member;  // the member id to use
  raft::Configuration config;
};

// A snapshot that is being sent. The bytes stay where they are until they are read. (An adapter
// makes the state machine's SnapshotReader a SnapshotSource.) One thread at a time.
class SnapshotSource {
 public:
  virtual ~SnapshotSource() = default;
  virtual const raft::SnapshotMeta& meta() const = 0;
  virtual uint64_t size_bytes() const = 0;
  // Distinguishes the copies of the same state.
  virtual uint64_t copy_id() const = 0;
  // Returns the CRC32C of the whole. Crc may wait for the end of the copy, as ReadInto may wait for
  // its bytes. One thread at a time calls the two.
  virtual Result<uint32_t> Crc() = 0;
  // Replaces `piece` by up to `size` bytes and their sum.
  virtual Status ReadInto(uint64_t offset, size_t size, SummedBytes* piece) = 0;
  Result<std::string> Read(uint64_t offset, size_t size) {
    SummedBytes piece;
    RETURN_IF_ERROR(ReadInto(offset, size, &piece));
    return std::move(piece.bytes);
  }
  // The receiver has answered, so it is at work, also when it has all bytes and checks them. Called
  // on any thread.
  virtual void OnAnswer() {}
};

// The node's side: handles what arrives. Called on the transport's threads. The functions must not
// block, except OnSnapshotReceived, which runs on the receiver's thread.
class Handler {
 public:
  virtual ~Handler() = default;
  // Messages from a process that OnCaller accepted.
  virtual void OnMessages(GroupId group, const raft::Boot& sender,
                          std::vector<raft::Message> messages) = 0;
  // A process that claims to be a member of this cluster, reachable at its address, begins to send
  // messages. A status other than OK refuses the process. ABORTED and ALREADY_EXISTS reach the
  // OnRefused of the caller.
  virtual Status OnCaller(const Identity& /*caller*/) { return OkStatus(); }
  // Called once for each OnCaller that returned OK, when the connection has ended.
  virtual void OnCallerLeft(const Identity& /*caller*/) {}
  // Returns whether what that process sends counts: the process was let in, or it is what is known
  // of the member. The transport asks this of a process that begins to send a snapshot.
  virtual bool Counts(const Identity& /*caller*/) { return true; }
  // A process with this start accepted this node's hello as that member. Returns false if that
  // process does not speak for the member; then the transport looks for the member elsewhere.
  virtual bool OnReached(MemberId /*member*/, const raft::Boot& /*boot*/) { return true; }
  // That member refuses this process as illegitimate. ABORTED: another process still runs under the
  // same member id. ALREADY_EXISTS: this process runs from a copy, or from data that were set back.
  // Called again for each attempt.
  virtual void OnRefused(MemberId /*by*/, const Status& /*why*/) {}
  // The connection to that member broke (called once), or still cannot be made (called again, but
  // not for each attempt). Called for the groups that have sent to the member.
  virtual void OnUnreachable(GroupId group, MemberId member) = 0;
  // The member's process is gone: its host refused a connection. Called again for each refused
  // attempt. A host that is down, or a network that drops packets, does not cause this call.
  virtual void OnPeerGone(GroupId /*group*/, MemberId /*member*/) {}
  virtual ProbeReply OnProbe() = 0;
  // The decision is made elsewhere. The handler calls `reply` once, from any thread.
  virtual void OnJoin(const JoinRequest& request, std::function<void(Result<JoinReply>)> reply) = 0;
  // Called before a snapshot is received. Returns false if this node does not want the snapshot (it
  // is not behind, or is busy).
  virtual bool OnSnapshotOffered(GroupId group, MemberId from, const raft::SnapshotMeta& meta) = 0;
  // A whole snapshot lies in the file at `path`, as it was sent. The handler owns the file from now
  // on. The handler may take its time to check the file; it calls `proceed` repeatedly, and false
  // from `proceed` ends the check. A status other than OK means that the snapshot is useless, and
  // the sender sees a failed transfer.
  virtual Status OnSnapshotReceived(GroupId group, MemberId from, const raft::SnapshotMeta& meta,
                                    const std::string& path,
                                    const std::function<bool()>& proceed) = 0;
};

class Transport {
 public:
  virtual ~Transport() = default;

  // Sets the identity for new connections, and closes the connections made under another identity.
  virtual void SetIdentity(const Identity& identity) = 0;
  // Sets the members to keep connections to; connections to other members are closed. When one
  // address fails, the next one is tried, in turn. Each attempt resolves names anew.
  virtual void SetPeers(const Peers& peers) = 0;

  // Queues messages for their receivers. Messages that exceed the bound of a receiver's queue, and
  // messages to unknown members, are dropped.
  virtual void Send(GroupId group, std::vector<raft::Message> messages) = 0;

  // Streams a snapshot in checked chunks, and resumes where a broken transfer of the same snapshot
  // stopped. `done` is called once. At most one transfer per member runs at a time.
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
