// Tasks: the work of the simulated clients. A task is one operation of a history. It takes one
// request or, for a two-phase transaction, several.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/rng.h"
#include "sim/histories.h"
#include "state_machine/command.h"
#include "testing/history/event.h"

namespace cairn::sim {

// A request to a node.
struct Request {
  std::optional<state_machine::Operation> write;  // absent: a read, of one point in the log
  std::vector<state_machine::Statement> queries;
  std::string version_of;       // a table whose version is read, as one row
  bool of_session = false;      // at any node that has applied what the session has seen
  bool may_fail = false;        // a two-phase transaction may hold what it touches
  bool may_miss = false;        // it expects what cannot be
  bool may_lack_level = false;  // the feature level of the cluster may not know it
  bool may_exhaust = false;     // it may be more work than one command may do
};

// The outcome of a request. kOk: `result` holds the result, and its status is OK. kFail: the
// request surely had no effect.
struct Answer {
  history::EventType type = history::EventType::kInfo;
  const state_machine::CommandResult* result = nullptr;
};

// The end of a task.
struct End {
  history::EventType type = history::EventType::kInfo;
  history::Datum value;
  std::string broken;  // not empty: an answer that is wrong by itself
};

struct Task {
  std::optional<Family> family;  // absent: in no history
  bool of_session = false;
  std::string f;
  history::Datum asked;
  Request first;
  std::function<std::variant<Request, End>(const Answer&)> next;
};

struct TaskOptions {
  int keys = 8;  // counters and registers
  double read_share = 0.4;
  int cold_rows = 0;  // of a table that is made once and not changed after that
  // The share of commands that do much work. The budgets of the nodes lie between the constants of
  // Tasks.
  double heavy = 0;
  double series = 0;   // the share of requests to a time series
  double vectors = 0;  // the share of requests to a table with a vector index
  // Restores undo what was acknowledged.
  bool is_restored = false;
  // The share of the load of each kind of data.
  std::array<int, kFamilies> weights{4, 2, 2, 4, 1, 2, 1};
};

class Tasks {
 public:
  Tasks(Rng rng, TaskOptions options) : rng_(rng), options_(options) {}

  static constexpr int64_t kBankTotal = 600;
  // Where commands are heavy: the smallest and the largest request_steps_max of a node.
  static constexpr uint64_t kStepsMaxLow = 400'000;
  static constexpr uint64_t kStepsMaxHigh = 900'000;
  // The text that all cold rows hold, and nothing else holds.
  static constexpr char kColdText[] = "this row is neither read nor written by any client";

  Task MakeTables();
  Task Draw();
  // Reads of all data, for the end of a run.
  std::vector<Task> FinalReads();

 private:
  static constexpr int kListSlots = 8;
  static constexpr int kListTables = 4;
  struct Append {
    int64_t key;
    int64_t value;
    bool reads_only;
  };

  // What is in no history, as often as the options say.
  std::optional<Task> DrawOther();
  Task DrawCounter();
  Task DrawRegister();
  Task DrawSet();
  Task DrawList();
  Task DrawListRead(bool of_session);
  Task DrawTransfer();
  Task DrawBatch(Task task, int64_t from, int64_t to, int64_t amount);
  Task DrawVersion();
  Task DrawMixed();
  Task DrawHeavy();
  Task DrawSeries();
  Task CreateSeries();
  Task ReadSeries();
  Task AppendSeries(int64_t device);
  Task WriteSeries(state_machine::Statement statement);
  Task DrawVectors();
  Task CreateVectors();
  Task ReadVectors();
  Task WriteVectors(int64_t first, int64_t last, std::optional<int64_t> draw,
                    state_machine::Statement statement);
  Task ReadCounter(int64_t key);
  Task ReadRegister(int64_t key);
  Task ReadSet(int64_t group);
  Task ReadLists(std::vector<int64_t> keys, bool of_session);
  Task ReadBank();
  Task ReadVersion(int64_t table);
  // A two-phase transaction: each statement is prepared, then all are committed, rolled back, or
  // left to expire. `answer` makes the task's value from the rows.
  Task TwoPhases(Task task, std::vector<state_machine::Statement> statements,
                 std::function<history::Datum(const state_machine::CommandResult&)> answer);
  int64_t ListKey();
  bool Chance(double share) { return static_cast<double>(rng_.Below(1000)) < share * 1000; }

  Rng rng_;
  const TaskOptions options_;
  int64_t next_value_ = 1;
  uint64_t next_tx_ = 1;
  int64_t next_item_ = 0;
  bool has_series_ = false;
  int64_t series_time_ = 0;  // of the next new point
  // What was acknowledged, and must be there unless it has expired: points at each kSeriesStep.
  struct Stretch {
    int64_t device = 0;
    int64_t from = 0;
    int64_t until = 0;
    bool Meets(const Stretch& other) const { return from < other.until && other.from < until; }
  };
  bool Stays(const Stretch& stretch) const;
  std::vector<Stretch> appended_;
  std::vector<Stretch> deleted_;  // perhaps, of all devices
  bool has_vectors_ = false;
  // Of a row with a vector: the draw that was acknowledged last. A row whose writes overlap, or may
  // still come, is not known.
  struct KnownVector {
    int open = 0;  // writes
    bool lost = false;
    std::optional<int64_t> draw;
    uint64_t writes = 0;
  };
  std::map<int64_t, KnownVector> vectors_;
  std::map<int64_t, int64_t> register_values_;  // last known value of each, for compare-and-set
  std::array<int64_t, kListSlots> list_generations_{};
  std::array<int, kListSlots> list_appends_{};
};

}  // namespace cairn::sim
