#include "state_machine/sqlite/full_text_functions.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "state_machine/sqlite/full_text_ranking.h"
#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/matched_row.h"

namespace cairn::state_machine {
namespace {

// ---- highlight ----------------------------------------------------------------------------------

// Words `first` to `last` are marked. `first` is -1 behind the last mark.
struct Mark {
  int64_t first = -1;
  int64_t last = -1;
};

// Hits that overlap share a mark.
class Marks {
 public:
  Marks(const MatchedRow& row, std::vector<Hit> hits) : row_(row), hits_(std::move(hits)) {}

  const Mark& mark() const { return mark_; }
  void Next() {
    mark_ = Mark();
    for (; next_ < hits_.size(); ++next_) {
      const int64_t first = hits_[next_].at;
      const int64_t last = first - 1 + row_.PhraseWords(hits_[next_].phrase);
      if (mark_.first < 0) {
        mark_ = {first, last};
      } else if (first <= mark_.last) {
        mark_.last = std::max(mark_.last, last);
      } else {
        return;
      }
    }
  }

 private:
  const MatchedRow& row_;
  const std::vector<Hit> hits_;
  size_t next_ = 0;
  Mark mark_;
};

// A text up to its first NUL, as SQLite appends it. Null counts as empty.
std::string_view UpToNul(const char* text, size_t size) {
  return text == nullptr ? std::string_view() : std::string_view(text, strnlen(text, size));
}
std::string_view TextOf(sqlite3_value* value) {
  const auto* text = reinterpret_cast<const char*>(sqlite3_value_text(value));
  return UpToNul(text, static_cast<size_t>(sqlite3_value_bytes(value)));
}

// Writes a text with its marks. FTS5 cuts the text into words and calls Take for each.
class Highlighter {
 public:
  Highlighter(const MatchedRow& row, std::vector<Hit> hits, std::string_view open,
              std::string_view close)
      : row_(row), marks_(row, std::move(hits)), open_(open), close_(close) {
    marks_.Next();
  }

  // Only these words are written. SQLite takes a range that ends at word 0 for the whole text.
  void SetRange(int64_t first, int64_t last) {
    range_first_ = first;
    range_last_ = last;
    while (marks_.mark().first >= 0 && marks_.mark().first < first) marks_.Next();
  }
  void Append(std::string_view text) { out_.append(text); }
  int Write(const char* text, int size) {
    text_ = text;
    size_ = size;
    return row_.api().xTokenize(row_.row(), text, size, this, &Take);
  }
  // What no word has taken yet.
  void WriteRest() { WriteUpTo(size_); }
  void Return() const {
    sqlite3_result_text64(row_.context(), out_.data(), out_.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  }

 private:
  static int Take(void* self, int flags, const char* /*word*/, int /*size*/, int begin, int end) {
    if ((flags & FTS5_TOKEN_COLOCATED) != 0) return SQLITE_OK;
    auto* const h = static_cast<Highlighter*>(self);
    const int rc = h->row_.owner().Count();
    if (rc == SQLITE_OK) h->TakeWord(h->words_++, begin, end);
    return rc;
  }

  void TakeWord(int64_t word, int begin, int end) {
    if (range_last_ > 0) {
      if (word < range_first_ || word > range_last_) return;
      if (range_first_ != 0 && word == range_first_) written_ = begin;
    }
    if (word == marks_.mark().first) {
      WriteUpTo(begin);
      out_.append(open_);
    }
    if (word == marks_.mark().last) {
      if (range_last_ != 0 && marks_.mark().first < range_first_) out_.append(open_);
      WriteUpTo(end);
      out_.append(close_);
      marks_.Next();
    }
    if (range_last_ > 0 && word == range_last_) {
      WriteUpTo(end);
      if (word >= marks_.mark().first && word < marks_.mark().last) out_.append(close_);
    }
  }

  void WriteUpTo(int end) {
    if (end > written_) out_.append(UpToNul(text_ + written_, static_cast<size_t>(end - written_)));
    written_ = end;
  }

  const MatchedRow& row_;
  Marks marks_;
  const std::string_view open_;
  const std::string_view close_;
  int64_t range_first_ = 0;
  int64_t range_last_ = 0;
  const char* text_ = "";
  int size_ = 0;
  int written_ = 0;
  int64_t words_ = 0;
  std::string out_;
};

void Highlight(const Fts5ExtensionApi* api, Fts5Context* fts, sqlite3_context* context, int argc,
               sqlite3_value** argv) {
  if (argc != 3) {
    return sqlite3_result_error(context, "wrong number of arguments to function highlight()", -1);
  }
  const MatchedRow row(api, fts, context);
  const int column = sqlite3_value_int(argv[0]);
  const char* text = nullptr;
  int size = 0;
  int rc = api->xColumnText(fts, column, &text, &size);
  if (rc == SQLITE_OK && text == nullptr) return;
  std::vector<Hit> hits;
  if (rc == SQLITE_OK && column >= 0) rc = row.SortedHits(column, &hits);
  if (rc != SQLITE_OK) return row.Fail(rc);
  Highlighter highlighter(row, std::move(hits), TextOf(argv[1]), TextOf(argv[2]));
  rc = highlighter.Write(text, size);
  if (rc != SQLITE_OK) return row.Fail(rc);
  highlighter.WriteRest();
  highlighter.Return();
}

// ---- snippet ------------------------------------------------------------------------------------

// The hits of one column in a window of words that only moves on.
class Window {
 public:
  // `hits` are those of a column, in their order.
  Window(const MatchedRow& row, const Hit* hits, size_t size, int words)
      : row_(row), hits_(hits), size_(size), words_(words) {
    counts_.resize(static_cast<size_t>(row.api().xPhraseCount(row.row())));
  }

  // Moves the window to begin at word `first`.
  void MoveTo(int64_t first) {
    for (; end_ < size_ && hits_[end_].at < first + words_; ++end_) {
      if (counts_[static_cast<size_t>(hits_[end_].phrase)]++ == 0) ++phrases_;
    }
    for (; begin_ < end_ && hits_[begin_].at < first; ++begin_) {
      if (--counts_[static_cast<size_t>(hits_[begin_].phrase)] == 0) --phrases_;
    }
  }
  // A phrase counts 1000, and 1 for each more of its hits.
  int64_t score() const { return static_cast<int64_t>(end_ - begin_) + 999 * phrases_; }
  // Where a snippet begins that has the hits of the window in its middle.
  int64_t Centered(int column_words) const {
    int64_t first = -1;
    int64_t end = 0;
    if (begin_ < end_) {
      first = hits_[begin_].at;
      end = hits_[end_ - 1].at + row_.PhraseWords(hits_[end_ - 1].phrase);
    }
    int64_t at = first - (words_ - (end - first)) / 2;
    at = std::min<int64_t>(at, int64_t{column_words} - words_);
    return std::max<int64_t>(at, 0);
  }

 private:
  const MatchedRow& row_;
  const Hit* const hits_;
  const size_t size_;
  const int64_t words_;
  size_t begin_ = 0;
  size_t end_ = 0;
  std::vector<uint32_t> counts_;  // of the hits of each phrase
  int64_t phrases_ = 0;           // that have hits
};

// Finds the words that begin a sentence.
struct SentenceFinder {
  FullTextFunctions& owner;
  const char* text = nullptr;
  int words = 0;
  std::vector<int> first_words = {};

  static int Take(void* self, int flags, const char* /*word*/, int /*size*/, int begin,
                  int /*end*/) {
    if ((flags & FTS5_TOKEN_COLOCATED) != 0) return SQLITE_OK;
    auto* const f = static_cast<SentenceFinder*>(self);
    const int rc = f->owner.Count();
    if (rc == SQLITE_OK) {
      if (f->words == 0 || f->EndsSentence(begin)) f->first_words.push_back(f->words);
      ++f->words;
    }
    return rc;
  }
  // Whether a full stop and space stand before `begin`.
  bool EndsSentence(int begin) const {
    int i = begin - 1;
    char c = '\0';
    for (; i >= 0; --i) {
      c = text[i];
      if (c != ' ' && c != '\t' && c != '\n' && c != '\r') break;
    }
    return i != begin - 1 && (c == '.' || c == ':');
  }
};

struct Snippet {
  int64_t score = 0;
  int column = 0;
  int64_t first = 0;  // word
  int column_words = 0;

  void Offer(int64_t offered_score, int offered_column, int64_t offered_first, int words) {
    if (offered_score > score) *this = {offered_score, offered_column, offered_first, words};
  }
};

// Offers the snippets of one column, which begin at a hit or at the sentence of the hit.
int OfferColumn(const MatchedRow& row, const Hit* hits, size_t size, int words, Snippet* best) {
  const int column = hits[0].column;
  SentenceFinder sentences{row.owner()};
  int bytes = 0;
  int column_words = 0;
  int rc = row.api().xColumnText(row.row(), column, &sentences.text, &bytes);
  if (rc == SQLITE_OK) {
    rc = row.api().xTokenize(row.row(), sentences.text, bytes, &sentences, &SentenceFinder::Take);
  }
  if (rc == SQLITE_OK) rc = row.api().xColumnSize(row.row(), column, &column_words);

  Window at_hit(row, hits, size, words);
  Window at_sentence(row, hits, size, words);
  const std::vector<int>& first_words = sentences.first_words;
  size_t sentence = 0;
  for (size_t i = 0; rc == SQLITE_OK && i < size; ++i) {
    const int at = hits[i].at;
    if (at > column_words) return SQLITE_CORRUPT_VTAB;
    at_hit.MoveTo(at);
    best->Offer(at_hit.score(), column, at_hit.Centered(column_words), column_words);
    if (!first_words.empty() && column_words > words) {
      while (sentence + 1 < first_words.size() && first_words[sentence + 1] <= at) ++sentence;
      const int first = first_words[sentence];
      if (first < at) {
        at_sentence.MoveTo(first);
        best->Offer(at_sentence.score() + (first == 0 ? 120 : 100), column, first, column_words);
      }
    }
    rc = row.owner().Count();
  }
  return rc;
}

int FindSnippet(const MatchedRow& row, const std::vector<Hit>& hits, int words, Snippet* best) {
  int rc = SQLITE_OK;
  for (size_t begin = 0; rc == SQLITE_OK && begin < hits.size();) {
    size_t end = begin;
    while (end < hits.size() && hits[end].column == hits[begin].column) ++end;
    rc = OfferColumn(row, &hits[begin], end - begin, words, best);
    begin = end;
  }
  return rc;
}

void SnippetFunction(const Fts5ExtensionApi* api, Fts5Context* fts, sqlite3_context* context,
                     int argc, sqlite3_value** argv) {
  if (argc != 5) {
    return sqlite3_result_error(context, "wrong number of arguments to function snippet()", -1);
  }
  const MatchedRow row(api, fts, context);
  const int column = sqlite3_value_int(argv[0]);
  const std::string_view ellipsis = TextOf(argv[3]);
  const int words = sqlite3_value_int(argv[4]);
  Snippet best;
  best.column = std::max(column, 0);
  std::vector<Hit> hits;
  int rc = row.SortedHits(column, &hits);
  if (rc == SQLITE_OK) rc = FindSnippet(row, hits, words, &best);
  const char* text = nullptr;
  int size = 0;
  if (rc == SQLITE_OK) rc = api->xColumnText(fts, best.column, &text, &size);
  if (rc == SQLITE_OK && best.column_words == 0) {
    rc = api->xColumnSize(fts, best.column, &best.column_words);
  }
  if (rc != SQLITE_OK) return row.Fail(rc);
  if (text == nullptr) return;
  std::erase_if(hits, [&best](const Hit& hit) { return hit.column != best.column; });
  Highlighter highlighter(row, std::move(hits), TextOf(argv[1]), TextOf(argv[2]));
  const int64_t last = best.first + words - 1;
  highlighter.SetRange(best.first, last);
  if (best.first > 0) highlighter.Append(ellipsis);
  rc = highlighter.Write(text, size);
  if (rc != SQLITE_OK) return row.Fail(rc);
  if (last >= best.column_words - 1) {
    highlighter.WriteRest();
  } else {
    highlighter.Append(ellipsis);
  }
  highlighter.Return();
}

// Null if SQLite has no FTS5.
fts5_api* ApiOf(sqlite3* db) {
  fts5_api* api = nullptr;
  sqlite3_stmt* stmt = nullptr;
  if (sqlite3_prepare_v2(db, "SELECT fts5(?1)", -1, &stmt, nullptr) != SQLITE_OK) return nullptr;
  const StatementPtr owner(stmt);
  sqlite3_bind_pointer(stmt, 1, static_cast<void*>(&api), "fts5_api_ptr", nullptr);
  sqlite3_step(stmt);
  return api;
}

}  // namespace

Status FullTextFunctions::Install(sqlite3* db) {
  fts5_api* const api = ApiOf(db);
  if (api == nullptr) return SqliteTrouble(db, sqlite3_errcode(db), "find FTS5");
  const struct {
    const char* name;
    fts5_extension_function function;
  } functions[] = {{"snippet", &SnippetFunction}, {"highlight", &Highlight}, {"bm25", &Bm25}};
  for (const auto& each : functions) {
    const int rc = api->xCreateFunction(api, each.name, this, each.function, nullptr);
    if (rc != SQLITE_OK) return SqliteTrouble(db, rc, "create function");
  }
  return OkStatus();
}

}  // namespace cairn::state_machine
