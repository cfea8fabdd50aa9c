#include "state_machine/change_codec.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/bytes.h"
#include "state_machine/value_codec.h"

namespace cairn::state_machine {
namespace {

// In a new row: the value at the same place of the old row. Other values begin with a ValueTag.
constexpr uint8_t kSameValue = 5;
constexpr size_t kColumnsMax = 1 << 15;

Status Malformed() { return DataLoss("a retained change is malformed"); }

// As bytes: 0.0 and -0.0 are equal numbers, and not the same value.
bool IsSame(const Value& a, const Value& b) {
  const auto* const real = std::get_if<double>(&a);
  const auto* const other = std::get_if<double>(&b);
  if (real == nullptr || other == nullptr) return a == b;
  return std::bit_cast<uint64_t>(*real) == std::bit_cast<uint64_t>(*other);
}

void PutRow(const Row& row, const Row& old, ByteWriter* out) {
  out->Varint(row.size());
  for (size_t i = 0; i < row.size(); ++i) {
    if (i < old.size() && IsSame(row[i], old[i])) {
      out->U8(kSameValue);
    } else {
      PutValue(row[i], out);
    }
  }
}

// Takes a row from the front of `bytes`.
Row TakeRow(std::string_view* bytes, const Row& old, bool* ok) {
  Row row;
  StrictReader head(*bytes);
  const size_t columns = head.Count(kColumnsMax, 1);
  *ok = head.ok();
  if (!*ok) return row;
  bytes->remove_prefix(bytes->size() - head.remaining());
  row.reserve(columns);
  for (size_t i = 0; i < columns && *ok; ++i) {
    if (!bytes->empty() && static_cast<uint8_t>(bytes->front()) == kSameValue) {
      bytes->remove_prefix(1);
      *ok = i < old.size();
      if (*ok) row.push_back(old[i]);
      continue;
    }
    StrictReader in(*bytes);
    row.push_back(TakeValue(&in));
    *ok = in.ok();
    if (*ok) bytes->remove_prefix(bytes->size() - in.remaining());
  }
  return row;
}

void PutRowid(const std::optional<int64_t>& rowid, ByteWriter* out) {
  out->U8(rowid.has_value() ? 1 : 0);
  if (rowid.has_value()) out->Varint(ZigZag(*rowid));
}

bool HasOld(ChangeKind kind) { return kind == ChangeKind::kUpdate || kind == ChangeKind::kDelete; }
bool HasNew(ChangeKind kind) { return kind != ChangeKind::kDelete; }

bool IsKept(ChangeKind kind) { return kind <= ChangeKind::kSchema || kind == ChangeKind::kPoints; }

class Decoder {
 public:
  Decoder(std::string_view bytes, LogIndex index, const std::shared_ptr<const ChangedTable>& table)
      : bytes_(bytes), index_(index), table_(table) {}

  Result<std::vector<Change>> All() {
    std::vector<Change> changes;
    uint64_t ordinal = 0;
    while (!bytes_.empty()) {
      Change& change = changes.emplace_back();
      const uint64_t step = Number();
      ordinal += step;
      change.position = {index_, ordinal};
      change.kind = static_cast<ChangeKind>(Number());
      ok_ = ok_ && step > 0 && IsKept(change.kind);
      if (!ok_) return Malformed();
      change.kind == ChangeKind::kSchema ? TakeSchema(&change.schema) : TakeRows(&change);
      if (!ok_) return Malformed();
    }
    return changes;
  }

 private:
  uint64_t Number() {
    StrictReader in(bytes_);
    const uint64_t number = in.Varint();
    Took(in);
    return number;
  }
  std::string Text() {
    StrictReader in(bytes_);
    std::string text(in.String(kNoLimit));
    Took(in);
    return text;
  }
  void Took(const StrictReader& in) {
    ok_ = ok_ && in.ok();
    if (ok_) bytes_.remove_prefix(bytes_.size() - in.remaining());
  }
  std::optional<int64_t> Rowid() {
    const uint64_t has = Number();
    ok_ = ok_ && has <= 1;
    return has == 1 ? std::optional(UnZigZag(Number())) : std::nullopt;
  }
  void TakeRows(Change* change) {
    ok_ = ok_ && table_ != nullptr;
    change->table = table_;
    if (ok_ && HasOld(change->kind)) {
      change->old_rowid = Rowid();
      if (ok_) change->old_row = TakeRow(&bytes_, {}, &ok_);
    }
    if (ok_ && HasNew(change->kind)) {
      change->new_rowid = Rowid();
      if (ok_) change->new_row = TakeRow(&bytes_, change->old_row, &ok_);
    }
  }
  void TakeSchema(SchemaChange* schema) {
    schema->kind = static_cast<SchemaChange::Kind>(Number());
    ok_ = ok_ && schema->kind <= SchemaChange::Kind::kDropped;
    for (std::string* text :
         {&schema->type, &schema->name, &schema->table, &schema->sql, &schema->old_name}) {
      *text = Text();
    }
  }

  std::string_view bytes_;
  const LogIndex index_;
  const std::shared_ptr<const ChangedTable>& table_;
  bool ok_ = true;
};

}  // namespace

std::string EncodeChangedTable(const ChangedTable& table) {
  std::string bytes;
  ByteWriter out(&bytes);
  out.String(table.name);
  out.U8(table.is_strict ? 1 : 0);
  out.Varint(table.columns.size());
  for (const Column& column : table.columns) {
    out.String(column.name);
    out.String(column.decl_type);
  }
  out.Varint(table.key.size());
  for (const uint32_t place : table.key) out.Varint(place);
  return bytes;
}

Result<ChangedTable> DecodeChangedTable(std::string_view bytes) {
  StrictReader in(bytes);
  ChangedTable table;
  table.name = in.String(kNoLimit);
  table.is_strict = in.U8() != 0;
  const size_t columns = in.Count(kColumnsMax, 2);
  for (size_t i = 0; i < columns && in.ok(); ++i) {
    Column& column = table.columns.emplace_back();
    column.name = in.String(kNoLimit);
    column.decl_type = in.String(kNoLimit);
  }
  const size_t keys = in.Count(kColumnsMax, 1);
  for (size_t i = 0; i < keys && in.ok(); ++i) {
    table.key.push_back(static_cast<uint32_t>(in.Varint()));
    if (table.key.back() >= columns) in.Refuse();
  }
  if (!in.done()) return DataLoss("the definition of a retained table is malformed");
  return table;
}

void AppendChange(const Change& change, uint64_t ordinal_before, std::string* bytes) {
  ByteWriter out(bytes);
  out.Varint(change.position.ordinal - ordinal_before);
  out.Varint(static_cast<uint64_t>(change.kind));
  if (change.kind == ChangeKind::kSchema) {
    const SchemaChange& schema = change.schema;
    out.Varint(static_cast<uint64_t>(schema.kind));
    for (const std::string* text :
         {&schema.type, &schema.name, &schema.table, &schema.sql, &schema.old_name}) {
      out.String(*text);
    }
    return;
  }
  if (HasOld(change.kind)) {
    PutRowid(change.old_rowid, &out);
    PutRow(change.old_row, {}, &out);
  }
  if (HasNew(change.kind)) {
    PutRowid(change.new_rowid, &out);
    PutRow(change.new_row, change.old_row, &out);
  }
}

Result<std::vector<Change>> DecodeChanges(std::string_view bytes, LogIndex index,
                                          const std::shared_ptr<const ChangedTable>& table) {
  return Decoder(bytes, index, table).All();
}

}  // namespace cairn::state_machine
