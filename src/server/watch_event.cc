#include "server/watch_event.h"

#include <algorithm>
#include <utility>

#include "rpc/proto_convert.h"
#include "server/wire_encoding.h"

namespace cairn::server {
namespace {

using state_machine::Change;
using state_machine::ChangeKind;
using state_machine::ChangePosition;

v1::ChangeKind KindOf(ChangeKind kind) {
  switch (kind) {
    case ChangeKind::kInsert: return v1::CHANGE_KIND_INSERT;
    case ChangeKind::kUpdate: return v1::CHANGE_KIND_UPDATE;
    case ChangeKind::kDelete: return v1::CHANGE_KIND_DELETE;
    case ChangeKind::kSchema: return v1::CHANGE_KIND_SCHEMA;
    case ChangeKind::kCommandEnd: return v1::CHANGE_KIND_COMMAND_END;
    case ChangeKind::kPoints: return v1::CHANGE_KIND_POINTS;
  }
  return v1::CHANGE_KIND_UNSPECIFIED;
}

void ToProto(const state_machine::SchemaChange& change, v1::WatchSchemaChange* out) {
  using Kind = state_machine::SchemaChange::Kind;
  switch (change.kind) {
    case Kind::kCreated: out->set_kind(v1::WatchSchemaChange::KIND_CREATED); break;
    case Kind::kAltered: out->set_kind(v1::WatchSchemaChange::KIND_ALTERED); break;
    case Kind::kDropped: out->set_kind(v1::WatchSchemaChange::KIND_DROPPED); break;
  }
  out->set_type(rpc::Utf8OrQuestionMarks(change.type));
  out->set_name(rpc::Utf8OrQuestionMarks(change.name));
  out->set_table(rpc::Utf8OrQuestionMarks(change.table));
  out->set_sql(rpc::Utf8OrQuestionMarks(change.sql));
  out->set_renamed_from(rpc::Utf8OrQuestionMarks(change.old_name));
}

size_t BytesOf(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return text->size() + 16;
  if (const auto* blob = std::get_if<Blob>(&value)) return blob->bytes.size() + 16;
  return 16;
}
size_t BytesOf(const Row& row) {
  size_t bytes = 0;
  for (const Value& value : row) bytes += BytesOf(value);
  return bytes;
}

bool IsTooLarge(size_t row_bytes) { return row_bytes > kWatchEventBytesMax - 1024; }

// The row with nothing but the values of its key.
Row KeyOf(const state_machine::ChangedTable& table, const Row& row) {
  Row out(row.size());
  for (const uint32_t place : table.key) {
    if (place < row.size()) out[place] = row[place];
  }
  return BytesOf(out) > kWatchEventBytesMax / 4 ? Row() : out;
}

void AddRows(const Change& change, const state_machine::ChangedTable& table, v1::WatchEvent* out) {
  const bool too_large = IsTooLarge(BytesOf(change.old_row) + BytesOf(change.new_row));
  out->set_too_large(too_large);
  const auto add = [&](const Row& row, v1::Row* to) {
    rpc::ToProto(too_large ? KeyOf(table, row) : row, to);
  };
  if (!change.old_row.empty()) add(change.old_row, out->mutable_old_row());
  if (!change.new_row.empty()) add(change.new_row, out->mutable_new_row());
  if (change.kind != ChangeKind::kUpdate) return;
  for (size_t i = 0; i < std::min(change.old_row.size(), change.new_row.size()); ++i) {
    if (change.old_row[i] != change.new_row[i]) out->add_changed(static_cast<uint32_t>(i));
  }
}

}  // namespace

void ToProto(ChangePosition position, v1::ChangePosition* out) {
  out->set_index(position.index.value());
  out->set_ordinal(position.ordinal);
}

void AppendEvent(const Change& change, const TableDefinition* table, std::string* out) {
  v1::WatchEvent event;
  event.set_kind(KindOf(change.kind));
  ToProto(change.position, event.mutable_position());
  if (change.kind == ChangeKind::kSchema) ToProto(change.schema, event.mutable_schema());
  if (table != nullptr) {
    event.set_table(table->id);
    if (change.old_rowid) event.set_old_rowid(*change.old_rowid);
    if (change.new_rowid) event.set_new_rowid(*change.new_rowid);
    AddRows(change, *table->table, &event);
  }
  AppendField(v1::WatchResponse::kEventsFieldNumber, event, out);
}

void AppendSnapshotRow(const TableDefinition& table, std::optional<int64_t> rowid, Row row,
                       std::string* out) {
  v1::WatchEvent event;
  event.set_kind(v1::CHANGE_KIND_ROW);
  event.set_table(table.id);
  if (rowid) event.set_new_rowid(*rowid);
  if (IsTooLarge(BytesOf(row))) {
    event.set_too_large(true);
    row = KeyOf(*table.table, row);
  }
  rpc::ToProto(std::move(row), event.mutable_new_row());
  AppendField(v1::WatchResponse::kEventsFieldNumber, event, out);
}

void AppendPosition(ChangePosition position, std::string* out) {
  v1::ChangePosition message;
  ToProto(position, &message);
  AppendField(v1::WatchResponse::kPositionFieldNumber, message, out);
}

}  // namespace cairn::server
