// ProposalChecker: refuses commands that no state of the database could make valid, before they
// reach the log.
//
// The checker must not know the schema. This node may be behind, and what fails against an older
// schema may be valid when it is applied. So "no such table" passes, and a syntax error does not.
#pragma once

#include <sqlite3.h>

#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "state_machine/command.h"
#include "state_machine/sqlite/sql_scan.h"

namespace cairn::state_machine {

// Thread-safe. A text that was seen before costs a look-up: its verdict depends on the text alone,
// and never changes.
class ProposalChecker {
 public:
  explicit ProposalChecker(size_t texts_cached_max = 512);
  ~ProposalChecker();
  ProposalChecker(const ProposalChecker&) = delete;
  ProposalChecker& operator=(const ProposalChecker&) = delete;

  // INVALID_ARGUMENT   no or several statements, syntax, a read (use Query), transaction
  //                    statements, parameters that do not fit the text, invalid UTF-8, ids or
  //                    sizes out of bounds
  // PERMISSION_DENIED  what is never replicated: ATTACH, VACUUM, TEMP objects, load_extension,
  //                    PRAGMAs
  Status Check(const Command& command);

 private:
  // What the text alone says.
  struct Verdict {
    Status status;
    size_t parameters = 0;  // the highest number of one
    std::vector<NamedParameter> names;
  };
  using VerdictPtr = std::shared_ptr<const Verdict>;
  using Lru = std::list<std::pair<std::string, VerdictPtr>>;

  Status CheckStatement(const Statement& statement);
  VerdictPtr Judge(const std::string& sql);
  Verdict JudgeAnew(const std::string& sql);
  Status CheckSyntax(const std::string& sql);

  const size_t texts_cached_max_;
  Mutex cache_mutex_;
  Lru lru_ CAIRN_GUARDED_BY(cache_mutex_);  // most recently used first
  // The keys lie in lru_.
  std::unordered_map<std::string_view, Lru::iterator> cache_ CAIRN_GUARDED_BY(cache_mutex_);

  Mutex scratch_mutex_;
  // An empty database in memory. It only prepares statements.
  sqlite3* scratch_ CAIRN_GUARDED_BY(scratch_mutex_) = nullptr;
  Status denied_ CAIRN_GUARDED_BY(scratch_mutex_);  // why the authorizer refused
};

}  // namespace cairn::state_machine
