// bm25() of FTS5 for a connection that only reads (full_text_functions.h).
#pragma once

#include <sqlite3.h>

namespace cairn::state_machine {

// An fts5_extension_function, whose user data is a FullTextFunctions.
void Bm25(const Fts5ExtensionApi* api, Fts5Context* fts, sqlite3_context* context, int argc,
          sqlite3_value** argv);

}  // namespace cairn::state_machine
