#include "tools/dev_cluster.h"

#include <signal.h>

#include <fstream>

#include "base/file_system.h"
#include "base/text.h"
#include "server/port_check.h"
#include "tools/cluster_view.h"
#include "tools/node_client.h"

namespace cairn::tools {
namespace {

using SteadyClock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// How often the nodes are asked while the cluster elects its first leader.
constexpr milliseconds kAskEvery{50};
constexpr milliseconds kAskTimeout{300};
constexpr size_t kLogTailLines = 5;
// The most that --nodes takes.
constexpr int kNodesMax = 9;

class DevCluster {
 public:
  DevCluster(const DevOptions& options, std::ostream* out)
      : options_(options), out_(*out), signals_(/*children=*/true) {}

  int Run() {
    const Status up = BringUp();
    if (!up.ok()) {
      out_ << "error: " << up.message() << std::endl;
      Stop();
      return 1;
    }
    if (!stopping_) {
      Announce();
      WatchUntilStopped();
    }
    const bool all_ended = Running() == 0;
    return Stop() && !all_ended ? 0 : 1;
  }

 private:
  struct Node {
    int id;
    std::string address;
    std::string log_path;
    ChildProcess process;
    bool end_reported = false;
  };

  std::string Address(int id) const {
    return "127.0.0.1:" + std::to_string(options_.base_port + id - 1);
  }

  Status BringUp() {
    RETURN_IF_ERROR(CheckPorts());
    RETURN_IF_ERROR(PosixFileSystem().CreateDirectories(options_.directory));
    SayWhatIsNotStarted();
    std::string peers;
    for (int id = 1; id <= options_.nodes; ++id) {
      peers += (id == 1 ? "" : ",") + std::to_string(id) + "=" + Address(id);
    }
    for (int id = 1; id <= options_.nodes; ++id) RETURN_IF_ERROR(StartNode(id, peers));
    return AwaitLeader();
  }

  // Checked before any node is started. Otherwise a node of another cluster that answers on one of
  // the ports would be taken for a node of this one.
  Status CheckPorts() const {
    for (int id = 1; id <= options_.nodes; ++id) {
      const auto port = static_cast<uint16_t>(options_.base_port + id - 1);
      const auto check = server::PortCheck::Bind("127.0.0.1", port);
      if (!check.ok()) {
        return Status(check.status().code(),
                      "node " + std::to_string(id) + ": " + check.status().message());
      }
    }
    return OkStatus();
  }

  // If one node of a cluster of three is started, there is no majority, and nothing else would say
  // why.
  void SayWhatIsNotStarted() {
    std::string more;
    int held = options_.nodes;
    for (int id = options_.nodes + 1; id <= kNodesMax; ++id) {
      const Result<bool> exists = PosixFileSystem().Exists(DataFile(id));
      if (!exists.ok() || !*exists) continue;
      more += (more.empty() ? "" : ", ") + std::to_string(id);
      held = id;
    }
    if (more.empty()) return;
    out_ << "note: " << options_.directory << " also holds the data of node " << more
         << ", which --nodes " << options_.nodes << " does not start; --nodes " << held
         << " starts all, another --dir makes a new cluster" << std::endl;
  }

  std::string DataFile(int id) const {
    return options_.directory + "/node" + std::to_string(id) + ".db";
  }

  Status StartNode(int id, const std::string& peers) {
    const std::string stem = options_.directory + "/node" + std::to_string(id);
    std::vector<std::string> arguments = {"cairn",  "server",
                                          "--id",   std::to_string(id),
                                          "--port", std::to_string(options_.base_port + id - 1),
                                          "--db",   DataFile(id)};
    if (options_.nodes > 1) arguments.insert(arguments.end(), {"--peers", peers});
    ASSIGN_OR_RETURN(ChildProcess process,
                     ChildProcess::Start("/proc/self/exe", arguments, stem + ".log"));
    nodes_.push_back({id, Address(id), stem + ".log", std::move(process)});
    return OkStatus();
  }

  // Waits until a node says that it leads and serves, until a signal comes, or until a node has
  // ended. A node that has ended said why, and the cluster is not what was asked for.
  Status AwaitLeader() {
    const auto until = SteadyClock::now() + options_.start_timeout;
    while (SteadyClock::now() < until) {
      for (const Node& node : nodes_) {
        // A new connection each time: a refused one would wait before it connects again.
        const Result<v1::StatusResponse> status =
            NodeClient(node.address).ClusterStatus(kAskTimeout);
        if (!status.ok() || status->role() != v1::ROLE_LEADER) continue;
        leader_ = status->node_id();
        return OkStatus();
      }
      if (TakeSignal(signals_.Wait(kAskEvery))) return OkStatus();
      for (const Node& node : nodes_) {
        if (node.end_reported) {
          return Unavailable("node " + std::to_string(node.id) + " did not start");
        }
      }
    }
    return DeadlineExceeded("no leader within " + std::to_string(options_.start_timeout.count()) +
                            " ms; the nodes' logs are in " + options_.directory);
  }

  void Announce() {
    for (const Node& node : nodes_) {
      out_ << "node " << node.id << (leader_ == static_cast<uint64_t>(node.id) ? " (leader)" : "")
           << " at " << node.address << ", pid " << node.process.pid() << ", log " << node.log_path
           << "\n";
    }
    out_ << "without TLS: every process of this machine can read and change the data\n"
         << "connect with: cairn shell " << nodes_[0].address << "\n"
         << "ready; Ctrl-C stops the cluster" << std::endl;
  }

  void WatchUntilStopped() {
    while (!stopping_ && Running() > 0) TakeSignal(signals_.Wait());
  }

  // True if the signal ends the cluster. Reports nodes that have ended.
  bool TakeSignal(const std::optional<int>& signal_number) {
    if (signal_number == SIGINT || signal_number == SIGTERM) stopping_ = true;
    for (Node& node : nodes_) {
      if (!node.process.Poll() || node.end_reported) continue;
      node.end_reported = true;
      if (stopping_) continue;
      out_ << "node " << node.id << " " << *node.process.Poll() << "; its log " << node.log_path
           << " ends:\n";
      PrintLogTail(node.log_path);
    }
    return stopping_;
  }

  void PrintLogTail(const std::string& path) {
    std::ifstream log(path);
    std::vector<std::string> tail;
    for (std::string line; std::getline(log, line);) {
      tail.push_back(line);
      if (tail.size() > kLogTailLines) tail.erase(tail.begin());
    }
    for (const std::string& line : tail) out_ << "  " << line << "\n";
    out_.flush();
  }

  size_t Running() const {
    size_t running = 0;
    for (const Node& node : nodes_) running += node.process.running() ? 1 : 0;
    return running;
  }

  // False if a node had to be killed.
  bool Stop() {
    stopping_ = true;
    if (Running() > 0) out_ << "stopping " << Counted(Running(), "node") << std::endl;
    for (const Node& node : nodes_) node.process.Signal(SIGTERM);
    const auto until = SteadyClock::now() + options_.stop_timeout;
    bool impatient = false;
    while (Running() > 0 && !impatient) {
      const auto left = std::chrono::duration_cast<milliseconds>(until - SteadyClock::now());
      const std::optional<int> signal_number = signals_.Wait(std::max(left, milliseconds(0)));
      impatient = !signal_number || *signal_number != SIGCHLD;
      TakeSignal(signal_number);
    }
    if (Running() == 0) return true;
    for (const Node& node : nodes_) {
      if (node.process.running()) out_ << "killing node " << node.id << std::endl;
      node.process.Signal(SIGKILL);
    }
    return false;
  }

  const DevOptions options_;
  std::ostream& out_;
  StopSignals signals_;
  std::vector<Node> nodes_;
  uint64_t leader_ = 0;
  bool stopping_ = false;
};

}  // namespace

int RunDevCluster(const DevOptions& options, std::ostream* out) {
  return DevCluster(options, out).Run();
}

}  // namespace cairn::tools
