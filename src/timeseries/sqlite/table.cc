#include "timeseries/sqlite/table.h"

#include <string_view>

#include "timeseries/sqlite/bucket.h"
#include "timeseries/sqlite/rollup_table.h"

namespace cairn::timeseries {

namespace {

// The rows that one UPDATE or DELETE may change: 64 MiB of numbers.
constexpr size_t kRowsMax = 4 << 20;
constexpr size_t kRowsOutOfOrderMax = 512 << 10;

OnConflict ConflictRule(sqlite3* db) {
  switch (sqlite3_vtab_on_conflict(db)) {
    case SQLITE_REPLACE: return OnConflict::kReplace;
    case SQLITE_IGNORE: return OnConflict::kIgnore;
    default: return OnConflict::kFail;
  }
}

// The current time, as SQL sees it.
int64_t NowMs(sqlite3* db) {
  constexpr int64_t kUnixEpochMs = 210866760000000;  // on SQLite's clock
  sqlite3_vfs* vfs = nullptr;
  sqlite3_int64 now = kUnixEpochMs;
  sqlite3_file_control(db, "main", SQLITE_FCNTL_VFS_POINTER, &vfs);
  if (vfs != nullptr && vfs->xCurrentTimeInt64 != nullptr) vfs->xCurrentTimeInt64(vfs, &now);
  return now - kUnixEpochMs;
}

}  // namespace

int Report(char** error, const std::string& message) {
  sqlite3_free(*error);
  *error = sqlite3_mprintf("%s", message.c_str());
  return SQLITE_ERROR;
}

int RefuseWrite(char** error) {
  Report(error, "this connection only reads: a time series is written through a running node");
  return SQLITE_READONLY;
}

// ---- Rollups ------------------------------------------------------------------------------------

int Table::BeginRetention() {
  int rc = SQLITE_OK;
  if (declaration_.retention_ms != 0) rc = writer_.SetRetention(declaration_.retention_ms);
  for (const RollupOption& rollup : declaration_.rollups) {
    if (rc != SQLITE_OK || rollup.retention_ms == 0) continue;
    rc = writer_.SetRetention(rollup.retention_ms, "_" + rollup.name);
  }
  return rc;
}

int Table::CreateItsRollups(const std::vector<std::string_view>& arguments) {
  module_.changes_rollups_ = true;
  const int rc =
      CreateRollups(storage_.db(), storage_.schema(), storage_.name(), arguments, declaration_);
  module_.changes_rollups_ = false;
  return rc;
}

int Table::DropItsRollups() {
  module_.changes_rollups_ = true;
  const int rc = DropRollups(storage_.db(), storage_.schema(), storage_.name(), declaration_);
  module_.changes_rollups_ = false;
  return rc;
}

int Table::RenameWithRollups(std::string_view name) {
  module_.changes_rollups_ = true;
  int rc = RenameRollups(storage_.db(), storage_.schema(), storage_.name(), name, declaration_);
  module_.changes_rollups_ = false;
  if (rc == SQLITE_OK) rc = storage_.Rename(name);
  if (rc == SQLITE_OK) rollups_.Rename(name);
  return rc;
}

// ---- The end of a statement ---------------------------------------------------------------------

int Table::Told(int rc) {
  // An error has a message of its own, or none.
  sqlite3_free(zErrMsg);
  zErrMsg = nullptr;
  if (rc != SQLITE_OK && !error_.empty()) Report(&zErrMsg, error_);
  error_.clear();
  return rc;
}

int Table::Wrote(int rc, int64_t series, TimeSpan times) {
  const TellPoints& tell = module_.options_.on_points;
  if (rc == SQLITE_OK && tell) tell({&storage_, series, times.first, times.last});
  return Told(rc);
}

int Table::Flush() {
  // The rows of the storage are no rows of the client.
  const sqlite3_int64 rowid = sqlite3_last_insert_rowid(storage_.db());
  int rc = SQLITE_OK;
  for (HeldChanges* held : held_) {
    if (rc == SQLITE_OK) rc = held->Flush();
  }
  sqlite3_set_last_insert_rowid(storage_.db(), rowid);
  return Told(rc);
}

void Table::Discard() {
  for (HeldChanges* held : held_) held->Discard();
}

void Table::Forget() {
  for (HeldChanges* held : held_) held->Forget();
}

// ---- Writing ------------------------------------------------------------------------------------

int Table::TooManyRows() {
  Report(&zErrMsg,
         "a statement changes at most 4194304 points of a time series, and 524288 in another "
         "order than that of tags and time: name a shorter range of times");
  return SQLITE_TOOBIG;
}

// A point that two conditions find has one number. Points mostly come in order, and then none comes
// twice.
int Table::NumberOf(int64_t series, int64_t time, sqlite3_int64* number) {
  const Place place{series, time};
  const bool begins_map = numbers_.empty() && !rows_.empty() && !(rows_.back() < place);
  // Before the map is built: it takes 72 bytes a point.
  if (begins_map && rows_.size() >= kRowsOutOfOrderMax) return TooManyRows();
  if (begins_map) {
    for (size_t i = 0; i < rows_.size(); ++i) numbers_.emplace(rows_[i], i + 1);
  }
  if (!numbers_.empty()) {
    if (const auto it = numbers_.find(place); it != numbers_.end()) {
      *number = static_cast<sqlite3_int64>(it->second);
      return SQLITE_OK;
    }
  }
  if (rows_.size() >= (numbers_.empty() ? kRowsMax : kRowsOutOfOrderMax)) {
    return TooManyRows();
  }
  rows_.push_back(place);
  *number = static_cast<sqlite3_int64>(rows_.size());
  if (!numbers_.empty()) numbers_.emplace(place, rows_.size());
  return SQLITE_OK;
}

int Table::OpenCursor() {
  if (cursors_++ == 0) {
    rows_.clear();
    rows_.shrink_to_fit();
    numbers_.clear();
  }
  return SQLITE_OK;
}

Status Table::ReadTags(sqlite3_value** columns, PointValues* tags) const {
  tags->resize(declaration_.tags.size());
  for (size_t i = 0; i < tags->size(); ++i) {
    RETURN_IF_ERROR(ReadDatum(declaration_.Tag(i), columns[declaration_.tags[i]], &(*tags)[i]));
  }
  return OkStatus();
}

Status Table::ReadValues(sqlite3_value** columns, PointValues* values) const {
  values->resize(declaration_.values.size());
  for (size_t i = 0; i < values->size(); ++i) {
    RETURN_IF_ERROR(
        ReadDatum(declaration_.Value(i), columns[declaration_.values[i]], &(*values)[i]));
  }
  return OkStatus();
}

Status Table::CheckHidden(sqlite3_value** columns, bool is_update, bool* is_block) const {
  sqlite3_value* const is_last = columns[declaration_.is_last_column()];
  sqlite3_value* const block = columns[declaration_.block_column()];
  // UPDATE ... FROM hands over what it has read of columns that it does not set, and tells of no
  // column that it does not change. Others do not read the column `block`.
  const bool was_read = is_update && sqlite3_value_nochange(block) == 0;
  if (sqlite3_value_type(is_last) != SQLITE_NULL && sqlite3_value_nochange(is_last) == 0 &&
      !was_read) {
    return InvalidArgument("is_last cannot be written: it tells the last point of each series");
  }
  if (sqlite3_value_type(columns[declaration_.command_column()]) != SQLITE_NULL) {
    return InvalidArgument("a command of a time series is INSERTed");
  }
  *is_block = sqlite3_value_type(block) != SQLITE_NULL;
  if (!*is_block) return OkStatus();
  bool alone = sqlite3_value_type(columns[declaration_.time]) == SQLITE_NULL;
  for (const size_t value : declaration_.values) {
    alone = alone && sqlite3_value_type(columns[value]) == SQLITE_NULL;
  }
  if (sqlite3_value_type(block) == SQLITE_BLOB && alone) return OkStatus();
  return InvalidArgument("a block comes as a blob, with tags and without times and values");
}

// `INSERT INTO m(m) VALUES('retention=90d')`, as full-text indexes have it.
int Table::Command(sqlite3_value** columns) {
  for (size_t i = 0; i < declaration_.command_column(); ++i) {
    if (sqlite3_value_type(columns[i]) == SQLITE_NULL) continue;
    return Refuse(InvalidArgument("a command of a time series comes alone: INSERT INTO " +
                                  storage_.name() + "(" + storage_.name() + ") VALUES('...')"));
  }
  sqlite3_value* const value = columns[declaration_.command_column()];
  const auto* const bytes = reinterpret_cast<const char*>(sqlite3_value_text(value));
  const std::string_view text = bytes == nullptr ? "" : bytes;
  if (text == "expire") {
    int rc = Flush();
    if (rc == SQLITE_OK) {
      rc = writer_.Expire(NowMs(storage_.db()), rollups_.expiries(), &module_.expired_);
    }
    if (rc == SQLITE_OK) rc = Flush();
    rollups_.Forget();
    return Told(rc);
  }
  constexpr std::string_view kSet = "retention";
  const size_t equals = text.find('=');
  const bool sets = text.starts_with(kSet) && equals != std::string_view::npos;
  const std::string_view suffix = sets ? text.substr(kSet.size(), equals - kSet.size()) : "";
  if (!sets || !(suffix.empty() || declaration_.HasRollup(suffix))) {
    return Refuse(
        InvalidArgument("the commands of a time series are 'retention=90d' (or another time), "
                        "'retention_1h=5y' (of a rollup), 'retention=none' and 'expire'"));
  }
  int64_t retention_ms = 0;
  if (const std::string_view wanted = text.substr(equals + 1); wanted != "none") {
    const Status read = ParseRetention(wanted, &retention_ms);
    if (!read.ok()) return Refuse(read);
  }
  const int rc = writer_.SetRetention(retention_ms, suffix);
  return rc == SQLITE_CONSTRAINT
             ? Refuse(InvalidArgument(
                   "a rollup lives at least as long as the points: name other retentions"))
             : Told(rc);
}

int Table::InsertRow(sqlite3_value** columns) {
  if (sqlite3_value_type(columns[declaration_.command_column()]) != SQLITE_NULL) {
    return Command(columns);
  }
  bool is_block = false;
  PointValues tags;
  PointValues values;
  int64_t time = 0;
  Status read = CheckHidden(columns, /*is_update=*/false, &is_block);
  if (read.ok()) read = ReadTags(columns, &tags);
  if (read.ok() && !is_block) read = ReadTime(declaration_, columns[declaration_.time], &time);
  if (read.ok() && !is_block) read = ReadValues(columns, &values);
  if (!read.ok()) return Refuse(read);
  int64_t series = 0;
  const int rc = writer_.FindSeries(tags, &series);
  if (rc != SQLITE_OK) return Told(rc);
  const OnConflict rule = ConflictRule(storage_.db());
  if (!is_block) return Wrote(writer_.Insert(series, time, values, rule), series, {time, time});
  sqlite3_value* const block = columns[declaration_.block_column()];
  const auto* const bytes = static_cast<const char*>(sqlite3_value_blob(block));
  const auto count = static_cast<size_t>(sqlite3_value_bytes(block));
  TimeSpan times;
  const int stored =
      writer_.InsertBlock(series, {bytes, bytes == nullptr ? 0 : count}, rule, &times);
  return Wrote(stored, series, times);
}

int Table::UpdateRow(Place* found, sqlite3_value** columns) {
  const Place old = *found;
  bool is_block = false;
  PointValues tags;
  PointValues values;
  int64_t time = 0;
  Status read = CheckHidden(columns, /*is_update=*/true, &is_block);
  if (read.ok() && is_block) read = InvalidArgument("UPDATE sets no block of a time series");
  if (read.ok()) read = ReadTags(columns, &tags);
  if (read.ok()) read = ReadTime(declaration_, columns[declaration_.time], &time);
  if (read.ok()) read = ReadValues(columns, &values);
  if (!read.ok()) return Refuse(read);
  int64_t series = 0;
  int rc = writer_.FindSeries(tags, &series);
  if (rc != SQLITE_OK) return Told(rc);
  if (series == old.series && time == old.time) {
    return Wrote(writer_.Insert(series, time, values, OnConflict::kReplace), series, {time, time});
  }
  const OnConflict rule = ConflictRule(storage_.db());
  if (rule != OnConflict::kReplace) {
    bool exists = false;
    rc = writer_.Exists(series, time, &exists);
    // This insert fails, or does nothing, and the old point stays.
    if (rc == SQLITE_OK && exists) rc = writer_.Insert(series, time, values, rule);
    if (rc != SQLITE_OK || exists) return Told(rc);
  }
  // UPDATE ... FROM gives each match of a point. The last one counts, as it does in a plain table,
  // but only the first one finds the point where it was.
  *found = Place{0, 0};
  rc = Wrote(writer_.Delete(old.series, old.time), old.series, {old.time, old.time});
  if (rc != SQLITE_OK) return rc;
  return Wrote(writer_.Insert(series, time, values, OnConflict::kReplace), series, {time, time});
}

int Table::Update(int argc, sqlite3_value** argv) {
  constexpr int kStepsOfACall = 10;
  if (charge() && !charge()(kStepsOfACall)) return SQLITE_INTERRUPT;
  module_.NoteWrite(storage_);
  const sqlite3_int64 rowid = sqlite3_last_insert_rowid(storage_.db());
  int rc = SQLITE_OK;
  if (sqlite3_value_type(argv[0]) == SQLITE_NULL) {
    if (sqlite3_value_type(argv[1]) != SQLITE_NULL) {
      return Refuse(InvalidArgument("a time series has no rowids"));
    }
    rc = InsertRow(argv + 2);
  } else {
    const sqlite3_int64 number = sqlite3_value_int64(argv[0]);
    if (number < 1 || static_cast<size_t>(number) > rows_.size()) {
      return Refuse(InvalidArgument("a time series has no rowids"));
    }
    Place* const place = &rows_[static_cast<size_t>(number) - 1];
    if (place->series == 0) {
      return Refuse(InvalidArgument(
          "UPDATE ... FROM finds a point several times, and changes its tags or its time"));
    }
    const Place old = *place;
    rc = argc == 1 ? Wrote(writer_.Delete(old.series, old.time), old.series, {old.time, old.time})
                   : UpdateRow(place, argv + 2);
  }
  // The rows of the storage are no rows of the client.
  sqlite3_set_last_insert_rowid(storage_.db(), rowid);
  return rc;
}

}  // namespace cairn::timeseries
