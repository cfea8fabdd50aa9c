#include "node/scrub_worker.h"

#include <utility>

#include "base/log.h"
#include "base/thread_name.h"
#include "base/thread_priority.h"

namespace cairn::node {
namespace {

// The worker reads for this long, then pauses for three times as long as that took.
constexpr SteadyTime kSlice = std::chrono::milliseconds(5);
constexpr int kPauses = 3;

}  // namespace

void ScrubWorker::Start() {
  thread_ = std::thread([this] {
    NameThread("cairn-scrub");
    Run();
  });
}

void ScrubWorker::Stop() {
  scans_.Close();
  if (thread_.joinable()) thread_.join();
}

void ScrubWorker::Run() {
  LowerThreadPriority();
  std::vector<Scan> scans;
  SteadyTime wait = SteadyTime::max();
  while (wait == SteadyTime::max() ? scans_.PopAll(&scans) : scans_.PopAll(&scans, wait)) {
    wait = RunRound(std::exchange(scans, {}));
  }
  reading_.reset();
}

SteadyTime ScrubWorker::RunRound(std::vector<Scan> scans) {
  for (Scan& scan : scans) {
    if (scan->is_digest_entry()) MakeDigest(*scan);
    if (reading_ == nullptr) reading_ = std::move(scan);
  }
  return reading_ == nullptr ? SteadyTime::max() : ReadRows();
}

void ScrubWorker::MakeDigest(state_machine::StateScan& scan) {
  const Result<state_machine::StateDigest> digest = scan.Digest();
  if (digest.ok()) {
    events_->OnDigest(scan.index(), *digest);
  } else if (digest.status().code() == StatusCode::kDataLoss) {
    events_->OnScrubbed(scan.index(), digest.status());
  } else {
    LOG_INFO("no digest was made index={}: {}", scan.index().value(), digest.status().message());
  }
}

SteadyTime ScrubWorker::ReadRows() {
  const SteadyTime began = clock_->SteadyNow();
  const Result<bool> all = reading_->Scrub(kSlice);
  if (all.ok() && !*all) {
    return reading_->hurry() ? SteadyTime(0) : kPauses * (clock_->SteadyNow() - began);
  }
  if (all.ok() || all.status().code() == StatusCode::kDataLoss) {
    events_->OnScrubbed(reading_->index(), all.status());
  } else {
    LOG_INFO("scrub: given up until the next one index={}: {}", reading_->index().value(),
             all.status().message());
  }
  reading_.reset();
  return SteadyTime::max();
}

}  // namespace cairn::node
