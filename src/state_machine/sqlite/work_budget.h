// WorkBudget: what the statements of one command may do, and what they have done.
//
// Work is counted in steps. A step is an operation of SQLite's machine. Work that the machine does
// within one operation (a call of a function, a row that is hashed, a text that is compiled) is
// charged beside them. All of it is a function of the log and of the database alone, so that every
// node stops a command at the same point, whatever it did before and however fast it is.
//
// Statements that touch virtual tables are counted in another way. Virtual tables compile and warm
// up statements of their own, so the steps within them differ between a fresh node and a warm one.
// The rows that are changed do not differ, nor do the steps of the statement itself. Both only
// grow: a node may stop the statement on the way, or find at its end that it was too much, and
// gives the same answer.
#pragma once

#include <sqlite3.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace cairn::state_machine {

// How often SQLite asks, in steps. Part of what a statement can do before it is stopped.
inline constexpr int kStepsPerLook = 1000;
// Of a value, of a row, and of what a function makes.
inline constexpr int kValueBytesMax = 16 << 20;

// Prices, in steps. A step takes about 20 ns.
inline constexpr uint64_t kStepsPerStatement = 250;     // to find, bind, run and reset it
inline constexpr uint64_t kStepsPerExpandedToken = 25;  // of a body that stands for its name
inline constexpr uint64_t kStepsPerVirtualRow = 10;     // changed, beside virtual tables
// A virtual table finds its next row by a statement of its own, within one step of the machine.
inline constexpr uint64_t kPriceOfVirtualReads = 10;
inline constexpr uint64_t kBytesPerStep = 64;  // of what is bound, hashed or copied once
// To cut a JSON text into the rows of json_each takes the machine one step.
inline constexpr uint64_t kPriceOfJsonTables = 8;
// Steps done times bytes of a value, for each step of the budget; and what is always allowed, so
// that rows of an ordinary size may be written in any number.
inline constexpr uint64_t kStepBytesPerStep = 320;
inline constexpr int kValueBytesAlways = 4096;
// The same of a statement that keeps rows beside the database, sorted or in a table of their own. They
// go to a temporary file, which holds all rows of the statement.
inline constexpr uint64_t kKeptBytesPerStep = 32;
inline constexpr int kKeptBytesAlways = 512;
inline constexpr uint64_t kStepsPerSchemaObject = 50;  // each time the schema is read
inline constexpr uint64_t kStepsPerFreedPage = 50;     // of what DROP removes within one step

// The engine's; its thread only.
class WorkBudget {
 public:
  // `steps_max` 0: unbounded. Work is counted all the same.
  void BeginCommand(uint64_t steps_max);
  // Counts the machine's steps of `stmt` from here on, each as `price` of them. It makes no larger
  // values than `value_bytes_max`. Not to be called if exhausted().
  // `keeps_rows`: it may keep long rows beside the database.
  void BeginStatement(sqlite3_stmt* stmt, bool touches_virtual, uint64_t price, int value_bytes_max,
                      bool keeps_rows);
  void EndStatement();

  // Work beside the steps of the machine. False: the budget is exhausted by it.
  bool Charge(uint64_t steps);
  // Of what the engine does behind a command: it exhausts nothing.
  void Add(uint64_t steps) { steps_ += steps; }
  // For what cannot be counted: between two statements. It exhausts nothing.
  void TakeRest() { steps_ = std::max(steps_, steps_max_); }
  bool ChargeBytes(size_t bytes) { return Charge(bytes / kBytesPerStep); }
  // For the contents of a row that the statement that runs has changed. Beside virtual tables they
  // are cut into words and sorted.
  void ChargeRow(size_t bytes) {
    if (running()) Charge(touches_virtual_ ? bytes : bytes / kBytesPerStep);
  }
  // From SQLite's progress handler; `own`: called for the statement itself, and not for one that a
  // virtual table runs within it. True: stop the statement.
  bool Look(bool own);
  // A row was changed, also by the statements of virtual tables.
  void CountRow() { ++rows_; }
  // A client's statement runs, not one of the engine's own.
  bool running() const { return stmt_ != nullptr; }

  bool exhausted() const { return exhausted_; }
  uint64_t steps_max() const { return steps_max_; }
  // Of the command so far. A command that is exhausted counts as its whole budget: how far a node
  // came before it stopped a statement on virtual tables is its own affair.
  uint64_t steps() const { return exhausted_ ? steps_max_ : steps_; }

  // The largest value, and row, that the command may handle now. One step can copy or compare as
  // much, so the more steps it has done, the smaller the values are that it may still do them with.
  int value_bytes_max() const;

  // While one lives, nothing is counted: the engine works for itself in the middle of a statement.
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
  uint64_t Looked() const { return looks_ * kStepsPerLook * price_; }
  uint64_t StepsOfRows() const { return touches_virtual_ ? rows_ * kStepsPerVirtualRow : 0; }
  uint64_t StepsOfStatement() const;
  void Judge(uint64_t steps) { exhausted_ = exhausted_ || (steps_max_ != 0 && steps > steps_max_); }

  uint64_t steps_max_ = 0;
  uint64_t steps_ = 0;          // of the command, without the machine's for the statement that runs
  uint64_t machine_steps_ = 0;  // of the statements before it
  bool exhausted_ = false;
  // The statement that runs; null: none, or paused.
  sqlite3_stmt* stmt_ = nullptr;
  bool touches_virtual_ = false;
  bool keeps_rows_ = false;
  uint64_t price_ = 1;
  int statement_value_bytes_max_ = kValueBytesMax;
  uint64_t looks_ = 0;
  uint64_t rows_ = 0;
};

}  // namespace cairn::state_machine
