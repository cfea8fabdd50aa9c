#include "sim/node.h"

#include <utility>

#include "base/check.h"
#include "sim/process.h"

namespace cairn::sim {
Node::Node(World* world, Network* network, Observer* observer, uint64_t id, NodeOptions options)
    : world_(world),
      network_(network),
      observer_(observer),
      id_(id),
      options_(std::move(options)),
      rng_(world->Fork("node " + std::to_string(id))),
      clock_(world),
      disk_(std::make_unique<FaultFileSystem>(rng_.Next())) {
  const uint64_t steps_max = options_.steps_max[id % options_.steps_max.size()];
  if (steps_max > 0) options_.replica.request_steps_max = steps_max;
}

Node::~Node() { network_->Detach(id_); }

Process* Node::process(uint64_t incarnation) {
  return process_ != nullptr && process_->incarnation() == incarnation ? process_.get() : nullptr;
}

Status Node::Start() {
  CHECK(process_ == nullptr);
  clock_.Restart(Uniform(rng_, seconds(1), seconds(1'000'000)));
  paused_until_ = SteadyTime(0);
  version_ = installed_;
  options_.replica.engine = {"sim", "sim " + std::to_string(version_.engine)};
  options_.replica.level_max = version_.level_max;
  auto process = Process::Open(this, world_, network_, observer_, ++starts_, rng_.Next() | 1);
  RETURN_IF_ERROR(process.status());
  process_ = std::move(process).value();
  process_->Run();
  return OkStatus();
}

void Node::Stop(End end) {
  CHECK(process_ != nullptr);
  last_member_ = member();
  last_config_in_progress_ = config_in_progress();
  disk_->PowerOff();
  network_->Detach(id_);
  process_.reset();
  if (end == End::kKill) return disk_->KillProcess();
  disk_->Crash(end == End::kPowerCutDropAll ? FaultFileSystem::Unsynced::kDrop
               : end == End::kPowerCutTorn  ? FaultFileSystem::Unsynced::kTorn
                                            : FaultFileSystem::Unsynced::kKeepRandom);
}

void Node::Wipe(const std::map<uint64_t, std::string>& listed_peers) {
  CHECK(process_ == nullptr);
  options_.replica.listed_peers = listed_peers;
  disk_ = std::make_unique<FaultFileSystem>(rng_.Next());
  last_member_ = MemberId();
  last_config_in_progress_ = false;
}

MemberId Node::member() const {
  if (process_ == nullptr || process_->identity()->member.is_none()) return last_member_;
  return process_->identity()->member;
}

bool Node::config_in_progress() const {
  if (process_ == nullptr) return last_config_in_progress_;
  return process_->core().status().core.config_in_progress;
}

}  // namespace cairn::sim
