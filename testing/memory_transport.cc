#include "testing/memory_transport.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/mutex.h"
#include "transport/identity_check.h"
#include "transport/incoming_snapshot.h"
#include "transport/live_count.h"
#include "transport/message_codec.h"
#include "transport/task_thread.h"

namespace cairn::transport {
namespace {

constexpr size_t kLinkBytesMax = 32 << 20;
constexpr size_t kChunkBytes = 256 << 10;

// One attached node.
struct Endpoint {
  std::string address;
  Handler* handler = nullptr;
  std::string snapshot_directory;
  LiveCount live;  // calls into the handler, and callbacks

  Mutex mutex;
  Identity identity CAIRN_GUARDED_BY(mutex);
  Peers peers CAIRN_GUARDED_BY(mutex);
  std::map<MemberId, size_t> queued_bytes CAIRN_GUARDED_BY(mutex);
  std::set<MemberId> told_unreachable CAIRN_GUARDED_BY(mutex);

  Identity CurrentIdentity() {
    MutexLock lock(mutex);
    return identity;
  }
  Addresses AddressesOf(MemberId member) {
    MutexLock lock(mutex);
    const auto it = peers.find(member);
    return it == peers.end() ? Addresses() : it->second.addresses;
  }
};

using EndpointPtr = std::shared_ptr<Endpoint>;

class Network {
 public:
  void Attach(const EndpointPtr& endpoint) {
    MutexLock lock(mutex_);
    CHECK(endpoints_.emplace(endpoint->address, endpoint).second)
        << endpoint->address << " is attached already";
  }
  void Detach(const EndpointPtr& endpoint) {
    {
      MutexLock lock(mutex_);
      endpoints_.erase(endpoint->address);
    }
    endpoint->live.Close();
    endpoint->live.AwaitNone();
  }
  void SetCut(const std::string& from, const std::string& to, bool cut) {
    MutexLock lock(mutex_);
    if (cut) {
      cuts_.emplace(from, to);
    } else {
      cuts_.erase({from, to});
    }
  }
  // The node at `to`, if a message from `from` reaches it.
  EndpointPtr Reach(const std::string& from, const std::string& to) {
    MutexLock lock(mutex_);
    const auto it = endpoints_.find(to);
    return it == endpoints_.end() || cuts_.contains({from, to}) ? nullptr : it->second;
  }

  TaskThread& delivery() { return delivery_; }
  TaskThread& snapshots() { return snapshots_; }

 private:
  Mutex mutex_;
  std::map<std::string, EndpointPtr> endpoints_ CAIRN_GUARDED_BY(mutex_);
  std::set<std::pair<std::string, std::string>> cuts_ CAIRN_GUARDED_BY(mutex_);
  // Declared last, so that the threads end before what their tasks use is destroyed.
  TaskThread delivery_;
  TaskThread snapshots_;
};

// Runs `call` unless the endpoint is gone, and keeps the endpoint alive meanwhile.
template <class Call>
bool IfLive(const EndpointPtr& endpoint, Call call) {
  if (!endpoint->live.Enter()) return false;
  call();
  endpoint->live.Leave();
  return true;
}

// Wraps `done` of an asynchronous call: only the first use counts, and only while the caller lives.
template <class T>
class Once {
 public:
  Once(EndpointPtr caller, std::function<void(Result<T>)> done)
      : caller_(std::move(caller)), done_(std::move(done)) {}
  void operator()(Result<T> result) {
    if (used_.exchange(true)) return;
    IfLive(caller_, [&] { done_(std::move(result)); });
  }

 private:
  const EndpointPtr caller_;
  const std::function<void(Result<T>)> done_;
  std::atomic<bool> used_{false};
};

class MemoryTransport final : public Transport {
 public:
  MemoryTransport(std::shared_ptr<Network> network, EndpointPtr self)
      : network_(std::move(network)), self_(std::move(self)) {
    network_->Attach(self_);
  }
  ~MemoryTransport() override { network_->Detach(self_); }

  void SetIdentity(const Identity& identity) override {
    MutexLock lock(self_->mutex);
    self_->identity = identity;
  }
  void SetPeers(const Peers& peers) override {
    MutexLock lock(self_->mutex);
    self_->peers = peers;
  }

  void Send(GroupId group, std::vector<raft::Message> messages) override {
    std::map<MemberId, std::vector<raft::Message>> sorted;
    std::map<MemberId, size_t> bytes;
    {
      MutexLock lock(self_->mutex);
      for (raft::Message& message : messages) {
        const size_t cost = MessageCost(message);
        size_t& queued = self_->queued_bytes[message.to];
        if (!self_->peers.contains(message.to) || queued + cost > kLinkBytesMax) continue;
        queued += cost;
        bytes[message.to] += cost;
        sorted[message.to].push_back(std::move(message));
      }
    }
    for (auto& [to, batch] : sorted) {
      network_->delivery().Post([network = network_.get(), self = self_, group, to = to,
                                 cost = bytes[to], moved = std::move(batch)]() mutable {
        {
          MutexLock lock(self->mutex);
          self->queued_bytes[to] -= cost;
        }
        Deliver(network, self, group, to, std::move(moved));
      });
    }
  }

  void SendSnapshot(GroupId group, MemberId from, MemberId to,
                    std::shared_ptr<SnapshotSource> source,
                    std::function<void(Status)> done) override {
    network_->snapshots().Post([network = network_.get(), self = self_, group, from, to,
                                moved = std::move(source), report = std::move(done)] {
      const Status status = CopySnapshot(network, self, group, from, to, moved.get());
      IfLive(self, [&] { report(status); });
    });
  }

  void Probe(const std::string& address, SteadyTime /*timeout*/,
             std::function<void(Result<ProbeReply>)> done) override {
    auto once = std::make_shared<Once<ProbeReply>>(self_, std::move(done));
    network_->delivery().Post([network = network_.get(), self = self_, address, once] {
      const EndpointPtr target = ReachBothWays(network, self, address);
      ProbeReply reply;
      if (target && IfLive(target, [&] { reply = target->handler->OnProbe(); })) {
        (*once)(std::move(reply));
      } else {
        (*once)(Unavailable("cannot reach " + address));
      }
    });
  }

  void Join(const std::string& address, const JoinRequest& request, SteadyTime timeout,
            std::function<void(Result<JoinReply>)> done) override {
    auto once = std::make_shared<Once<JoinReply>>(self_, std::move(done));
    network_->delivery().PostAfter(
        timeout, [once] { (*once)(DeadlineExceeded("the join was not answered in time")); });
    network_->delivery().Post([network = network_.get(), self = self_, address, request, once] {
      const EndpointPtr target = ReachBothWays(network, self, address);
      const auto ask = [&] {
        // The answer is delivered on the network's thread, whichever thread made it.
        target->handler->OnJoin(request, [network, once](Result<JoinReply> reply) {
          network->delivery().Post(
              [once, moved = std::move(reply)]() mutable { (*once)(std::move(moved)); });
        });
      };
      if (target) {
        Status engine = CheckEngine(request.engine, target->CurrentIdentity().engine);
        if (!engine.ok()) {
          (*once)(std::move(engine));
          return;
        }
      }
      if (!target || !IfLive(target, ask)) (*once)(Unavailable("cannot reach " + address));
    });
  }

 private:
  static EndpointPtr ReachBothWays(Network* network, const EndpointPtr& self,
                                   const std::string& address) {
    const EndpointPtr target = network->Reach(self->address, address);
    return target && network->Reach(address, self->address) ? target : nullptr;
  }

  // Returns the node where member `to` is expected, if it is reachable and accepts what `self`
  // sends.
  static Result<EndpointPtr> Connect(Network* network, const EndpointPtr& self, MemberId to) {
    Status why = Unavailable("cannot reach member " + ToString(to));
    for (const std::string& address : self->AddressesOf(to)) {
      EndpointPtr target = network->Reach(self->address, address);
      if (!target) continue;
      why = CheckCaller(kProtocolVersion, self->CurrentIdentity(), to, target->CurrentIdentity());
      if (why.ok()) return target;
    }
    return why;
  }

  static void Deliver(Network* network, const EndpointPtr& self, GroupId group, MemberId to,
                      std::vector<raft::Message> messages) {
    const Result<EndpointPtr> target = Connect(network, self, to);
    bool delivered = false;
    Status refused;
    if (target.ok()) {
      IfLive(*target, [&] {
        // There are no connections: each delivery opens and closes one.
        const Identity caller = self->CurrentIdentity();
        refused = (*target)->handler->OnCaller(caller);
        delivered = refused.ok();
        if (!delivered) return;
        (*target)->handler->OnMessages(group, caller.start.boot, std::move(messages));
        (*target)->handler->OnCallerLeft(caller);
      });
    }
    if (!refused.ok()) IfLive(self, [&] { self->handler->OnRefused(to, refused); });
    bool tell = false;
    {
      MutexLock lock(self->mutex);
      if (delivered) {
        self->told_unreachable.erase(to);
      } else {
        tell = self->told_unreachable.insert(to).second;
      }
    }
    if (tell) IfLive(self, [&] { self->handler->OnUnreachable(group, to); });
  }

  static Status CopySnapshot(Network* network, const EndpointPtr& self, GroupId group,
                             MemberId from, MemberId to, SnapshotSource* source) {
    ASSIGN_OR_RETURN(const EndpointPtr target, Connect(network, self, to));
    Status status = Unavailable("member " + ToString(to) + " is gone");
    IfLive(target, [&] { status = CopySnapshotTo(network, self, target, group, from, source); });
    return status;
  }

  static Status CopySnapshotTo(Network* network, const EndpointPtr& self, const EndpointPtr& target,
                               GroupId group, MemberId from, SnapshotSource* source) {
    const raft::SnapshotMeta& meta = source->meta();
    if (!target->handler->OnSnapshotOffered(group, from, meta)) {
      return Aborted("the snapshot at index " + ToString(meta.index) + " is not wanted");
    }
    const SnapshotKey key{self->CurrentIdentity().cluster_id,
                          group,
                          meta.index,
                          meta.term,
                          source->copy_id(),
                          source->size_bytes()};
    ASSIGN_OR_RETURN(std::unique_ptr<IncomingSnapshot> incoming,
                     IncomingSnapshot::Open(PosixFileSystem(), target->snapshot_directory, key,
                                            /*free_bytes_min=*/0));
    while (!incoming->whole()) {
      if (!network->Reach(self->address, target->address)) {
        RETURN_IF_ERROR(incoming->Suspend());
        return Unavailable("the connection broke");
      }
      const auto want =
          static_cast<size_t>(std::min<uint64_t>(kChunkBytes, key.size_bytes - incoming->offset()));
      ASSIGN_OR_RETURN(const std::string data, source->Read(incoming->offset(), want));
      RETURN_IF_ERROR(incoming->Append(incoming->offset(), data, Crc32c(data)));
    }
    ASSIGN_OR_RETURN(const uint32_t crc_of_whole, source->Crc());
    ASSIGN_OR_RETURN(const std::string path, incoming->Complete(crc_of_whole, [] { return true; }));
    return target->handler->OnSnapshotReceived(group, from, meta, path, [] { return true; });
  }

  const std::shared_ptr<Network> network_;
  const EndpointPtr self_;
};

class MemoryNetworkImpl final : public MemoryNetwork {
 public:
  std::unique_ptr<Transport> Attach(const std::string& address, Handler* handler,
                                    const std::string& snapshot_directory) override {
    auto endpoint = std::make_shared<Endpoint>();
    endpoint->address = address;
    endpoint->handler = handler;
    endpoint->snapshot_directory = snapshot_directory;
    return std::make_unique<MemoryTransport>(network_, std::move(endpoint));
  }
  void SetCut(const std::string& from, const std::string& to, bool cut) override {
    network_->SetCut(from, to, cut);
  }

 private:
  const std::shared_ptr<Network> network_ = std::make_shared<Network>();
};

}  // namespace

std::unique_ptr<MemoryNetwork> NewMemoryNetwork() { return std::make_unique<MemoryNetworkImpl>(); }

}  // namespace cairn::transport
