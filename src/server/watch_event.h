// Events of a watch as bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cairn/v1/database.pb.h"
#include "cairn/value.h"
#include "server/watch_tables.h"
#include "state_machine/change.h"

namespace cairn::server {

// An event in one message. A client of gRPC receives 4 MiB by default, and definitions of tables
// may come with it.
inline constexpr size_t kWatchEventBytesMax = (4 << 20) - (512 << 10);

// These append the field of a WatchResponse. A table is null for what is no change of a row.
void AppendEvent(const state_machine::Change& change, const TableDefinition* table,
                 std::string* out);
void AppendSnapshotRow(const TableDefinition& table, std::optional<int64_t> rowid, Row row,
                       std::string* out);
void AppendPosition(state_machine::ChangePosition position, std::string* out);

void ToProto(state_machine::ChangePosition position, v1::ChangePosition* out);
inline state_machine::ChangePosition FromProto(const v1::ChangePosition& position) {
  return {LogIndex(position.index()), position.ordinal()};
}

}  // namespace cairn::server
