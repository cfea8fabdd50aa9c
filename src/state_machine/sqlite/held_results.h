// HeldResults: the results of answered requests that are still held, and the order in which they
// are dropped.
//
// One client's results take at most an eighth of the room, so a client that asks for large results
// does not push out the results of others. Results in the nodes' own sessions (writes of clients
// that name no request) have one account together. The oldest results of an account are dropped
// first; past the bound of all clients, the oldest of all.
//
// HeldResults is a function of the log alone: only what was added and removed decides.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>

#include "state_machine/sqlite/shares.h"

namespace cairn::state_machine {

// `Place` says where the result of a command is. Used by the apply thread.
template <class Place>
class HeldResults {
 public:
  using Client = Shares::Client;
  struct Held {
    Client* owner = nullptr;
    uint64_t bytes = 0;
    Place place;
  };
  struct Oldest {
    Client* owner = nullptr;
    uint64_t number = 0;
    Place place;
    bool of_all = false;  // dropped because all clients together hold too much
  };

  HeldResults(uint64_t clients_max, uint64_t nodes_max)
      : clients_max_(clients_max), nodes_max_(nodes_max) {}

  uint64_t bytes() const { return bytes_; }

  // The client must exist until its results are removed.
  void Add(Client* owner, uint64_t number, uint64_t bytes, Place place) {
    Account& account = accounts_[KeyOf(owner)];
    if (account.held.empty() || number < account.held.begin()->first) {
      if (!account.held.empty()) first_.erase(account.held.begin()->first);
      first_.emplace(number, KeyOf(owner));
    }
    account.held.emplace_hint(account.held.end(), number, Held{owner, bytes, std::move(place)});
    account.bytes += bytes;
    bytes_ += bytes;
    if (!owner->is_node) clients_bytes_ += bytes;
  }

  void Remove(Client* owner, uint64_t number) {
    const auto found = accounts_.find(KeyOf(owner));
    Account& account = found->second;
    const auto held = account.held.find(number);
    const bool first = held == account.held.begin();
    account.bytes -= held->second.bytes;
    bytes_ -= held->second.bytes;
    if (!owner->is_node) clients_bytes_ -= held->second.bytes;
    account.held.erase(held);
    if (first) first_.erase(number);
    if (account.held.empty()) {
      accounts_.erase(found);
    } else if (first) {
      first_.emplace(account.held.begin()->first, KeyOf(owner));
    }
  }

  // Null if the result is not held.
  const Held* Find(Client* owner, uint64_t number) const {
    const auto account = accounts_.find(KeyOf(owner));
    if (account == accounts_.end()) return nullptr;
    const auto held = account->second.held.find(number);
    return held == account->second.held.end() ? nullptr : &held->second;
  }
  // The oldest result of the owner.
  std::optional<uint64_t> FirstOf(Client* owner) const {
    const auto account = accounts_.find(KeyOf(owner));
    if (account == accounts_.end()) return std::nullopt;
    for (const auto& [number, held] : account->second.held) {
      if (held.owner == owner) return number;
    }
    return std::nullopt;
  }

  // The result to drop after a result of `owner` was added; nothing if all bounds are kept.
  std::optional<Oldest> ExcessOf(Client* owner) const {
    const auto account = accounts_.find(KeyOf(owner));
    if (account != accounts_.end() && account->second.bytes > MaxOf(owner)) {
      return OldestOf(account->second);
    }
    if (clients_bytes_ <= clients_max_) return std::nullopt;
    auto first = first_.begin();
    if (first->second == nullptr) ++first;
    Oldest oldest = OldestOf(accounts_.at(first->second));
    oldest.of_all = true;
    return oldest;
  }
  // The oldest result of all, if its number is below `number`.
  std::optional<Oldest> OldestBelow(uint64_t number) const {
    if (first_.empty() || first_.begin()->first >= number) return std::nullopt;
    return OldestOf(accounts_.at(first_.begin()->second));
  }

  void Clear() {
    accounts_.clear();
    first_.clear();
    bytes_ = clients_bytes_ = 0;
  }

 private:
  struct Account {
    std::map<uint64_t, Held> held;  // by command number
    uint64_t bytes = 0;
  };

  // The key of the owner's account. All nodes share one account.
  static Client* KeyOf(Client* owner) { return owner->is_node ? nullptr : owner; }
  uint64_t MaxOf(Client* owner) const {
    if (owner->is_node) return nodes_max_;
    return owner->is_known() ? clients_max_ / 8 : clients_max_;
  }
  static Oldest OldestOf(const Account& account) {
    const auto& [number, held] = *account.held.begin();
    return {held.owner, number, held.place, false};
  }

  const uint64_t clients_max_;
  const uint64_t nodes_max_;
  std::unordered_map<Client*, Account> accounts_;
  std::map<uint64_t, Client*> first_;  // the oldest of each account, and its key
  uint64_t bytes_ = 0;
  uint64_t clients_bytes_ = 0;
};

}  // namespace cairn::state_machine
