#include "server/query_task.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "base/thread_memory.h"
#include "server/limits.h"

namespace cairn::server {
namespace {

// The clock is read once for this many rows.
constexpr uint32_t kRowsBetweenLooks = 64;
// What a query may hold without being charged: its part of the page cache, and its program.
constexpr int64_t kHeapFreeBytes = 2 << 20;
// A charge grows in steps.
constexpr int64_t kHeapStepBytes = 1 << 20;
// What the largest row takes: once as SQLite reads it, and once as it is passed on. The allocator
// rounds each of them up, by a quarter at most.
constexpr size_t kLargestRowHeapBytes = 2 * (kStreamedRowBytesMax + kStreamedRowBytesMax / 4);

}  // namespace

QueryTask::QueryTask(Clock* clock, QueryRequest request, uint64_t connection, Limits limits,
                     std::shared_ptr<QueryConsumer> consumer)
    : clock_(clock),
      request_(std::move(request)),
      connection_(connection),
      limits_(std::move(limits)),
      consumer_(std::move(consumer)),
      age_by_(SteadyTime::max().count()),
      memory_(limits_.memory) {}

Status QueryTask::Check(SteadyTime now) const {
  if (limits_.stopping != nullptr && *limits_.stopping) {
    return Unavailable("the node is shutting down");
  }
  if (limits_.gone != nullptr && *limits_.gone) return Cancelled("the client has gone");
  if (limits_.may_run) RETURN_IF_ERROR(limits_.may_run(nullptr, request_.statement.sql));
  if (now >= limits_.deadline) return DeadlineExceeded("the query took longer than its timeout");
  if (now.count() >= age_by_) {
    return Aborted(
        "the query took longer than " +
        std::to_string(std::chrono::ceil<std::chrono::seconds>(limits_.age_max).count()) +
        " seconds");
  }
  return OkStatus();
}

// The count of one thread is enough. Only this query runs on it, and the thread that runs the query
// next or last frees what the query allocates.
Status QueryTask::CheckMemory() {
  if (limits_.memory == nullptr) return OkStatus();
  const int64_t held = heap_bytes_ + ThreadHeapBytes() - heap_at_begin_;
  if (held <= kHeapFreeBytes || held <= static_cast<int64_t>(memory_.bytes())) return OkStatus();
  const auto wanted = static_cast<size_t>(held + kHeapStepBytes);
  const size_t share = limits_.memory->bytes_max();
  constexpr size_t kLargestRow =
      kLargestRowHeapBytes + static_cast<size_t>(kHeapFreeBytes + kHeapStepBytes);
  const size_t bytes_max = share < kLargestRow ? share / 2 : std::max(share / 2, kLargestRow);
  if (wanted <= bytes_max && memory_.TryResize(wanted)) return OkStatus();
  return ResourceExhausted("the query needs " + std::to_string(held) +
                           " bytes of memory, which this node does not have for queries now: ask "
                           "for less at a time");
}

// The consumer frees rows when it sends them. All calls in which it may do so are counted, or the
// query would seem to hold all the rows that it ever sent.
bool QueryTask::ConsumerIsFull() {
  heap_at_begin_ = ThreadHeapBytes();
  const bool full = consumer_->Full();
  heap_bytes_ += ThreadHeapBytes() - heap_at_begin_;
  return full;
}

Result<bool> QueryTask::Run(state_machine::ReadView* view,
                            std::unique_ptr<state_machine::QueryRun>* run,
                            const state_machine::QueryLimits& limits) {
  for (;;) {
    heap_at_begin_ = ThreadHeapBytes();
    Result<bool> ended = (*run)->Continue(limits, this);
    heap_bytes_ += ThreadHeapBytes() - heap_at_begin_;
    if (!ended.ok() || !*ended) return ended;
    std::optional<Statement> next = consumer_->NextStatement();
    if (!next) return true;
    run->reset();
    next_statement_ = *std::move(next);
    RETURN_IF_ERROR(MayRun(view, next_statement_));
    *run = view->BeginQuery(next_statement_);
    // The consumer may have something to pass on that stands before the rows.
    if (ConsumerIsFull()) return false;
  }
}

Status QueryTask::MayRun(state_machine::ReadView* view, const Statement& statement) const {
  return limits_.may_run ? limits_.may_run(view, statement.sql) : OkStatus();
}

state_machine::QueryLimits QueryTask::MakeLimits() {
  state_machine::QueryLimits limits;
  limits.age_max = limits_.age_max;
  limits.row_bytes_max = kStreamedRowBytesMax;
  limits.check = [this](SteadyTime now) {
    RETURN_IF_ERROR(CheckMemory());
    return Check(now);
  };
  return limits;
}

bool QueryTask::RunShort(state_machine::ReadView* view) {
  const SteadyTime begun = clock_->SteadyNow();
  if (Status over = Check(begun); !over.ok()) {
    End(over);
    return true;
  }
  if (Status denied = MayRun(view, request_.statement); !denied.ok()) {
    End(denied);
    return true;
  }
  applied_ = view->applied();
  consumer_->Begin(applied_, /*provisional=*/true);
  const SteadyTime slice_by = begun + limits_.slice;
  bool slice_over = false;
  state_machine::QueryLimits limits = MakeLimits();
  limits.check = [&](SteadyTime now) {
    RETURN_IF_ERROR(CheckMemory());
    if (now < slice_by) return Check(now);
    slice_over = true;
    return Cancelled("the slice is over");
  };
  std::unique_ptr<state_machine::QueryRun> run = view->BeginQuery(request_.statement);
  const Result<bool> ended = Run(view, &run, limits);
  run.reset();
  if (ended.ok() ? !*ended : slice_over) {
    memory_.TryResize(0);
    heap_bytes_ = 0;
    return false;
  }
  End(ended.status());
  return true;
}

Status QueryTask::TakeView(std::unique_ptr<state_machine::ReadView> view) {
  if (view->applied() < applied_) {
    return Unavailable("this node had to go back to an earlier state; try again");
  }
  RETURN_IF_ERROR(MayRun(view.get(), request_.statement));
  view_ = std::move(view);
  age_by_ = (clock_->SteadyNow() + limits_.age_max).count();
  consumer_->Begin(view_->applied(), /*provisional=*/false);
  run_ = view_->BeginQuery(request_.statement);
  return OkStatus();
}

QueryTask::Piece QueryTask::RunPiece(const std::atomic<size_t>& others) {
  const SteadyTime begun = clock_->SteadyNow();
  if (Status over = Check(begun); !over.ok()) {
    End(over);
    return Piece::kEnded;
  }
  if (ConsumerIsFull()) return Piece::kWaits;
  others_ = &others;
  piece_by_ = begun + limits_.piece;
  yields_ = false;
  const Result<bool> ended = Run(view_.get(), &run_, MakeLimits());
  others_ = nullptr;
  if (ended.ok() && !*ended) return yields_ ? Piece::kYields : Piece::kWaits;
  End(ended.status());
  return Piece::kEnded;
}

bool QueryTask::Full() {
  if (consumer_->Full()) return true;
  if (others_ == nullptr || ++rows_ % kRowsBetweenLooks != 0) return false;
  yields_ = *others_ > 0 && clock_->SteadyNow() >= piece_by_;
  return yields_;
}

void QueryTask::End(const Status& status) {
  run_.reset();
  view_.reset();
  memory_.TryResize(0);
  if (limits_.ended) limits_.ended(status);
  consumer_->End(status);
}

}  // namespace cairn::server
