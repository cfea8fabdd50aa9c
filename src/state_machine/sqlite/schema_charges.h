// What the schema adds to the price of a statement, in steps of a WorkBudget: the texts of triggers
// and views that are compiled with it, and the pages that a DROP frees.
#pragma once

#include <sqlite3.h>

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "base/result.h"
#include "state_machine/command.h"
#include "state_machine/sqlite/program_cache.h"
#include "state_machine/sqlite/schema_catalog.h"

namespace cairn::state_machine {

// Texts of triggers and views that come with a statement. Most statements have less.
inline constexpr uint64_t kSchemaBytesFree = 1024;
inline constexpr uint64_t kStepsPerSchemaByte = 4;   // of what is more
inline constexpr uint64_t kStepsPerSquare = 20;      // of the number of expansions (expansions.h)
inline constexpr uint64_t kStepsPerGrownToken = 25;  // of columns (column_growth.h)

// A node that does not know a statement compiles it, and the triggers and views that it uses. Which
// nodes know it depends on what they did before, so all are charged, once in a command for each text:
// a command does not compile the same text twice, unless it has very many others in between.
//
// The engine's; its thread only.
class CompileCharges {
 public:
  // At the start of each command, and after a change of the schema within it.
  void Clear() {
    charged_.clear();
    charged_bytes_ = 0;
  }
  // Of a statement that is about to run. Beside virtual tables and with long values a node may have to
  // compile it once more, to look for the bound of its values.
  uint64_t StepsOf(const Program& program, const Statement& statement);

 private:
  static constexpr size_t kTextsMax = 256;  // less than a ProgramCache keeps
  static constexpr size_t kTextBytesMax = 256 << 10;

  std::set<std::string, std::less<>> charged_;
  size_t charged_bytes_ = 0;
};

// The pages that the DROP frees, with those of the indexes and of the storage of a virtual table; but
// not more than `pages_max` + 1 of them are counted. `pages_max` pages are read at most, and none if
// the whole file has no more. `facts` are those of the DROP.
Result<uint64_t> CountDroppedPages(sqlite3* db, const SchemaCatalog& catalog,
                                   const ProgramFacts& facts, uint64_t pages_max);

}  // namespace cairn::state_machine
