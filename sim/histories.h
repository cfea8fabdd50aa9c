// Histories: the requests and answers of the clients of one run, one history for each kind of data,
// and the verdicts of the checkers of testing/history.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "testing/history/event.h"
#include "testing/history/verdict.h"

namespace cairn::sim {

enum class Family : uint8_t {
  kCounters,   // add-and-get and reads: linearizable
  kRegisters,  // writes, compare-and-set and reads: linearizable
  kSets,       // adds and reads of unique items
  kLists,      // transactions that append to lists and read them: strictly serializable
  kSessions,   // the same, plus reads at any node of what the session has seen
  kBank,       // transfers in one statement, several, or two phases
  kVersions,   // of tables, by how often they were changed
  kCount,
};
inline constexpr size_t kFamilies = static_cast<size_t>(Family::kCount);
const char* FamilyName(Family family);

struct HistoryCounts {
  uint64_t operations = 0;  // judged
  uint64_t unknown = 0;     // histories whose check was cut off; neither passed nor failed
};

class Histories {
 public:
  void Add(Family family, history::Event event);
  // Returns the first anomaly of any history. `bank_total` is the sum of all accounts.
  std::optional<std::string> Judge(int64_t bank_total);
  const HistoryCounts& counts() const { return counts_; }
  // Writes `prefix`.NAME.jsonl, a file of JSON lines, for each kind of data that has operations.
  // Returns the paths, or an empty vector if a file could not be written.
  std::vector<std::string> Write(const std::string& prefix) const;
  const history::History& of(Family family) const {
    return histories_[static_cast<size_t>(family)];
  }

 private:
  std::optional<std::string> Take(Family family, const char* checker,
                                  const history::Verdict& verdict);

  std::array<history::History, kFamilies> histories_;
  HistoryCounts counts_;
};

}  // namespace cairn::sim
