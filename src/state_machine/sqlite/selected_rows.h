// The rows of a query that has few, and their values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/status.h"
#include "state_machine/sqlite/read_connection.h"
#include "state_machine/state_machine.h"

namespace cairn::state_machine {

class SelectedRows final : public RowSink {
 public:
  Status OnColumns(const std::vector<Column>& /*columns*/) override { return OkStatus(); }
  Status OnRow(Row row) override {
    rows.push_back(std::move(row));
    return OkStatus();
  }
  std::vector<Row> rows;
};

// All rows of a query of Cairn's own.
inline Result<std::vector<Row>> Select(ReadTransaction* read, std::string sql,
                                       std::vector<Value> values) {
  SelectedRows selected;
  RETURN_IF_ERROR(read->QueryInternal({std::move(sql), std::move(values), {}}, &selected));
  return std::move(selected.rows);
}

// 0 if the value is no integer.
inline int64_t IntAt(const Row& row, size_t column) {
  const auto* value = std::get_if<int64_t>(&row.at(column));
  return value == nullptr ? 0 : *value;
}
inline uint64_t UintAt(const Row& row, size_t column) {
  return static_cast<uint64_t>(IntAt(row, column));
}

}  // namespace cairn::state_machine
