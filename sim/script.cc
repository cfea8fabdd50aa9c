#include "sim/script.h"

#include <set>
#include <utility>
#include <vector>

#include "sim/process.h"

namespace cairn::sim {

Script::Script(World* world, Network* network, Nodes* nodes, Nemesis* nemesis, const Plan& plan)
    : world_(world),
      network_(network),
      nodes_(nodes),
      nemesis_(nemesis),
      aim_(plan.aim),
      election_(plan.node.replica.tick * plan.node.replica.election_ticks),
      rng_(world->Fork("script")) {}

void Script::Begin() {
  if (aim_ == Aim::kNone) return;
  if (aim_ == Aim::kJoint) return WatchForJoint();
  Run();
}

void Script::Run() {
  After(Uniform(rng_, 20 * election_, 30 * election_), [this] { Run(); });
  Process* leader = nemesis_->Leader();
  if (leader == nullptr) return;
  const uint64_t id = leader->identity()->node_id;
  switch (aim_) {
    case Aim::kEcho: return Echo(id);
    case Aim::kOvertake: return Overtake(id);
    case Aim::kHandOver: return HandOver(id);
    case Aim::kRelay: return Relay(id);
    default: return;
  }
}

void Script::After(SteadyTime delay, std::function<void()> run) {
  world_->After(delay, Label(Kind::kNemesis, 0), [this, run = std::move(run)] {
    if (!ended_) run();
  });
}

std::vector<uint64_t> Script::Others(uint64_t node) const {
  std::vector<uint64_t> others;
  for (const auto& [id, each] : *nodes_) {
    if (id != node) others.push_back(id);
  }
  return others;
}

void Script::CutFrom(uint64_t node, bool cut) {
  for (const uint64_t other : Others(node)) network_->SetCut(node, other, cut);
}

void Script::CutTo(uint64_t node, bool cut) {
  for (const uint64_t other : Others(node)) network_->SetCut(other, node, cut);
}

void Script::SetLagTo(uint64_t node, SteadyTime lag) {
  for (const uint64_t other : Others(node)) network_->SetLag(other, node, lag);
}

void Script::Echo(uint64_t leader) {
  // The delay grows in steps, because a leader that hears nothing for an election timeout gives up.
  constexpr int kSteps = 12;
  for (int step = 1; step <= kSteps; ++step) {
    After(step * election_ / 2, [=, this] { SetLagTo(leader, step * election_ / 4); });
  }
  const SteadyTime cut_at = (kSteps + 1) * election_ / 2;
  After(cut_at, [=, this] { CutFrom(leader, true); });
  After(cut_at + 6 * election_, [=, this] {
    CutFrom(leader, false);
    SetLagTo(leader, SteadyTime(0));
  });
}

void Script::Overtake(uint64_t leader) {
  // The leader's messages get through a little longer than the acknowledgements of them, so the
  // others will commit the entries. If the leader hears the others from then on, it learns what to
  // truncate before it learns that the others committed.
  const bool hears = Chance(rng_, 0.5);
  CutTo(leader, true);
  After(Uniform(rng_, SteadyTime(0), election_ / 4), [=, this] {
    CutFrom(leader, true);
    if (hears) CutTo(leader, false);
  });
  After(Uniform(rng_, 3 * election_, 8 * election_), [=, this] {
    CutTo(leader, false);
    CutFrom(leader, false);
  });
}

void Script::HandOver(uint64_t leader) {
  const std::vector<uint64_t> others = Others(leader);
  if (others.empty()) return;
  const uint64_t target = others[rng_.Below(others.size())];
  nodes_->at(leader)->process()->TransferLeadership(target, seconds(5), [](const Status&) {});
  SilenceCandidate(target, world_->now() + election_);
}

// Must run before the candidate's vote requests leave. The vote requests wait for the candidate's
// disk.
void Script::SilenceCandidate(uint64_t node, SteadyTime until) {
  Process* process = nodes_->at(node)->process();
  if (process == nullptr || world_->now() > until) return;
  if (process->core().status().core.role != raft::Role::kCandidate) {
    return After(microseconds(100), [=, this] { SilenceCandidate(node, until); });
  }
  CutFrom(node, true);
  After(election_ / 2, [=, this] { CutFrom(node, false); });
}

void Script::Relay(uint64_t leader) {
  std::vector<uint64_t> others = Others(leader);
  const size_t alone = others.size() < 4 ? 1 : rng_.Between(1, 2);
  while (others.size() > alone) {
    others.erase(others.begin() + static_cast<int64_t>(rng_.Below(others.size())));
  }
  const auto cut = [=, this](bool how) {
    for (const uint64_t node : others) {
      network_->SetCut(leader, node, how);
      network_->SetCut(node, leader, how);
    }
  };
  cut(true);
  After(Uniform(rng_, 5 * election_, 18 * election_), [=] { cut(false); });
}

void Script::WatchForJoint() {
  SteadyTime again = milliseconds(1);
  Process* leader = nemesis_->Leader();
  if (leader != nullptr) {
    const raft::Configuration config = leader->core().status().core.config;
    if (config.joint() && config.voters.contains(leader->identity()->member)) {
      SplitJoint(leader->identity()->node_id, config);
      again = 10 * election_;
    }
  }
  After(again, [this] { WatchForJoint(); });
}

void Script::SplitJoint(uint64_t leader, const raft::Configuration& config) {
  std::set<uint64_t> side{leader};
  const auto fill = [&](bool old_voters) {
    for (const MemberId voter : config.voters) {
      if (side.size() > config.voters.size() / 2) return;
      if (config.outgoing.contains(voter) == old_voters) side.insert(config.info.at(voter).node_id);
    }
  };
  fill(/*old_voters=*/false);
  fill(/*old_voters=*/true);
  const auto cut = [=, this](bool how) {
    for (const uint64_t inside : side) {
      for (const uint64_t outside : Others(inside)) {
        if (side.contains(outside)) continue;
        network_->SetCut(inside, outside, how);
        network_->SetCut(outside, inside, how);
      }
    }
  };
  cut(true);
  // Waits until the other voter has heard that the change is half done. The leader stays by itself
  // as long as it counts a majority.
  std::set<uint64_t> rest = side;
  rest.erase(leader);
  const uint64_t next = rest.empty() ? leader : *rest.begin();
  After(election_, [=, this] {
    Process* process = nodes_->at(leader)->process();
    if (process == nullptr || process->dead()) return;
    process->TransferLeadership(next, seconds(1), [](const Status&) {});
  });
  After(6 * election_, [=] { cut(false); });
}

}  // namespace cairn::sim
