#include "sim/simulation.h"

#include <utility>

#include "sim/process.h"
#include "state_machine/sqlite/file_system_vfs.h"

namespace cairn::sim {
namespace {

std::string Address(uint64_t node) { return "n" + std::to_string(node); }

// Long enough for a few elections, a snapshot and the longest wait between two join requests.
constexpr SteadyTime kProgressWithin = seconds(60);
constexpr SteadyTime kConvergenceWithin = seconds(300);

}  // namespace

Simulation::Simulation(Plan plan)
    : plan_(std::move(plan)),
      world_(plan_.seed),
      network_(&world_, plan_.network),
      checker_(&world_, &nodes_),
      nemesis_(&world_, &network_, &nodes_, &checker_, plan_),
      script_(&world_, &network_, &nodes_, &nemesis_, plan_),
      workload_(&world_, &network_, &nodes_, plan_.workload),
      stale_reads_(&world_, &nodes_, &checker_),
      watchers_(&world_, &nodes_, &checker_),
      restores_(&world_, &nodes_, plan_.restore_every) {
  state_machine::FileSystemVfs::SeedSqlite(static_cast<uint32_t>(plan_.seed));
  std::map<uint64_t, std::string> founders;
  for (uint64_t id = 1; id <= static_cast<uint64_t>(plan_.voters); ++id) {
    founders[id] = Address(id);
  }
  const auto all = static_cast<uint64_t>(plan_.voters) + static_cast<uint64_t>(plan_.spares);
  for (uint64_t id = 1; id <= all; ++id) {
    NodeOptions options = plan_.node;
    node::ReplicaOptions& replica = options.replica;
    replica.node_id = id;
    replica.address = Address(id);
    replica.listed_peers = founders;
    // A spare finds the cluster through any of its nodes.
    for (uint64_t other = 1; id > founders.size() && other <= all; ++other) {
      replica.listed_peers[other] = Address(other);
    }
    replica.data_directory = "/" + Address(id);
    nodes_[id] = std::make_unique<Node>(&world_, &network_, &checker_, id, options);
  }
  checker_.SetOnDied([this](uint64_t node) { nemesis_.OnDied(node); });
}

Simulation::~Simulation() = default;

void Simulation::RunUntil(SteadyTime until) {
  bool reached = false;
  world_.At(until, Label(Kind::kCheck, 0), [&reached] { reached = true; });
  while (!reached && world_.Step()) {
  }
}

template <class Condition>
void Simulation::Await(SteadyTime at_most, const std::string& what, Condition condition) {
  const SteadyTime deadline = world_.now() + at_most;
  while (!world_.failure() && !condition()) {
    if (world_.now() >= deadline) {
      world_.Fail(what + Describe());
      return;
    }
    RunUntil(world_.now() + milliseconds(200));
  }
}

void Simulation::Boot() {
  Rng rng = world_.Fork("boot");
  for (auto& [id, node] : nodes_) {
    world_.At(Uniform(rng, SteadyTime(0), seconds(2)), Label(Kind::kLife, id),
              [this, each = node.get()] {
                if (each->running()) return;
                const Status status = each->Start();
                if (!status.ok()) world_.Fail("first boot: " + status.ToString());
              });
  }
  RunUntil(seconds(2));
  workload_.Start();
  stale_reads_.Start();
  watchers_.Start();
  restores_.Start();
}

Report Simulation::Run() {
  if (plan_.faults_from_birth) nemesis_.Begin();
  Boot();
  if (!plan_.faults_from_birth) nemesis_.Begin();
  script_.Begin();
  RunUntil(world_.now() + plan_.fault_time);
  nemesis_.End();
  script_.End();
  restores_.Stop();

  const std::set<uint64_t> left_out =
      plan_.leaves_out ? nemesis_.DrawMinority() : std::set<uint64_t>();
  nemesis_.Heal(left_out);
  const SteadyTime healed = world_.now();
  Await(kProgressWithin, "no progress though a majority is healed",
        [&] { return workload_.WroteSince(healed); });

  nemesis_.Heal({});
  workload_.StopNew();
  stale_reads_.Stop();
  watchers_.Stop();
  Await(kConvergenceWithin, "operations do not end", [&] { return workload_.under_way() == 0; });
  Await(kConvergenceWithin, "no convergence", [&] { return Converged(); });
  if (!world_.failure()) {
    std::vector<uint64_t> members;
    for (const auto& [id, info] : nemesis_.config().info) {
      // A learner that was never admitted may be a node that still holds the data of another member
      // id.
      const Node& node = *nodes_.at(info.node_id);
      if (node.running() && node.member() == id) members.push_back(info.node_id);
    }
    checker_.ExpectNoneMistaken();
    for (const uint64_t member : members) checker_.Compare(member);
    if (plan_.restore_every == SteadyTime(0)) workload_.Judge(members.front());
  }

  Report report;
  report.failure = world_.failure();
  report.trace_hash = world_.trace_hash();
  report.simulated = world_.now();
  report.events = world_.events();
  report.clients = workload_.counts();
  report.stale_reads = stale_reads_.counts();
  report.watchers = watchers_.counts();
  report.restores = restores_.counts();
  report.network = network_.counts();
  report.elections = checker_.elections();
  report.digests_compared = checker_.digests_compared();
  report.committed = checker_.committed_last().value();
  report.brought = nemesis_.brought();
  report.rot_refused = nemesis_.rot_refused();
  report.copies_told = nemesis_.copies_told();
  report.rebuilt = checker_.rebuilt();
  for (const auto& [id, node] : nodes_) report.failed_reads += node->disk().failed_reads();
  report.judged = workload_.histories().counts();
  report.histories = std::make_shared<const Histories>(workload_.histories());
  return report;
}

// True if every member runs under its present id, has applied all entries, and holds what it was
// given.
bool Simulation::Converged() {
  const raft::Configuration& config = nemesis_.config();
  if (config.joint() || config.voters.empty()) return false;
  std::optional<LogIndex> applied;
  for (const auto& [member, info] : config.info) {
    Node& node = *nodes_.at(info.node_id);
    if (!node.running() || node.process()->dead() || node.member() != member) {
      // A learner of an abandoned change waits for its operator for ever.
      if (config.IsLearner(member)) continue;
      return false;
    }
    if (checker_.rotten_rows().contains(info.node_id)) return false;
    // A follower may hold another follower, which has not called it since, for one of the old
    // build: then it compares on, which does no harm.
    const node::ReplicaCore& core = node.process()->core();
    const bool settles = core.is_leader() || checker_.mistaken().contains(info.node_id);
    if (settles && core.compares_results()) return false;
    const raft::CoreStatus status = node.process()->core().status().core;
    const LogIndex index = node.process()->state().applied_index();
    if (index != status.last || (applied && *applied != index)) return false;
    applied = index;
  }
  return true;
}

std::string Simulation::Describe() {
  std::string out;
  for (auto& [id, node] : nodes_) {
    out += "\n  node " + std::to_string(id) + ": ";
    if (!node->running()) {
      out += "down";
      continue;
    }
    const node::ReplicaStatus status = node->process()->core().status();
    out += "member " + ToString(status.core.self) + " role " +
           std::to_string(static_cast<int>(status.core.role)) + " term " +
           ToString(status.core.term) + " leader " + ToString(status.core.leader) + " log " +
           ToString(status.core.first) + ".." + ToString(status.core.last) + " durable " +
           ToString(status.core.durable) + " commit " + ToString(status.core.commit) + " applied " +
           ToString(node->process()->state().applied_index()) + " voters " +
           std::to_string(status.core.config.voters.size()) + "/" +
           std::to_string(status.core.config.outgoing.size()) + " learners " +
           std::to_string(status.core.config.learners.size());
    if (node->paused_until() > world_.now()) out += " paused";
    if (checker_.rotten_rows().contains(id)) out += " its rows have rotten";
    if (network_.cut(0, id) || network_.cut(id, 0)) out += " cut from clients";
    if (node->process()->core().compares_results()) out += " compares results";
    if (!status.digests.doubt.empty()) out += " doubt: " + status.digests.doubt;
    if (!status.waiting_for.empty()) out += " waits: " + status.waiting_for;
    if (!status.trouble.ok()) out += " trouble: " + status.trouble.ToString();
  }
  return out;
}

}  // namespace cairn::sim
