// LoadCommands: sends the commands of a load, and names the row that a failure is about.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "cairn/client.h"
#include "tools/bulk_load.h"
#include "tools/command_maker.h"
#include "tools/load_plan.h"
#include "tools/local_database.h"

namespace cairn::tools {

// One of the commands of a load in many of them.
inline constexpr size_t kCommandBytes = 2u << 20;

// What all parts of a load use.
struct LoadContext {
  LocalDatabase* local = nullptr;
  Client* client = nullptr;
  Client* maintenance = nullptr;
  const BulkLoadOptions* options = nullptr;
  LoadPlan plan;
  BulkLoadResult result;
};

// Row number `row` of the load, from 1, for errors: "FILE:LINE: row N of T".
std::string RowName(const LoadContext& load, uint64_t row);

// For one thread.
class LoadCommands {
 public:
  explicit LoadCommands(LoadContext* load) : load_(*load) {}
  ~LoadCommands() { WaitForAll(); }
  LoadCommands(const LoadCommands&) = delete;
  LoadCommands& operator=(const LoadCommands&) = delete;

  enum class Work : uint8_t {
    kAsNeeded,    // sent again with the budget of maintenance if the command needs that
    kOneRequest,  // no more than any request may do
  };
  // One command. It is sent again while a prepared transaction or another maintenance is in its way.
  // `rows_before`: rows of the load that come before those of the command.
  Status Must(const Command& command, ForeignKeys keys, uint64_t rows_before,
              Work work = Work::kAsNeeded);
  Status Must(Statement statement, ForeignKeys keys);
  // Does not wait for the command: several are under way. Returns the first failure so far.
  Status Send(Command command, ForeignKeys keys, uint64_t rows_before);
  // Waits for all that were sent, and returns their first failure.
  Status Wait();

  // The failure, with the statement or the row that it is about. `rows`: of each statement.
  Status Where(Status status, const std::vector<size_t>& rows, uint64_t rows_before,
               const std::string& sql) const;

 private:
  struct Failure {
    Status status;
    std::vector<size_t> rows;
    uint64_t rows_before = 0;
  };

  struct Sent {
    Command command;
    ForeignKeys keys = ForeignKeys::kEnforced;
    uint64_t rows_before = 0;
  };

  void WaitForAll();
  // Nothing has changed, and that will not last.
  static bool IsInTheWay(const Status& status, bool maintains);

  LoadContext& load_;
  Mutex mutex_;
  CondVar changed_;
  size_t in_flight_ CAIRN_GUARDED_BY(mutex_) = 0;
  Failure failure_ CAIRN_GUARDED_BY(mutex_);
  std::vector<Sent> again_ CAIRN_GUARDED_BY(mutex_);  // something was in their way
};

}  // namespace cairn::tools
