// Searches of virtual tables in a write: MATCH in a full-text table, the terms of a vocabulary, boxes in
// an R-Tree.
//
// The table looks through its index within one or two steps of SQLite's machine: a prefix, or words
// that stand near each other, may take hours. What a search may cost at most follows from the listing
// of the program, the words that are looked for, and the pages of the index. All of it is the same on
// all nodes.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "state_machine/command.h"
#include "state_machine/sqlite/authorizer.h"
#include "state_machine/sqlite/program_listing.h"
#include "state_machine/sqlite/schema_catalog.h"

namespace cairn::state_machine {

struct Program;

// Prices, in steps. For each byte of the index and each word; the same for each prefix; the same for
// each two words that stand near each other.
inline constexpr uint64_t kStepsPerWord = 1;
inline constexpr uint64_t kStepsPerPrefix = 10;
// For a node of an R-Tree, and more for each condition.
inline constexpr uint64_t kStepsPerTreeNode = 300;
inline constexpr uint64_t kStepsPerCondition = 50;
// To find out how large the index is.
inline constexpr uint64_t kStepsPerMeasure = 1000;

// A place in a program at which a virtual table begins to search.
struct IndexSearch {
  enum class Kind {
    kWords,       // of FTS5
    kBoxes,       // of an R-Tree
    kVocabulary,  // of FTS5
    kUncounted,   // FTS3, FTS4: no bound is known
  };
  Kind kind = Kind::kUncounted;
  // Of kWords: the words come out of the statement itself, and not out of a row or a function.
  bool given = true;
  std::vector<int> parameters;
  std::string literals;
  uint64_t conditions = 0;  // of kBoxes
  // 0: it is done once. Else the fewest steps of the program between two searches.
  uint64_t steps_between = 0;
};

// Whether the program reads such a table at all. Most do not, and need no listing.
bool MaySearch(const SchemaCatalog& catalog, const ProgramFacts& facts);
// Adds those of the listed program.
void FindSearches(const ProgramListing& listing, const SchemaCatalog& catalog,
                  const ProgramFacts& facts, std::vector<IndexSearch>* searches);

struct SearchCosts {
  uint64_t once = 0;      // steps, before the statement runs
  uint64_t per_step = 0;  // what each step of the program counts at least
};
// What the searches of `program` cost at most, with the values of `statement` and the contents of now.
// `pending_bytes`: of rows that are not in the index yet.
Result<SearchCosts> CostsOfSearches(sqlite3* db, const SchemaCatalog& catalog,
                                    const Program& program, const Statement& statement,
                                    uint64_t pending_bytes);

// ---- The parts

// What the text of a MATCH costs at most for each byte of the index. `by_characters`: the tokenizer may
// take each byte for a word.
uint64_t PriceOfWords(std::string_view text, bool by_characters);
// The pages of an FTS5 index, by the record of its structure. Too many if the record is not understood.
uint64_t PagesOfStructure(std::string_view record);

}  // namespace cairn::state_machine
