#include "state_machine/sqlite/pragmas.h"

#include <strings.h>

#include <algorithm>
#include <iterator>

namespace cairn::state_machine {
namespace {

bool Contains(const std::string_view* begin, const std::string_view* end, std::string_view name) {
  return std::any_of(begin, end, [name](std::string_view each) {
    return each.size() == name.size() && strncasecmp(each.data(), name.data(), name.size()) == 0;
  });
}

// PRAGMAs that only read. An argument names what they report on.
constexpr std::string_view kReading[] = {
    "table_info",     "table_xinfo",     "table_list",       "index_info",
    "index_xinfo",    "index_list",      "foreign_key_list", "foreign_key_check",
    "collation_list", "function_list",   "module_list",      "pragma_list",
    "database_list",  "integrity_check", "quick_check",      "compile_options",
};
// PRAGMAs that read without an argument. With an argument they would change a setting of this
// connection. FTS5 itself uses data_version, with the rights of the client that reads the table.
constexpr std::string_view kReadingWithoutArgument[] = {
    "encoding",       "page_size",    "page_count",         "freelist_count",
    "schema_version", "foreign_keys", "recursive_triggers", "data_version",
};
// PRAGMAs that ordinary transactions write to the file's header.
constexpr std::string_view kReplicated[] = {"user_version", "application_id"};

}  // namespace

PragmaUse ClassifyPragma(std::string_view name, bool has_argument) {
  if (Contains(std::begin(kReplicated), std::end(kReplicated), name)) {
    return has_argument ? PragmaUse::kWrite : PragmaUse::kRead;
  }
  if (Contains(std::begin(kReading), std::end(kReading), name)) return PragmaUse::kRead;
  if (!has_argument &&
      Contains(std::begin(kReadingWithoutArgument), std::end(kReadingWithoutArgument), name)) {
    return PragmaUse::kRead;
  }
  return PragmaUse::kRefused;
}

}  // namespace cairn::state_machine
