// Workloads: what the load asks of a cluster, each a history for a checker of testing/history.
#pragma once

#include <cairn/client.h>

#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "recorder.h"

namespace cairn::cluster_test {

// One kind of operations on tables of its own. Thread-safe: many processes share it. Keys are used
// for a while and left for new ones, so that each stays small enough to be judged.
class Workload {
 public:
  virtual ~Workload() = default;
  virtual std::vector<std::string> Tables() const = 0;
  // One operation of `process`, chosen by `rng`, recorded.
  virtual void Step(Client* client, Rng* rng, int64_t process) = 0;
  // Reads all that was ever written, each part until it is answered; false if `until` comes first.
  virtual bool ReadAll(Client* client, int64_t process,
                       std::chrono::steady_clock::time_point until) = 0;
};

struct NamedWorkload {
  std::string name;  // of the history: NAME.jsonl
  std::unique_ptr<Recorder> recorder;
  std::unique_ptr<Workload> workload;
};

// register, counter, set, list-append, bank and version, which record into `directory`. Accounts of
// the bank hold kBankTotal in all.
inline constexpr int64_t kBankTotal = 500;
std::vector<NamedWorkload> MakeWorkloads(const std::string& directory,
                                         const std::vector<std::string>& endpoints, Counts* counts);

}  // namespace cairn::cluster_test
