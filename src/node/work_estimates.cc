#include "node/work_estimates.h"

#include <algorithm>
#include <functional>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "state_machine/command_level.h"

namespace cairn::node {
namespace {

// How much of the texts of one command counts, so that a long text takes no time.
constexpr size_t kTextBytesMax = 4096;
// A session is new for so many requests.
constexpr uint64_t kNewSequences = 8;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Never 0.
uint64_t HashOfName(std::string_view name) { return std::hash<std::string_view>()(name) | 1; }

uint64_t Add(uint64_t hash, std::string_view text) {
  return (hash ^ HashOfName(text)) * 0x9e3779b97f4a7c15ULL;
}

// The text without its digits counts: a client that writes values into the text still asks for the
// same kind of work.
uint64_t AddWithoutDigits(uint64_t hash, std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    while (at < text.size() && !IsDigit(text[at])) ++at;
    hash = Add(hash, text.substr(begin, at - begin));
    while (at < text.size() && IsDigit(text[at])) ++at;
  }
  return hash;
}

uint64_t HashOfTexts(const std::vector<Statement>& statements) {
  uint64_t hash = 0;
  size_t left = kTextBytesMax;
  for (const Statement& statement : statements) {
    const std::string_view text = std::string_view(statement.sql).substr(0, left);
    left -= text.size();
    // A text with parameters has its values in them.
    const bool plain = statement.positional.empty() && statement.named.empty();
    hash = plain ? AddWithoutDigits(hash, text) : Add(hash, text);
  }
  return hash | 1;
}

}  // namespace

CommandTraits TraitsOf(const state_machine::Command& command) {
  CommandTraits traits;
  traits.level = state_machine::LevelOf(command);
  if (!command.principal.empty()) traits.principal = HashOfName(command.principal);
  // A bare id names one request. A node's own session names those of all clients that have none.
  const bool has_session = !command.id.empty() && !command.id.bare() && command.named_by == 0;
  if (has_session) traits.client = HashOfName(command.id.session);
  traits.is_new = !has_session || command.id.sequence <= kNewSequences;
  if (const auto* execute = std::get_if<state_machine::Execute>(&command.operation)) {
    traits.kind = HashOfTexts(execute->statements);
    traits.maintenance = execute->maintenance;
  } else if (const auto* prepare = std::get_if<state_machine::Prepare>(&command.operation)) {
    traits.kind = HashOfName(prepare->tx_id);
  } else if (const auto* commit = std::get_if<state_machine::Commit>(&command.operation)) {
    traits.kind = HashOfName(commit->tx_id);
  } else if (const auto* restore = std::get_if<state_machine::Restore>(&command.operation)) {
    // It takes effect only if it is alone in its entry.
    traits.maintenance = restore->step == state_machine::Restore::Step::kFinish;
  }
  return traits;
}

void WorkEstimates::Memory::Learn(uint64_t key, uint64_t steps) {
  if (key == 0) return;
  const uint64_t learned = (Expected(key) + steps) / 2;
  if (young_.size() >= kKeysMax && !young_.contains(key)) old_ = std::exchange(young_, {});
  young_[key] = learned;
}

uint64_t WorkEstimates::Memory::Expected(uint64_t key) const {
  if (const auto it = young_.find(key); it != young_.end()) return it->second;
  const auto it = old_.find(key);
  return it == old_.end() ? 0 : it->second;
}

void WorkEstimates::Learn(const CommandCost& cost) {
  if (cost.traits.principal != 0 && Known(cost.traits) < cost.steps / 4) {
    if (surprises_.size() >= kPrincipalsMax) surprises_.clear();
    uint64_t& surprise = surprises_[cost.traits.principal];
    surprise = std::max(surprise, cost.steps);
  }
  by_client_.Learn(cost.traits.client, cost.steps);
  by_kind_.Learn(cost.traits.kind, cost.steps);
}

uint64_t WorkEstimates::Known(const CommandTraits& traits) const {
  return std::max(by_client_.Expected(traits.client), by_kind_.Expected(traits.kind));
}

uint64_t WorkEstimates::Expect(const CommandTraits& traits) {
  const uint64_t known = Known(traits);
  const auto surprise = surprises_.find(traits.principal);
  if (!traits.is_new || surprise == surprises_.end()) return known;
  const uint64_t expected = surprise->second;
  surprise->second -= expected / 8;
  if (surprise->second < kStepsWorthTelling) surprises_.erase(surprise);
  return std::max(known, expected);
}

}  // namespace cairn::node
