// Which PRAGMAs clients may use. All others act on one connection or one file, not on the database
// that is replicated.
#pragma once

#include <string_view>

namespace cairn::state_machine {

enum class PragmaUse {
  kRead,     // reports something; part of a query
  kWrite,    // changes the replicated database; part of Execute
  kRefused,  // changes what is local, or is unknown
};

// `name` in any case; `has_argument`: PRAGMA name = value or PRAGMA name(value).
PragmaUse ClassifyPragma(std::string_view name, bool has_argument);

}  // namespace cairn::state_machine
