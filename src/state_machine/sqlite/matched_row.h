// MatchedRow: what FTS5 tells its functions of a row that a query has found.
#pragma once

#include <sqlite3.h>

#include <algorithm>
#include <cstdint>
#include <tuple>
#include <vector>

#include "state_machine/sqlite/full_text_functions.h"

namespace cairn::state_machine {

// One place of a phrase. Places are counted in words from 0.
struct Hit {
  int column = 0;
  int at = 0;
  int phrase = 0;
  bool operator<(const Hit& other) const {
    return std::tie(column, at, phrase) < std::tie(other.column, other.at, other.phrase);
  }
};

// What FTS5 gives to a function, for one row.
class MatchedRow {
 public:
  MatchedRow(const Fts5ExtensionApi* api, Fts5Context* row, sqlite3_context* context)
      : api_(api),
        row_(row),
        context_(context),
        owner_(static_cast<FullTextFunctions*>(api->xUserData(row))) {}

  const Fts5ExtensionApi& api() const { return *api_; }
  Fts5Context* row() const { return row_; }
  sqlite3_context* context() const { return context_; }
  FullTextFunctions& owner() const { return *owner_; }
  int PhraseWords(int phrase) const { return api_->xPhraseSize(row_, phrase); }

  // Calls `take` for each hit of each phrase. SQLITE_TOOBIG: it is too much work.
  template <class Take>
  int ForEachHit(const Take& take) const {
    const int phrases = api_->xPhraseCount(row_);
    int rc = phrases > kPhrasesAlways ? CheckProduct(phrases) : SQLITE_OK;
    for (int phrase = 0; rc == SQLITE_OK && phrase < phrases; ++phrase) {
      Fts5PhraseIter places;
      Hit hit;
      hit.phrase = phrase;
      rc = api_->xPhraseFirst(row_, phrase, &places, &hit.column, &hit.at);
      while (rc == SQLITE_OK && hit.column >= 0) {
        rc = owner_->Count();
        if (rc == SQLITE_OK) rc = take(hit);
        api_->xPhraseNext(row_, &places, &hit.column, &hit.at);
      }
      if (rc == SQLITE_OK) rc = owner_->Count();
    }
    return rc;
  }

  // The hits in the order of their places. `column` < 0: of all columns.
  int SortedHits(int column, std::vector<Hit>* hits) const {
    int rc = ForEachHit([&](const Hit& hit) {
      if (column >= 0 && hit.column != column) return SQLITE_OK;
      if (hits->size() == kHitsMax) return SQLITE_TOOBIG;
      hits->push_back(hit);
      return SQLITE_OK;
    });
    if (rc == SQLITE_OK && hits->size() > kHitsPerAsk) rc = owner_->Ask();
    if (rc == SQLITE_OK) std::sort(hits->begin(), hits->end());
    return rc;
  }

  void Fail(int rc) const {
    if (rc != SQLITE_TOOBIG) return sqlite3_result_error_code(context_, rc);
    sqlite3_result_error(
        context_,
        "the row has too many words for so many words that are looked for: look for fewer", -1);
  }

 private:
  int CheckProduct(int phrases) const {
    int words = 0;
    const int rc = api_->xColumnSize(row_, -1, &words);
    if (rc != SQLITE_OK) return rc;
    return int64_t{words} * phrases > kPhraseProductMax ? SQLITE_TOOBIG : SQLITE_OK;
  }

  const Fts5ExtensionApi* const api_;
  Fts5Context* const row_;
  sqlite3_context* const context_;
  FullTextFunctions* const owner_;
};

}  // namespace cairn::state_machine
