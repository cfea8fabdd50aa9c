// The virtual table module `timeseries`: measurements as SQL (docs/time-series.md).
//
// All that it keeps lies in ordinary tables of the same database (storage.h), so a transaction, a
// savepoint, a digest and a snapshot cover it. What a statement stores is written when it ends; a
// caller that counts work calls TimeSeriesModule::Flush before it stops counting. Otherwise SQLite
// asks for it with the next savepoint or the commit.
#pragma once

#include <functional>
#include <set>

#include "base/sqlite_api.h"
#include "base/status.h"
#include "timeseries/sqlite/writer.h"
#include "timeseries/sqlite/written_points.h"

namespace cairn::timeseries {

class Storage;
class Table;

// A cursor of a rollup. A statement that writes the time series meanwhile makes it stale: it must not
// read what the statement writes.
struct RollupReader {
  explicit RollupReader(const Storage* time_series) : series(*time_series) {}
  bool IsOf(const Storage& other) const;

  const Storage& series;  // of the reader's own connection to it
  bool stale = false;
};

// The tables NAME_word hold what the table NAME keeps.
inline constexpr const char* kStorageWords[] = {"series", "tail", "blocks", "config"};

struct ModuleOptions {
  // Asked before work that SQLite's own steps do not show. Null: all work is allowed.
  ChargeWork charge;
  // The connection may write. Otherwise every write of a time series, and every change of its
  // definition, is refused with SQLITE_READONLY.
  bool writes = true;
  // No other connection writes the file, so what is known of it holds over transactions.
  bool only_writer = false;
  // Hears of each point that a statement writes or deletes, and of a block once. Not of what retention
  // takes. Null: nobody wants to know.
  TellPoints on_points{};
};

// One for each connection. Must outlive the connection, or its installation.
class TimeSeriesModule {
 public:
  explicit TimeSeriesModule(ModuleOptions options) : options_(std::move(options)) {}
  TimeSeriesModule(const TimeSeriesModule&) = delete;
  TimeSeriesModule& operator=(const TimeSeriesModule&) = delete;

  // Adds the module, and the functions (functions.h).
  Status Install(sqlite3* db);
  // From now on the connection knows no such module. Tables that are connected stay so.
  Status Remove(sqlite3* db);
  // Writes what the last statement has changed. SQLITE_OK, or the error of the statement. Called
  // when the statement has ended, and no other runs.
  int Flush();
  // Writes what the running statement has changed so far.
  int FlushWithin();
  bool writes() const { return options_.writes; }
  const ChargeWork& charge() const { return options_.charge; }
  // True while rollups are created, renamed or dropped together with their time series.
  bool changes_rollups() const { return changes_rollups_; }

  void AddReader(RollupReader* reader) { rollup_readers_.insert(reader); }
  void RemoveReader(RollupReader* reader) { rollup_readers_.erase(reader); }
  bool HasStaleReader(const Storage& series) const;
  // The running statement writes points of the time series.
  void NoteWrite(const Storage& series);

  // What came of the last command 'expire'.
  const ExpiryOutcome& expired() const { return expired_; }

 private:
  friend class Table;
  ModuleOptions options_;
  std::set<Table*> connected_;
  std::set<RollupReader*> rollup_readers_;
  ExpiryOutcome expired_;
  bool changes_rollups_ = false;
};

}  // namespace cairn::timeseries
