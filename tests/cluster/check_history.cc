// cairn-check-history: judges history files by the checkers of testing/history. It prints one
// verdict a line, as JSON. The exit status is 0 if all are valid, 1 if one is not, and 3 if one is
// unknown (and none invalid).
#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <sstream>

#include "testing/history/linearizability.h"
#include "testing/history/tallies.h"
#include "testing/history/transactions.h"

namespace cairn::cluster_test {
namespace {

using history::History;
using history::ModelKind;
using history::Validity;
using history::Verdict;

struct Check {
  std::string name;
  std::function<Verdict(const History&)> run;
};

// What is asked of each kind of history.
std::vector<Check> ChecksOf(const std::string& kind, int64_t bank_total) {
  const auto linearizable = [](ModelKind model) {
    return Check{"linearizable", [model](const History& h) { return CheckLinearizable(h, model); }};
  };
  if (kind == "register") return {linearizable(ModelKind::kRegister)};
  if (kind == "counter") return {linearizable(ModelKind::kCounter)};
  if (kind == "list") return {linearizable(ModelKind::kList)};
  if (kind == "set") {
    return {linearizable(ModelKind::kSet), {"complete", history::CheckSets}};
  }
  if (kind == "list-append") {
    return {{"strictly serializable", [](const History& h) { return CheckTransactions(h); }},
            {"sessions", history::CheckSessions}};
  }
  if (kind == "bank") {
    return {{"total", [bank_total](const History& h) {
               return CheckBank(h, {.total = bank_total, .negative_allowed = false});
             }}};
  }
  if (kind == "version") return {{"versions", history::CheckVersions}};
  return {};
}

const char* NameOf(Validity validity) {
  if (validity == Validity::kValid) return "valid";
  return validity == Validity::kInvalid ? "invalid" : "unknown";
}

Verdict Judge(const std::string& path, const Check& check) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) return Verdict::Unknown("cannot read " + path);
  const Result<History> history = history::ParseJsonLines(text.str());
  if (!history.ok()) return Verdict::Unknown(history.status().ToString());
  return check.run(*history);
}

void Print(const std::string& path, const Check& check, const Verdict& verdict) {
  history::DatumList anomalies;
  for (const history::Anomaly& anomaly : verdict.anomalies) {
    anomalies.emplace_back(anomaly.name + ": " + anomaly.explanation);
  }
  const history::Datum line =
      history::DatumMap{{"file", path},
                        {"check", check.name},
                        {"verdict", NameOf(verdict.validity)},
                        {"operations", static_cast<int64_t>(verdict.operations)},
                        {"anomalies", std::move(anomalies)}};
  std::cout << history::ToString(line) << std::endl;
}

}  // namespace
}  // namespace cairn::cluster_test

int main(int argc, char** argv) {
  using namespace cairn::cluster_test;
  std::vector<std::string> files;
  std::string kind;
  int64_t bank_total = 0;
  CLI::App app{"Judges histories: JSON lines, see docs/internals/histories.md"};
  app.add_option("files", files, "histories")->required();
  app.add_option("--kind", kind,
                 "register, counter, list, set, list-append, bank or version (default: the file's "
                 "name without .jsonl)");
  app.add_option("--bank-total", bank_total, "what the balances sum up to");
  CLI11_PARSE(app, argc, argv);
  bool invalid = false;
  bool unknown = false;
  for (const std::string& file : files) {
    const std::string of = kind.empty() ? std::filesystem::path(file).stem().string() : kind;
    const std::vector<Check> checks = ChecksOf(of, bank_total);
    if (checks.empty()) {
      std::cerr << "error: '" << of << "' is no kind of history" << std::endl;
      return 2;
    }
    for (const Check& check : checks) {
      const Verdict verdict = Judge(file, check);
      Print(file, check, verdict);
      invalid |= verdict.validity == Validity::kInvalid;
      unknown |= verdict.validity == Validity::kUnknown;
    }
  }
  return invalid ? 1 : unknown ? 3 : 0;
}
