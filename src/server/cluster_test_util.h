// Whole servers in this process, on loopback and in a temporary directory.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "cairn/client.h"
#include "rpc/cluster_client.h"
#include "server/port_check.h"
#include "server/server.h"
#include "testing/sanitized.h"

namespace cairn::server {

class TestCluster {
 public:
  explicit TestCluster(size_t nodes) {
    std::string pattern = std::filesystem::temp_directory_path().string() + "/cairn_test_XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
    std::vector<std::unique_ptr<PortCheck>> ports;  // held together, so that they differ
    for (size_t i = 0; i < nodes; ++i) ports.push_back(*PortCheck::Bind("127.0.0.1", 0));
    std::map<uint64_t, std::string> peers;
    for (size_t i = 0; i < nodes; ++i) {
      peers[i + 1] = "127.0.0.1:" + std::to_string(ports[i]->port());
    }
    for (size_t i = 0; i < nodes; ++i) {
      ServerOptions options;
      options.node_id = i + 1;
      options.tick *= kSlowness;
      options.port = ports[i]->port();
      options.db_path = directory_ + "/node" + std::to_string(i + 1) + ".db";
      if (nodes > 1) options.peers = peers;
      options.free_bytes_min = 0;
      options_.push_back(options);
    }
    ports.clear();
    servers_.resize(nodes);
    for (size_t i = 0; i < nodes; ++i) StartNode(i);
  }
  ~TestCluster() {
    servers_.clear();
    std::filesystem::remove_all(directory_);
  }

  void StartNode(size_t i) {
    auto server = Server::Start(options_[i]);
    ASSERT_TRUE(server.ok()) << server.status();
    servers_[i] = *std::move(server);
  }
  void StopNode(size_t i) { servers_[i].reset(); }

  const ServerOptions& options(size_t i) const { return options_[i]; }
  std::string address(size_t i) const { return "127.0.0.1:" + std::to_string(options_[i].port); }
  std::vector<std::string> addresses() const {
    std::vector<std::string> all;
    for (size_t i = 0; i < options_.size(); ++i) all.push_back(address(i));
    return all;
  }
  const std::string& directory() const { return directory_; }

  // The index of the leader once the running nodes agree; -1 after 30 seconds (times kSlowness).
  int AwaitLeader() {
    const SteadyTime by = SystemClock().SteadyNow() + std::chrono::seconds(30) * kSlowness;
    while (SystemClock().SteadyNow() < by) {
      std::map<uint64_t, size_t> votes;
      size_t running = 0;
      for (size_t i = 0; i < servers_.size(); ++i) {
        if (servers_[i] == nullptr) continue;
        ++running;
        const auto status =
            rpc::ClusterClient(address(i), nullptr).Status(std::chrono::seconds(5) * kSlowness);
        if (status.ok() && status->leader_node_id() != 0) ++votes[status->leader_node_id()];
      }
      if (votes.size() == 1 && votes.begin()->second == running) {
        const size_t leader = votes.begin()->first - 1;
        if (servers_[leader] != nullptr) return static_cast<int>(leader);
      }
    }
    return -1;
  }

  std::unique_ptr<Client> Connect(std::vector<std::string> endpoints, bool pin = false) {
    ClientOptions options;
    options.endpoints = std::move(endpoints);
    options.pin_endpoint = pin;
    options.timeout = std::chrono::seconds(30) * kSlowness;
    return *Client::Connect(options);
  }

 private:
  std::string directory_;
  std::vector<ServerOptions> options_;
  std::vector<std::unique_ptr<Server>> servers_;
};

}  // namespace cairn::server
