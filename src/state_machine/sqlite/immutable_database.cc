#include "state_machine/sqlite/immutable_database.h"

#include <cctype>
#include <memory>

#include "state_machine/sqlite/read_ahead.h"
#include "state_machine/sqlite/statement.h"
#include "state_machine/sqlite/vector_sql.h"

namespace cairn::state_machine {
namespace {

// Escapes a path for a URI, where '?', '#' and '%' have a meaning.
std::string EscapeForUri(const std::string& path) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '/' || c == '.' || c == '-' || c == '_') {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

}  // namespace

Result<raft::SnapshotMeta> WithImmutableDatabase(
    const char* vfs, const std::string& path, size_t cache_bytes,
    const std::function<Result<raft::SnapshotMeta>(sqlite3*)>& use) {
  sqlite3* raw = nullptr;
  const std::string uri = "file:" + EscapeForUri(path) + "?immutable=1";
  const int rc = sqlite3_open_v2(uri.c_str(), &raw,
                                 SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, vfs);
  const std::unique_ptr<sqlite3, int (*)(sqlite3*)> db(raw, &sqlite3_close);
  if (rc != SQLITE_OK) return StatusFromSqlite(raw, rc).Prefixed("open " + path);
  const std::string cache = "PRAGMA cache_size = -" + std::to_string(cache_bytes / 1024 + 1);
  sqlite3_exec(raw, cache.c_str(), nullptr, nullptr, nullptr);
  // A CHECK may call them.
  RETURN_IF_ERROR(AddVectorsToReader(raw, /*candidates=*/{}));
  const ReadAhead ahead(raw);
  return use(raw);
}

}  // namespace cairn::state_machine
