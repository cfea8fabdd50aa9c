// Table: a connected time series, and how it is written.
#pragma once

#include <array>
#include <compare>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/sqlite_api.h"
#include "base/status.h"
#include "timeseries/sqlite/declaration.h"
#include "timeseries/sqlite/module.h"
#include "timeseries/sqlite/points.h"
#include "timeseries/sqlite/rollup_writer.h"
#include "timeseries/sqlite/storage.h"
#include "timeseries/sqlite/writer.h"

namespace cairn::timeseries {

// Sets the message of an error, which SQLite frees.
int Report(char** error, const std::string& message);
// Refuses a write on a connection that only reads.
int RefuseWrite(char** error);

class Table : public sqlite3_vtab {
 public:
  Table(TimeSeriesModule* module, sqlite3* db, Declaration parsed, const char* schema,
        const char* name)
      : sqlite3_vtab(),
        module_(*module),
        declaration_(std::move(parsed)),
        storage_(db, schema, name, &declaration_),
        rollups_(&storage_, schema, &module->options_.charge, &error_),
        writer_(&storage_, &module->options_.charge, &error_, OptionsOfWriter()) {
    module_.connected_.insert(this);
  }
  ~Table() { module_.connected_.erase(this); }
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;

  const Declaration& declaration() const { return declaration_; }
  Storage& storage() { return storage_; }
  Writer& writer() { return writer_; }
  RollupWriter& rollups() { return rollups_; }
  const ChargeWork& charge() const { return module_.options_.charge; }
  bool writes() const { return module_.options_.writes; }
  bool only_writer() const { return module_.options_.only_writer; }

  // What comes with the creation of the table.
  int BeginRetention();
  int CreateItsRollups(const std::vector<std::string_view>& arguments);
  int DropItsRollups();
  int RenameWithRollups(std::string_view name);

  int Update(int argc, sqlite3_value** argv);
  int TooManyRows();
  // A number for a row that an UPDATE or a DELETE has found. It holds until no cursor is open and
  // the next one opens.
  int NumberOf(int64_t series, int64_t time, sqlite3_int64* number);
  int OpenCursor();
  void CloseCursor() { --cursors_; }

  bool has_changes() const { return writer_.has_changes() || rollups_.has_changes(); }
  int Flush();
  void Discard();
  void Forget();
  int Told(int rc);
  // The same after points between these times were written.
  int Wrote(int rc, int64_t series, TimeSpan times);
  int Refuse(const Status& status) { return Report(&zErrMsg, status.message()); }

 private:
  struct Place {
    int64_t series;
    int64_t time;
    auto operator<=>(const Place&) const = default;
  };

  WriterOptions OptionsOfWriter() {
    return {.sealed = declaration_.rollups.empty() ? nullptr : &rollups_};
  }
  int InsertRow(sqlite3_value** columns);
  int Command(sqlite3_value** columns);
  int UpdateRow(Place* found, sqlite3_value** columns);
  Status ReadTags(sqlite3_value** columns, PointValues* tags) const;
  Status ReadValues(sqlite3_value** columns, PointValues* values) const;
  Status CheckHidden(sqlite3_value** columns, bool is_update, bool* is_block) const;

  TimeSeriesModule& module_;
  const Declaration declaration_;
  Storage storage_;
  std::string error_;  // the message of the running error; empty: SQLite's own
  RollupWriter rollups_;
  Writer writer_;
  // In the order in which they are written.
  const std::array<HeldChanges*, 2> held_ = {&writer_, &rollups_};
  int cursors_ = 0;
  std::vector<Place> rows_;
  std::map<Place, size_t> numbers_;  // of all rows, if they came out of order; else empty
};

}  // namespace cairn::timeseries
