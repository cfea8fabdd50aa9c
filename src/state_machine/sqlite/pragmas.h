// The PRAGMAs that clients may use. Every other PRAGMA acts on one connection or one file, not on
// the replicated database.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cairn::state_machine {

enum class PragmaUse {
  kRead,     // reports something; part of a query
  kWrite,    // changes the replicated database; part of Execute
  kRefused,  // changes something local, or is unknown
};

// `name` may be in any case. `has_argument`: PRAGMA name = value or PRAGMA name(value).
PragmaUse ClassifyPragma(std::string_view name, bool has_argument);

// Drivers and tools set up each connection by PRAGMAs: the journal mode, timeouts, caches. They
// mean a file of their own. Cairn answers such a PRAGMA with what stands for the replicated
// database, and changes nothing.
//
// For a text that is such a PRAGMA: the query that answers it. A PRAGMA to which SQLite gives no
// row has an answer without rows. PERMISSION_DENIED, with what to do instead, if the setting would
// have to change, such as foreign_keys = OFF. Nothing for any other text.
Result<std::optional<std::string>> AnswerToPragma(std::string_view sql);
// The same for the name and the value that SQLite has found; `value` is empty if there is none.
Result<std::optional<std::string>> AnswerToPragma(const std::string& name,
                                                  const std::string& value);

}  // namespace cairn::state_machine
