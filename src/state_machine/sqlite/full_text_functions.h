// FullTextFunctions: snippet(), highlight() and bm25() of FTS5 for a connection that only reads.
//
// SQLite's own functions do all their work for one row in one operation of SQLite's virtual machine,
// which no deadline of a query ends. snippet() takes time in the square of the hits in a row: hours
// for a row of some MB. All three first sort the hits in time of the hits times the words that are
// looked for. These functions take time in the hits, sort them once, and ask now and then whether
// the query may go on. The results are those of SQLite 3.40, also where hits overlap.
#pragma once

#include <sqlite3.h>

#include <cstddef>
#include <functional>

#include "base/status.h"

namespace cairn::state_machine {

// The bound on the hits that snippet() and highlight() handle in one row: 48 MB.
inline constexpr size_t kHitsMax = 4 << 20;
// The bound on the words of a row times the phrases that are looked for in it, from
// kPhrasesAlways phrases on. Where a table keeps no places of words (detail=none), FTS5 cuts the row
// into words again, and compares each with each phrase.
inline constexpr int64_t kPhraseProductMax = 500'000'000;
inline constexpr int kPhrasesAlways = 32;
// So many hits, or words, lie between two questions.
inline constexpr size_t kHitsPerAsk = 4096;

// Used on the connection's thread only. Must outlive the connection that it is installed in.
class FullTextFunctions {
 public:
  // `may_go_on` is false when the query must end. Must not call SQLite.
  explicit FullTextFunctions(std::function<bool()> may_go_on) : may_go_on_(std::move(may_go_on)) {}
  FullTextFunctions(const FullTextFunctions&) = delete;
  FullTextFunctions& operator=(const FullTextFunctions&) = delete;

  // Called once.
  Status Install(sqlite3* db);

  // Counts a hit or a word. SQLITE_INTERRUPT when the query must end.
  int Count() {
    if (++counted_ % kHitsPerAsk != 0 || may_go_on_()) return SQLITE_OK;
    return SQLITE_INTERRUPT;
  }
  // Asks at once.
  int Ask() const { return may_go_on_() ? SQLITE_OK : SQLITE_INTERRUPT; }

 private:
  const std::function<bool()> may_go_on_;
  size_t counted_ = 0;
};

}  // namespace cairn::state_machine
