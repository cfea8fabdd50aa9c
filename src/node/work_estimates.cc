#include "node/work_estimates.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <variant>

namespace cairn::node {
namespace {

// How much of the texts of one command counts, so that a long text takes no time.
constexpr size_t kTextBytesMax = 4096;

class Hash {
 public:
  // Digits do not count: a client that writes values into the text still asks for the same kind of
  // work.
  void AddText(std::string_view text) {
    for (const char c : text) {
      if (left_ == 0) return;
      --left_;
      if (c < '0' || c > '9') Add(c);
    }
  }
  void AddAll(std::string_view bytes) {
    for (const char c : bytes) Add(c);
  }
  // Never 0.
  uint64_t value() const { return state_ | 1; }

 private:
  void Add(char c) { state_ = (state_ ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL; }

  uint64_t state_ = 0xcbf29ce484222325ULL;
  size_t left_ = kTextBytesMax;
};

uint64_t HashOfName(std::string_view name) {
  Hash hash;
  hash.AddAll(name);
  return hash.value();
}

}  // namespace

CommandTraits TraitsOf(const state_machine::Command& command) {
  CommandTraits traits;
  if (!command.id.session.empty()) traits.client = HashOfName(command.id.session);
  if (const auto* execute = std::get_if<state_machine::Execute>(&command.operation)) {
    Hash hash;
    for (const state_machine::Statement& statement : execute->statements) {
      hash.AddText(statement.sql);
    }
    traits.kind = hash.value();
    traits.maintenance = execute->maintenance;
  } else if (const auto* prepare = std::get_if<state_machine::Prepare>(&command.operation)) {
    traits.kind = HashOfName(prepare->tx_id);
  } else if (const auto* commit = std::get_if<state_machine::Commit>(&command.operation)) {
    traits.kind = HashOfName(commit->tx_id);
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
  by_client_.Learn(cost.traits.client, cost.steps);
  by_kind_.Learn(cost.traits.kind, cost.steps);
}

uint64_t WorkEstimates::Expected(const CommandTraits& traits) const {
  return std::max(by_client_.Expected(traits.client), by_kind_.Expected(traits.kind));
}

}  // namespace cairn::node
