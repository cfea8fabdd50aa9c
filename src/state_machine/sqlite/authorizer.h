// WriteAuthorizer: decides what a replicated statement may contain, and notes what it touches.
//
// SQLite calls it while it compiles: for each table, column, function and kind of statement, those
// in triggers, views and foreign key actions included. What is not known to have the same effect on
// every node is refused.
#pragma once

#include <sqlite3.h>

#include <set>
#include <string>
#include <string_view>

#include "base/status.h"

namespace cairn::state_machine {

// The sequences of versions are kept under the names of tables.
inline constexpr size_t kTableNameBytesMax = 1024;
Status TableNameTooLong();

// What a compiled statement may do. Names of tables are in lower case.
struct ProgramFacts {
  std::set<std::string> reads;
  std::set<std::string> writes;
  std::set<std::string> inserting_triggers;  // that an INSERT stands in
  std::string created_view;
  std::string altered_table;  // ALTER TABLE names it; it may be about to get another name
  std::string dropped_table;
  std::string dropped_index;
  std::set<std::string> schema_texts;  // triggers and views that are compiled with the statement
  // The statement itself calls changes() or total_changes(), or last_insert_rowid(). A call in a
  // trigger, a view or a DEFAULT does not count.
  bool asks_for_changes = false;
  bool asks_for_rowid = false;
  std::set<std::string>
      changes_callers;  // triggers and views that call changes() or total_changes()
  // The program may call changes() or total_changes(), wherever the call stands.
  bool sees_changes = false;
  // Such a call may come before any statement of a trigger has ended that gives it an answer.
  bool sees_changes_first = false;
  bool selects = false;         // a SELECT stands in it, also one of VALUES for several rows
  bool selects_within = false;  // of these, in a trigger or a view
  bool calls = false;           // a function
  bool changes_schema = false;
  bool drops_or_alters = false;
  bool alters_table = false;
  bool recursive = false;   // WITH RECURSIVE
  bool reads_rank = false;  // a column called rank, which FTS5 computes with log()
  // sqlite_stat1 and the like. ANALYZE of one table does so before it says that it is an ANALYZE,
  // so that it can be judged only when the statement has been seen whole.
  bool writes_statistics = false;
  bool writes_sequence = false;  // sqlite_sequence, directly
};

// Owned by the engine; its thread only.
class WriteAuthorizer {
 public:
  enum class Mode {
    kInternal,   // Cairn's own statements: all is allowed
    kCompiling,  // a client's statement is being compiled
    // A client's statement runs. What is compiled now are the statements by which virtual tables
    // reach their own storage; a running node has them already, a fresh one does not, so nothing is
    // noted.
    kRunning,
    kInspecting,  // what a client made is compiled to see whether it reads what is reserved
  };

  void Install(sqlite3* db) { sqlite3_set_authorizer(db, &Authorize, this); }
  void SetMode(Mode mode) { mode_ = mode; }
  // Starts to note anew.
  void StartCompiling();
  // Nothing is refused but reads of reserved names.
  void StartInspecting();

  const ProgramFacts& facts() const { return facts_; }
  // Why the last statement was refused; OK if it was not refused here.
  const Status& refusal() const { return refusal_; }

 private:
  static int Authorize(void* self, int action, const char* a, const char* b, const char* schema,
                       const char* trigger);
  int Check(int action, std::string_view a, const char* b, std::string_view schema);
  int CheckSchemaChange(int action, std::string_view name, std::string_view on_table);
  int CheckWrite(std::string_view table);
  int CheckReserved(std::string_view table);
  int CheckRead(std::string_view table, std::string_view column);
  int CheckFunction(std::string_view name);
  int CheckPragma(std::string_view name, bool has_argument);
  void NoteOrigin(int action, std::string_view function, const char* trigger);
  int Refuse(std::string message);

  Mode mode_ = Mode::kInternal;
  ProgramFacts facts_;
  std::string last_text_;  // the last trigger or view that was noted
  Status refusal_;
};

}  // namespace cairn::state_machine
