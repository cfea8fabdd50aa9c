// What a checker says of a history.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace cairn::history {

enum class Validity : uint8_t {
  kValid,
  kInvalid,
  kUnknown,  // the search was cut off, or the history cannot be read; says why
};

struct Anomaly {
  std::string name;         // of a fixed set, listed by each checker: "G1a", "lost", ...
  std::string explanation;  // a person can read it: the operations and why no order fits them
};

// At most this many anomalies, and the first of every name, are explained; `found` counts all.
inline constexpr size_t kAnomaliesMax = 10;

struct Verdict {
  Validity validity = Validity::kValid;
  std::vector<Anomaly> anomalies;  // of kInvalid, and one of kUnknown
  uint64_t found = 0;
  uint64_t operations = 0;  // that were judged

  bool ok() const { return validity == Validity::kValid; }
  bool Has(const std::string& name) const;
  // Makes the verdict kInvalid.
  void Add(std::string name, std::string explanation);
  static Verdict Unknown(std::string why);
};

// "valid, 1234 operations", or the anomalies, one a paragraph.
std::string ToString(const Verdict& verdict);

}  // namespace cairn::history
