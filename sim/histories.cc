#include "sim/histories.h"

#include <fstream>
#include <utility>

#include "testing/history/linearizability.h"
#include "testing/history/tallies.h"
#include "testing/history/transactions.h"

namespace cairn::sim {
namespace {

// The bound on the work for one seed. A correct history takes a few steps for each operation.
constexpr uint64_t kStepsMax = 1'000'000;

// Only the reads, in the form that the checker of versions expects.
history::History VersionsOf(const history::History& counted) {
  history::History out;
  for (history::Event event : counted) {
    if (event.f != "read") continue;
    event.f = "version";
    out.push_back(std::move(event));
  }
  return out;
}

}  // namespace

const char* FamilyName(Family family) {
  static constexpr const char* kNames[kFamilies] = {"counters", "registers", "sets",    "lists",
                                                    "sessions", "bank",      "versions"};
  return kNames[static_cast<size_t>(family)];
}

void Histories::Add(Family family, history::Event event) {
  histories_[static_cast<size_t>(family)].push_back(std::move(event));
}

std::optional<std::string> Histories::Take(Family family, const char* checker,
                                           const history::Verdict& verdict) {
  counts_.operations += verdict.operations;
  if (verdict.ok()) return std::nullopt;
  if (verdict.validity == history::Validity::kUnknown) {
    ++counts_.unknown;
    return std::nullopt;
  }
  return std::string("the history of ") + FamilyName(family) + ", " + checker + ": " +
         ToString(verdict);
}

std::optional<std::string> Histories::Judge(int64_t bank_total) {
  using history::CheckLinearizable;
  using history::ModelKind;
  const history::LinearizabilityOptions bounded{kStepsMax};
  const auto linearizable = [&](Family family, ModelKind model) {
    return Take(family, "linearizability", CheckLinearizable(of(family), model, bounded));
  };
  if (auto wrong = linearizable(Family::kCounters, ModelKind::kCounter)) return wrong;
  if (auto wrong = linearizable(Family::kRegisters, ModelKind::kRegister)) return wrong;
  if (auto wrong = Take(Family::kSets, "sets", CheckSets(of(Family::kSets)))) return wrong;
  if (auto wrong =
          Take(Family::kLists, "strict serializability", CheckTransactions(of(Family::kLists)))) {
    return wrong;
  }
  if (auto wrong = Take(Family::kSessions, "sessions", CheckSessions(of(Family::kSessions)))) {
    return wrong;
  }
  history::TransactionOptions any_time;
  any_time.real_time = false;
  if (auto wrong = Take(Family::kSessions, "serializability",
                        CheckTransactions(of(Family::kSessions), any_time))) {
    return wrong;
  }
  const history::BankOptions bank{bank_total, /*negative_allowed=*/true};
  if (auto wrong = Take(Family::kBank, "bank", CheckBank(of(Family::kBank), bank))) return wrong;
  if (auto wrong =
          Take(Family::kVersions, "versions", CheckVersions(VersionsOf(of(Family::kVersions))))) {
    return wrong;
  }
  return linearizable(Family::kVersions, ModelKind::kCounter);
}

std::vector<std::string> Histories::Write(const std::string& prefix) const {
  std::vector<std::string> paths;
  for (size_t i = 0; i < kFamilies; ++i) {
    if (histories_[i].empty()) continue;
    paths.push_back(prefix + "." + FamilyName(static_cast<Family>(i)) + ".jsonl");
    std::ofstream out(paths.back());
    out << ToJsonLines(histories_[i]);
    if (!out.flush()) return {};
  }
  return paths;
}

}  // namespace cairn::sim
