#include "server/audit_writer.h"

#include <algorithm>
#include <future>
#include <memory>
#include <utility>

#include "base/log.h"
#include "base/thread_name.h"
#include "state_machine/access.h"
#include "state_machine/feature_level.h"

namespace cairn::server {
namespace {

using state_machine::AuditNote;

constexpr std::chrono::seconds kWriteTimeout(10);
constexpr std::chrono::seconds kViewTimeout(5);

}  // namespace

void AuditWriter::Start() {
  thread_ = std::thread([this] {
    NameThread("cairn-audit");
    Run();
  });
}

void AuditWriter::Stop() {
  {
    const MutexLock lock(mutex_);
    stopped_ = true;
  }
  changed_.NotifyAll();
  if (thread_.joinable()) thread_.join();
}

void AuditWriter::Add(AuditNote note) {
  {
    const MutexLock lock(mutex_);
    if (waiting_.size() < kWaitingMax) {
      waiting_.push_back(std::move(note));
      changed_.NotifyAll();
      return;
    }
  }
  LOG_WARN("the audit does not get what was done kind={} principal={} address={}: {}", note.kind,
           note.principal, note.address, note.text);
}

void AuditWriter::Run() {
  SteadyTime next = clock_.SteadyNow() + kEvery;
  const auto awake = [this]() CAIRN_REQUIRES(mutex_) { return stopped_ || !waiting_.empty(); };
  for (bool failed = false;;) {
    {
      MutexLock lock(mutex_);
      const SteadyTime now = clock_.SteadyNow();
      const SteadyTime wait = next > now ? next - now : SteadyTime(0);
      // What could not be written waits for the minute.
      if (failed) {
        changed_.WaitFor(lock, wait, [this]() CAIRN_REQUIRES(mutex_) { return stopped_; });
      } else {
        changed_.WaitFor(lock, wait, awake);
      }
      if (stopped_) return;
    }
    const bool minute = clock_.SteadyNow() >= next;
    if (minute) next = clock_.SteadyNow() + kEvery;
    WriteAll(minute);
    {
      const MutexLock lock(mutex_);
      failed = !waiting_.empty();
    }
    if (minute) LogHeads();
  }
}

void AuditWriter::WriteAll(bool with_refusals) {
  std::vector<AuditNote> notes;
  {
    const MutexLock lock(mutex_);
    notes.swap(waiting_);
  }
  std::vector<AuditNote> refused = with_refusals ? refusals_.Take() : std::vector<AuditNote>();
  if (replica_.status().level < state_machine::kLevelDataPlatform) return;
  if (!refused.empty() && !Write(refused).ok()) refusals_.PutBack(refused);
  while (!notes.empty()) {
    const size_t count = std::min(notes.size(), state_machine::kAuditNotesMax);
    const auto end = notes.begin() + static_cast<std::ptrdiff_t>(count);
    if (const Status bad = Write({notes.begin(), end}); !bad.ok()) {
      LOG_WARN("the audit can not be written, and waits: {}", bad.message());
      const MutexLock lock(mutex_);
      waiting_.insert(waiting_.begin(), notes.begin(), notes.end());
      return;
    }
    notes.erase(notes.begin(), end);
  }
}

Status AuditWriter::Write(std::vector<AuditNote> notes) {
  state_machine::Command command;
  command.operation = state_machine::RecordAudit{std::move(notes)};
  command.principal = std::string(state_machine::kNodePrefix) + std::to_string(node_id_);
  const auto answered = std::make_shared<std::promise<Status>>();
  router_.Write(
      std::move(command), clock_.SteadyNow() + kWriteTimeout, Origin::kClient,
      [answered](Result<state_machine::CommandResult> result) {
        answered->set_value(result.ok() ? result->status : result.status());
      },
      /*gone=*/nullptr);
  return answered->get_future().get();
}

void AuditWriter::LogHeads() {
  if (!replica_.is_leader()) {
    logged_ = false;
    return;
  }
  if (logged_ && clock_.SteadyNow() - logged_at_ < kAnchorEvery) return;
  Result<std::unique_ptr<state_machine::ReadView>> view =
      replica_.state().OpenReadView(kViewTimeout);
  if (!view.ok()) return;
  std::string heads;
  for (const state_machine::AuditChain chain : state_machine::kAuditChains) {
    const Result<state_machine::AuditPage> page = (*view)->Audit({chain, UINT64_MAX});
    if (!page.ok()) return;
    if (page->head.rows == 0) continue;
    heads += std::string(" ") + ChainName(chain) + "=" + HeadText(page->head);
  }
  logged_ = true;
  logged_at_ = clock_.SteadyNow();
  if (!heads.empty()) LOG_INFO("audit head{}", heads);
}

}  // namespace cairn::server
