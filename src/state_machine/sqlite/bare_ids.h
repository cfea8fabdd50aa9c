// BareIds: the memory of requests that a single text names, without a session.
//
// No client acknowledges bare ids, so each id is remembered for exactly request_ttl_ms, in a
// compact record. Bare ids have a pool of their own, of a fixed number. If the pool is full, new
// ids are refused; young ids are never forgotten to make room. BareIds is a function of the log
// alone, as Sessions is. Of an error only the code is kept.
#pragma once

#include <absl/container/flat_hash_set.h>
#include <sqlite3.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/status.h"
#include "state_machine/command.h"
#include "state_machine/sqlite/held_results.h"
#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/request_memory.h"
#include "state_machine/sqlite/shares.h"

namespace cairn::state_machine {

// One client holds at most an eighth. At the default of 15 minutes the pool takes 1,165 ids a
// second.
inline constexpr uint64_t kBareIdsMax = 1 << 20;
// Results of bare ids that are held, each with kResultOverheadBytes. One client holds at most an
// eighth; past it the client's oldest results go first. A result above kResultBytesMax is not held.
inline constexpr size_t kBareResultsBytesMax = 16 << 20;

// Encodes one id of a row of _cairn_ids.
void EncodeBareId(uint64_t place, const TextHash& id, uint64_t hash, uint8_t code,
                  std::string_view owner, std::string* out);

// Used by the apply thread. Held in memory, and written once a batch.
class BareIds {
 public:
  static const char* const kSchema;

  // `room_divisor`: see SqliteOptions.
  explicit BareIds(uint64_t room_divisor = 1);
  Status Open(sqlite3* db);
  void Close();

  // Called at the start of each entry: forgets ids that are as old as `ttl_ms`, as many as
  // kForgottenPerEntryMax allows.
  void BeginEntry(uint64_t lease_ms, uint64_t ttl_ms);
  // As in Sessions, for commands whose id is bare.
  std::optional<CommandResult> Admit(const Command& command, uint64_t operation_hash);
  void Record(const Command& command, uint64_t number, uint64_t operation_hash,
              const CommandResult& result);

  void BeginBatch(uint64_t first_number) { first_number_ = first_number; }
  Status Flush();
  void BatchCommitted();
  void BatchUndone();

  size_t size() const { return records_.size() - gone_records_; }
  // Results of commands with a lower number are no longer held. Kept in _cairn_state.
  uint64_t results_from() const { return results_from_; }
  size_t results_bytes() const { return results_.bytes(); }

 private:
  struct Known {
    TextHash id;
    uint64_t hash = 0;    // of the operation
    uint64_t number = 0;  // of the command
    Shares::Client* owner = nullptr;
    uint8_t code = 0;
  };
  // The records of one entry, which share a row of _cairn_ids.
  struct Entry {
    uint64_t number = 0;  // of the first record; the rowid of the row
    uint64_t lease_ms = 0;
  };
  using ResultPtr = std::shared_ptr<const std::string>;
  // A result that was added or dropped in this batch.
  struct Change {
    Shares::Client* owner = nullptr;
    uint64_t number = 0;
    ResultPtr result;
  };
  // The set holds positions in records_, counted since the beginning. Lookups are by id.
  struct Hash {
    using is_transparent = void;
    const BareIds* ids;
    size_t operator()(const TextHash& id) const;
    size_t operator()(uint32_t place) const { return (*this)(ids->At(place).id); }
  };
  struct Equal {
    using is_transparent = void;
    const BareIds* ids;
    bool operator()(uint32_t a, uint32_t b) const { return ids->At(a).id == ids->At(b).id; }
    bool operator()(uint32_t place, const TextHash& id) const { return ids->At(place).id == id; }
    bool operator()(const TextHash& id, uint32_t place) const { return ids->At(place).id == id; }
  };

  const Known& At(uint32_t place) const { return records_[place - base_]; }
  uint32_t PlaceOf(size_t i) const { return base_ + static_cast<uint32_t>(i); }
  void HoldResult(Shares::Client* owner, uint64_t number, std::string encoded);
  void DropResult(const HeldResults<ResultPtr>::Oldest& oldest);
  void DropResultsOfForgotten();
  void ForgetFirstEntry();
  // The number from which rows still hold something.
  uint64_t FirstNumber() const;
  void FindEmptyRows();
  void UndoResults();
  Status Load(sqlite3* db);
  Status LoadEntry(const Entry& entry, std::string_view encoded);
  Status LoadResults(sqlite3* db);
  Status WriteEntries();
  Status WriteResults();

  const uint64_t salt_;  // of this process: no client can choose ids that collide in the set
  std::deque<Known> records_;
  uint32_t base_ = 0;  // position of the first record; wraps around
  absl::flat_hash_set<uint32_t, Hash, Equal> places_;
  std::deque<Entry> entries_;
  HeldResults<ResultPtr> results_{kBareResultsBytesMax, kBareResultsBytesMax / 8};
  uint64_t results_from_ = 0;
  // The rows of each client's results: the number of the first result in each row.
  std::unordered_map<Shares::Client*, std::deque<uint64_t>> result_rows_;
  Shares shares_;

  uint64_t lease_ms_ = 0;  // of the current entry

  // ---- The current batch. What is forgotten is removed from the memory when the batch is
  // committed.
  uint64_t first_number_ = 0;
  size_t gone_records_ = 0;
  size_t gone_entries_ = 0;
  std::vector<Change> came_;  // by number
  std::vector<Change> went_;
  uint64_t saved_results_from_ = 0;
  std::vector<std::pair<Shares::Client*, uint64_t>> empty_rows_;  // rows without a held result

  InternalStatement write_ids_;
  InternalStatement remove_ids_;
  InternalStatement write_results_;
  InternalStatement remove_results_;
};

}  // namespace cairn::state_machine
