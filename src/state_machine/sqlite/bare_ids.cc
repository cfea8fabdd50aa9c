#include "state_machine/sqlite/bare_ids.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/rng.h"
#include "state_machine/sqlite/sessions.h"

namespace cairn::state_machine {
namespace {

constexpr uint64_t kNoNumber = INT64_MAX;  // above that of any command

size_t HeldBytes(const std::string& result) { return result.size() + kResultOverheadBytes; }

}  // namespace

void EncodeBareId(uint64_t place, const TextHash& id, uint64_t hash, uint8_t code,
                  std::string_view owner, std::string* out) {
  ByteWriter writer(out);
  writer.Varint(place);
  writer.U64(id.a);
  writer.U64(id.b);
  writer.U64(hash);
  writer.U8(code);
  writer.String(owner);
}

const char* const BareIds::kSchema =
    "CREATE TABLE _cairn_ids(number INTEGER PRIMARY KEY, lease_ms INTEGER NOT NULL,"
    " ids BLOB NOT NULL);"
    "CREATE TABLE _cairn_id_results(number INTEGER PRIMARY KEY, owner TEXT NOT NULL,"
    " results BLOB NOT NULL)";

size_t BareIds::Hash::operator()(const TextHash& id) const {
  uint64_t z = (id.a ^ ids->salt_) * 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 32) ^ id.b) * 0xbf58476d1ce4e5b9ULL;
  return z ^ (z >> 29);
}

BareIds::BareIds(uint64_t room_divisor)
    : salt_(SystemEntropy()),
      places_(0, Hash{this}, Equal{this}),
      shares_(kBareIdsMax / room_divisor) {}

// ---- Opening ------------------------------------------------------------------------------------

Status BareIds::Open(sqlite3* db) {
  RETURN_IF_ERROR(Load(db));
  RETURN_IF_ERROR(LoadResults(db));
  RETURN_IF_ERROR(
      write_ids_.Prepare(db, "INSERT INTO _cairn_ids(number, lease_ms, ids) VALUES(?1, ?2, ?3)"));
  RETURN_IF_ERROR(remove_ids_.Prepare(db, "DELETE FROM _cairn_ids WHERE number < ?1"));
  RETURN_IF_ERROR(write_results_.Prepare(
      db, "INSERT INTO _cairn_id_results(number, owner, results) VALUES(?1, ?2, ?3)"));
  return remove_results_.Prepare(db, "DELETE FROM _cairn_id_results WHERE number = ?1");
}

void BareIds::Close() {
  for (InternalStatement* each : {&write_ids_, &remove_ids_, &write_results_, &remove_results_}) {
    each->Finalize();
  }
  places_.clear();
  records_.clear();
  entries_.clear();
  results_.Clear();
  results_from_ = saved_results_from_ = 0;
  result_rows_.clear();
  came_.clear();
  went_.clear();
  empty_rows_.clear();
  base_ = 0;
  gone_records_ = gone_entries_ = 0;
  shares_.Clear();
}

Status BareIds::Load(sqlite3* db) {
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(db, "SELECT number, lease_ms, ids FROM _cairn_ids ORDER BY number"));
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) return OkStatus();
    const Entry entry{read.Uint(0), read.Uint(1)};
    Status status = LoadEntry(entry, read.Bytes(2));
    if (!status.ok()) {
      return std::move(status).Prefixed("_cairn_ids, number " + std::to_string(entry.number));
    }
    entries_.push_back(entry);
  }
}

Status BareIds::LoadEntry(const Entry& entry, std::string_view encoded) {
  ByteReader reader(encoded);
  if (encoded.empty()) return DataLoss("empty");
  while (reader.remaining() > 0) {
    Known record;
    record.number = entry.number + reader.Varint();
    record.id.a = reader.U64();
    record.id.b = reader.U64();
    record.hash = reader.U64();
    record.code = reader.U8();
    const std::string owner(reader.String());
    const bool in_order = records_.empty() || records_.back().number < record.number;
    if (!reader.ok() || !in_order ||
        IndexOfCommand(record.number) != IndexOfCommand(entry.number) ||
        (record.code > static_cast<uint8_t>(StatusCode::kUnauthenticated) &&
         record.code != kCodeNotKept)) {
      return DataLoss("damaged");
    }
    record.owner = shares_.Of(owner);
    shares_.Add(record.owner, 1);
    records_.push_back(record);
    if (!places_.insert(PlaceOf(records_.size() - 1)).second) return DataLoss("an id twice");
  }
  return OkStatus();
}

// Builds the held results again. A result that its client's bound dropped is dropped again, because
// all later results of the client are in the file. A result that the bound of all clients dropped
// lies below results_from; the bound cannot drop it again, because other clients may hold less now.
Status BareIds::LoadResults(sqlite3* db) {
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(db, "SELECT results_from FROM _cairn_state"));
  ASSIGN_OR_RETURN(const bool state, read.Next());
  if (!state) return DataLoss("_cairn_state is empty");
  const uint64_t from = results_from_ = read.Uint(0);
  read.Finalize();
  RETURN_IF_ERROR(
      read.Prepare(db, "SELECT number, owner, results FROM _cairn_id_results ORDER BY number"));
  std::map<uint64_t, std::pair<Shares::Client*, std::string>> results;  // those of all rows
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) break;
    const uint64_t number = read.Uint(0);
    Shares::Client* const owner = shares_.Of(std::string(read.Bytes(1)));
    if (owner->held == 0)
      return DataLoss("_cairn_id_results holds results of a client that has no ids");
    result_rows_[owner].push_back(number);
    ByteReader reader(read.Bytes(2));
    while (reader.remaining() > 0) {
      const uint64_t of = number + reader.Varint();
      std::string result(reader.String());
      if (!reader.ok() || !DecodeCommandResult(result).ok() ||
          !results.emplace(of, std::pair(owner, std::move(result))).second) {
        return DataLoss("_cairn_id_results, number " + std::to_string(number) + ": damaged");
      }
    }
  }
  const uint64_t first = std::max(FirstNumber(), from);
  for (auto& [number, result] : results) {
    if (number >= first) HoldResult(result.first, number, std::move(result.second));
  }
  BatchCommitted();
  return OkStatus();
}

// ---- Commands -----------------------------------------------------------------------------------

void BareIds::BeginEntry(uint64_t lease_ms, uint64_t ttl_ms) {
  lease_ms_ = lease_ms;
  const size_t before = gone_records_;
  while (gone_entries_ < entries_.size() && gone_records_ - before < kForgottenPerEntryMax &&
         IsAsOldAs(ttl_ms, entries_[gone_entries_].lease_ms, lease_ms)) {
    ForgetFirstEntry();
  }
  if (gone_records_ > before) DropResultsOfForgotten();
}

void BareIds::ForgetFirstEntry() {
  const LogIndex index = IndexOfCommand(entries_[gone_entries_++].number);
  for (; gone_records_ < records_.size(); ++gone_records_) {
    const Known& record = records_[gone_records_];
    if (IndexOfCommand(record.number) != index) break;
    places_.erase(PlaceOf(gone_records_));
    shares_.Take(record.owner, 1);
  }
}

std::optional<CommandResult> BareIds::Admit(const Command& command, uint64_t operation_hash) {
  const auto found = places_.find(HashOfText(command.id.session));
  if (found == places_.end()) {
    if (shares_.Fits(*shares_.Of(OwnerOf(command)), 1)) return std::nullopt;
    return NoRoom("requests under ids of their own",
                  "use a session, whose answers can be acknowledged, or wait until the oldest are "
                  "forgotten");
  }
  const Known& record = At(*found);
  if (!MayUseIdOf(record.owner->name, command)) return NotYours(/*known=*/true);
  if (record.hash != operation_hash) return OtherRequest();
  if (const auto* held = results_.Find(record.owner, record.number)) {
    return HeldResult(*held->place);
  }
  return AnswerByCode(record.code, IndexOfCommand(record.number));
}

void BareIds::Record(const Command& command, uint64_t number, uint64_t operation_hash,
                     const CommandResult& result) {
  if (!IsFinal(result.status)) return;
  if (entries_.size() == gone_entries_ ||
      IndexOfCommand(entries_.back().number) != IndexOfCommand(number)) {
    entries_.push_back({number, lease_ms_});
  }
  Known record;
  record.id = HashOfText(command.id.session);
  record.hash = operation_hash;
  record.number = number;
  record.owner = shares_.Of(OwnerOf(command));
  record.code = static_cast<uint8_t>(result.status.code());
  shares_.Add(record.owner, 1);
  records_.push_back(record);
  places_.insert(PlaceOf(records_.size() - 1));
  if (!result.status.ok()) return;
  std::string encoded = EncodeCommandResult(result);
  if (encoded.size() <= kResultBytesMax) HoldResult(record.owner, number, std::move(encoded));
}

void BareIds::HoldResult(Shares::Client* owner, uint64_t number, std::string encoded) {
  const uint64_t bytes = HeldBytes(encoded);
  auto result = std::make_shared<const std::string>(std::move(encoded));
  came_.push_back({owner, number, result});
  results_.Add(owner, number, bytes, std::move(result));
  while (const auto oldest = results_.ExcessOf(owner)) DropResult(*oldest);
}

void BareIds::DropResult(const HeldResults<ResultPtr>::Oldest& oldest) {
  went_.push_back({oldest.owner, oldest.number, oldest.place});
  if (oldest.of_all) results_from_ = oldest.number + 1;
  results_.Remove(oldest.owner, oldest.number);
}

void BareIds::DropResultsOfForgotten() {
  const uint64_t first = FirstNumber();
  while (const auto oldest = results_.OldestBelow(first)) DropResult(*oldest);
}

uint64_t BareIds::FirstNumber() const {
  return gone_entries_ < entries_.size() ? entries_[gone_entries_].number : kNoNumber;
}

// ---- Batches ------------------------------------------------------------------------------------

// Finds the rows of each client that lie before the client's oldest held result.
void BareIds::FindEmptyRows() {
  std::set<Shares::Client*> clients;
  for (const auto* changes : {&came_, &went_}) {
    for (const Change& change : *changes) clients.insert(change.owner);
  }
  for (Shares::Client* const client : clients) {
    const auto rows = result_rows_.find(client);
    if (rows == result_rows_.end()) continue;
    const uint64_t first = results_.FirstOf(client).value_or(kNoNumber);
    for (size_t i = 0; i < rows->second.size(); ++i) {
      const bool last = i + 1 == rows->second.size();
      if ((last ? kNoNumber : rows->second[i + 1]) > first) break;
      empty_rows_.emplace_back(client, rows->second[i]);
    }
  }
}

Status BareIds::Flush() {
  RETURN_IF_ERROR(WriteEntries());
  RETURN_IF_ERROR(WriteResults());
  if (gone_entries_ > 0) RETURN_IF_ERROR(remove_ids_.Bind(1, FirstNumber()).Run());
  FindEmptyRows();
  for (const auto& [client, number] : empty_rows_) {
    RETURN_IF_ERROR(remove_results_.Bind(1, number).Run());
  }
  return OkStatus();
}

Status BareIds::WriteEntries() {
  size_t at = records_.size();
  while (at > gone_records_ && records_[at - 1].number >= first_number_) --at;
  while (at < records_.size()) {
    const uint64_t number = records_[at].number;
    std::string encoded;
    const auto same = [&](const Known& record) {
      return IndexOfCommand(record.number) == IndexOfCommand(number);
    };
    for (; at < records_.size() && same(records_[at]); ++at) {
      const Known& record = records_[at];
      EncodeBareId(record.number - number, record.id, record.hash, record.code, record.owner->name,
                   &encoded);
    }
    const auto entry =
        std::lower_bound(entries_.begin(), entries_.end(), number,
                         [](const Entry& each, uint64_t wanted) { return each.number < wanted; });
    RETURN_IF_ERROR(write_ids_.Bind(1, number).Bind(2, entry->lease_ms).BindBlob(3, encoded).Run());
  }
  return OkStatus();
}

// Writes also results that were dropped in this batch, because a member with shorter batches has
// written them.
Status BareIds::WriteResults() {
  std::map<std::pair<LogIndex, Shares::Client*>, std::vector<const Change*>> by_row;
  for (const Change& change : came_) {
    by_row[{IndexOfCommand(change.number), change.owner}].push_back(&change);
  }
  for (const auto& [row, changes] : by_row) {
    for (size_t at = 0; at < changes.size();) {
      const uint64_t number = changes[at]->number;
      std::string encoded;
      ByteWriter writer(&encoded);
      for (; at < changes.size() && encoded.size() < kChunkBytesMax; ++at) {
        writer.Varint(changes[at]->number - number);
        writer.String(*changes[at]->result);
      }
      result_rows_[row.second].push_back(number);
      RETURN_IF_ERROR(
          write_results_.Bind(1, number).BindText(2, row.second->name).BindBlob(3, encoded).Run());
    }
  }
  return OkStatus();
}

void BareIds::BatchCommitted() {
  for (const auto& [client, number] : empty_rows_) {
    const auto rows = result_rows_.find(client);
    rows->second.pop_front();
    if (rows->second.empty()) result_rows_.erase(rows);
  }
  empty_rows_.clear();
  came_.clear();
  went_.clear();
  saved_results_from_ = results_from_;
  const auto drop = [](auto* items, size_t* count) {
    items->erase(items->begin(), items->begin() + static_cast<ptrdiff_t>(*count));
    *count = 0;
  };
  base_ += static_cast<uint32_t>(gone_records_);
  drop(&records_, &gone_records_);
  drop(&entries_, &gone_entries_);
  shares_.Collect();
}

void BareIds::BatchUndone() {
  while (!records_.empty() && records_.back().number >= first_number_) {
    const size_t last = records_.size() - 1;
    if (last >= gone_records_) {
      places_.erase(PlaceOf(last));
      shares_.Take(records_.back().owner, 1);
    } else {
      --gone_records_;
    }
    records_.pop_back();
  }
  while (!entries_.empty() && entries_.back().number >= first_number_) entries_.pop_back();
  for (size_t i = 0; i < gone_records_; ++i) {
    places_.insert(PlaceOf(i));
    shares_.Add(records_[i].owner, 1);
  }
  gone_records_ = gone_entries_ = 0;
  UndoResults();
  shares_.Collect();
}

void BareIds::UndoResults() {
  for (const Change& change : came_) {
    if (results_.Find(change.owner, change.number) != nullptr) {
      results_.Remove(change.owner, change.number);
    }
    // Removes the rows of this batch, if they were written.
    const auto rows = result_rows_.find(change.owner);
    if (rows == result_rows_.end()) continue;
    while (!rows->second.empty() && rows->second.back() >= first_number_) rows->second.pop_back();
    if (rows->second.empty()) result_rows_.erase(rows);
  }
  for (const Change& change : went_) {
    if (change.number >= first_number_) continue;
    results_.Add(change.owner, change.number, HeldBytes(*change.result), change.result);
  }
  came_.clear();
  went_.clear();
  empty_rows_.clear();
  results_from_ = saved_results_from_;
}

}  // namespace cairn::state_machine
