#include "sim/stale_reads.h"

#include <iterator>

#include "sim/process.h"

namespace cairn::sim {
namespace {

constexpr SteadyTime kAskEvery = milliseconds(100);
constexpr milliseconds kBounds[] = {milliseconds(50), milliseconds(200), milliseconds(500),
                                    milliseconds(2000)};

}  // namespace

StaleReads::StaleReads(World* world, const Nodes* nodes, Checker* checker)
    : world_(world), nodes_(nodes), checker_(checker), rng_(world->Fork("stale reads")) {}

void StaleReads::ScheduleNext() {
  world_->After(Exponential(rng_, kAskEvery), Label(Kind::kCheck, 0), [this] {
    if (stopped_) return;
    Ask();
    ScheduleNext();
  });
}

// A stopped process is asked too: the question waits in the process's socket until it resumes.
void StaleReads::Ask() {
  auto node = nodes_->begin();
  std::advance(node, static_cast<int64_t>(rng_.Below(nodes_->size())));
  const milliseconds bound = kBounds[rng_.Below(std::size(kBounds))];
  Process* process = node->second->process();
  if (process == nullptr || process->dead()) return;
  node::ReadOptions options;
  options.level = node::ReadLevel::kStale;
  options.staleness_max = bound;
  process->ReadBarrier(options, seconds(1),
                       [this, process, id = node->first, bound,
                        asked = world_->now()](const Result<LogIndex>& index) {
                         ++(index.ok() ? counts_.served : counts_.refused);
                         // The view is of all that is applied then.
                         if (index.ok())
                           checker_->OnStaleRead(id, asked, bound, process->core().applied());
                       });
}

}  // namespace cairn::sim
