#include "state_machine/sqlite/retained_reader.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <string>
#include <utility>

#include "state_machine/change_codec.h"
#include "state_machine/sqlite/selected_rows.h"
#include "state_machine/value_bytes.h"

namespace cairn::state_machine {
namespace {

// Keys of chunks that are read at a time, of each table.
constexpr int64_t kKeysMax = 256;

Value ValueOf(LogIndex index) { return static_cast<int64_t>(index.value()); }
Value ValueOf(uint64_t number) { return static_cast<int64_t>(number); }

// Of a slice: the chunks of all tables that end at one position.
struct Slice {
  uint64_t end = 0;  // the ordinal of the command's end
  size_t bytes = 0;
};
using Slices = std::map<ChangePosition, Slice>;  // by the position that they end at

class PageReader {
 public:
  PageReader(ReadTransaction* read, const RetainedQuery& query) : read_(read), query_(query) {}

  Result<RetainedPage> Read() {
    const LogIndex state = read_->applied();
    RETURN_IF_ERROR(FindSettings());
    if (!page_.retained || query_.after < page_.oldest) return std::move(page_);
    RETURN_IF_ERROR(FindSlices());
    RETURN_IF_ERROR(ReadChanges());
    MakeCommands();
    // Without memory a view goes on with a later state, which may have removed what is read here.
    if (read_->applied() != state) return Unavailable("the state that was read has been let go");
    return std::move(page_);
  }

 private:
  Status FindSettings() {
    ASSIGN_OR_RETURN(
        const std::vector<Row> table,
        Select(read_, "SELECT 1 FROM sqlite_schema WHERE name = '_cairn_retention'", {}));
    if (table.empty() || query_.tables.empty()) return OkStatus();
    for (const std::string& name : query_.tables) {
      ASSIGN_OR_RETURN(const std::vector<Row> found,
                       Select(read_,
                              "SELECT id, since_index, since_ordinal FROM _cairn_retention"
                              " WHERE name = ?1 AND retain_ms <> 0",
                              {name}));
      if (found.empty()) return OkStatus();
      settings_.push_back(IntAt(found[0], 0));
      page_.oldest = std::max(page_.oldest, {LogIndex(UintAt(found[0], 1)), UintAt(found[0], 2)});
    }
    page_.retained = true;
    return OkStatus();
  }

  // Where to begin: behind what was read, but with the whole command that the position lies in.
  ChangePosition From() const {
    return std::max(query_.cursor, ChangePosition{query_.after.index, 0});
  }

  // Finds the slices of the page, and whether the command of the last one goes on behind it.
  Status FindSlices() {
    const ChangePosition from = From();
    std::optional<ChangePosition> known_up_to;  // none: to the end
    for (const int64_t setting : settings_) {
      ASSIGN_OR_RETURN(
          const std::vector<Row> keys,
          Select(read_,
                 "SELECT idx, last, ends, bytes FROM _cairn_changes WHERE setting = ?1"
                 " AND (idx, last) > (?2, ?3) AND NOT (idx = ?4 AND ends <= ?5)"
                 " ORDER BY idx, last LIMIT ?6",
                 {setting, ValueOf(from.index), ValueOf(from.ordinal), ValueOf(query_.after.index),
                  ValueOf(query_.after.ordinal), kKeysMax}));
      ChangePosition at;
      for (const Row& key : keys) {
        at = {LogIndex(UintAt(key, 0)), UintAt(key, 1)};
        Slice& slice = slices_[at];
        slice.end = UintAt(key, 2);
        slice.bytes += UintAt(key, 3);
      }
      if (keys.size() < static_cast<size_t>(kKeysMax)) continue;
      known_up_to = std::min(known_up_to.value_or(at), at);
    }
    if (known_up_to) slices_.erase(slices_.upper_bound(*known_up_to), slices_.end());
    auto end = slices_.begin();
    for (size_t bytes = 0; end != slices_.end() && bytes < query_.bytes; ++end) {
      bytes += end->second.bytes;
    }
    page_.whole = end == slices_.end() && !known_up_to;
    if (end != slices_.end()) follows_ = EndOf(*end);
    follows_known_ = end != slices_.end() || !known_up_to;
    slices_.erase(end, slices_.end());
    return OkStatus();
  }
  static ChangePosition EndOf(const Slices::value_type& slice) {
    return {slice.first.index, slice.second.end};
  }

  Status ReadChanges() {
    if (slices_.empty()) return OkStatus();
    const ChangePosition from = From();
    const ChangePosition to = std::prev(slices_.end())->first;
    for (const int64_t setting : settings_) {
      ASSIGN_OR_RETURN(
          const std::vector<Row> chunks,
          Select(
              read_,
              "SELECT idx, last, definition, events FROM _cairn_changes WHERE setting = ?1"
              " AND (idx, last) > (?2, ?3) AND (idx, last) <= (?4, ?5)"
              " AND NOT (idx = ?6 AND ends <= ?7) ORDER BY idx, last",
              {setting, ValueOf(from.index), ValueOf(from.ordinal), ValueOf(to.index),
               ValueOf(to.ordinal), ValueOf(query_.after.index), ValueOf(query_.after.ordinal)}));
      for (const Row& chunk : chunks) RETURN_IF_ERROR(AddChunk(chunk));
    }
    return OkStatus();
  }

  Status AddChunk(const Row& chunk) {
    const LogIndex index(UintAt(chunk, 0));
    ASSIGN_OR_RETURN(const std::shared_ptr<const ChangedTable> table, TableOf(IntAt(chunk, 2)));
    const auto* events = std::get_if<Blob>(&chunk.at(3));
    if (events == nullptr) return DataLoss("a retained change is no blob");
    ASSIGN_OR_RETURN(std::vector<Change> changes, DecodeChanges(events->bytes, index, table));
    std::vector<Change>& slice = changes_[{index, UintAt(chunk, 1)}];
    std::move(changes.begin(), changes.end(), std::back_inserter(slice));
    return OkStatus();
  }

  Result<std::shared_ptr<const ChangedTable>> TableOf(int64_t definition) {
    if (definition == 0) return std::shared_ptr<const ChangedTable>();
    std::shared_ptr<const ChangedTable>& known = tables_[definition];
    if (known != nullptr) return known;
    ASSIGN_OR_RETURN(
        const std::vector<Row> found,
        Select(read_, "SELECT definition FROM _cairn_changed_tables WHERE id = ?1", {definition}));
    const auto* bytes = found.empty() ? nullptr : std::get_if<Blob>(&found[0].at(0));
    if (bytes == nullptr) return DataLoss("the definition of a retained table is missing");
    ASSIGN_OR_RETURN(ChangedTable table, DecodeChangedTable(bytes->bytes));
    known = std::make_shared<const ChangedTable>(std::move(table));
    return known;
  }

  void MakeCommands() {
    std::optional<ChangePosition> open = query_.open;
    auto command = std::make_shared<CommandChanges>();
    page_.continues = open.has_value();
    for (auto& [at, slice] : slices_) {
      const ChangePosition end{at.index, slice.end};
      if (open && *open != end) Close(&command, *open);
      open = end;
      AddChanges(&changes_[at], command.get());
      page_.cursor = at;
    }
    if (slices_.empty()) page_.cursor = From();
    if (open && follows_known_ && follows_ != open) {
      Close(&command, *open);
      open.reset();
    }
    if (!command->changes.empty()) page_.commands.push_back(std::move(command));
    page_.open = open;
    page_.through = std::max(query_.after, Through());
  }

  ChangePosition Through() const {
    if (page_.whole) return state_machine::EndOf(read_->applied());
    return page_.commands.empty() ? query_.after : page_.commands.back()->changes.back().position;
  }

  // The same change of the schema may be retained for two tables.
  static void AddChanges(std::vector<Change>* changes, CommandChanges* command) {
    std::stable_sort(changes->begin(), changes->end(),
                     [](const Change& a, const Change& b) { return a.position < b.position; });
    for (Change& change : *changes) {
      const bool again =
          !command->changes.empty() && command->changes.back().position == change.position;
      if (again) continue;
      command->bytes += sizeof change + HeldBytes(change.old_row) + HeldBytes(change.new_row);
      command->changes.push_back(std::move(change));
    }
  }

  void Close(std::shared_ptr<CommandChanges>* command, ChangePosition end) {
    Change& last = (*command)->changes.emplace_back();
    last.kind = ChangeKind::kCommandEnd;
    last.position = end;
    page_.commands.push_back(std::exchange(*command, std::make_shared<CommandChanges>()));
  }

  ReadTransaction* const read_;
  const RetainedQuery& query_;
  RetainedPage page_;
  std::vector<int64_t> settings_;
  Slices slices_;
  // The end of the command of the next slice behind the page, if that is known: none if there is none.
  bool follows_known_ = false;
  std::optional<ChangePosition> follows_;
  std::map<ChangePosition, std::vector<Change>> changes_;  // as slices_
  std::map<int64_t, std::shared_ptr<const ChangedTable>> tables_;
};

}  // namespace

Result<std::vector<RetainedSetting>> ReadRetainedSettings(ReadTransaction* read) {
  std::vector<RetainedSetting> settings;
  ASSIGN_OR_RETURN(const std::vector<Row> table,
                   Select(read, "SELECT 1 FROM sqlite_schema WHERE name = '_cairn_retention'", {}));
  if (table.empty()) return settings;
  ASSIGN_OR_RETURN(const std::vector<Row> rows,
                   Select(read,
                          "SELECT name, retain_ms, bytes_max, since_index, since_ordinal, bytes"
                          " FROM _cairn_retention WHERE retain_ms <> 0 ORDER BY name",
                          {}));
  for (const Row& row : rows) {
    const auto* name = std::get_if<std::string>(&row.at(0));
    settings.push_back({name == nullptr ? "" : *name,
                        UintAt(row, 1),
                        UintAt(row, 2),
                        {LogIndex(UintAt(row, 3)), UintAt(row, 4)},
                        UintAt(row, 5)});
  }
  return settings;
}

Result<RetainedPage> ReadRetainedPage(ReadTransaction* read, const RetainedQuery& query) {
  return PageReader(read, query).Read();
}

}  // namespace cairn::state_machine
