// Network: carries messages, calls and snapshot transfers between simulated nodes, with network
// faults.
//
// A link is one direction from one node to another. As over TCP, messages of a link arrive in the
// order in which they were sent, unless the reordering fault is on. The receiver gets no sign of a
// lost message. Messages pass through the real codec. A call (probe, join) needs both directions.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "raft/types.h"
#include "sim/world.h"
#include "transport/incoming_snapshot.h"
#include "transport/transport.h"

namespace cairn::sim {

// The network's view of a running process. One endpoint is attached per address and is removed when
// its process dies. A sender names the incarnation of the process, so that nothing meant for one
// process reaches its successor on the same connection.
class Endpoint {
 public:
  virtual ~Endpoint() = default;
  virtual std::shared_ptr<const transport::Identity> identity() const = 0;
  // The protocol version of peer messages that the process speaks.
  virtual uint32_t protocol_version() const = 0;
  virtual void OnMessages(GroupId group, const raft::Boot& sender,
                          std::vector<raft::Message> messages) = 0;
  // The same as in transport::Handler.
  virtual Status OnCaller(const transport::Identity& caller) = 0;
  virtual void OnCallerLeft(const transport::Identity& caller) = 0;
  virtual bool OnReached(MemberId member, const raft::Boot& boot) const = 0;
  virtual void OnRefused(MemberId by, const Status& why) = 0;
  virtual void OnUnreachable(GroupId group, MemberId member) = 0;
  // The member's host refused a connection.
  virtual void OnPeerGone(MemberId member) = 0;
  virtual transport::ProbeReply OnProbe() = 0;
  virtual void OnJoin(const transport::JoinRequest& request,
                      std::function<void(Result<transport::JoinReply>)> reply) = 0;
  virtual bool OnSnapshotOffered(MemberId from, const raft::SnapshotMeta& meta) = 0;
  virtual Status OnSnapshotReceived(MemberId from, const raft::SnapshotMeta& meta,
                                    const std::string& path) = 0;
  virtual FileSystem& snapshot_files() = 0;
  virtual const std::string& snapshot_directory() const = 0;
  // The time at which a stopped process resumes; now if the process runs.
  virtual SteadyTime runs_at() const = 0;
};

struct NetworkOptions {
  SteadyTime delay_min = microseconds(100);
  SteadyTime delay_mean = microseconds(200);  // on top of the minimum
  size_t link_bytes_max = 4 << 20;            // in flight; what does not fit is dropped
  size_t chunk_bytes = 16 << 10;              // of a snapshot
  SteadyTime chunk_time = milliseconds(1);
};

class Network {
 public:
  Network(World* world, NetworkOptions options);

  void Attach(uint64_t node, const std::string& address, Endpoint* endpoint);
  // The process is gone, and its disk accepts nothing any more. Transfers release its files, so
  // that they touch neither the files of the next process nor a disk that no longer exists.
  void Detach(uint64_t node);

  // ---- From a node
  void Send(uint64_t from, GroupId group, const transport::Peers& peers,
            const std::vector<raft::Message>& messages);
  void SendSnapshot(uint64_t from, GroupId group, const transport::Peers& peers,
                    MemberId from_member, MemberId to,
                    std::shared_ptr<transport::SnapshotSource> source,
                    std::function<void(Status)> done);
  void Probe(uint64_t from, const std::string& address, SteadyTime timeout,
             const std::function<void(Result<transport::ProbeReply>)>& done);
  void Join(uint64_t from, const std::string& address, const transport::JoinRequest& request,
            SteadyTime timeout, const std::function<void(Result<transport::JoinReply>)>& done);

  // ---- Faults, for the nemesis. Node 0 stands for all clients.
  void SetCut(uint64_t from, uint64_t to, bool cut);
  void Clog(uint64_t from, uint64_t to, SteadyTime until);
  // Delays everything on the link by `lag`.
  void SetLag(uint64_t from, uint64_t to, SteadyTime lag) { link(from, to).lag = lag; }
  void HealAll();
  double loss = 0;
  double duplicate = 0;
  double reorder = 0;      // share of messages that lose their place in the order
  double slow = 0;         // share of messages that take 100 times as long
  double chunk_reset = 0;  // for each chunk of a snapshot
  double chunk_flip = 0;   // one bit of a chunk flips

  // Whether a message sent now would arrive, and when. Each call draws.
  bool Passes(uint64_t from, uint64_t to);
  SteadyTime Delay(uint64_t from, uint64_t to);
  bool cut(uint64_t from, uint64_t to) const;

  struct Counts {
    uint64_t messages = 0;
    uint64_t lost = 0;
    uint64_t duplicated = 0;
    uint64_t snapshots_sent = 0;
    uint64_t snapshots_broken = 0;
  };
  const Counts& counts() const { return counts_; }

 private:
  struct Attached {
    uint64_t incarnation = 0;
    std::string address;
    Endpoint* endpoint = nullptr;
    std::map<MemberId, bool> told_unreachable;
    std::map<uint64_t, transport::Identity> callers;  // accepted callers, by incarnation
  };
  struct Link {
    bool cut = false;
    SteadyTime clogged_until{0};
    SteadyTime lag{0};
    SteadyTime last_arrival{0};
    size_t bytes = 0;
  };
  struct Transfer;

  Attached* Find(uint64_t node, uint64_t incarnation);
  // The node that lives at the address; 0 if none.
  uint64_t NodeAt(const std::string& address) const;
  // The node that a process reaches when it tries these addresses: the first that accepts it as a
  // caller, otherwise any node that is there; 0 if there is none.
  uint64_t NodeOf(const Attached& from, MemberId member,
                  const transport::Addresses& addresses) const;
  Link& link(uint64_t from, uint64_t to) { return links_[{from, to}]; }
  void SendOne(uint64_t from, GroupId group, uint64_t to, const raft::Message& message);
  void Deliver(uint64_t from, uint64_t from_incarnation, const transport::Identity& sender,
               uint32_t version, GroupId group, uint64_t to, const std::string& bytes);
  void TellUnreachable(uint64_t node, uint64_t incarnation, GroupId group, MemberId member);
  void StepTransfer(const std::shared_ptr<Transfer>& transfer);
  Status SendChunk(Transfer* transfer, Endpoint* receiver);
  void EndTransfer(const std::shared_ptr<Transfer>& transfer, Status status);

  World* const world_;
  const NetworkOptions options_;
  Rng rng_;
  std::map<uint64_t, Attached> attached_;
  uint64_t next_incarnation_ = 1;
  std::map<std::pair<uint64_t, uint64_t>, Link> links_;
  std::vector<std::shared_ptr<Transfer>> transfers_;
  std::map<uint64_t, int> receiving_;  // transfers in progress, by the receiving incarnation
  Counts counts_;
};

}  // namespace cairn::sim
