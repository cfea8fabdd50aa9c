#include "state_machine/sqlite/audit_reader.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "state_machine/sqlite/audit_tables.h"

namespace cairn::state_machine {
namespace {

class Rows final : public RowSink {
 public:
  Status OnColumns(const std::vector<Column>& /*columns*/) override { return OkStatus(); }
  Status OnRow(Row row) override {
    rows.push_back(std::move(row));
    return OkStatus();
  }
  std::vector<Row> rows;
};

Result<std::vector<Row>> Select(ReadTransaction* read, std::string sql, std::vector<Value> values) {
  Rows rows;
  RETURN_IF_ERROR(read->QueryInternal({std::move(sql), std::move(values), {}}, &rows));
  return std::move(rows.rows);
}

int64_t Int(const Row& row, size_t column) {
  const auto* value = std::get_if<int64_t>(&row.at(column));
  return value == nullptr ? 0 : *value;
}
uint64_t Uint(const Row& row, size_t column) { return static_cast<uint64_t>(Int(row, column)); }
std::string Text(const Row& row, size_t column) {
  const auto* value = std::get_if<std::string>(&row.at(column));
  return value == nullptr ? "" : *value;
}

}  // namespace

Result<AuditPage> ReadAuditPage(ReadTransaction* read, const AuditQuery& query) {
  const LogIndex state = read->applied();
  AuditPage page;
  ASSIGN_OR_RETURN(
      const std::vector<Row> table,
      Select(read, "SELECT 1 FROM sqlite_schema WHERE name = '_cairn_audit_heads'", {}));
  if (table.empty()) return page;
  ASSIGN_OR_RETURN(
      const std::vector<Row> heads,
      Select(read, "SELECT rows, hash, cut, cut_hash FROM _cairn_audit_heads WHERE id = ?1",
             {static_cast<int64_t>(query.chain)}));
  if (heads.empty()) return page;
  page.head = {Uint(heads[0], 0), Text(heads[0], 1), Uint(heads[0], 2), Text(heads[0], 3)};
  const uint64_t offset = AuditTables::ChainOffset(query.chain);
  const uint64_t after = std::min(query.after, page.head.rows);
  ASSIGN_OR_RETURN(
      const std::vector<Row> rows,
      Select(read,
             "SELECT id, wall_ms, lease_ms, entry, kind, principal, address, text, count, hash"
             " FROM _cairn_audit WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3",
             {static_cast<int64_t>(offset + after), static_cast<int64_t>(offset + page.head.rows),
              static_cast<int64_t>(AuditPage::kRowsMax)}));
  for (const Row& row : rows) {
    page.rows.push_back({Uint(row, 0) - offset,
                         Int(row, 1),
                         Uint(row, 2),
                         Uint(row, 3),
                         {Text(row, 4), Text(row, 5), Text(row, 6), Text(row, 7), Uint(row, 8)},
                         Text(row, 9)});
  }
  // Without memory a view goes on with a later state.
  if (read->applied() != state) return Unavailable("the state that was read has been let go");
  return page;
}

}  // namespace cairn::state_machine
