#include "tools/load.h"

#include <cairn/client.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <map>
#include <sstream>
#include <thread>

#include "base/mutex.h"
#include "tools/node_client.h"
#include "tools/process_tls.h"
#include "tools/scenario.h"
#include "tools/stop_signals.h"

namespace cairn::tools {
namespace {

using SteadyClock = std::chrono::steady_clock;

// There is no key, so that a row that is applied twice shows.
constexpr const char* kCreate =
    "CREATE TABLE IF NOT EXISTS load_rows (run TEXT NOT NULL, writer INTEGER NOT NULL, seq INTEGER "
    "NOT NULL)";
constexpr const char* kInsert = "INSERT INTO load_rows VALUES (?1, ?2, ?3)";

using WriteId = std::pair<int64_t, int64_t>;  // writer, sequence

struct Ledger {
  std::string run;
  std::map<WriteId, std::string> outcomes;  // acknowledged, refused or unknown
};

const char* OutcomeOf(const Status& status) {
  if (status.ok()) return "acknowledged";
  return status.outcome() == Outcome::kNotApplied ? "refused" : "unknown";
}

Result<Ledger> ReadLedger(const std::string& path) {
  std::ifstream file(path);
  Ledger ledger;
  if (!(file >> ledger.run)) return NotFound("no ledger of a load in " + path);
  WriteId id;
  std::string outcome;
  while (file >> id.first >> id.second >> outcome) ledger.outcomes[id] = outcome;
  return ledger;
}

// Counts how often each row of the run is there.
class CountSink final : public ResultSink {
 public:
  Status OnColumns(const std::vector<Column>&) override { return OkStatus(); }
  Status OnRow(const Row& row) override {
    counts[{std::get<int64_t>(row.at(0)), std::get<int64_t>(row.at(1))}] =
        std::get<int64_t>(row.at(2));
    return OkStatus();
  }
  std::map<WriteId, int64_t> counts;
};

Status Judge(const Ledger& ledger, const std::map<WriteId, int64_t>& counts) {
  const auto name = [](const WriteId& id) {
    return "row " + std::to_string(id.second) + " of writer " + std::to_string(id.first);
  };
  for (const auto& [id, outcome] : ledger.outcomes) {
    const auto found = counts.find(id);
    const int64_t count = found == counts.end() ? 0 : found->second;
    if (outcome == "acknowledged" && count == 0) return DataLoss(name(id) + " is lost");
    if (outcome == "refused" && count != 0) {
      return DataLoss(name(id) + " is there, though it was said not to be applied");
    }
    if (count > 1) return DataLoss(name(id) + " is there " + std::to_string(count) + " times");
  }
  for (const auto& [id, count] : counts) {
    if (!ledger.outcomes.contains(id)) return DataLoss(name(id) + " was never written");
  }
  return OkStatus();
}

class Load {
 public:
  Load(const LoadOptions& options, Client* client, std::ostream* ledger, std::string run)
      : options_(options), client_(*client), ledger_(*ledger), run_(std::move(run)) {}

  void Run() {
    std::vector<std::thread> writers;
    for (int writer = 1; writer <= options_.writers; ++writer) {
      writers.emplace_back([this, writer] { Write(writer); });
    }
    for (std::thread& writer : writers) writer.join();
  }

  std::map<std::string, int64_t> totals;
  std::string last_error;
  std::atomic<bool> stop{false};

 private:
  void Write(int64_t writer) {
    for (int64_t seq = 1; !stop && SteadyClock::now() < until_; ++seq) {
      const Result<ExecuteResult> result =
          client_.Execute({{.sql = kInsert, .positional = {run_, writer, seq}, .named = {}}});
      const char* outcome = OutcomeOf(result.status());
      MutexLock lock(mutex_);
      ledger_ << writer << " " << seq << " " << outcome << "\n";
      ++totals[outcome];
      if (!result.ok()) last_error = result.status().ToString();
    }
  }

  const LoadOptions& options_;
  Client& client_;
  std::ostream& ledger_;
  const std::string run_;
  const SteadyClock::time_point until_ = SteadyClock::now() + options_.duration;
  Mutex mutex_;
};

}  // namespace

Status RunLoad(const LoadOptions& options, std::ostream* out) {
  ClientOptions client_options;
  client_options.tls_directory = ProcessTlsDirectory();
  client_options.token_file = ProcessTokenFile();
  client_options.endpoints = options.addresses;
  client_options.timeout = options.call_timeout;
  StopSignals signals;  // made before any thread
  ASSIGN_OR_RETURN(const std::unique_ptr<Client> client, Client::Connect(client_options));
  const Result<ExecuteResult> created =
      client->Execute({{.sql = kCreate, .positional = {}, .named = {}}});
  if (!created.ok()) return Status(created.status()).Prefixed("CREATE TABLE");
  const std::string run = RandomRunName();
  std::ofstream ledger(options.ledger_path);
  ledger << run << "\n";
  *out << "  load begins" << std::endl;
  Load load(options, client.get(), &ledger, run);
  std::thread stopper([&] { load.stop = signals.Wait(options.duration).has_value(); });
  load.Run();
  signals.Cancel();
  stopper.join();
  ledger.close();
  if (!ledger) return ErrnoStatus("write " + options.ledger_path, errno);
  *out << "  writes: " << load.totals["acknowledged"] << " acknowledged, " << load.totals["refused"]
       << " refused, " << load.totals["unknown"] << " of unknown outcome" << std::endl;
  if (!load.last_error.empty()) *out << "  last error: " << load.last_error << std::endl;
  if (load.totals["acknowledged"] == 0) return Unavailable("no write was acknowledged");
  return OkStatus();
}

Status CheckLoad(const LoadOptions& options, std::ostream* out) {
  ASSIGN_OR_RETURN(const Ledger ledger, ReadLedger(options.ledger_path));
  const std::string sql = "SELECT writer, seq, count(*) FROM load_rows WHERE run = '" + ledger.run +
                          "' GROUP BY writer, seq";
  std::map<WriteId, int64_t> first;
  for (size_t i = 0; i < options.addresses.size(); ++i) {
    NodeClient node(options.addresses[i]);
    // A linearizable read: the node must have applied all that was acknowledged before now.
    CountSink sink;
    Status status = node.Query({sql, {}, {}}, v1::ReadOptions(), options.call_timeout, &sink);
    if (status.ok()) status = Judge(ledger, sink.counts);
    if (status.ok() && i > 0 && sink.counts != first) {
      status = DataLoss("its rows differ from those of " + options.addresses[0]);
    }
    if (!status.ok()) return std::move(status).Prefixed(options.addresses[i]);
    if (i == 0) first = sink.counts;
    *out << "  " << options.addresses[i] << " holds " << sink.counts.size()
         << " rows: all that were acknowledged, none twice" << std::endl;
  }
  return OkStatus();
}

}  // namespace cairn::tools
