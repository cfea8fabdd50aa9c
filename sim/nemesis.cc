#include "sim/nemesis.h"

#include <algorithm>
#include <utility>

#include "sim/process.h"
#include "sim/rot.h"

namespace cairn::sim {
namespace {

constexpr uint64_t kClients = 0;

}  // namespace

Nemesis::Nemesis(World* world, Network* network, Nodes* nodes, Checker* checker, const Plan& plan)
    : world_(world),
      network_(network),
      nodes_(nodes),
      checker_(checker),
      plan_(plan),
      rng_(world->Fork("nemesis")) {}

void Nemesis::Begin() {
  for (const auto& [fault, interval] : plan_.faults) Schedule(fault);
}

void Nemesis::Schedule(Fault fault) {
  After(Exponential(rng_, plan_.faults.at(fault)), [this, fault] {
    if (ended_) return;
    Bring(fault);
    Schedule(fault);
  });
}

void Nemesis::After(SteadyTime delay, std::function<void()> run) {
  world_->After(delay, Label(Kind::kNemesis, 0), std::move(run));
}

std::vector<uint64_t> Nemesis::Ids() const {
  std::vector<uint64_t> ids;
  ids.reserve(nodes_->size());
  for (const auto& [id, node] : *nodes_) ids.push_back(id);
  return ids;
}

uint64_t Nemesis::AnyNode() {
  const std::vector<uint64_t> ids = Ids();
  return ids[rng_.Below(ids.size())];
}

Process* Nemesis::Leader() {
  Process* leader = nullptr;
  Term term;
  for (auto& [id, node] : *nodes_) {
    Process* process = node->process();
    if (process == nullptr || process->dead() || !process->core().is_leader()) continue;
    const Term own = process->core().status().core.term;
    if (leader == nullptr || own > term) {
      leader = process;
      term = own;
    }
  }
  return leader;
}

const raft::Configuration& Nemesis::config() {
  for (auto& [id, node] : *nodes_) {
    if (!node->running() || node->process()->dead()) continue;
    const raft::CoreStatus status = node->process()->core().status().core;
    if (config_.voters.empty() || status.config_index > config_index_) {
      config_ = status.config;
      config_index_ = status.config_index;
    }
  }
  return config_;
}

// ---- The faults

void Nemesis::Bring(Fault fault) {
  switch (fault) {
    case Fault::kLoss:
    case Fault::kDuplicate:
    case Fault::kReorder:
    case Fault::kSlow:
    case Fault::kTransfer:
    case Fault::kPartition:
    case Fault::kOneWay:
    case Fault::kPartial:
    case Fault::kClog: ++brought_[fault]; return BringToNetwork(fault);
    case Fault::kWipe: {
      const uint64_t node = AnyNode();
      if (!MayLoseDisk(node)) return;
      ++brought_[fault];
      return Wipe(node);
    }
    case Fault::kBlackout:
      ++brought_[fault];
      for (const uint64_t id : Ids()) Stop(id, DrawPowerCut(), Duration() / 4);
      return;
    case Fault::kMembership: return ChangeMembership();
    case Fault::kTransferLead: return TransferLead();
    case Fault::kRot: return Rot(AnyNode());
    case Fault::kRowRot: return RotRow(AnyNode());
    case Fault::kUpgrade: return Upgrade();
    case Fault::kMove: return Move();
    case Fault::kCopy: return CopyNode(AnyNode());
    case Fault::kSetBack: return SetBack(AnyNode());
    default: return BringToNode(fault, AnyNode());
  }
}

void Nemesis::BringToNetwork(Fault fault) {
  const auto set = [this](double* rate, double to) {
    *rate = to;
    After(Duration(), [rate] { *rate = 0; });
  };
  const double rate = static_cast<double>(rng_.Between(1, 40)) / 100;
  switch (fault) {
    case Fault::kLoss: return set(&network_->loss, rate);
    case Fault::kDuplicate: return set(&network_->duplicate, rate);
    case Fault::kReorder: return set(&network_->reorder, rate);
    case Fault::kSlow: return set(&network_->slow, rate / 4);
    case Fault::kTransfer:
      set(&network_->chunk_reset, rate / 4);
      return set(&network_->chunk_flip, rate / 8);
    case Fault::kPartition: return Partition();
    case Fault::kOneWay: return CutSome(/*both_ways=*/false);
    case Fault::kPartial: return CutSome(/*both_ways=*/true);
    case Fault::kClog: {
      const SteadyTime until = world_->now() + Duration();
      network_->Clog(AnyNode(), AnyNode(), until);
      network_->Clog(AnyNode(), AnyNode(), until + Duration());
      return;
    }
    default: return;
  }
}

void Nemesis::Partition() {
  std::set<uint64_t> side;
  if (Chance(rng_, 0.4)) {
    Process* leader = Leader();
    const bool cut_leader = leader != nullptr && Chance(rng_, 0.7);
    side.insert(cut_leader ? leader->identity()->node_id : AnyNode());
  } else {
    for (const uint64_t id : Ids()) {
      if (Chance(rng_, 0.5)) side.insert(id);
    }
    if (Chance(rng_, 0.5)) side.insert(kClients);
  }
  SetCutBetween(side, /*both_ways=*/true, true);
  After(2 * Duration(), [this, side, heals = heals_] {
    if (heals == heals_) SetCutBetween(side, /*both_ways=*/true, false);
  });
}

void Nemesis::SetCutBetween(const std::set<uint64_t>& side, bool both_ways, bool cut) {
  std::vector<uint64_t> all = Ids();
  all.push_back(kClients);
  for (const uint64_t a : side) {
    for (const uint64_t b : all) {
      if (side.contains(b)) continue;
      network_->SetCut(a, b, cut);
      if (both_ways) network_->SetCut(b, a, cut);
    }
  }
}

void Nemesis::CutSome(bool both_ways) {
  const SteadyTime heal_after = 2 * Duration();
  for (uint64_t n = rng_.Between(1, 3); n > 0; --n) {
    const uint64_t a = AnyNode();
    const uint64_t b = AnyNode();
    if (a == b) continue;
    network_->SetCut(a, b, true);
    if (both_ways) network_->SetCut(b, a, true);
    After(heal_after, [this, a, b, heals = heals_] {
      if (heals != heals_) return;
      network_->SetCut(a, b, false);
      network_->SetCut(b, a, false);
    });
  }
}

void Nemesis::BringToNode(Fault fault, uint64_t id) {
  Node& node = *nodes_->at(id);
  ++brought_[fault];
  switch (fault) {
    case Fault::kKill: return Stop(id, Node::End::kKill, Duration());
    case Fault::kPowerCut: return Stop(id, DrawPowerCut(), Duration());
    case Fault::kCutInWrite:
      if (!node.running()) return;
      return node.disk().Inject(rng_.Between(1, 12), FaultFileSystem::Fault::kPowerCut);
    case Fault::kFailedSync:
      if (!node.running()) return;
      return node.disk().Inject(rng_.Between(1, 12), Chance(rng_, 0.5)
                                                         ? FaultFileSystem::Fault::kFailOnce
                                                         : FaultFileSystem::Fault::kFailForever);
    case Fault::kStop: return StopGently(id);
    case Fault::kStall: return node.StallDisk(world_->now() + 2 * Duration());
    case Fault::kSlowDisk:
      node.slow_disk = static_cast<double>(rng_.Between(5, 50));
      return After(Duration(), [&node] { node.slow_disk = 1; });
    case Fault::kDiskFull: {
      const uint64_t room = rng_.Below(2 * plan_.node.segment_bytes);
      const Result<uint64_t> free = node.disk().FreeBytes(node.data_directory());
      if (!free.ok()) return;
      node.disk().SetCapacity((1ULL << 40) - *free + room);
      return After(Duration(), [&node] { node.disk().SetCapacity(1ULL << 40); });
    }
    case Fault::kPause: return node.Pause(world_->now() + Duration());
    case Fault::kSuspend: return node.Suspend(world_->now() + Duration());
    case Fault::kFailedRead: return FailRead(id);
    case Fault::kDrift:
      return node.clock().SetRate(static_cast<int64_t>(rng_.Below(40'000)) - 20'000);
    case Fault::kJump: {
      const auto ms = static_cast<int64_t>(rng_.Below(200'000'000)) - 100'000'000;
      if (ms % 4 == 0) return node.clock().ForgetWall();
      if (ms % 4 == 1) return node.clock().LearnWall();
      return node.clock().JumpWall(ms);
    }
    default: return;
  }
}

// ---- Nodes that stop and start

Node::End Nemesis::DrawPowerCut() {
  constexpr Node::End kEnds[] = {Node::End::kPowerCut, Node::End::kPowerCutTorn,
                                 Node::End::kPowerCutDropAll};
  return kEnds[rng_.Below(3)];
}

void Nemesis::Stop(uint64_t id, Node::End end, SteadyTime down_for) {
  Node& node = *nodes_->at(id);
  if (!node.running()) return;
  stopping_.erase(id);
  node.Stop(end);
  StartLater(id, down_for);
}

void Nemesis::OnDied(uint64_t id) {
  if (!nodes_->contains(id)) return After(SteadyTime(0), [this] { EndCopy(); });
  After(SteadyTime(0), [this, id] {
    Node& node = *nodes_->at(id);
    if (!node.running() || !node.process()->dead()) return;
    Stop(id, node.disk().power_is_off() ? DrawPowerCut() : Node::End::kKill, Duration() / 2);
  });
}

void Nemesis::StopGently(uint64_t id) {
  Node& node = *nodes_->at(id);
  if (!node.running() || node.process()->dead() || !stopping_.insert(id).second) return;
  node.process()->BeginShutdown(
      seconds(5), [this, id, incarnation = node.process()->incarnation(), down_for = Duration()] {
        After(SteadyTime(0), [this, id, incarnation, down_for] {
          Process* process = nodes_->at(id)->process(incarnation);
          if (process == nullptr) return;
          if (!process->dead()) process->FinishWork();
          Stop(id, Node::End::kKill, down_for);
        });
      });
}

void Nemesis::StartLater(uint64_t id, SteadyTime after) {
  After(after, [this, id] { Start(id); });
}

void Nemesis::Start(uint64_t id) {
  Node& node = *nodes_->at(id);
  if (node.running() || kept_down_.contains(id)) return;
  const uint64_t failed_reads = node.disk().failed_reads();
  if (fails_to_read_.erase(id) > 0) node.disk().InjectRead(rng_.Between(1, 60));
  const Status status = node.Start();
  if (status.ok()) {
    rotten_.erase(id);  // the log with the bit was dropped, or the file rewritten
    return;
  }
  if (node.disk().failed_reads() > failed_reads) return StartLater(id, seconds(1));
  // The operator wipes a node whose disk is damaged.
  if (status.code() == StatusCode::kDataLoss && rotten_.contains(id)) {
    ++rot_refused_;
    return Wipe(id);
  }
  if (status.code() == StatusCode::kResourceExhausted) return StartLater(id, seconds(1));
  if (status.code() == StatusCode::kFailedPrecondition && versions_back_.contains(id)) {
    node.Install(version_);
    return StartLater(id, seconds(1));
  }
  if (status.code() == StatusCode::kFailedPrecondition && set_back_.contains(id)) {
    ++copies_told_;  // before the restart
    return Wipe(id);
  }
  world_->Fail("node " + std::to_string(id) + " does not start: " + status.ToString());
}

bool Nemesis::HasRot(uint64_t id) const {
  return rotten_.contains(id) || set_back_.contains(id) || checker_->rotten_rows().contains(id) ||
         checker_->mistaken().contains(id);
}

// True if the voter's disk holds a flipped bit, or data that the member did not write. Such a voter
// counts towards the minority that may be lost.
bool Nemesis::IsLost(const raft::Configuration& now, MemberId voter) const {
  const uint64_t lives_on = now.info.at(voter).node_id;
  return HasRot(lives_on) || nodes_->at(lives_on)->member() != voter;
}

// True if, with this disk lost too, few enough voters in force have lost their disks, and all
// others are there to tell who the voters are.
bool Nemesis::MayLoseDisk(uint64_t id) {
  if (changing_ || HasRot(id)) return false;
  for (auto& [other, node] : *nodes_) {
    if (other != id && (!node->running() || node->process()->dead())) return false;
  }
  Process* leader = Leader();
  if (leader == nullptr || leader->core().status().core.config_in_progress) return false;
  const raft::Configuration& now = config();
  if (now.joint() || !now.learners.empty()) return false;
  size_t lost = 0;
  for (const MemberId voter : now.voters) {
    if (now.info.at(voter).node_id == id || IsLost(now, voter)) ++lost;
  }
  return lost <= (now.voters.size() - 1) / 2;
}

void Nemesis::Wipe(uint64_t id) {
  Node& node = *nodes_->at(id);
  if (node.running()) node.Stop(Node::End::kPowerCut);
  stopping_.erase(id);
  rotten_.erase(id);
  set_back_.erase(id);
  images_.erase(id);
  // Where the cluster looks for the node. An empty node elsewhere waits for an operator.
  for (const auto& [member, info] : config().info) {
    if (info.node_id == id) node.MoveTo(info.address);
  }
  std::map<uint64_t, std::string> all;
  for (const auto& [other, each] : *nodes_) all[other] = each->address();
  node.Wipe(all);
  checker_->Forget(id);
  StartLater(id, Duration());
}

// The node is restarted after a while, so that the bit is found soon or was dropped with its log.
void Nemesis::Rot(uint64_t id) {
  Node& node = *nodes_->at(id);
  if (!MayLoseDisk(id) || !node.running()) return;
  if (!FlipColdBit(node.disk(), node.data_directory(), rng_)) return;
  ++brought_[Fault::kRot];
  rotten_.insert(id);
  After(2 * Duration(), [this, id] {
    if (rotten_.contains(id)) Stop(id, Node::End::kKill, milliseconds(100));
  });
}

// Flips a bit in rows that no client asks for: until the scrub has read the row, a node serves it
// as it is. One node at a time, until its database was replaced.
void Nemesis::RotRow(uint64_t id) {
  Node& node = *nodes_->at(id);
  if (!checker_->rotten_rows().empty() || !MayLoseDisk(id) || !node.running()) return;
  if (!config().voters.contains(node.member())) return;
  if (!FlipBitOfText(node.disk(), node.database_path(), Tasks::kColdText, rng_)) return;
  ++brought_[Fault::kRowRot];
  checker_->OnRowRotten(id);
}

void Nemesis::FailRead(uint64_t id) {
  Node& node = *nodes_->at(id);
  if (!node.running()) return;
  if (Chance(rng_, 0.6)) return node.disk().InjectRead(rng_.Between(1, 60));
  fails_to_read_.insert(id);
  Stop(id, Node::End::kKill, milliseconds(100));
}

// ---- Operators

void Nemesis::ChangeMembership() {
  Process* leader = Leader();
  if (leader == nullptr || changing_ || !rotten_.empty() || !set_back_.empty() ||
      !checker_->rotten_rows().empty() || !checker_->mistaken().empty()) {
    return;
  }
  const raft::Configuration now = config();
  for (const MemberId voter : now.voters) {
    if (nodes_->at(now.info.at(voter).node_id)->member() != voter) return;  // being readmitted
  }
  node::Replica::MembershipChange change;
  change.node_id = AnyNode();
  change.address = nodes_->at(change.node_id)->address();
  const bool member = !node::FindMember(now, change.node_id).is_none();
  if (member && now.voters.size() <= 2) return;
  if (!member && !nodes_->at(change.node_id)->running()) return;
  change.kind = member ? node::Replica::MembershipChange::Kind::kRemove
                       : node::Replica::MembershipChange::Kind::kAdd;
  ++brought_[Fault::kMembership];
  changing_ = true;
  // The operator's patience. It also ends the wait when the asked node dies.
  const SteadyTime patience = seconds(20);
  auto over = std::make_shared<bool>(false);
  After(patience + seconds(1), [this, over] {
    if (!std::exchange(*over, true)) changing_ = false;
  });
  leader->ChangeMembership(change, patience, [this, over, change](const Status& status) {
    if (std::exchange(*over, true)) return;
    changing_ = false;
    world_->Trace(static_cast<uint64_t>(status.code()));
    // An operator with more changes does not wait.
    if (status.ok() && Chance(rng_, 0.3)) {
      After(Exponential(rng_, milliseconds(5)), [this] {
        if (!ended_) ChangeMembership();
      });
    }
    if (!status.ok() || change.kind != node::Replica::MembershipChange::Kind::kRemove) return;
    // The removed node is given back empty, but not within a call of its own process.
    After(SteadyTime(0), [this, id = change.node_id] { Wipe(id); });
  });
}

void Nemesis::TransferLead() {
  Process* leader = Leader();
  if (leader == nullptr) return;
  ++brought_[Fault::kTransferLead];
  leader->TransferLeadership(Chance(rng_, 0.5) ? 0 : AnyNode(), seconds(5), [](const Status&) {});
}

// ---- The end

// A change under way may need the nodes that are a minority now.
bool Nemesis::ChangeUnderWay() {
  return changing_ || std::any_of(nodes_->begin(), nodes_->end(), [](const auto& each) {
           return each.second->config_in_progress();
         });
}

std::set<uint64_t> Nemesis::DrawMinority() {
  const raft::Configuration& now = config();
  std::set<uint64_t> out;
  if (now.voters.empty() || now.joint() || ChangeUnderWay()) return out;
  size_t left = (now.voters.size() - 1) / 2;
  for (const MemberId voter : now.voters) {
    if (IsLost(now, voter) && left > 0) --left;
  }
  std::vector<uint64_t> nodes;
  nodes.reserve(now.voters.size());
  for (const MemberId voter : now.voters) nodes.push_back(now.info.at(voter).node_id);
  // The leader is left out more often than others: it is the one to be replaced.
  Process* leader = Leader();
  if (leader != nullptr && left > 0 && Chance(rng_, 0.5) &&
      std::erase(nodes, leader->identity()->node_id) > 0) {
    out.insert(leader->identity()->node_id);
    --left;
  }
  for (; left > 0; --left) {
    const size_t i = rng_.Below(nodes.size());
    out.insert(nodes[i]);
    nodes.erase(nodes.begin() + static_cast<int64_t>(i));
  }
  return out;
}

// The fault stays for the whole phase: a left-out node must not keep the others from work.
void Nemesis::LeaveOut(uint64_t id) {
  constexpr SteadyTime kForLong = std::chrono::hours(1);
  Node& node = *nodes_->at(id);
  switch (rng_.Below(4)) {
    case 0: return SetCutBetween({id}, /*both_ways=*/true, true);
    case 1: return node.Pause(world_->now() + kForLong);
    case 2: return node.StallDisk(world_->now() + kForLong);
    default:
      kept_down_.insert(id);
      if (node.running()) node.Stop(DrawPowerCut());
  }
}

void Nemesis::Heal(const std::set<uint64_t>& left_out) {
  EndCopy();
  network_->HealAll();
  ++heals_;
  kept_down_.clear();
  for (auto& [id, node] : *nodes_) {
    node->Pause(world_->now());
    node->StallDisk(world_->now());
    node->slow_disk = 1;
    node->disk().SetCapacity(1ULL << 40);
    node->disk().ClearFaults();
    node->clock().SetRate(0);
    node->Install(version_);
    if (node->running() && node->version() != version_) {
      stopping_.erase(id);
      node->Stop(Node::End::kKill);
    }
    if (moves_ > 0 && node->options().replica.listed_peers != ListNow()) {
      stopping_.erase(id);
      if (node->running()) node->Stop(Node::End::kKill);
      node->SetListedPeers(ListNow());
    }
    if (left_out.contains(id)) {
      LeaveOut(id);
    } else if (!node->running()) {
      Start(id);
    }
  }
  if (left_out.empty()) ReturnEmptyNodes();
}

}  // namespace cairn::sim
