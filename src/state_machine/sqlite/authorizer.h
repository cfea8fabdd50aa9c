// WriteAuthorizer: decides what a replicated statement may contain, and records what it touches.
//
// SQLite calls the authorizer while it compiles a statement: for each table, column, function and
// kind of statement, also in triggers, views and foreign key actions. Anything that is not known to
// have the same effect on every node is refused.
#pragma once

#include <sqlite3.h>

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "base/status.h"

namespace cairn::state_machine {

// The bound on the names of tables. Versions keep sequences under these names.
inline constexpr size_t kTableNameBytesMax = 1024;
Status TableNameTooLong();

// What a compiled statement may do. Names of tables are in lower case.
struct ProgramFacts {
  std::set<std::string> reads;
  std::set<std::string> writes;
  std::set<std::string> rewrites;  // tables with an UPDATE or a DELETE
  // The columns that an UPDATE sets, by table.
  std::map<std::string, std::set<std::string>> updates;
  std::set<std::string> inserting_triggers;  // triggers that contain an INSERT
  std::string created_view;
  std::string altered_table;  // the table that ALTER TABLE names, and may rename
  std::string dropped_table;
  std::string dropped_index;
  std::string indexed_table;              // of a CREATE INDEX
  std::set<std::string> rebuilt_indexes;  // by REINDEX, or the one that CREATE INDEX makes
  std::set<std::string> schema_texts;     // triggers and views compiled with the statement
  // The statement itself calls changes() or total_changes(), or last_insert_rowid(). A call in a
  // trigger, a view or a DEFAULT does not count.
  bool asks_for_changes = false;
  bool asks_for_rowid = false;
  std::set<std::string>
      changes_callers;  // triggers and views that call changes() or total_changes()
  // The program may call changes() or total_changes() at any place.
  bool sees_changes = false;
  // Such a call may run before a statement of a trigger has set the answer.
  bool sees_changes_first = false;
  bool selects = false;         // contains a SELECT; VALUES of several rows is one
  bool selects_within = false;  // contains one in a trigger or a view
  bool calls = false;           // calls a function
  bool changes_schema = false;
  bool drops_or_alters = false;
  bool alters_table = false;
  bool recursive = false;   // WITH RECURSIVE
  bool reads_rank = false;  // a column called rank, which FTS5 computes with log()
  // Writes sqlite_stat1 or a similar table. ANALYZE of one table writes there before SQLite reports
  // the ANALYZE, so the write can be judged only at the end of the statement.
  bool writes_statistics = false;
  bool writes_sequence = false;  // sqlite_sequence, directly
};

// Owned by the engine, and used on its thread only.
class WriteAuthorizer {
 public:
  enum class Mode {
    kInternal,   // a statement of Cairn: everything is allowed
    kCompiling,  // a client's statement is being compiled
    // A client's statement runs. Virtual tables now compile the statements by which they reach
    // their own storage. A warm node has these already, and a fresh node does not, so nothing is
    // recorded.
    kRunning,
    kInspecting,  // checks whether a client's view or trigger reads reserved names
  };

  void Install(sqlite3* db) { sqlite3_set_authorizer(db, &Authorize, this); }
  void SetMode(Mode mode) { mode_ = mode; }
  // Whether clients may create tables of the module timeseries, which begins with a feature level.
  void AllowTimeSeries(bool allow) { allows_time_series_ = allow; }
  // Clears the facts.
  void StartCompiling();
  // Clears the facts. From now on only reads of reserved names are refused.
  void StartInspecting();

  const ProgramFacts& facts() const { return facts_; }
  // Why the last statement was refused; OK if the authorizer did not refuse it.
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
  bool allows_time_series_ = false;
  ProgramFacts facts_;
  std::string last_text_;  // the last recorded trigger or view
  Status refusal_;
};

}  // namespace cairn::state_machine
