// Makes a server one with another build of SQLite: the build names another source, and one function
// gives another result. The linker puts the first two functions here in the place of SQLite's
// (tests/CMakeLists.txt).
#include <sqlite3.h>

// NOLINTBEGIN: the linker says the names.
extern "C" {
int __real_sqlite3_open_v2(const char* path, sqlite3** db, int flags, const char* vfs);
int __wrap_sqlite3_open_v2(const char* path, sqlite3** db, int flags, const char* vfs);
const char* __wrap_sqlite3_sourceid();
}

namespace {

void Unicode(sqlite3_context* context, int /*count*/, sqlite3_value** /*arguments*/) {
  sqlite3_result_int64(context, -1);
}

}  // namespace

const char* __wrap_sqlite3_sourceid() { return "2099-01-01 00:00:00 made up for tests"; }

int __wrap_sqlite3_open_v2(const char* path, sqlite3** db, int flags, const char* vfs) {
  constexpr int kFlags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
  const int rc = __real_sqlite3_open_v2(path, db, flags, vfs);
  if (rc != SQLITE_OK) return rc;
  return sqlite3_create_function_v2(*db, "unicode", 1, kFlags, nullptr, &Unicode, nullptr, nullptr,
                                    nullptr);
}
// NOLINTEND
