// WorkBudget: the work that the statements of one command may do, and have done.
//
// Work is counted in steps. A step is one operation of SQLite's virtual machine. Work within one
// operation (a call of a function, a row that is hashed, a text that is compiled) is charged in
// addition. All charges are a function of the log and of the database alone, so every node stops a
// command at the same point, whatever the node did before and however fast it is.
//
// Statements that touch virtual tables are counted in another way. Virtual tables compile and cache
// statements of their own, so the steps within them differ between a fresh node and a warm node.
// The number of changed rows does not differ, and neither do the steps of the statement itself.
// Both only grow, so a node may stop the statement on the way, or find at its end that it did too
// much work; the answer is the same.
#pragma once

#include <sqlite3.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "state_machine/feature_level.h"

namespace cairn::state_machine {

// How often SQLite calls the progress handler, in steps. A statement can do this much more work
// before it is stopped.
inline constexpr int kStepsPerLook = 1000;
// The same for a program whose steps may search an index (index_searches.h).
inline constexpr int kStepsPerSearchLook = 10;
// The bound on a value, on a row, and on the result of a function.
inline constexpr int kValueBytesMax = 16 << 20;

// Prices, in steps. A step takes about 20 ns.
inline constexpr uint64_t kStepsPerStatement = 250;     // to find, bind, run and reset a statement
inline constexpr uint64_t kStepsPerExpandedToken = 25;  // of a view or table expression
inline constexpr uint64_t kStepsPerVirtualRow = 10;     // changed by a statement on virtual tables
inline constexpr uint64_t kStepsPerIndexEntry = 50;     // of a row that changes; level 2 and below
// From kLevelDataPlatform on, a row that changes costs by its bytes what it costs the file and the
// write-ahead log, and an entry of an index by the bytes of its key (index_keys.h). The prices come
// from bench/work_bench.cc.
inline constexpr uint64_t kInsertedBytesPerStep = 4;
inline constexpr uint64_t kUpdatedBytesPerStep = 8;  // of the old and the new row together
inline constexpr uint64_t kDeletedBytesPerStep = 16;
inline constexpr uint64_t kStepsPerIndexEntryNow = 150;
inline constexpr size_t kShortRowBytes = 128;  // each of its keys counts as the whole row
inline constexpr uint64_t StepsOfKeys(uint64_t bytes) { return bytes + bytes / 2; }
// A virtual table finds its next row by a statement of its own, within one step.
inline constexpr uint64_t kPriceOfVirtualReads = 10;
inline constexpr uint64_t kBytesPerStep = 64;  // of data that is bound, hashed or copied once
// json_each splits a JSON text into rows within one step.
inline constexpr uint64_t kPriceOfJsonTables = 8;
// The bound on the product of steps done and bytes of a value, for each step of the budget. Values
// up to kValueBytesAlways are always allowed, so that any number of rows of an ordinary size may be
// written.
inline constexpr uint64_t kStepBytesPerStep = 320;
inline constexpr int kValueBytesAlways = 4096;
// The same for a statement that keeps rows beside the database, sorted or in a table of their own.
// Such rows go to a temporary file, which holds all rows of the statement.
inline constexpr uint64_t kKeptBytesPerStep = 32;
inline constexpr int kKeptBytesAlways = 512;
// From kLevelDataPlatform on: the bounds, and the price of a step. Rows that are sorted, or looked up
// among those before, are written to the temporary file and read again several times.
inline constexpr uint64_t kPriceOfKeptRows = 2;
inline constexpr uint64_t kPriceOfSortedRows = 8;
inline constexpr uint64_t kKeptBytesPerStepNow = 16;
inline constexpr int kKeptBytesAlwaysNow = 128;
inline constexpr uint64_t kStepsPerSchemaObject = 50;  // at each read of the schema
inline constexpr uint64_t kStepsPerFreedPage = 50;     // that DROP removes, within one step

// Owned by the engine, and used on its thread only.
class WorkBudget {
 public:
  // The feature level of the database, which decides some prices. Between commands.
  void SetLevel(uint64_t level) { kept_rows_are_dear_ = level >= kLevelDataPlatform; }
  bool kept_rows_are_dear() const { return kept_rows_are_dear_; }
  // `steps_max` 0: unbounded. Work is counted all the same.
  void BeginCommand(uint64_t steps_max);
  // Counts the machine's steps of `stmt` from now on, each at `price` steps. The statement makes no
  // value larger than `value_bytes_max`. `keeps_rows`: the statement may keep long rows beside the
  // database. Not called if exhausted().
  // `steps_per_look`: how often Look is called, in steps of the machine.
  void BeginStatement(sqlite3_stmt* stmt, bool touches_virtual, uint64_t price, int value_bytes_max,
                      bool keeps_rows, int steps_per_look = kStepsPerLook);
  void EndStatement();

  // Charges work beside the steps of the machine. False: the budget is now exhausted.
  bool Charge(uint64_t steps);
  // Adds the engine's own work after a command. It exhausts nothing.
  void Add(uint64_t steps) { steps_ += steps; }
  // Takes the rest of the budget, for work that cannot be counted. Called between two statements.
  // It exhausts nothing.
  void TakeRest() { steps_ = std::max(steps_, steps_max_); }
  bool ChargeBytes(size_t bytes) { return Charge(bytes / kBytesPerStep); }
  // Charges the contents of a row that the running statement changed. Virtual tables split the
  // contents into words and sort them, so the price is higher there.
  void ChargeRow(size_t bytes, uint64_t bytes_per_step) {
    if (!running()) return;
    if (touches_virtual_) bytes_beside_virtual_ += bytes;
    Charge(touches_virtual_ ? bytes : bytes / bytes_per_step);
  }
  // Called by SQLite's progress handler. `own`: called for the statement itself, not for one that a
  // virtual table runs within it. True: stop the statement.
  bool Look(bool own);
  // Counts a changed row; the statements of virtual tables count too.
  void CountRow() { ++rows_; }
  // Bytes that ChargeRow has counted in the command beside virtual tables.
  uint64_t bytes_beside_virtual() const { return bytes_beside_virtual_; }
  // True if a client's statement runs, and not one of the engine's own.
  bool running() const { return stmt_ != nullptr; }

  bool exhausted() const { return exhausted_; }
  uint64_t steps_max() const { return steps_max_; }
  // The steps of the command so far. An exhausted command counts as its whole budget, because nodes
  // may stop a statement on virtual tables at different points.
  uint64_t steps() const { return exhausted_ ? steps_max_ : steps_; }

  // The largest value, and row, that the command may handle now. One step can copy or compare a
  // whole value, so the bound shrinks as the command does more steps.
  int value_bytes_max() const;

  // While a Pause exists nothing is counted: the engine works for itself in the middle of a
  // statement.
  class Pause {
   public:
    explicit Pause(WorkBudget* budget) : budget_(budget), stmt_(budget->stmt_) {
      budget_->stmt_ = nullptr;
    }
    ~Pause() { budget_->stmt_ = stmt_; }
    Pause(const Pause&) = delete;
    Pause& operator=(const Pause&) = delete;

   private:
    WorkBudget* const budget_;
    sqlite3_stmt* const stmt_;
  };

 private:
  uint64_t Looked() const { return looks_ * steps_per_look_ * price_; }
  uint64_t StepsOfRows() const { return touches_virtual_ ? rows_ * kStepsPerVirtualRow : 0; }
  uint64_t StepsOfStatement() const;
  void Judge(uint64_t steps) { exhausted_ = exhausted_ || (steps_max_ != 0 && steps > steps_max_); }

  uint64_t steps_max_ = 0;
  uint64_t steps_ = 0;  // of the command, without the machine's steps of the running statement
  uint64_t machine_steps_ = 0;  // of the statements before the running one
  bool exhausted_ = false;
  // The running statement. Null: none, or paused.
  sqlite3_stmt* stmt_ = nullptr;
  bool touches_virtual_ = false;
  bool keeps_rows_ = false;
  bool kept_rows_are_dear_ = false;
  uint64_t price_ = 1;
  uint64_t steps_per_look_ = kStepsPerLook;
  uint64_t bytes_beside_virtual_ = 0;  // of the command
  int statement_value_bytes_max_ = kValueBytesMax;
  uint64_t looks_ = 0;
  uint64_t rows_ = 0;
};

}  // namespace cairn::state_machine
