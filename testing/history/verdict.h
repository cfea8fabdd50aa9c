// The verdict of a checker on a history.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace cairn::history {

enum class Validity : uint8_t {
  kValid,
  kInvalid,
  kUnknown,  // the search was cut off, or the history is unreadable; with the reason
};

struct Anomaly {
  std::string name;         // from a fixed set, listed by each checker: "G1a", "lost", ...
  std::string explanation;  // for a person: the operations, and why no order fits them
};

// At most this many anomalies are explained, and always the first of every name. `found` counts
// all.
inline constexpr size_t kAnomaliesMax = 10;

struct Verdict {
  Validity validity = Validity::kValid;
  std::vector<Anomaly> anomalies;  // of kInvalid; for kUnknown, one
  uint64_t found = 0;
  uint64_t operations = 0;  // the number judged

  bool ok() const { return validity == Validity::kValid; }
  bool Has(const std::string& name) const;
  // Makes the verdict kInvalid.
  void Add(std::string name, std::string explanation);
  static Verdict Unknown(std::string why);
};

// Returns "valid, 1234 operations", or the anomalies, one for each paragraph.
std::string ToString(const Verdict& verdict);

}  // namespace cairn::history
