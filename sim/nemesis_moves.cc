// Nodes that move, copies of nodes, and nodes whose data were set back.
//
// The promises about copies hold once all voters know the start that followed the copying
// (docs/decisions/014). So the nemesis waits for that, and then for nothing else.

#include <algorithm>
#include <utility>

#include "sim/nemesis.h"
#include "sim/process.h"

namespace cairn::sim {
namespace {

// Simulated nodes that run copies are numbered from here. Their node ids are those of the
// originals.
constexpr uint64_t kFirstCopy = 1000;

}  // namespace

std::string Nemesis::NewAddress(uint64_t node) {
  return "n" + std::to_string(node) + "." + std::to_string(++moves_);
}

std::map<uint64_t, std::string> Nemesis::ListNow() const {
  std::map<uint64_t, std::string> all;
  for (const auto& [id, node] : *nodes_) all[id] = node->address();
  return all;
}

// When all nodes move, each starts with the new list. An empty node stays where the cluster looks
// for it, and its operator keeps its list up to date, because the list is all that the node knows.
void Nemesis::Move() {
  if (Leader() == nullptr) return;
  ++brought_[Fault::kMove];
  const bool all_move = Chance(rng_, 0.3);
  const std::vector<uint64_t> moving = all_move ? Ids() : std::vector<uint64_t>{AnyNode()};
  for (const uint64_t id : moving) {
    Node& node = *nodes_->at(id);
    if (node.member().is_none() || kept_down_.contains(id)) continue;
    if (node.running()) Stop(id, Node::End::kKill, Duration() / 4);
    node.MoveTo(NewAddress(id));
  }
  const std::map<uint64_t, std::string> all = ListNow();
  for (const auto& [id, node] : *nodes_) {
    if (!all_move && !node->member().is_none()) continue;
    if (node->running()) Stop(id, Node::End::kKill, Duration() / 4);
    node->SetListedPeers(all);
  }
}

bool Nemesis::AllKnowTheStart(uint64_t id) {
  Node& node = *nodes_->at(id);
  if (!node.running() || node.process()->dead()) return false;
  const raft::Boot boot = node.process()->identity()->start.boot;
  const raft::Configuration& now = config();
  if (now.joint() || !now.voters.contains(node.member())) return false;
  return std::all_of(now.voters.begin(), now.voters.end(), [&](MemberId voter) {
    const Node& other = *nodes_->at(now.info.at(voter).node_id);
    if (voter == node.member()) return true;
    Process* process = const_cast<Node&>(other).process();
    if (process == nullptr || process->dead() || other.member() != voter) return false;
    // The entry must be in the node's log, so that the node knows it after any crash.
    const raft::CoreStatus core = process->core().status().core;
    const auto info = core.config.info.find(node.member());
    return info != core.config.info.end() && info->second.boot == boot;
  });
}

// The original restarts before the copy starts, and all voters learn of that restart.
void Nemesis::CopyNode(uint64_t id) {
  Node& node = *nodes_->at(id);
  if (copy_ != nullptr || copied_disk_ != nullptr || !node.running() || HasRot(id)) return;
  if (!config().voters.contains(node.member()) || config().voters.size() < 2) return;
  node.Stop(Node::End::kKill);
  stopping_.erase(id);
  copied_disk_ = node.CopyDisk();
  StartLater(id, SteadyTime(0));
  After(seconds(1), [this, id] { StartCopy(id, 30); });
}

void Nemesis::StartCopy(uint64_t id, int attempts) {
  if (copied_disk_ == nullptr) return;
  if (ended_ || attempts == 0) return copied_disk_.reset();
  if (!AllKnowTheStart(id)) {
    return After(seconds(1), [this, id, attempts] { StartCopy(id, attempts - 1); });
  }
  ++brought_[Fault::kCopy];
  NodeOptions options = nodes_->at(id)->options();
  options.replica.address = NewAddress(id);
  options.replica.listed_peers = ListNow();
  const uint64_t copy_id = kFirstCopy + moves_;
  copy_ = std::make_unique<Node>(world_, network_, checker_, copy_id, options);
  copy_->ReplaceDisk(std::move(copied_disk_));
  copy_->Install(version_);
  checker_->OnCopy(copy_id);
  if (const Status status = copy_->Start(); !status.ok()) {
    world_->Fail("the copy of node " + std::to_string(id) +
                 " does not start: " + status.ToString());
  }
  After(2 * Duration(), [this] { EndCopy(); });
}

void Nemesis::EndCopy() {
  if (copy_ == nullptr) return;
  if (copy_->running()) {
    if (!copy_->process()->core().lost().ok()) ++copies_told_;
    copy_->Stop(Node::End::kKill);
  }
  checker_->Forget(copy_->id());
  ended_copies_.push_back(std::move(copy_));
}

// The first call only takes the image.
void Nemesis::SetBack(uint64_t id) {
  Node& node = *nodes_->at(id);
  if (!node.running() || node.process()->dead() || HasRot(id) || node.member().is_none()) return;
  const raft::Boot boot = node.process()->identity()->start.boot;
  const auto image = images_.find(id);
  if (image == images_.end() || image->second.member != node.member()) {
    const MemberId member = node.member();
    node.Stop(Node::End::kKill);
    stopping_.erase(id);
    images_[id] = Image{node.CopyDisk(), boot, member};
    return StartLater(id, SteadyTime(0));
  }
  if (image->second.boot == boot || !MayLoseDisk(id) || !AllKnowTheStart(id)) return;
  ++brought_[Fault::kSetBack];
  node.Stop(Node::End::kPowerCut);
  stopping_.erase(id);
  node.ReplaceDisk(std::move(image->second.disk));
  images_.erase(image);
  set_back_.insert(id);
  checker_->OnCopy(id);
  StartLater(id, milliseconds(100));
  WatchSetBack(id);
}

// The node's operator reads what the node reports and gives it back empty.
void Nemesis::WatchSetBack(uint64_t id) {
  After(seconds(2), [this, id] {
    if (!set_back_.contains(id)) return;
    Node& node = *nodes_->at(id);
    const bool told = node.running() && !node.process()->core().lost().ok();
    if (!told) return WatchSetBack(id);
    ++copies_told_;
    Wipe(id);
  });
}

// An empty node returns to the address where the cluster looks for it. That may be another one than
// when the node was emptied: the news of its move was then not committed yet.
void Nemesis::ReturnEmptyNodes() {
  for (const auto& [member, info] : config().info) {
    const auto found = nodes_->find(info.node_id);
    if (found == nodes_->end() || !found->second->member().is_none()) continue;
    Node& node = *found->second;
    if (node.address() == info.address) continue;
    if (node.running()) node.Stop(Node::End::kKill);
    stopping_.erase(info.node_id);
    node.MoveTo(info.address);
    Start(info.node_id);
  }
  After(seconds(30), [this] { ReturnEmptyNodes(); });
}

}  // namespace cairn::sim
