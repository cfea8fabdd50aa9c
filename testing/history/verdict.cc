#include "testing/history/verdict.h"

namespace cairn::history {

bool Verdict::Has(const std::string& name) const {
  for (const Anomaly& anomaly : anomalies) {
    if (anomaly.name == name) return true;
  }
  return false;
}

void Verdict::Add(std::string name, std::string explanation) {
  validity = Validity::kInvalid;
  ++found;
  // The first anomaly of each kind is always reported, because a flood of one kind would hide the
  // others.
  if (anomalies.size() < kAnomaliesMax || !Has(name)) {
    anomalies.push_back({std::move(name), std::move(explanation)});
  }
}

Verdict Verdict::Unknown(std::string why) {
  Verdict verdict;
  verdict.validity = Validity::kUnknown;
  verdict.anomalies.push_back({"unknown", std::move(why)});
  return verdict;
}

std::string ToString(const Verdict& verdict) {
  if (verdict.ok()) return "valid, " + std::to_string(verdict.operations) + " operations";
  std::string out;
  for (const Anomaly& anomaly : verdict.anomalies) {
    out += anomaly.name + ": " + anomaly.explanation + "\n";
  }
  if (verdict.found > verdict.anomalies.size()) {
    out += "and " + std::to_string(verdict.found - verdict.anomalies.size()) + " more\n";
  }
  return out;
}

}  // namespace cairn::history
