#include "state_machine/sqlite/audit_reader.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "state_machine/sqlite/audit_tables.h"
#include "state_machine/sqlite/selected_rows.h"

namespace cairn::state_machine {
namespace {

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
  page.head = {UintAt(heads[0], 0), Text(heads[0], 1), UintAt(heads[0], 2), Text(heads[0], 3)};
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
    page.rows.push_back({UintAt(row, 0) - offset,
                         IntAt(row, 1),
                         UintAt(row, 2),
                         UintAt(row, 3),
                         {Text(row, 4), Text(row, 5), Text(row, 6), Text(row, 7), UintAt(row, 8)},
                         Text(row, 9)});
  }
  // Without memory a view goes on with a later state.
  if (read->applied() != state) return Unavailable("the state that was read has been let go");
  return page;
}

}  // namespace cairn::state_machine
