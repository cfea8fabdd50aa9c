// The part of a statement's price that the schema adds, in steps of a WorkBudget: for the texts of
// triggers and views that are compiled with the statement, and for the pages that a DROP frees.
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

// Bytes of trigger and view texts that are free of charge. Most statements use fewer.
inline constexpr uint64_t kSchemaBytesFree = 1024;
inline constexpr uint64_t kStepsPerSchemaByte = 4;   // above kSchemaBytesFree
inline constexpr uint64_t kStepsPerSquare = 20;      // of the number of expansions (expansions.h)
inline constexpr uint64_t kStepsPerGrownToken = 25;  // of columns (column_growth.h)

// A node that does not know a statement compiles it, with the triggers and views that it uses.
// Which nodes know it depends on their past, so every node charges for the texts. Each text is
// charged once in a command, because a command does not compile a text twice unless it has very
// many others in between.
//
// Owned by the engine, and used on its thread only.
class CompileCharges {
 public:
  // Called at the start of each command, and after a change of the schema within it.
  void Clear() { compiled_ = priced_ = Texts(); }
  // The price of compiling a text, before it is compiled.
  uint64_t StepsOfText(const std::string& sql, const CompilePrice& price) {
    return price.steps > 0 && priced_.Add(sql) ? price.steps : 0;
  }
  // The price of a statement that is about to run. With virtual tables and long values a node may
  // have to compile the statement again, to find the bound of its values.
  uint64_t StepsOf(const Program& program, const Statement& statement);

 private:
  class Texts {
   public:
    // False if the text was added before. Forgets all when there are too many.
    bool Add(const std::string& sql);

   private:
    static constexpr size_t kTextsMax = 256;  // less than a ProgramCache keeps
    static constexpr size_t kTextBytesMax = 256 << 10;

    std::set<std::string, std::less<>> texts_;
    size_t bytes_ = 0;
  };

  Texts compiled_;
  Texts priced_;
};

// The pages that the DROP frees, with those of the indexes and of the storage of a virtual table.
// At most `pages_max` + 1 pages are counted, and at most `pages_max` pages are read; none is read
// if the whole file has no more. `facts` are those of the DROP.
Result<uint64_t> CountDroppedPages(sqlite3* db, const SchemaCatalog& catalog,
                                   const ProgramFacts& facts, uint64_t pages_max);

}  // namespace cairn::state_machine
