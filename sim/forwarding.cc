#include "sim/forwarding.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "rpc/timers.h"
#include "server/router.h"
#include "sim/process.h"

namespace cairn::sim {
namespace {

using server::Origin;
using state_machine::Command;
using state_machine::CommandResult;

// How soon a node notices that a stream is dead (rpc/endpoint.cc), and how long it tries to
// connect.
constexpr SteadyTime kDeadAfter = milliseconds(2600);
constexpr SteadyTime kConnectMax = seconds(1);
// How often a router hears whether there is news of the leader.
constexpr SteadyTime kLook = milliseconds(20);
// A client's node, a node that relays, and the leader.
constexpr int kHopsMax = 2;

}  // namespace

// What a router asks of its node's replica.
class Forwarding::LocalReplica final : public node::Replica {
 public:
  LocalReplica(rpc::Timers* timers, Node* node, uint64_t incarnation)
      : timers_(timers), node_(node), incarnation_(incarnation) {}

  Process* process() const {
    Process* const process = node_->process(incarnation_);
    return process == nullptr || process->dead() ? nullptr : process;
  }
  // No client of the simulator leaves a write behind while its node runs.
  void Propose(const Command& command, SteadyTime deadline, node::CommandDone done,
               node::CallerGone /*gone*/) override {
    if (Process* const now = process()) {
      now->Propose(command, deadline - node_->clock().SteadyNow(), std::move(done));
    }
  }
  void OnCallersGone() override {}
  void AwaitLeader(SteadyTime deadline, std::function<void(Result<LeaderHint>)> done) override {
    if (process() == nullptr) return;
    if (const auto leader = leader_hint()) return done(*leader);
    if (node_->clock().SteadyNow() >= deadline) {
      return done(Unavailable("no leader").With(Outcome::kNotApplied));
    }
    timers_->RunAt(node_->clock().SteadyNow() + kLook,
                   [this, deadline, done = std::move(done)] { AwaitLeader(deadline, done); });
  }
  std::optional<LeaderHint> leader_hint() const override {
    return process() == nullptr ? std::nullopt : process()->core().leader_hint();
  }
  bool is_leader() const override { return process() != nullptr && process()->core().is_leader(); }
  node::ReplicaStatus status() const override {
    return process() == nullptr ? node::ReplicaStatus() : process()->core().status();
  }

  // What no router asks.
  SteadyTime last_turn() const override { return SteadyTime(0); }
  void Start(transport::Transport*) override {}
  transport::Handler* handler() override { return nullptr; }
  void ReadBarrier(const node::ReadOptions&, SteadyTime,
                   std::function<void(Result<LogIndex>)>) override {}
  state_machine::StateMachine& state() override { return process()->state(); }
  void SetLeaderWatcher(std::function<void()>) override {}
  void ChangeMembership(MembershipChange, SteadyTime, std::function<void(const std::string&)>,
                        std::function<void(Status)>) override {}
  void TransferLeadership(uint64_t, SteadyTime, std::function<void(Status)>) override {}
  void RaiseLevel(SteadyTime, std::function<void(Result<uint64_t>)>) override {}
  bool compares_results() const override { return false; }
  void Shutdown(SteadyTime) override {}

 private:
  rpc::Timers* const timers_;
  Node* const node_;
  const uint64_t incarnation_;
};

class Forwarding::Link final : public server::WriteLink, public std::enable_shared_from_this<Link> {
 public:
  Link(Forwarding* owner, Host* host, std::string address, Origin origin);

  void Open();
  void Send(const Command& command, SteadyTime deadline, Done done) override;
  void Close() override { Break("the stream was ended"); }
  const std::string& address() const override { return address_; }
  bool broken() const override { return broken_; }
  bool ready() const override { return ready_; }
  bool ended() const override { return broken_; }
  void AwaitEnd() override {}

 private:
  struct Pending {
    Command command;
    SteadyTime deadline;
    int hops = 0;
    bool sent = false;
    bool lost = false;  // the write or its answer
    Done done;
  };

  World* world() const { return owner_->world_; }
  void After(SteadyTime delay, std::function<void()> run);
  bool Cut() const;
  Process* Target() const;
  void Transmit(uint64_t id);
  void Arrive(uint64_t id);
  void Watch(uint64_t id);
  void End(uint64_t id, const Status& reached, Result<CommandResult> answer);
  void Break(const std::string& why);

  Forwarding* const owner_;
  Host* const host_;
  const std::shared_ptr<const bool> host_alive_;
  const uint64_t from_;
  const std::string address_;
  const Origin origin_;
  uint64_t to_ = 0;
  uint64_t incarnation_ = 0;  // of the process at the other end
  bool ready_ = false;
  bool broken_ = false;
  uint64_t last_id_ = 0;
  std::map<uint64_t, Pending> pending_;
};

class Forwarding::Host final : public rpc::Timers {
 public:
  Host(Forwarding* owner, Node* node)
      : owner_(owner),
        node_(node),
        incarnation_(node->process()->incarnation()),
        replica_(this, node, incarnation_) {
    server::Router::Options options;
    options.node_id = node->id();
    options.address = node->address();
    router_ = std::make_unique<server::Router>(
        &replica_, this, &node->clock(),
        [this](const std::string& address, Origin origin, uint64_t) {
          auto link = std::make_shared<Link>(owner_, this, address, origin);
          link->Open();
          return link;
        },
        options);
    LookForNews();
  }
  // Nobody is called any more.
  ~Host() override { *alive_ = false; }

  uint64_t incarnation() const { return incarnation_; }
  const std::shared_ptr<bool>& alive() const { return alive_; }
  Node* node() const { return node_; }
  server::Router& router() { return *router_; }

  void RunAt(SteadyTime when, std::function<void()> task) override {
    After(std::max(SteadyTime(0), when - node_->clock().SteadyNow()), std::move(task));
  }
  // Runs the task when the process runs again, if it is stopped then, and not once it is dead.
  void After(SteadyTime delay, std::function<void()> task) {
    owner_->world_->After(delay, Label(Kind::kClient, node_->id()),
                          [this, alive = alive_, task = std::move(task)] {
                            if (!*alive || replica_.process() == nullptr) return;
                            const SteadyTime pause = node_->paused_until() - owner_->world_->now();
                            if (pause > SteadyTime(0)) return After(pause, task);
                            task();
                          });
  }

 private:
  void LookForNews() {
    const std::optional<LeaderHint> leader = replica_.leader_hint();
    if (std::exchange(leader_, leader) != leader) router_->OnLeaderChanged();
    After(kLook, [this] { LookForNews(); });
  }

  Forwarding* const owner_;
  Node* const node_;
  const uint64_t incarnation_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  LocalReplica replica_;
  std::optional<LeaderHint> leader_;
  std::unique_ptr<server::Router> router_;
};

// ---- One stream

Forwarding::Link::Link(Forwarding* owner, Host* host, std::string address, Origin origin)
    : owner_(owner),
      host_(host),
      host_alive_(host->alive()),
      from_(host->node()->id()),
      address_(std::move(address)),
      origin_(origin) {}

void Forwarding::Link::After(SteadyTime delay, std::function<void()> run) {
  if (!*host_alive_) return;
  host_->After(delay, [self = shared_from_this(), run = std::move(run)] { run(); });
}

bool Forwarding::Link::Cut() const {
  return owner_->network_->cut(from_, to_) || owner_->network_->cut(to_, from_);
}

Process* Forwarding::Link::Target() const {
  const auto node = owner_->nodes_->find(to_);
  Process* const process =
      node == owner_->nodes_->end() ? nullptr : node->second->process(incarnation_);
  return process == nullptr || process->dead() ? nullptr : process;
}

void Forwarding::Link::Open() {
  to_ = owner_->NodeAt(address_);
  if (to_ == 0) return After(milliseconds(1), [this] { Break("connection refused"); });
  incarnation_ = owner_->nodes_->at(to_)->process()->incarnation();
  Network& network = *owner_->network_;
  const bool passes = !Cut() && network.Passes(from_, to_) && network.Passes(to_, from_);
  if (!passes) return After(kConnectMax, [this] { Break("no connection in time"); });
  After(network.Delay(from_, to_) + network.Delay(to_, from_), [this] {
    if (broken_) return;
    ready_ = true;
    std::vector<uint64_t> waiting;
    for (const auto& [id, pending] : pending_) waiting.push_back(id);
    for (const uint64_t id : waiting) Transmit(id);
  });
}

void Forwarding::Link::Send(const Command& command, SteadyTime deadline, Done done) {
  if (broken_) {
    const Status ended = Unavailable("the stream has ended").With(Outcome::kNotApplied);
    return done(ended, ended);
  }
  const uint64_t id = ++last_id_;
  const int hops = owner_->hops_ + 1;
  pending_[id] = {command, deadline, hops, false, false, std::move(done)};
  host_->RunAt(deadline, [this, self = shared_from_this(), id] {
    const auto late = pending_.find(id);
    if (late == pending_.end()) return;
    const Status over = DeadlineExceeded("no answer in time")
                            .With(late->second.sent ? Outcome::kUnknown : Outcome::kNotApplied);
    End(id, over, over);
  });
  if (ready_) Transmit(id);
}

void Forwarding::Link::Transmit(uint64_t id) {
  const auto found = pending_.find(id);
  if (found == pending_.end()) return;
  found->second.sent = true;
  found->second.lost = !owner_->network_->Passes(from_, to_);
  if (!found->second.lost) {
    // Runs at the other node, which may be stopped.
    world()->After(owner_->network_->Delay(from_, to_), Label(Kind::kClient, to_),
                   [self = shared_from_this(), id] { self->Arrive(id); });
  }
  After(kDeadAfter, [this, id] { Watch(id); });
}

void Forwarding::Link::Arrive(uint64_t id) {
  const auto found = pending_.find(id);
  if (!*host_alive_ || found == pending_.end() || Target() == nullptr) return;
  Pending& pending = found->second;
  const SteadyTime pause = owner_->nodes_->at(to_)->paused_until() - world()->now();
  if (pause > SteadyTime(0)) {
    return world()->After(pause, Label(Kind::kClient, to_),
                          [self = shared_from_this(), id] { self->Arrive(id); });
  }
  const SteadyTime left = pending.deadline - host_->node()->clock().SteadyNow();
  owner_->Take(to_, pending.command, left, origin_, pending.hops,
               [self = shared_from_this(), id](Result<CommandResult> answer) {
                 if (!*self->host_alive_) return;
                 Network& network = *self->owner_->network_;
                 if (!network.Passes(self->to_, self->from_)) {
                   const auto sent = self->pending_.find(id);
                   if (sent != self->pending_.end()) sent->second.lost = true;
                   return;
                 }
                 self->After(network.Delay(self->to_, self->from_), [self, id, answer] {
                   if (!self->broken_) self->End(id, OkStatus(), answer);
                 });
               });
}

void Forwarding::Link::Watch(uint64_t id) {
  const auto found = pending_.find(id);
  if (broken_ || found == pending_.end()) return;
  if (Cut() || Target() == nullptr || found->second.lost) return Break("the stream is dead");
  After(kDeadAfter, [this, id] { Watch(id); });
}

void Forwarding::Link::End(uint64_t id, const Status& reached, Result<CommandResult> answer) {
  const auto found = pending_.find(id);
  if (found == pending_.end()) return;
  const Done done = std::move(found->second.done);
  pending_.erase(found);
  done(reached, std::move(answer));
}

void Forwarding::Link::Break(const std::string& why) {
  if (std::exchange(broken_, true)) return;
  const std::shared_ptr<Link> self = shared_from_this();
  for (auto& [id, pending] : std::exchange(pending_, {})) {
    if (!*host_alive_) continue;
    const Status lost =
        Unavailable(why).With(pending.sent ? Outcome::kUnknown : Outcome::kNotApplied);
    pending.done(lost, lost);
  }
}

// ---- All nodes

Forwarding::Forwarding(World* world, Network* network, const Nodes* nodes)
    : world_(world), network_(network), nodes_(nodes) {}

Forwarding::~Forwarding() = default;

uint64_t Forwarding::NodeAt(const std::string& address) const {
  for (const auto& [id, node] : *nodes_) {
    if (node->running() && !node->process()->dead() && node->address() == address) return id;
  }
  return 0;
}

Forwarding::Host* Forwarding::HostOf(uint64_t node) {
  Node* const at = nodes_->at(node).get();
  std::unique_ptr<Host>& host = hosts_[node];
  if (host == nullptr || host->incarnation() != at->process()->incarnation()) {
    host = std::make_unique<Host>(this, at);
  }
  return host.get();
}

void Forwarding::Write(uint64_t node, const Command& command, SteadyTime timeout,
                       node::CommandDone done) {
  Take(node, command, timeout, Origin::kClient, 0, std::move(done));
}

void Forwarding::Take(uint64_t node, const Command& command, SteadyTime timeout, Origin origin,
                      int hops, node::CommandDone done) {
  if (hops > kHopsMax) {
    return world_->Fail("a write was passed on " + std::to_string(hops) + " times");
  }
  if (origin == Origin::kRelay) ++relayed_;
  Host* const host = HostOf(node);
  const int before = std::exchange(hops_, hops);
  host->router().Write(
      command, host->node()->clock().SteadyNow() + timeout, origin,
      [alive = host->alive(), done = std::move(done)](Result<CommandResult> result) {
        if (*alive) done(std::move(result));
      },
      nullptr);
  hops_ = before;
}

}  // namespace cairn::sim
