// Workload: clients that write and read through whichever node they reach, try again under the same
// request id, and know what the answers may be.
//
// What is asked is chosen so that a wrong answer shows at once: registers count their own writes,
// so that an answer is stale, or a write lost or applied twice, if the count is out of line; items
// are inserted under unique names into a table that would take a name twice; transfers keep a sum.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "sim/checker.h"
#include "sim/network.h"
#include "sim/node.h"
#include "sim/world.h"
#include "state_machine/command.h"

namespace cairn::sim {

struct WorkloadOptions {
  int clients = 4;
  int depth = 4;  // requests of one client under way
  SteadyTime think_mean = milliseconds(200);
  int registers = 8;
  SteadyTime attempt_timeout = seconds(2);
  SteadyTime operation_timeout = seconds(30);
  double stray = 0.1;  // share of attempts that go to any node instead of the one taken for leader
};

class Workload {
 public:
  Workload(World* world, Network* network, const Nodes* nodes, WorkloadOptions options);

  // Makes the tables; clients begin once they are there.
  void Start();
  bool begun() const { return begun_; }
  // No new operations; those under way come to an end.
  void StopNew() { stopped_ = true; }
  size_t under_way() const { return under_way_; }
  // A write begun at or after `since` was acknowledged.
  bool WroteSince(SteadyTime since) const;
  // Once all have ended and `node` holds all: what was acknowledged is there once, what was refused
  // is not there.
  void CheckFinal(uint64_t node);

  struct Counts {
    uint64_t acknowledged = 0;
    uint64_t reads = 0;
    uint64_t attempts = 0;
    uint64_t refused = 0;
    uint64_t unknown = 0;
    uint64_t committed = 0;  // transactions of two phases
  };
  const Counts& counts() const { return counts_; }

 private:
  enum class Kind {
    kSchema,
    kOpen,
    kWrite,
    kRead,
    kLocalRead,
    kItem,
    kTransfer,
    kSum,
    kMixed,
    kPrepare,
    kCommit,
    kRollback,
    kEscrow,
    kEscrowSum
  };
  struct Client {
    int number = 0;
    std::string session;
    int generation = 0;
    bool open = false;
    uint64_t next_sequence = 1;
    std::set<uint64_t> outstanding;  // sequences
    int under_way = 0;
    uint64_t leader = 0;                 // the node it takes for the leader
    LogIndex last_index;                 // of its own last write that was acknowledged
    std::map<int64_t, int64_t> written;  // count of each register after its own last write
  };
  struct Operation {
    Kind kind = Kind::kRead;
    Client* client = nullptr;
    state_machine::Command command;  // of a write
    int64_t key = 0;
    int64_t value = 0;
    int64_t floor = 0;  // the register's count that was known when this began
    LogIndex index_min;
    std::string tx_id;
    std::vector<state_machine::Row> prepared;  // what Commit must give again
    SteadyTime begun{0};
    SteadyTime deadline{0};
    int attempt = 0;
    bool done = false;
    int undecided = 0;  // attempts sent that may have been, or may yet be, applied
  };
  using OperationPtr = std::shared_ptr<Operation>;
  struct Register {
    int64_t floor = 0;  // the highest count that anyone has seen
    uint64_t writes_acknowledged = 0;
    uint64_t writes_unknown = 0;
    std::map<int64_t, int64_t> values;  // by count
  };

  void ScheduleClient(Client* client, SteadyTime after);
  void RunClient(Client* client);
  OperationPtr Make(Client* client);
  OperationPtr MakePrepare(Client* client);
  // After a Prepare: it is committed, rolled back, or left to expire.
  void Conclude(const OperationPtr& prepare, std::vector<state_machine::Row> rows);
  OperationPtr MakeWrite(Client* client, Kind kind,
                         std::vector<state_machine::Statement> statements);
  void OpenSession(Client* client);
  void Begin(const OperationPtr& op);

  // Attempts.
  void Attempt(const OperationPtr& op);
  uint64_t ChooseNode(const Operation& op);
  void Arrive(const OperationPtr& op, int attempt, uint64_t node, uint64_t incarnation);
  void Execute(const OperationPtr& op, int attempt, uint64_t node);
  void Read(const OperationPtr& op, int attempt, uint64_t node);
  void RunQuery(const OperationPtr& op, int attempt, uint64_t node, uint64_t incarnation);
  void Answer(const OperationPtr& op, int attempt, uint64_t node,
              Result<state_machine::CommandResult> result);
  void OnAnswer(const OperationPtr& op, int attempt, uint64_t node,
                const Result<state_machine::CommandResult>& result);
  void OnTimeout(const OperationPtr& op, int attempt);
  void Retry(const OperationPtr& op);
  // Given up; what became of it is not known, or it surely was not applied.
  void GiveUp(const OperationPtr& op);
  void Finish(const OperationPtr& op);
  bool writes(Kind kind) const;

  // Judgement.
  void Judge(const OperationPtr& op, const state_machine::CommandResult& result);
  void JudgeRegister(const OperationPtr& op, int64_t count, int64_t value);
  void Fail(const Operation& op, const std::string& what);

  World* const world_;
  Network* const network_;
  const Nodes* const nodes_;
  const WorkloadOptions options_;
  Rng rng_;
  std::vector<std::unique_ptr<Client>> clients_;
  bool begun_ = false;
  bool stopped_ = false;
  size_t under_way_ = 0;
  int64_t next_value_ = 1;
  uint64_t next_tx_ = 1;
  std::map<int64_t, Register> registers_;
  std::set<int64_t> items_acknowledged_;
  std::set<int64_t> items_unknown_;
  std::set<int64_t> items_refused_;
  std::vector<SteadyTime> writes_acknowledged_;  // when each was begun
  Counts counts_;
};

}  // namespace cairn::sim
