#include "state_machine/sqlite/full_text_ranking.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "state_machine/sqlite/matched_row.h"

namespace cairn::state_machine {
namespace {

// What bm25() knows of all rows.
struct Ranking {
  double words_mean = 0;        // of a row
  std::vector<double> rarity;   // of each phrase
  std::vector<double> weights;  // of each phrase in the current row
};

struct RowCounter {
  FullTextFunctions& owner;
  int64_t rows = 0;
};
int CountRow(const Fts5ExtensionApi* /*api*/, Fts5Context* /*row*/, void* data) {
  auto* const counter = static_cast<RowCounter*>(data);
  ++counter->rows;
  return counter->owner.Count();
}

int MakeRanking(const MatchedRow& row, Ranking* ranking) {
  sqlite3_int64 rows = 0;
  sqlite3_int64 words = 0;
  int rc = row.api().xRowCount(row.row(), &rows);
  if (rc == SQLITE_OK) rc = row.api().xColumnTotalSize(row.row(), -1, &words);
  ranking->words_mean = static_cast<double>(words) / static_cast<double>(rows);
  const int phrases = row.api().xPhraseCount(row.row());
  for (int i = 0; rc == SQLITE_OK && i < phrases; ++i) {
    RowCounter found{row.owner()};
    rc = row.api().xQueryPhrase(row.row(), i, &found, &CountRow);
    const auto hits = static_cast<double>(found.rows);
    const double rarity = std::log((static_cast<double>(rows) - hits + 0.5) / (hits + 0.5));
    ranking->rarity.push_back(rarity <= 0.0 ? 1e-6 : rarity);
    if (rc == SQLITE_OK) rc = row.owner().Ask();
  }
  ranking->weights.resize(ranking->rarity.size());
  return rc;
}

// Made at the first row of a query, and kept by FTS5 for the next rows.
int RankingOf(const MatchedRow& row, Ranking** ranking) {
  *ranking = static_cast<Ranking*>(row.api().xGetAuxdata(row.row(), /*bClear=*/0));
  if (*ranking != nullptr) return SQLITE_OK;
  auto made = std::make_unique<Ranking>();
  const int rc = MakeRanking(row, made.get());
  if (rc != SQLITE_OK) return rc;
  *ranking = made.get();
  // FTS5 deletes it, also if this fails.
  return row.api().xSetAuxdata(row.row(), made.release(),
                               [](void* kept) { delete static_cast<Ranking*>(kept); });
}

}  // namespace

void Bm25(const Fts5ExtensionApi* api, Fts5Context* fts, sqlite3_context* context, int argc,
          sqlite3_value** argv) {
  constexpr double kSaturation = 1.2;
  constexpr double kByLength = 0.75;
  const MatchedRow row(api, fts, context);
  Ranking* ranking = nullptr;
  int rc = RankingOf(row, &ranking);
  if (rc != SQLITE_OK) return row.Fail(rc);
  std::fill(ranking->weights.begin(), ranking->weights.end(), 0.0);
  rc = row.ForEachHit([&](const Hit& hit) {
    const double weight = argc > hit.column ? sqlite3_value_double(argv[hit.column]) : 1.0;
    ranking->weights[static_cast<size_t>(hit.phrase)] += weight;
    return SQLITE_OK;
  });
  int words = 0;
  if (rc == SQLITE_OK) rc = api->xColumnSize(fts, -1, &words);
  if (rc != SQLITE_OK) return row.Fail(rc);
  const double length = static_cast<double>(words);
  double score = 0.0;
  for (size_t i = 0; i < ranking->weights.size(); ++i) {
    const double weight = ranking->weights[i];
    score += ranking->rarity[i] *
             ((weight * (kSaturation + 1.0)) /
              (weight + kSaturation * (1 - kByLength + kByLength * length / ranking->words_mean)));
  }
  sqlite3_result_double(context, -1.0 * score);
}

}  // namespace cairn::state_machine
