#include "server/audit_writer.h"

#include <algorithm>
#include <future>
#include <memory>
#include <tuple>
#include <utility>

#include "base/log.h"
#include "base/thread_name.h"
#include "state_machine/access.h"
#include "state_machine/audit.h"
#include "state_machine/feature_level.h"

namespace cairn::server {
namespace {

using state_machine::AuditNote;

constexpr std::chrono::seconds kWriteTimeout(10);
constexpr std::chrono::seconds kViewTimeout(5);

// False for what no later attempt mends, and for what is written.
bool MayBeWrittenLater(const Status& status) {
  switch (status.code()) {
    case StatusCode::kUnavailable:
    case StatusCode::kDeadlineExceeded:
    case StatusCode::kResourceExhausted:
    case StatusCode::kAborted:
    case StatusCode::kCancelled: return true;
    default: return false;
  }
}

}  // namespace

void AuditWriter::Start() {
  {
    const MutexLock lock(mutex_);
    ended_ = false;
  }
  thread_ = std::thread([this] {
    NameThread("cairn-audit");
    Run();
    const MutexLock lock(mutex_);
    ended_ = true;
    changed_.NotifyAll();
  });
}

void AuditWriter::Drain() {
  MutexLock lock(mutex_);
  stopped_ = true;
  changed_.NotifyAll();
  changed_.WaitFor(lock, kLastWriteMax, [this]() CAIRN_REQUIRES(mutex_) { return ended_; });
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
  state_machine::CutTexts(&note);
  const auto is_equal = [&note](const AuditNote& other) {
    return std::tie(other.kind, other.principal, other.address, other.text) ==
           std::tie(note.kind, note.principal, note.address, note.text);
  };
  {
    const MutexLock lock(mutex_);
    const auto equal = std::find_if(waiting_.begin(), waiting_.end(), is_equal);
    if (equal != waiting_.end()) {
      equal->count += note.count;
      return;
    }
    if (waiting_.size() < kWaitingMax) {
      waiting_.push_back(std::move(note));
      changed_.NotifyAll();
      return;
    }
    ++lost_;
  }
  LOG_WARN("the audit does not get what was done kind={} principal={} address={}: {}", note.kind,
           note.principal, note.address, note.text);
}

void AuditWriter::Run() {
  SteadyTime next = clock_.SteadyNow() + kEvery;
  const auto awake = [this]() CAIRN_REQUIRES(mutex_) { return stopped_ || !waiting_.empty(); };
  const auto stopped = [this]() CAIRN_REQUIRES(mutex_) { return stopped_; };
  for (bool failed = false;;) {
    bool stops = false;
    {
      MutexLock lock(mutex_);
      const SteadyTime now = clock_.SteadyNow();
      const SteadyTime wait = next > now ? next - now : SteadyTime(0);
      // What could not be written waits for the minute.
      if (failed) {
        changed_.WaitFor(lock, wait, stopped);
      } else {
        changed_.WaitFor(lock, wait, awake);
      }
      stops = stopped_;
    }
    if (stops) {
      WriteAll(/*with_refusals=*/false, kLastWriteMax);
      return;
    }
    const bool minute = clock_.SteadyNow() >= next;
    if (minute) next = clock_.SteadyNow() + kEvery;
    failed = !WriteAll(minute, kWriteTimeout);
    if (minute) LogHeads();
  }
}

std::vector<AuditNote> AuditWriter::TakeNotes() {
  const MutexLock lock(mutex_);
  std::vector<AuditNote> notes = std::exchange(waiting_, {});
  if (const uint64_t lost = std::exchange(lost_, 0); lost > 0) {
    notes.push_back({std::string(state_machine::audit_kind::kAsked), "", "",
                     "there was no room for so many more", lost});
  }
  return notes;
}

bool AuditWriter::WriteAll(bool with_refusals, SteadyTime timeout) {
  std::vector<AuditNote> notes = TakeNotes();
  std::vector<AuditNote> refused = with_refusals ? refusals_.Take() : std::vector<AuditNote>();
  if (replica_.status().level < state_machine::kLevelDataPlatform) return true;
  if (!refused.empty() && !Write(refused, timeout).ok()) refusals_.PutBack(refused);
  while (!notes.empty()) {
    const size_t count = std::min(notes.size(), state_machine::kAuditNotesMax);
    const auto end = notes.begin() + static_cast<std::ptrdiff_t>(count);
    const Status written = Write({notes.begin(), end}, timeout);
    if (MayBeWrittenLater(written)) {
      LOG_WARN("the audit can not be written, and waits: {}", written.message());
      const MutexLock lock(mutex_);
      waiting_.insert(waiting_.begin(), notes.begin(), notes.end());
      return false;
    }
    if (!written.ok()) LOG_ERROR("the audit does not get {} notes: {}", count, written.message());
    notes.erase(notes.begin(), end);
  }
  return true;
}

Status AuditWriter::Write(std::vector<AuditNote> notes, SteadyTime timeout) {
  state_machine::Command command;
  command.operation = state_machine::RecordAudit{std::move(notes)};
  command.principal = std::string(state_machine::kNodePrefix) + std::to_string(node_id_);
  const auto answered = std::make_shared<std::promise<Status>>();
  router_.Write(
      std::move(command), clock_.SteadyNow() + timeout, Origin::kClient,
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
