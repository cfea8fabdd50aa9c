#include "node/new_cluster_level.h"

#include "base/log.h"
#include "base/result.h"

namespace cairn::node {

void NewClusterLevel::OnApplied(const AppliedReport& report) {
  if (!context_.is_leader() || report.term != context_.raft->term() || judged_ == report.term) {
    return;
  }
  judged_ = report.term;
  const bool is_new = report.lease_ms == 0 && report.wall_ms == 0;  // both move with each command
  tries_left_ = is_new && report.level < context_.options.level_max ? kTriesMax : 0;
}

void NewClusterLevel::OnTick() {
  if (tries_left_ == 0 || context_.ticks < next_try_) return;
  if (!context_.is_leader() || context_.raft->term() != judged_ ||
      context_.level >= context_.options.level_max) {
    tries_left_ = 0;
    return;
  }
  --tries_left_;
  next_try_ = context_.ticks + context_.Elections(5);  // the last try is over by then
  const SteadyTime deadline =
      context_.now() + SteadyTime(context_.options.tick) * context_.Elections(4);
  raise_(deadline, [last = tries_left_ == 0](const Result<uint64_t>& level) {
    if (level.ok() || !last) return;
    LOG_INFO("the new cluster stays at its feature level until `cairn member upgrade` why={}",
             level.status().message());
  });
}

}  // namespace cairn::node
