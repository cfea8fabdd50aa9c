#include "state_machine/sqlite/change_retention.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "state_machine/change_codec.h"
#include "state_machine/sqlite/full_text_table.h"
#include "state_machine/sqlite/index_commands.h"

namespace cairn::state_machine {
namespace {

// What a chunk counts beside its changes. So no chunk is small, and to remove as many bytes as a command
// adds takes a bounded number of chunks.
constexpr uint64_t kChunkBytes = 128;
// A lapse of this part of the time that chunks are kept is worth an entry of its own.
constexpr uint64_t kLapsePart = 16;

Status NothingRetained(const std::string& table) {
  return FailedPrecondition("no changes of the table " + table + " are retained");
}

}  // namespace

const char* const ChangeRetention::kSchema =
    "CREATE TABLE _cairn_retention(id INTEGER PRIMARY KEY, name TEXT NOT NULL, retain_ms INTEGER "
    "NOT"
    " NULL, bytes_max INTEGER NOT NULL, since_index INTEGER NOT NULL, since_ordinal INTEGER NOT "
    "NULL,"
    " bytes INTEGER NOT NULL);"
    "CREATE TABLE _cairn_changes(setting INTEGER NOT NULL, idx INTEGER NOT NULL, last INTEGER NOT"
    " NULL, ends INTEGER NOT NULL, lease_ms INTEGER NOT NULL, bytes INTEGER NOT NULL, definition"
    " INTEGER NOT NULL, events BLOB NOT NULL, PRIMARY KEY(setting, idx, last)) WITHOUT ROWID;"
    "CREATE TABLE _cairn_changed_tables(id INTEGER PRIMARY KEY, setting INTEGER NOT NULL, "
    "definition"
    " BLOB NOT NULL)";

// ---- Opening ------------------------------------------------------------------------------------

Status ChangeRetention::Open(Engine* engine) {
  engine_ = engine;
  recorder_.Open(engine->db(), &engine->catalog());
  engine->AddObserver(&recorder_);
  if (!engine->catalog().HasTable("_cairn_retention")) return OkStatus();
  RETURN_IF_ERROR(OpenTables());
  RETURN_IF_ERROR(Load());
  recorder_.Retain(TablesInForce());
  return OkStatus();
}

void ChangeRetention::Close() {
  recorder_.Close();
  for (InternalStatement* each : {&insert_chunk_, &remove_chunk_, &oldest_chunk_,
                                  &insert_definition_, &remove_definitions_, &write_setting_}) {
    each->Finalize();
  }
  settings_.clear();
}

Status ChangeRetention::OpenTables() {
  sqlite3* const db = engine_->db();
  has_tables_ = true;
  RETURN_IF_ERROR(insert_chunk_.Prepare(
      db,
      "INSERT INTO _cairn_changes(setting, idx, last, ends, lease_ms, bytes, definition, events)"
      " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"));
  RETURN_IF_ERROR(remove_chunk_.Prepare(
      db, "DELETE FROM _cairn_changes WHERE setting = ?1 AND idx = ?2 AND last = ?3"));
  RETURN_IF_ERROR(oldest_chunk_.Prepare(
      db,
      "SELECT idx, last, ends, lease_ms, bytes, definition FROM _cairn_changes"
      " WHERE setting = ?1 ORDER BY idx, last LIMIT 1"));
  RETURN_IF_ERROR(insert_definition_.Prepare(
      db, "INSERT INTO _cairn_changed_tables(id, setting, definition) VALUES(?1, ?2, ?3)"));
  RETURN_IF_ERROR(remove_definitions_.Prepare(
      db, "DELETE FROM _cairn_changed_tables WHERE setting = ?1 AND id < ?2"));
  return write_setting_.Prepare(
      db,
      "REPLACE INTO _cairn_retention(id, name, retain_ms, bytes_max, since_index, since_ordinal,"
      " bytes) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)");
}

Status ChangeRetention::Load() {
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(
      engine_->db(),
      "SELECT id, name, retain_ms, bytes_max, since_index, since_ordinal, bytes,"
      " ifnull((SELECT max(id) FROM _cairn_changed_tables AS t WHERE t.setting = r.id), 0)"
      " FROM _cairn_retention AS r"));
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) break;
    Setting& setting = settings_[read.Int(0)];
    setting.name = read.Bytes(1);
    setting.retain_ms = read.Uint(2);
    setting.bytes_max = read.Uint(3);
    setting.since = {LogIndex(read.Uint(4)), read.Uint(5)};
    setting.bytes = read.Uint(6);
    setting.definition = read.Int(7);
  }
  RETURN_IF_ERROR(
      read.Prepare(engine_->db(), "SELECT definition FROM _cairn_changed_tables WHERE id = ?1"));
  for (auto& [id, setting] : settings_) {
    RETURN_IF_ERROR(ReadOldest(id, &setting));
    if (setting.definition == 0) continue;
    ASSIGN_OR_RETURN(const bool found, read.Bind(1, setting.definition).Next());
    if (found) setting.definition_bytes = read.Bytes(0);
    read.Reset();
  }
  return OkStatus();
}

// ---- Entries and batches ------------------------------------------------------------------------

ChangeRetention::Settings& ChangeRetention::Change() {
  if (!before_.has_value()) before_ = settings_;
  return settings_;
}

RetentionRecorder::Tables ChangeRetention::TablesInForce() const {
  RetentionRecorder::Tables tables;
  for (const auto& [id, setting] : settings_) {
    if (setting.retain_ms != 0) tables[setting.name] = id;
  }
  return tables;
}

void ChangeRetention::BeginEntry() {
  if (std::exchange(settings_changed_, false)) recorder_.Retain(TablesInForce());
}

void ChangeRetention::BatchUndone() {
  if (!before_.has_value()) return;
  settings_ = *std::exchange(before_, std::nullopt);
  settings_changed_ = true;
  // The tables may have been created in the batch.
  has_tables_ = engine_->catalog().HasTable("_cairn_retention");
}

Status ChangeRetention::Flush() {
  if (!before_.has_value()) return OkStatus();
  for (const auto& [id, setting] : settings_) {
    const auto old = before_->find(id);
    if (old != before_->end() && old->second == setting) continue;
    RETURN_IF_ERROR(write_setting_.Bind(1, id)
                        .BindText(2, setting.name)
                        .Bind(3, setting.retain_ms)
                        .Bind(4, setting.bytes_max)
                        .Bind(5, setting.since.index.value())
                        .Bind(6, setting.since.ordinal)
                        .Bind(7, setting.bytes)
                        .Run());
  }
  return OkStatus();
}

std::optional<uint64_t> ChangeRetention::NextDeadlineLeaseMs() const {
  std::optional<uint64_t> next;
  for (const auto& [id, setting] : settings_) {
    if (!setting.oldest.has_value()) continue;
    const uint64_t lapse = setting.retain_ms + setting.retain_ms / kLapsePart;
    const bool due = setting.bytes > setting.bytes_max || setting.oldest->at <= setting.since;
    const uint64_t deadline = due ? 0 : setting.oldest->lease_ms + lapse;
    next = std::min(next.value_or(deadline), deadline);
  }
  return next;
}

// ---- Settings -----------------------------------------------------------------------------------

Status ChangeRetention::CheckTable(const std::string& lower_name, const std::string& name) const {
  const SchemaCatalog& catalog = engine_->catalog();
  if (IsInternalTable(lower_name)) return PermissionDenied(name + " is internal to Cairn");
  if (!catalog.HasTable(lower_name)) return NotFound("no such table: " + name);
  const std::string virtual_sql(catalog.SqlOfVirtual(lower_name));
  const bool told = catalog.IsVirtual(lower_name)
                        ? KeepsItsText(virtual_sql) || IsTimeSeries(virtual_sql)
                        : catalog.OwnerOfShadow(lower_name).empty();
  if (told) return OkStatus();
  return InvalidArgument("the changes of " + name + " are not told, so none can be retained");
}

Status ChangeRetention::CheckNew(const RetainChanges& command, uint64_t bytes_max) const {
  if (command.retain_ms < kRetainMsMin || command.retain_ms > kRetainMsMax) {
    return InvalidArgument("changes may be retained for 1 minute to 10 years, and " +
                           std::to_string(command.retain_ms) +
                           " ms were asked for; to retain none, say off");
  }
  if (bytes_max < kRetainBytesMin || bytes_max > kRetainBytesTotal) {
    return InvalidArgument("retained changes may have " + std::to_string(kRetainBytesMin) + " to " +
                           std::to_string(kRetainBytesTotal) + " bytes, and " +
                           std::to_string(bytes_max) + " were asked for");
  }
  const std::string name = LowerCase(command.table);
  RETURN_IF_ERROR(CheckTable(name, command.table));
  uint64_t total = bytes_max;
  size_t count = 1;
  for (const auto& [id, setting] : settings_) {
    if (setting.retain_ms != 0 && setting.name == name) continue;
    total += setting.retain_ms == 0 ? setting.bytes : setting.bytes_max;
    ++count;
  }
  if (total <= kRetainBytesTotal && count <= kRetainSettingsMax) return OkStatus();
  return ResourceExhausted("at most " + std::to_string(kRetainSettingsMax) + " tables and " +
                           std::to_string(kRetainBytesTotal) +
                           " bytes can be retained together: give other tables fewer bytes, or end "
                           "their retention");
}

Status ChangeRetention::Add(const std::string& name, const RetainChanges& command,
                            uint64_t bytes_max, LogIndex index) {
  if (!has_tables_) {
    RETURN_IF_ERROR(engine_->CreateOwnTables(kSchema));
    RETURN_IF_ERROR(OpenTables());
  }
  Settings& settings = Change();
  const int64_t id = settings.empty() ? 1 : settings.rbegin()->first + 1;
  Setting& setting = settings[id];
  setting.name = name;
  setting.retain_ms = command.retain_ms;
  setting.bytes_max = bytes_max;
  setting.since = EndOf(index);
  return OkStatus();
}

Status ChangeRetention::Set(const RetainChanges& command, LogIndex index, Status* verdict) {
  const std::string name = LowerCase(command.table);
  const auto known = std::find_if(settings_.begin(), settings_.end(), [&](const auto& each) {
    return each.second.retain_ms != 0 && each.second.name == name;
  });
  if (command.retain_ms == 0) {
    if (known == settings_.end()) {
      *verdict = NothingRetained(command.table);
      return OkStatus();
    }
    Setting& setting = Change().at(known->first);
    setting.retain_ms = 0;
    setting.since = EndOf(index);
    settings_changed_ = true;
    return setting.oldest.has_value() ? OkStatus() : EndSetting(known->first);
  }
  const uint64_t bytes_max = command.bytes_max == 0 ? kRetainBytesDefault : command.bytes_max;
  *verdict = CheckNew(command, bytes_max);
  if (!verdict->ok()) return OkStatus();
  settings_changed_ = true;
  if (known == settings_.end()) return Add(name, command, bytes_max, index);
  Setting& setting = Change().at(known->first);
  setting.retain_ms = command.retain_ms;
  setting.bytes_max = bytes_max;
  return OkStatus();
}

Status ChangeRetention::EndSetting(int64_t id) {
  RETURN_IF_ERROR(remove_definitions_.Bind(1, id).Bind(2, INT64_MAX).Run());
  const std::string sql = "DELETE FROM _cairn_retention WHERE id = " + std::to_string(id);
  RETURN_IF_ERROR(ExecInternal(engine_->db(), sql.c_str()));
  Change().erase(id);
  return OkStatus();
}

// ---- Chunks come --------------------------------------------------------------------------------

Result<int64_t> ChangeRetention::DefinitionOf(int64_t id, Setting* setting,
                                              const RetainedChunk& chunk, uint64_t* bytes) {
  if (chunk.table == nullptr) return 0;
  std::string definition = EncodeChangedTable(*chunk.table);
  if (setting->definition != 0 && definition == setting->definition_bytes) {
    return setting->definition;
  }
  int64_t last = 0;
  for (const auto& [other, each] : settings_) last = std::max(last, each.definition);
  RETURN_IF_ERROR(insert_definition_.Bind(1, last + 1).Bind(2, id).BindBlob(3, definition).Run());
  *bytes += definition.size();
  setting->definition = last + 1;
  setting->definition_bytes = std::move(definition);
  return last + 1;
}

Status ChangeRetention::Store(const RetainedChunk& chunk, ChangePosition end, uint64_t lease_ms) {
  Setting& setting = settings_.at(chunk.setting);
  Oldest added;
  added.at = {end.index, chunk.last};
  added.end = end.ordinal;
  added.lease_ms = lease_ms;
  added.bytes = kChunkBytes + chunk.events.size();
  ASSIGN_OR_RETURN(added.definition, DefinitionOf(chunk.setting, &setting, chunk, &added.bytes));
  RETURN_IF_ERROR(insert_chunk_.Bind(1, chunk.setting)
                      .Bind(2, end.index.value())
                      .Bind(3, chunk.last)
                      .Bind(4, end.ordinal)
                      .Bind(5, lease_ms)
                      .Bind(6, added.bytes)
                      .Bind(7, added.definition)
                      .BindBlob(8, chunk.events)
                      .Run());
  setting.bytes += added.bytes;
  if (!setting.oldest.has_value()) setting.oldest = added;
  return OkStatus();
}

Status ChangeRetention::StoreCommand(uint64_t lease_ms) {
  // Taken in any case: the recorder works to the end of an entry that has ended the last setting.
  ASSIGN_OR_RETURN(const std::optional<RetainedCommand> command, recorder_.Take());
  if (!command.has_value() || settings_.empty()) return OkStatus();
  Settings& settings = Change();
  for (const int64_t id : command->lost) {
    const auto setting = settings.find(id);
    if (setting == settings.end()) continue;
    setting->second.since = std::max(setting->second.since, command->end);
  }
  std::map<int64_t, uint64_t> added;
  for (const RetainedChunk& chunk : command->chunks) {
    const auto setting = settings.find(chunk.setting);
    // It was ended by an earlier command of the entry, or has the number of one that was.
    if (setting == settings.end() || setting->second.retain_ms == 0) continue;
    if (command->end <= setting->second.since) continue;
    const uint64_t before = setting->second.bytes;
    RETURN_IF_ERROR(Store(chunk, command->end, lease_ms));
    added[chunk.setting] += setting->second.bytes - before;
  }
  for (const auto& [id, bytes] : added) {
    // No chunk counts less, so as much as came can go; twice as much, because a chunk that alone is
    // larger than the bound goes too.
    TrimRoom room{static_cast<size_t>(2 * bytes / kChunkBytes) + 1, 2 * bytes};
    RETURN_IF_ERROR(Remove(id, lease_ms, &room));
  }
  return OkStatus();
}

// ---- Chunks go ----------------------------------------------------------------------------------

bool ChangeRetention::IsDue(const Setting& setting, uint64_t lease_ms) {
  if (!setting.oldest.has_value()) return false;
  return setting.retain_ms == 0 || setting.oldest->at <= setting.since ||
         setting.bytes > setting.bytes_max ||
         setting.oldest->lease_ms + setting.retain_ms < lease_ms;
}

Status ChangeRetention::Trim(uint64_t lease_ms, TrimRoom room) {
  if (settings_.empty()) return OkStatus();
  std::vector<int64_t> ids;
  for (const auto& [id, setting] : settings_) {
    if (IsDue(setting, lease_ms)) ids.push_back(id);
  }
  for (const int64_t id : ids) RETURN_IF_ERROR(Remove(id, lease_ms, &room));
  return OkStatus();
}

Status ChangeRetention::Remove(int64_t id, uint64_t lease_ms, TrimRoom* room) {
  Setting& setting = Change().at(id);
  const int64_t definition = setting.oldest.has_value() ? setting.oldest->definition : 0;
  while (room->chunks > 0 && room->bytes > 0 && IsDue(setting, lease_ms)) {
    --room->chunks;
    room->bytes -= std::min(room->bytes, setting.oldest->bytes);
    RETURN_IF_ERROR(RemoveOldest(id, &setting));
  }
  if (!setting.oldest.has_value() && setting.retain_ms == 0) return EndSetting(id);
  const int64_t first =
      setting.oldest.has_value() ? setting.oldest->definition : setting.definition;
  if (first == definition || first == 0) return OkStatus();
  return remove_definitions_.Bind(1, id).Bind(2, first).Run();
}

Status ChangeRetention::RemoveOldest(int64_t id, Setting* setting) {
  const Oldest gone = *setting->oldest;
  RETURN_IF_ERROR(
      remove_chunk_.Bind(1, id).Bind(2, gone.at.index.value()).Bind(3, gone.at.ordinal).Run());
  setting->bytes -= std::min(setting->bytes, gone.bytes);
  // The rest of the command could not be told as one with the first part of it.
  setting->since = std::max(setting->since, ChangePosition{gone.at.index, gone.end});
  return ReadOldest(id, setting);
}

Status ChangeRetention::ReadOldest(int64_t id, Setting* setting) {
  ASSIGN_OR_RETURN(const bool found, oldest_chunk_.Bind(1, id).Next());
  setting->oldest.reset();
  if (found) {
    setting->oldest = Oldest{{LogIndex(oldest_chunk_.Uint(0)), oldest_chunk_.Uint(1)},
                             oldest_chunk_.Uint(2),
                             oldest_chunk_.Uint(3),
                             oldest_chunk_.Uint(4),
                             oldest_chunk_.Int(5)};
  }
  oldest_chunk_.Reset();
  return OkStatus();
}

}  // namespace cairn::state_machine
