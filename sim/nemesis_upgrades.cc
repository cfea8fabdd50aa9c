// Nemesis: upgrades, wrong builds, and the feature level.

#include <algorithm>
#include <utility>

#include "sim/nemesis.h"
#include "sim/process.h"

namespace cairn::sim {

// Nodes of one protocol refuse nodes of the other; those with another engine or level work
// together. In the end all nodes have the newer version.
void Nemesis::Upgrade() {
  if (std::exchange(upgrading_, true)) return;
  ++brought_[Fault::kUpgrade];
  switch (plan_.levels ? 2 : rng_.Below(4)) {
    case 0: ++version_.protocol; break;
    case 1: ++version_.engine; break;
    case 2: ++version_.level_max; break;
    default: return RunWrongBuild();
  }
  const SteadyTime longest = 2 * Duration();
  for (const uint64_t id : Ids()) {
    After(Uniform(rng_, SteadyTime(0), longest), [this, id] {
      nodes_->at(id)->Install(version_);
      if (!ended_) StopGently(id);
    });
  }
  for (int raises = plan_.levels ? 8 : plan_.hasty_upgrades ? 1 : 0; raises > 0; --raises) {
    After(Uniform(rng_, SteadyTime(0), longest), [this] { RaiseLevel(); });
  }
  After(longest + seconds(10), [this] {
    upgrading_ = false;
    RaiseLevel();
    if (plan_.hasty_upgrades && Chance(rng_, 0.5)) SetVersionBack();
  });
}

// The operator believes that all nodes are upgraded. The cluster refuses if they are not.
void Nemesis::RaiseLevel() {
  Process* leader = Leader();
  if (leader == nullptr || ended_) return;
  leader->RaiseLevel(seconds(5), [this](const Result<uint64_t>& level) {
    world_->Trace(level.ok() ? *level : static_cast<uint64_t>(level.status().code()));
    if (level.ok()) CheckLevel(*level);
    if (!level.ok() || !plan_.levels) return;
    // Nobody was let in meanwhile who cannot follow.
    for (const SteadyTime later : {milliseconds(20), milliseconds(200)}) {
      After(later, [this, level = *level] { CheckLevel(level); });
    }
  });
  if (!plan_.levels) return;
  for (int i = 0; i < 3; ++i) {
    After(Exponential(rng_, milliseconds(5)), [this] {
      if (!ended_) ChangeMembership();
    });
  }
}

// A level may rise only if all members can follow.
void Nemesis::CheckLevel(uint64_t level) {
  for (const auto& [member, info] : config().info) {
    const Node& node = *nodes_->at(info.node_id);
    if (versions_back_.contains(info.node_id) || node.version().level_max >= level) continue;
    world_->Fail("the level rose to " + std::to_string(level) + ", and node " +
                 std::to_string(info.node_id) + " knows levels up to " +
                 std::to_string(node.version().level_max));
  }
}

// A node that has said that it can follow comes back with the version before, which cannot: it
// stops applying, and harms nothing. If its database has risen already, it is not opened.
void Nemesis::SetVersionBack() {
  const uint64_t id = AnyNode();
  if (!versions_back_.insert(id).second) return;
  Version before = version_;
  before.level_max = std::max(before.level_max - 1, state_machine::kLevelHighest);
  nodes_->at(id)->Install(before);
  After(Exponential(rng_, milliseconds(5)), [this, id] {
    if (!ended_) Stop(id, Node::End::kKill, milliseconds(100));
  });
  After(Duration(), [this, id] {
    nodes_->at(id)->Install(version_);
    if (!ended_) Stop(id, Node::End::kKill, milliseconds(100));
    After(seconds(10), [this, id] { versions_back_.erase(id); });
  });
}

// One node tries the next build, which is wrong, and goes back to the old one. Until the node was
// rebuilt, its disk counts as lost: the others alone must be a majority.
void Nemesis::RunWrongBuild() {
  const SteadyTime over = 2 * Duration();
  After(over + seconds(10), [this] { upgrading_ = false; });
  const uint64_t id = AnyNode();
  Node& node = *nodes_->at(id);
  if (!MayLoseDisk(id) || !node.running() || config().voters.size() < 3) return;
  if (!config().voters.contains(node.member())) return;
  Version wrong = version_;
  wrong.engine = 1000 + ++wrong_builds_;
  wrong.miscounts = true;
  checker_->OnWrongBuild(id);
  node.Install(wrong);
  StopGently(id);
  if (plan_.hasty_upgrades) {
    for (int i = 0; i < 3; ++i) {
      After(Uniform(rng_, SteadyTime(0), over), [this, id] { HandLeadTo(id); });
    }
  }
  After(over, [this, id] {
    nodes_->at(id)->Install(version_);
    if (!ended_) StopGently(id);
    AwaitAgreement(id);
  });
}

void Nemesis::HandLeadTo(uint64_t id) {
  Process* leader = Leader();
  if (leader == nullptr || ended_ || leader->identity()->node_id == id) return;
  leader->TransferLeadership(id, seconds(5), [](const Status&) {});
}

void Nemesis::AwaitAgreement(uint64_t id) {
  After(seconds(2), [this, id] {
    if (!checker_->mistaken().contains(id)) return;
    Node& node = *nodes_->at(id);
    Process* process = node.process();
    const bool agreed = process != nullptr && !process->dead() && !node.version().miscounts &&
                        !process->identity()->member.is_none() &&
                        process->core().serves_local_reads() && !process->core().compares_results();
    if (agreed) return checker_->OnAgreed(id);
    AwaitAgreement(id);
  });
}

}  // namespace cairn::sim
