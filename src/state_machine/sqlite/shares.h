// Shares: how much each client holds of something that all clients share. One client takes at most
// an eighth, so it cannot lock the others out.
//
// The sums are a function of the log alone, because they decide which commands are refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace cairn::state_machine {

// Used by the apply thread.
class Shares {
 public:
  struct Client {
    std::string name;
    bool is_node = false;  // the node itself: never refused, and not counted in the total
    uint64_t held = 0;
    // Data of version 0.1 has no owner, and comes from many clients. Together it may exceed the
    // bound of one client, so that bound does not apply to it.
    bool is_known() const { return !name.empty(); }
  };

  explicit Shares(uint64_t total_max) : total_max_(total_max) {}

  uint64_t total() const { return total_; }
  uint64_t client_max() const { return total_max_ / 8; }

  // Never null. The pointer is valid until a Collect that finds that the client holds nothing.
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
  // Forgets the clients that hold nothing. Called between two batches. Within a batch the undo of a
  // command gives back what the command took, and needs the client.
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
  // References to the elements stay valid when the map grows.
  std::unordered_map<std::string, Client> clients_;
  std::vector<std::string> idle_;  // clients that may hold nothing
};

}  // namespace cairn::state_machine
