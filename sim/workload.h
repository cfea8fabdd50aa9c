// Workload: clients that do tasks through any node they reach, and record requests and answers. The
// workload runs the code of a real client and a real node to bring a request to its answer:
// rpc::Retrier names requests, opens sessions, retries and decides the outcome.
//
// A client has lanes, each of which does one task at a time. The lanes are the processes of the
// histories.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rpc/retrier.h"
#include "rpc/timers.h"
#include "sim/checker.h"
#include "sim/forwarding.h"
#include "sim/histories.h"
#include "sim/network.h"
#include "sim/node.h"
#include "sim/tasks.h"
#include "sim/world.h"
#include "state_machine/command.h"

namespace cairn::sim {

struct WorkloadOptions {
  int clients = 4;
  int depth = 4;  // the lanes of one client
  SteadyTime think_mean = milliseconds(200);
  SteadyTime attempt_timeout = seconds(2);
  SteadyTime operation_timeout = seconds(30);
  double impatient = 0.1;  // share of requests that are given up after the first attempt that fails
  // Share of writes under bare ids, outside the session. Each of them is sent once more, some time
  // after its answer.
  double bare = 0.0;
  SteadyTime repeat_after_max = seconds(30);
  // The cluster's request_ttl_ms. If it is not 0, writes of sessions are sent once more too, up to
  // three times as long after their answer: then they may no longer be known.
  SteadyTime remembered_for{0};
  // The cluster is restored from backups: what came of earlier requests may not be known any more.
  bool is_restored = false;
  // One more client names a request every so often, waits for no answer and acknowledges none,
  // until it is refused for lack of room. Then no other client may be refused for that reason. 0:
  // no such client.
  SteadyTime greedy_every{0};
  double stray = 0.1;  // share of attempts that go to any node instead of the one taken for leader
  // A node that does not lead forwards writes (forwarding.h); otherwise it refuses them.
  bool forwards = false;
  // Once the tables exist, every write at a node that forwards is answered OK within this time. 0:
  // not checked.
  SteadyTime write_within{0};
  TaskOptions tasks;
  // For tests of the checkers: changes an answer before the client sees it.
  std::function<void(const Task& task, state_machine::CommandResult* result)> tamper;
};

// The timeout by which a node answers, by its own clock.
inline constexpr SteadyTime kNodeTimeout = seconds(5);

class Workload {
 public:
  Workload(World* world, Network* network, const Nodes* nodes, WorkloadOptions options);

  // Makes the tables. The clients begin when the tables exist.
  void Start();
  // Starts no new tasks. Tasks in progress finish.
  void StopNew() { stopped_ = true; }
  size_t under_way() const { return under_way_; }
  // True if a write begun at or after `since` was acknowledged.
  bool WroteSince(SteadyTime since) const { return last_acknowledged_begun_ >= since; }
  // Call it when all tasks have ended and `node` holds all data. Reads everything at `node` and
  // judges the histories.
  void Judge(uint64_t node);

  struct Counts {
    uint64_t acknowledged = 0;  // requests of any kind
    uint64_t reads = 0;
    uint64_t session_reads = 0;
    uint64_t attempts = 0;
    uint64_t refused = 0;
    uint64_t unknown = 0;
    uint64_t committed = 0;  // two-phase transactions
    uint64_t repeats = 0;    // repeated requests that were answered
    uint64_t forgotten = 0;  // of these, those that were no longer known
    uint64_t greedy_refused = 0;
    uint64_t relayed = 0;  // writes that a node without the leader sent to another one to pass on
  };
  const Counts& counts() const { return counts_; }
  const Histories& histories() const { return histories_; }

 private:
  struct Client;
  struct Lane {
    Client* client = nullptr;
    int64_t process = 0;
    std::optional<Task> task;
    LogIndex seen;  // of the last write or read
  };
  struct Client final : public rpc::Retrier::Owner, public rpc::Timers, public Clock {
    Client(Workload* owner, int client_number);

    // The retrier's environment: its time and timers are the world's, and its attempts go to the
    // network.
    void Send(const rpc::Retrier::CallPtr& call) override;
    void Answer(const rpc::Retrier::CallPtr& call, Status status) override;
    rpc::Retrier::CallPtr NewOpening() override;
    void RunAt(SteadyTime when, std::function<void()> task) override;
    SteadyTime SteadyNow() const override;
    SteadyTime BootNow() const override { return SteadyNow(); }
    int64_t WallNowMs() const override { return 0; }

    Workload* const workload;
    const int number;
    int sessions = 0;     // named so far
    int bare_ids = 0;     // named so far
    uint64_t leader = 0;  // the node it takes for the leader
    std::vector<std::unique_ptr<Lane>> lanes;
    rpc::Retrier retrier;
  };
  // A request that is attempted until its outcome is known or its time is over.
  struct Call : rpc::Retrier::Call {
    Client* client = nullptr;
    Lane* lane = nullptr;  // null: the call opens a session
    Request request;
    state_machine::Command command;  // of a write
    LogIndex index_min;
    SteadyTime begun{0};
    bool impatient = false;  // the outcome after the first failure is final
    int attempt = 0;
    bool waits = false;  // for the outcome of this attempt
    bool sent = false;   // this attempt reached the network
    uint64_t node = 0;   // the node that answered
    std::optional<state_machine::CommandResult> result;
  };
  using CallPtr = std::shared_ptr<Call>;

  uint32_t LabelOf(const Client& client) const;
  void ScheduleClient(Client* client, SteadyTime after);
  void RunClient(Client* client);
  void RunGreedy();

  // Tasks.
  void Begin(Lane* lane, Task task, SteadyTime patience);
  void Record(const Task& task, history::EventType type, int64_t process, uint64_t node,
              history::Datum value);
  // `node` is the node that answered, 0 if none did.
  void Continue(Lane* lane, const Answer& answer, uint64_t node);
  void End(Lane* lane, const sim::End& end, uint64_t node);

  // Requests.
  void Ask(Lane* lane, Request request, SteadyTime patience);
  void Attempt(const CallPtr& call);
  uint64_t ChooseNode(const Call& call);
  void Arrive(const CallPtr& call, int attempt, uint64_t node, uint64_t incarnation);
  void Execute(const CallPtr& call, int attempt, uint64_t node);
  void Forward(const CallPtr& call, int attempt, uint64_t node);
  void Read(const CallPtr& call, int attempt, uint64_t node);
  void RunQueries(const CallPtr& call, int attempt, uint64_t node, uint64_t incarnation);
  Result<state_machine::CommandResult> Query(uint64_t node, const Request& request);
  void Reply(const CallPtr& call, int attempt, uint64_t node,
             Result<state_machine::CommandResult> result);
  void OnReply(const CallPtr& call, int attempt, uint64_t node,
               Result<state_machine::CommandResult> result);
  void OnTimeout(const CallPtr& call, int attempt);
  // The attempt is over.
  void Settle(const CallPtr& call, Status status);
  // The call is over: its outcome goes to its task.
  void Finish(const CallPtr& call, const Status& status);
  void Repeat(const Call& call);
  void RepeatAfter(SteadyTime after, const Call& call);
  void CheckRepeat(const state_machine::Command& command, const state_machine::CommandResult& first,
                   const Result<state_machine::CommandResult>& second);
  Answer Take(const CallPtr& call, const state_machine::CommandResult& result);
  void Fail(const Lane& lane, const std::string& what);

  World* const world_;
  Network* const network_;
  const Nodes* const nodes_;
  const WorkloadOptions options_;
  Rng rng_;
  Tasks tasks_;
  Forwarding forwarding_;
  bool tables_exist_ = false;
  Histories histories_;
  std::vector<std::unique_ptr<Client>> clients_;
  int64_t processes_ = 0;
  bool stopped_ = false;
  size_t under_way_ = 0;  // tasks in progress
  uint64_t greedy_requests_ = 0;
  SteadyTime last_acknowledged_begun_{-1};
  Counts counts_;
};

}  // namespace cairn::sim
