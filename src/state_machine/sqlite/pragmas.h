// The PRAGMAs that clients may use. Every other PRAGMA acts on one connection or one file, not on
// the replicated database.
#pragma once

#include <string_view>

namespace cairn::state_machine {

enum class PragmaUse {
  kRead,     // reports something; part of a query
  kWrite,    // changes the replicated database; part of Execute
  kRefused,  // changes something local, or is unknown
};

// `name` may be in any case. `has_argument`: PRAGMA name = value or PRAGMA name(value).
PragmaUse ClassifyPragma(std::string_view name, bool has_argument);

}  // namespace cairn::state_machine
