#include "state_machine/sqlite/bare_ids.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/rng.h"
#include "state_machine/sqlite/sessions.h"

namespace cairn::state_machine {
namespace {

size_t HeldBytes(const std::string& result) { return result.size() + kBareResultOverheadBytes; }

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
    "CREATE TABLE _cairn_id_results(number INTEGER PRIMARY KEY, results BLOB NOT NULL)";

size_t BareIds::Hash::operator()(const TextHash& id) const {
  uint64_t z = (id.a ^ ids->salt_) * 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 32) ^ id.b) * 0xbf58476d1ce4e5b9ULL;
  return z ^ (z >> 29);
}

BareIds::BareIds() : salt_(SystemEntropy()), places_(0, Hash{this}, Equal{this}) {}

// ---- Opening ------------------------------------------------------------------------------------

Status BareIds::Open(sqlite3* db) {
  RETURN_IF_ERROR(Load(db));
  RETURN_IF_ERROR(LoadResults(db));
  RETURN_IF_ERROR(
      write_ids_.Prepare(db, "INSERT INTO _cairn_ids(number, lease_ms, ids) VALUES(?1, ?2, ?3)"));
  RETURN_IF_ERROR(remove_ids_.Prepare(db, "DELETE FROM _cairn_ids WHERE number < ?1"));
  RETURN_IF_ERROR(
      write_results_.Prepare(db, "INSERT INTO _cairn_id_results(number, results) VALUES(?1, ?2)"));
  return remove_results_.Prepare(db, "DELETE FROM _cairn_id_results WHERE number < ?1");
}

void BareIds::Close() {
  for (InternalStatement* each : {&write_ids_, &remove_ids_, &write_results_, &remove_results_}) {
    each->Finalize();
  }
  places_.clear();
  records_.clear();
  entries_.clear();
  held_.clear();
  result_rows_.clear();
  results_bytes_ = 0;
  base_ = 0;
  gone_records_ = gone_entries_ = gone_held_ = 0;
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

Status BareIds::LoadResults(sqlite3* db) {
  InternalStatement read;
  RETURN_IF_ERROR(
      read.Prepare(db, "SELECT number, results FROM _cairn_id_results ORDER BY number"));
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) break;
    const uint64_t number = read.Uint(0);
    result_rows_.push_back(number);
    ByteReader reader(read.Bytes(1));
    while (reader.remaining() > 0) {
      Held held{number + reader.Varint(), {}};
      held.result = std::string(reader.String());
      const bool in_order = held_.empty() || held_.back().number < held.number;
      if (!reader.ok() || !in_order || !DecodeCommandResult(held.result).ok()) {
        return DataLoss("_cairn_id_results, number " + std::to_string(number) + ": damaged");
      }
      results_bytes_ += HeldBytes(held.result);
      held_.push_back(std::move(held));
    }
  }
  // A row may hold results in front that were dropped before.
  DropResultsOfForgotten();
  while (results_bytes_ > kBareResultsBytesMax) DropResult();
  BatchCommitted();
  return OkStatus();
}

// ---- Commands -----------------------------------------------------------------------------------

void BareIds::BeginEntry(uint64_t lease_ms, uint64_t ttl_ms) {
  lease_ms_ = lease_ms;
  bool some = false;
  while (gone_entries_ < entries_.size() && entries_[gone_entries_].lease_ms + ttl_ms <= lease_ms) {
    const LogIndex index = IndexOfCommand(entries_[gone_entries_++].number);
    for (; gone_records_ < records_.size(); ++gone_records_) {
      const Known& record = records_[gone_records_];
      if (IndexOfCommand(record.number) != index) break;
      places_.erase(PlaceOf(gone_records_));
      shares_.Take(record.owner, 1);
    }
    some = true;
  }
  if (some) DropResultsOfForgotten();
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
  if (const std::string* result = ResultOf(record.number)) return HeldResult(*result);
  return AnswerByCode(record.code, IndexOfCommand(record.number));
}

void BareIds::Record(const Command& command, uint64_t number, uint64_t operation_hash,
                     const CommandResult& result) {
  if (result.status.outcome() == Outcome::kNotApplied) return;
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
  std::string encoded = EncodeCommandResult(result);
  if (encoded.size() > kResultBytesMax) return;
  results_bytes_ += HeldBytes(encoded);
  held_.push_back({number, std::move(encoded)});
  while (results_bytes_ > kBareResultsBytesMax) DropResult();
}

const std::string* BareIds::ResultOf(uint64_t number) const {
  const auto first = held_.begin() + static_cast<ptrdiff_t>(gone_held_);
  const auto it =
      std::lower_bound(first, held_.end(), number,
                       [](const Held& held, uint64_t wanted) { return held.number < wanted; });
  return it != held_.end() && it->number == number ? &it->result : nullptr;
}

void BareIds::DropResult() {
  CHECK(gone_held_ < held_.size()) << results_bytes_ << " bytes of results are nobody's";
  results_bytes_ -= HeldBytes(held_[gone_held_++].result);
}

void BareIds::DropResultsOfForgotten() {
  const uint64_t first = FirstNumber();
  while (gone_held_ < held_.size() && held_[gone_held_].number < first) DropResult();
}

uint64_t BareIds::FirstNumber() const {
  return gone_entries_ < entries_.size() ? entries_[gone_entries_].number : INT64_MAX;
}

// ---- Batches ------------------------------------------------------------------------------------

uint64_t BareIds::FirstResultRow() const {
  if (gone_held_ == held_.size()) return INT64_MAX;
  const auto next =
      std::upper_bound(result_rows_.begin(), result_rows_.end(), held_[gone_held_].number);
  return next == result_rows_.begin() ? 0 : *std::prev(next);
}

Status BareIds::Flush() {
  RETURN_IF_ERROR(WriteEntries());
  RETURN_IF_ERROR(WriteResults());
  if (gone_entries_ > 0) RETURN_IF_ERROR(remove_ids_.Bind(1, FirstNumber()).Run());
  if (gone_held_ > 0) RETURN_IF_ERROR(remove_results_.Bind(1, FirstResultRow()).Run());
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

// With those that have gone since: a member whose batches are shorter has written them.
Status BareIds::WriteResults() {
  size_t at = held_.size();
  while (at > 0 && held_[at - 1].number >= first_number_) --at;
  while (at < held_.size()) {
    const uint64_t number = held_[at].number;
    std::string encoded;
    ByteWriter writer(&encoded);
    for (; at < held_.size() && encoded.size() < kChunkBytesMax &&
           IndexOfCommand(held_[at].number) == IndexOfCommand(number);
         ++at) {
      writer.Varint(held_[at].number - number);
      writer.String(held_[at].result);
    }
    result_rows_.push_back(number);
    RETURN_IF_ERROR(write_results_.Bind(1, number).BindBlob(2, encoded).Run());
  }
  return OkStatus();
}

void BareIds::BatchCommitted() {
  const uint64_t first_row = FirstResultRow();
  while (!result_rows_.empty() && result_rows_.front() < first_row) result_rows_.pop_front();
  const auto drop = [](auto* items, size_t* count) {
    items->erase(items->begin(), items->begin() + static_cast<ptrdiff_t>(*count));
    *count = 0;
  };
  base_ += static_cast<uint32_t>(gone_records_);
  drop(&records_, &gone_records_);
  drop(&entries_, &gone_entries_);
  drop(&held_, &gone_held_);
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
  while (!held_.empty() && held_.back().number >= first_number_) {
    if (held_.size() > gone_held_) {
      results_bytes_ -= HeldBytes(held_.back().result);
    } else {
      --gone_held_;
    }
    held_.pop_back();
  }
  while (!entries_.empty() && entries_.back().number >= first_number_) entries_.pop_back();
  for (size_t i = 0; i < gone_records_; ++i) {
    places_.insert(PlaceOf(i));
    shares_.Add(records_[i].owner, 1);
  }
  for (size_t i = 0; i < gone_held_; ++i) results_bytes_ += HeldBytes(held_[i].result);
  gone_records_ = gone_entries_ = gone_held_ = 0;
  while (!result_rows_.empty() && result_rows_.back() >= first_number_) result_rows_.pop_back();
  shares_.Collect();
}

}  // namespace cairn::state_machine
