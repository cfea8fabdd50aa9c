// QueryTask: one query of a client, from its view to the end of its result.
//
// A query begins on a thread for short reads, and most queries end there. A query that has used up
// a slice of time, or has more rows than its consumer takes at once, begins anew as a long read
// (long_reads.h), in pieces and with a view of its own.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/memory_budget.h"
#include "base/result.h"
#include "base/status.h"
#include "node/replica.h"
#include "state_machine/state_machine.h"

namespace cairn::server {

// Takes the answer to a query: the columns and rows, as RowSink says, and the end. One thread at a
// time calls it.
class QueryConsumer : public state_machine::RowSink {
 public:
  // Rows of the state at `applied` follow. A second call voids all that was given before it.
  // Provisional rows must not be passed on before End or the next Begin.
  virtual void Begin(LogIndex applied, bool provisional) = 0;
  // Called when the query has paused because the consumer is full. Calls `resume` once, on any
  // thread, when the consumer has room again.
  virtual void AwaitRoom(std::function<void()> resume) { std::exchange(resume, nullptr)(); }
  // Called when a statement has ended well: the next one, which reads the same state. None: End
  // follows.
  virtual std::optional<Statement> NextStatement() { return std::nullopt; }
  // Called once, and last. A result that does not end with OK is void.
  virtual void End(const Status& status) = 0;
};

struct QueryRequest {
  state_machine::Statement statement;
  node::ReadOptions read;
  uint32_t timeout_ms = 0;  // 0: the node's default
  size_t bytes = 0;         // of the request, which stays in memory
};

class QueryTask final : private state_machine::RowSink {
 public:
  struct Limits {
    SteadyTime deadline{0};
    SteadyTime age_max = std::chrono::seconds(60);     // of the view; past it ABORTED
    SteadyTime slice = std::chrono::milliseconds(10);  // on a thread for short reads
    SteadyTime piece = std::chrono::milliseconds(20);  // of a long read while others wait
    std::shared_ptr<const std::atomic<bool>> gone;     // nobody takes the answer any more
    const std::atomic<bool>* stopping = nullptr;       // the node is shutting down
    MemoryShare* memory = nullptr;                     // of all queries; one takes a part
    std::string principal;                             // who asks; see server/principal.h
    std::function<void(const Status&)> ended;          // called right before the consumer's End
    // Whether the client may run this query on this view; without a view, whether it may go on with
    // it. Cheap while nobody's rights change. Empty: any query.
    std::function<Status(state_machine::ReadView* view, const std::string& sql)> may_run;
  };

  QueryTask(Clock* clock, QueryRequest request, uint64_t connection, Limits limits,
            std::shared_ptr<QueryConsumer> consumer);

  // The connection that sent the query.
  uint64_t connection() const { return connection_; }
  const std::string& principal() const { return limits_.principal; }
  SteadyTime deadline() const { return limits_.deadline; }
  const node::ReadOptions& read() const { return request_.read; }

  // Runs a slice with a view that others share. False: the query is a long read.
  bool RunShort(state_machine::ReadView* view);

  // ---- As a long read. One thread at a time.
  enum class Piece : uint8_t {
    kEnded,   // and the consumer knows
    kYields,  // to be run again in its turn
    kWaits,   // for room: AwaitRoom
  };
  // The view of a long read must not be older than the view of the slice was.
  Status TakeView(std::unique_ptr<state_machine::ReadView> view);
  bool has_view() const { return view_ != nullptr; }
  Piece RunPiece(const std::atomic<size_t>& others);
  void AwaitRoom(std::function<void()> resume) { consumer_->AwaitRoom(std::move(resume)); }
  // Gives the view back, then tells the consumer.
  void End(const Status& status);

  // Why the query should end now; OK if the query may go on. Thread-safe.
  Status Check() const { return Check(clock_->SteadyNow()); }

 private:
  Status OnColumns(const std::vector<state_machine::Column>& columns) override {
    return consumer_->OnColumns(columns);
  }
  Status OnRow(state_machine::Row row) override { return consumer_->OnRow(std::move(row)); }
  bool Full() override;
  Status Check(SteadyTime now) const;
  state_machine::QueryLimits MakeLimits();
  // Runs the statements of the query, from the one of `run` on.
  Result<bool> Run(state_machine::ReadView* view, std::unique_ptr<state_machine::QueryRun>* run,
                   const state_machine::QueryLimits& limits);
  Status MayRun(state_machine::ReadView* view, const Statement& statement) const;
  bool ConsumerIsFull();  // called outside of a piece
  // Charges the budget with what SQLite and the consumer hold for this query.
  Status CheckMemory();

  Clock* const clock_;
  const QueryRequest request_;
  const uint64_t connection_;
  const Limits limits_;
  const std::shared_ptr<QueryConsumer> consumer_;
  std::atomic<SteadyTime::rep> age_by_;  // when the view is too old
  LogIndex applied_;                     // of the view of the slice
  std::unique_ptr<state_machine::ReadView> view_;
  state_machine::Statement next_statement_;  // of run_, unless that is the first
  std::unique_ptr<state_machine::QueryRun> run_;
  MemoryCharge memory_;
  int64_t heap_bytes_ = 0;                       // held at the end of the last piece
  int64_t heap_at_begin_ = 0;                    // the thread's, when the present piece began
  const std::atomic<size_t>* others_ = nullptr;  // queries that wait for a thread, during a piece
  SteadyTime piece_by_{0};
  uint32_t rows_ = 0;
  bool yields_ = false;
};

}  // namespace cairn::server
