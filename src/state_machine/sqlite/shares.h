// Shares: what each client holds of something that all clients share, so that no client takes more
// than an eighth of it and locks the others out.
//
// The sums are a function of the log alone: they decide which commands are refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace cairn::state_machine {

// The apply thread's.
class Shares {
 public:
  struct Client {
    std::string name;
    bool is_node = false;  // a node's own: never refused, and not counted in the total
    uint64_t held = 0;
    // What version 0.1 left has no owner, and is not one client's: together it may well be more than
    // one client may hold, and none of it could go on.
    bool is_known() const { return !name.empty(); }
  };

  explicit Shares(uint64_t total_max) : total_max_(total_max) {}

  uint64_t total() const { return total_; }
  uint64_t client_max() const { return total_max_ / 8; }

  // Never null. The pointer is good until a Collect that finds the client to hold nothing.
  Client* Of(const std::string& name) {
    auto [it, made] = clients_.try_emplace(name);
    if (made) {
      it->second.name = name;
      it->second.is_node = name.starts_with("node:");
      idle_.push_back(name);
    }
    return &it->second;
  }

  bool Fits(const Client& client, uint64_t amount) const {
    if (client.is_node) return true;
    if (total_ + amount > total_max_) return false;
    return !client.is_known() || client.held + amount <= client_max();
  }
  void Add(Client* client, uint64_t amount) {
    client->held += amount;
    if (!client->is_node) total_ += amount;
  }
  void Take(Client* client, uint64_t amount) {
    client->held -= amount;
    if (!client->is_node) total_ -= amount;
    if (client->held == 0) idle_.push_back(client->name);
  }
  // Forgets the clients that hold nothing. Between two batches: within one, a command that is undone
  // gives back what was taken.
  void Collect() {
    for (const std::string& name : idle_) {
      const auto it = clients_.find(name);
      if (it != clients_.end() && it->second.held == 0) clients_.erase(it);
    }
    idle_.clear();
  }
  void Clear() {
    clients_.clear();
    idle_.clear();
    total_ = 0;
  }

 private:
  const uint64_t total_max_;
  uint64_t total_ = 0;
  // References to its elements stay good when it grows.
  std::unordered_map<std::string, Client> clients_;
  std::vector<std::string> idle_;  // may hold nothing
};

}  // namespace cairn::state_machine
