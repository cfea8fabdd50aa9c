#include "state_machine/sqlite/index_keys.h"

#include <algorithm>
#include <map>
#include <utility>

#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/schema_catalog.h"
#include "state_machine/sqlite/sql_tokens.h"
#include "state_machine/sqlite/table_shape.h"

namespace cairn::state_machine {
namespace {

constexpr uint64_t kNumberBytes = 9;  // of an integer or a real, at most

uint64_t ValueBytes(sqlite3_value* value) {
  const int type = sqlite3_value_type(value);
  if (type != SQLITE_TEXT && type != SQLITE_BLOB) return kNumberBytes;
  return static_cast<uint64_t>(sqlite3_value_bytes(value));
}

}  // namespace

bool IsVectorIndex(std::string_view sql) {
  const std::vector<Token> tokens = TokensOf(sql);
  for (size_t i = 4; i < tokens.size(); ++i) {
    if (tokens[i].type != TokenType::kOpen || tokens[i - 2].type != TokenType::kOpen) continue;
    return IsWord(tokens[i - 4], "ON") && IsName(tokens[i - 1]) &&
           NameOf(tokens[i - 1]) == "libsql_vector_idx";
  }
  return false;
}

bool MayGrow(std::string_view sql) {
  static const std::set<std::string> kGrowing = {
      "format",     "hex",        "json",        "json_array",     "json_insert", "json_object",
      "json_patch", "json_quote", "json_remove", "json_replace",   "json_set",    "printf",
      "quote",      "replace",    "strftime",    "vector_extract", "zeroblob"};
  const std::vector<Token> tokens = TokensOf(sql);
  return std::any_of(tokens.begin(), tokens.end(), [](const Token& token) {
    return token.text.starts_with("|") || (IsName(token) && kGrowing.contains(NameOf(token)));
  });
}

void IndexKeys::Read(sqlite3* db, const std::string& table) {
  indexes_.clear();
  known_ = ReadIndexes(db, table).ok();
}

Status IndexKeys::ReadIndexes(sqlite3* db, const std::string& table) {
  ASSIGN_OR_RETURN(const TableShape shape, ReadShape(db, table));
  std::map<int, const ShapeColumn*> stored;
  for (const ShapeColumn& each : shape.columns) stored[each.number] = &each;
  InternalStatement read;
  RETURN_IF_ERROR(
      read.Prepare(db,
                   "SELECT l.seq, x.cid, t.sql || coalesce(i.sql, ''), coalesce(c.hidden, 2) = 2,"
                   " coalesce(i.sql, '')"
                   " FROM pragma_index_list(?1) AS l JOIN pragma_index_xinfo(l.name) AS x"
                   " LEFT JOIN pragma_table_xinfo(?1) AS c ON c.cid = x.cid"
                   " JOIN sqlite_schema AS t ON t.type = 'table' AND t.name = ?1 COLLATE NOCASE"
                   " LEFT JOIN sqlite_schema AS i ON i.type = 'index' AND i.name = l.name"
                   " ORDER BY l.seq, x.seqno"));
  read.BindText(1, table);
  int64_t last = -1;
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) return OkStatus();
    if (IsVectorIndex(read.Bytes(4))) continue;
    if (read.Int(0) != last) indexes_.emplace_back();
    last = read.Int(0);
    Index& index = indexes_.back();
    const auto number = static_cast<int>(read.Int(1));
    const auto column = stored.find(number);
    if (column != stored.end()) {
      const int storage = column->second->storage;
      index.columns.push_back(
          {LowerCase(column->second->name), shape.without_rowid ? number : storage, storage});
    } else if (number != -1 && (read.Int(3) != 0 || shape.any_excluded)) {  // -1: the rowid
      index.grows = index.grows || (!index.computed && MayGrow(read.Bytes(2)));
      index.computed = true;
    }
  }
}

uint64_t IndexKeys::KeyBytes(sqlite3* db, const Index& index, const RowChange& change) {
  uint64_t bytes = 0;
  for (const Column& column : index.columns) {
    sqlite3_value* value = nullptr;
    if (change.operation != SQLITE_INSERT &&
        sqlite3_preupdate_old(db, column.old_at, &value) == SQLITE_OK) {
      bytes += ValueBytes(value);
    }
    const int at = change.operation == SQLITE_UPDATE ? column.new_at : column.old_at;
    if (change.operation != SQLITE_DELETE && sqlite3_preupdate_new(db, at, &value) == SQLITE_OK) {
      bytes += ValueBytes(value);
    }
  }
  return bytes;
}

uint64_t IndexKeys::BytesOf(sqlite3* db, const RowChange& change, uint64_t row_bytes,
                            const std::set<std::string>* set) const {
  if (!known_) return row_bytes;
  uint64_t bytes = 0;
  for (const Index& index : indexes_) {
    const auto names = [&](const Column& each) { return set->contains(each.name); };
    const bool changes = set == nullptr || index.computed ||
                         std::any_of(index.columns.begin(), index.columns.end(), names);
    if (!changes) continue;
    if (index.computed) {
      bytes += index.grows ? std::max(row_bytes, kGrownKeyBytes) : row_bytes;
    } else {
      bytes += KeyBytes(db, index, change);
    }
  }
  return bytes;
}

}  // namespace cairn::state_machine
