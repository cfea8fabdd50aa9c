#include "tools/scenario.h"

#include <algorithm>
#include <map>
#include <random>
#include <thread>

#include "tools/cluster_view.h"

namespace cairn::tools {
namespace {

using SteadyClock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr uint64_t kStatementsOfTransfer = 2;
// The pause between rounds over all nodes when none could answer. A node that is down gives no
// event to wait for.
constexpr milliseconds kRetryPause{50};
// How often to ask again when other writers move the nodes' indexes apart.
constexpr int kCompareRounds = 50;

// Whether another node, or the same node later, may do better.
bool WantsRetry(const Status& status) {
  return status.code() == StatusCode::kUnavailable ||
         status.code() == StatusCode::kDeadlineExceeded ||
         (status.code() == StatusCode::kCancelled);
}

// Reads a version. 0 for lack of a leader is an error, not a version.
Result<int64_t> TrueVersion(NodeClient& node, const std::string& table, milliseconds timeout) {
  ASSIGN_OR_RETURN(const int64_t version, node.Version(table, timeout));
  if (version != 0) return version;
  const Result<LocalVersion> sure =
      node.VersionV1(table, v1::VERSION_LEVEL_LINEARIZABLE, 0, timeout);
  if (!sure.ok()) return Unavailable("answered version 0 for want of a leader");
  return sure->version;
}

std::string Names(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

}  // namespace

std::string RandomRunName() {
  std::random_device source;
  char text[17];
  std::snprintf(text, sizeof(text), "%08x%08x", source(), source());
  return text;
}

Scenario::Scenario(ScenarioOptions options, std::ostream* out)
    : options_(std::move(options)), out_(*out), run_(RandomRunName()) {
  for (const std::string& address : options_.addresses) {
    nodes_.push_back(std::make_unique<NodeClient>(address));
  }
}

void Scenario::Say(const std::string& line) { out_ << "  " << line << std::endl; }

Status Scenario::FindReachable(std::vector<NodeClient*>* reachable) {
  std::vector<std::string> names;
  for (const auto& node : nodes_) {
    const Result<int64_t> version = TrueVersion(*node, "", options_.call_timeout);
    if (version.ok()) {
      reachable->push_back(node.get());
      names.push_back(node->address());
    } else {
      Say(node->address() + " is unreachable: " + version.status().ToString());
    }
  }
  if (reachable->size() < Majority()) {
    return Unavailable("only " + std::to_string(reachable->size()) + " of " +
                       std::to_string(nodes_.size()) + " nodes can be reached; a majority is " +
                       std::to_string(Majority()));
  }
  Say("reachable: " + Names(names));
  return OkStatus();
}

Status Scenario::OnAnyNode(const std::function<Status(NodeClient&)>& call) {
  const auto until = SteadyClock::now() + options_.retry_timeout;
  while (true) {
    Status status;
    for (size_t i = 0; i < nodes_.size(); ++i) {
      const size_t chosen = (preferred_ + i) % nodes_.size();
      status = call(*nodes_[chosen]);
      if (!WantsRetry(status)) {
        preferred_ = chosen;
        return status;
      }
      Say(nodes_[chosen]->address() + ": " + status.ToString() + "; trying the next node");
    }
    if (SteadyClock::now() >= until) return status;
    std::this_thread::sleep_for(kRetryPause);
  }
}

Result<int64_t> Scenario::Execute(const std::string& sql) {
  const std::string request_id = run_ + "-" + std::to_string(next_request_++);
  int64_t rows = 0;
  const Status done = OnAnyNode([&](NodeClient& node) -> Status {
    ASSIGN_OR_RETURN(rows, node.Execute(sql, request_id, options_.call_timeout));
    return OkStatus();
  });
  RETURN_IF_ERROR(done);
  return rows;
}

Result<int64_t> Scenario::Version(const std::string& table) {
  int64_t version = 0;
  const Status done = OnAnyNode([&](NodeClient& node) -> Status {
    ASSIGN_OR_RETURN(version, TrueVersion(node, table, options_.call_timeout));
    return OkStatus();
  });
  RETURN_IF_ERROR(done);
  return version;
}

Status Scenario::ExpectGrowth(const std::string& table, int64_t expected,
                              const std::function<Status()>& step) {
  ASSIGN_OR_RETURN(const int64_t before, Version(table));
  RETURN_IF_ERROR(step());
  ASSIGN_OR_RETURN(const int64_t after, Version(table));
  const std::string grew =
      "version of " + table + ": " + std::to_string(before) + " -> " + std::to_string(after);
  if (after - before != expected) {
    return FailedPrecondition(grew + ", but it should have grown by " + std::to_string(expected));
  }
  Say(grew);
  return OkStatus();
}

Status Scenario::CreateTables() {
  ASSIGN_OR_RETURN(const int64_t before, Version(""));
  for (const std::string& sql :
       {std::string("CREATE TABLE IF NOT EXISTS ") + kAccounts +
            " (run TEXT NOT NULL, id INTEGER NOT NULL, owner TEXT NOT NULL, balance INTEGER NOT "
            "NULL, PRIMARY KEY (run, id))",
        std::string("CREATE TABLE IF NOT EXISTS ") + kTransfers +
            " (run TEXT NOT NULL, note TEXT NOT NULL, amount INTEGER NOT NULL)"}) {
    const Result<int64_t> done = Execute(sql);
    if (!done.ok()) return Status(done.status()).Prefixed("CREATE TABLE");
  }
  ASSIGN_OR_RETURN(const int64_t after, Version(""));
  // The database may have other writers; the tables of this scenario have none.
  if (after < before + 2) {
    return FailedPrecondition("the database's version went from " + std::to_string(before) +
                              " to " + std::to_string(after) + " over two statements");
  }
  Say("DDL done; version of the database: " + std::to_string(before) + " -> " +
      std::to_string(after));
  return OkStatus();
}

Status Scenario::InsertAtomically() {
  const std::string insert = std::string("INSERT INTO ") + kAccounts + " VALUES ";
  const auto row = [&](int id, const char* owner) {
    return "('" + run_ + "', " + std::to_string(id) + ", '" + owner + "', 100)";
  };
  const Status done = ExpectGrowth(kAccounts, 1, [&]() -> Status {
    ASSIGN_OR_RETURN(const int64_t rows,
                     Execute(insert + row(1, "ada") + ", " + row(2, "bo") + ", " + row(3, "cy")));
    if (rows == 3) return OkStatus();
    return FailedPrecondition("an insert of 3 rows says it made " + std::to_string(rows));
  });
  RETURN_IF_ERROR(done);
  Say("inserted 3 rows in one statement");
  // The second row breaks the primary key, so the first must not stay either.
  const Status refused_whole = ExpectGrowth(kAccounts, 0, [&]() -> Status {
    const Result<int64_t> rows = Execute(insert + row(4, "di") + ", " + row(1, "again"));
    if (rows.ok()) return FailedPrecondition("an insert that breaks the primary key succeeded");
    if (rows.status().code() != StatusCode::kAlreadyExists) return rows.status();
    return OkStatus();
  });
  RETURN_IF_ERROR(refused_whole);
  Say("an insert with one bad row of two was refused as a whole");
  return OkStatus();
}

Status Scenario::UpdateRows() {
  const Status done = ExpectGrowth(kAccounts, 1, [&]() -> Status {
    ASSIGN_OR_RETURN(const int64_t rows,
                     Execute(std::string("UPDATE ") + kAccounts +
                             " SET balance = balance + 1 WHERE run = '" + run_ + "'"));
    if (rows == 3) return OkStatus();
    return FailedPrecondition("an update of all 3 rows says it changed " + std::to_string(rows));
  });
  RETURN_IF_ERROR(done);
  Say("updated 3 rows");
  return OkStatus();
}

Status Scenario::Prepare(const std::string& tx_id, uint64_t number, const std::string& sql,
                         const std::vector<std::string>& args) {
  // Prepared statements add up, so the node must recognize a repeated Prepare.
  const std::string request_id = run_ + "-" + std::to_string(next_request_++);
  return OnAnyNode([&](NodeClient& node) {
    return node.Prepare(tx_id, number, sql, args, request_id, options_.call_timeout);
  });
}

Status Scenario::PrepareTransfer(const std::string& tx_id) {
  RETURN_IF_ERROR(
      Prepare(tx_id, /*number=*/1,
              std::string("UPDATE ") + kAccounts +
                  " SET balance = balance - CAST(?1 AS INTEGER) WHERE run = ?2 AND id = 1",
              {"30", run_}));
  return Prepare(tx_id, /*number=*/2,
                 std::string("INSERT INTO ") + kTransfers + " VALUES (?1, ?2, CAST(?3 AS INTEGER))",
                 {run_, tx_id, "30"});
}

Status Scenario::ExpectOnEveryNode(const std::string& tx_id, v1::TransactionState state) {
  // The versions are read at an index past the step, so that one question to each node is enough.
  uint64_t index = 0;
  const Status done = OnAnyNode([&](NodeClient& node) -> Status {
    ASSIGN_OR_RETURN(const LocalVersion now,
                     node.VersionV1("", v1::VERSION_LEVEL_LINEARIZABLE, 0, options_.call_timeout));
    index = now.index;
    return OkStatus();
  });
  RETURN_IF_ERROR(done);
  std::vector<std::string> missing;
  for (const auto& node : nodes_) {
    const auto found = node->LocalTransaction(tx_id, index, options_.call_timeout);
    if (found.ok() && found->state() == state) continue;
    missing.push_back(node->address() +
                      (found.ok() ? " (" + v1::TransactionState_Name(found->state()) + ")"
                                  : " (" + found.status().ToString() + ")"));
  }
  if (missing.empty()) return OkStatus();
  return FailedPrecondition(Names(missing));
}

Status Scenario::CommitInTwoPhases() {
  const std::string tx_id = run_ + "-commit";
  ASSIGN_OR_RETURN(const int64_t transfers_before, Version(kTransfers));
  const Status done = ExpectGrowth(kAccounts, 1, [&]() -> Status {
    RETURN_IF_ERROR(PrepareTransfer(tx_id).Prefixed("Prepare"));
    Say("prepared 2 statements as " + tx_id);
    if (options_.mode == CommitMode::kStrong) {
      const Status held = ExpectOnEveryNode(tx_id, v1::TRANSACTION_STATE_PREPARED);
      if (!held.ok()) {
        const Status rolled_back = OnAnyNode(
            [&](NodeClient& node) { return node.Rollback(tx_id, options_.call_timeout); });
        return FailedPrecondition("not every node holds the prepared transaction: " +
                                  held.message() + "; rolled back: " + rolled_back.ToString());
      }
      Say("every node holds the prepared transaction");
    }
    if (options_.pause_before_commit.count() > 0) {
      Say("pausing " + std::to_string(options_.pause_before_commit.count()) + " ms before commit");
      std::this_thread::sleep_for(options_.pause_before_commit);
    }
    return OnAnyNode([&](NodeClient& node) {
             return node.Commit(tx_id, kStatementsOfTransfer, options_.call_timeout);
           })
        .Prefixed("Commit");
  });
  RETURN_IF_ERROR(done);
  ASSIGN_OR_RETURN(const int64_t transfers_after, Version(kTransfers));
  if (transfers_after != transfers_before + 1) {
    return FailedPrecondition(std::string("version of ") + kTransfers + ": " +
                              std::to_string(transfers_before) + " -> " +
                              std::to_string(transfers_after) + ", but it should have grown by 1");
  }
  Say("committed " + tx_id);
  if (options_.mode == CommitMode::kStrong) {
    const Status applied = ExpectOnEveryNode(tx_id, v1::TRANSACTION_STATE_COMMITTED);
    if (!applied.ok()) {
      return FailedPrecondition("committed, but not applied yet on: " + applied.message());
    }
    Say("every node has applied it");
  }
  // A repeated Commit gives the same answer and changes nothing.
  return ExpectGrowth(kAccounts, 0, [&] {
    return OnAnyNode([&](NodeClient& node) {
             return node.Commit(tx_id, kStatementsOfTransfer, options_.call_timeout);
           })
        .Prefixed("repeated Commit");
  });
}

Status Scenario::RollBackInTwoPhases() {
  const std::string tx_id = run_ + "-rollback";
  const Status done = ExpectGrowth(kAccounts, 0, [&]() -> Status {
    RETURN_IF_ERROR(PrepareTransfer(tx_id).Prefixed("Prepare"));
    return OnAnyNode([&](NodeClient& node) { return node.Rollback(tx_id, options_.call_timeout); })
        .Prefixed("Rollback");
  });
  RETURN_IF_ERROR(done);
  Say("rolled back " + tx_id);
  // The tables are free again, and only the committed transfer happened.
  ASSIGN_OR_RETURN(const int64_t rows, Execute(std::string("UPDATE ") + kAccounts +
                                               " SET balance = balance WHERE run = '" + run_ +
                                               "' AND id = 1 AND balance = 71"));
  if (rows == 1) return OkStatus();
  return FailedPrecondition("account 1 does not hold 71 after one committed transfer of 30");
}

Status Scenario::CompareVersions() {
  std::vector<NodeClient*> reachable;
  RETURN_IF_ERROR(FindReachable(&reachable));
  for (const char* table : {"", kAccounts, kTransfers}) {
    RETURN_IF_ERROR(CompareVersions(table, reachable));
  }
  Say("versions are equal on " + std::to_string(reachable.size()) + " of " +
      std::to_string(nodes_.size()) + " nodes");
  return OkStatus();
}

Status Scenario::CompareVersions(const std::string& table, const std::vector<NodeClient*>& nodes) {
  const std::string what = table.empty() ? "the database" : table;
  uint64_t index = 0;
  for (int round = 0; round < kCompareRounds; ++round) {
    std::map<uint64_t, std::vector<std::string>> by_index;
    std::map<int64_t, std::vector<std::string>> by_version;
    for (NodeClient* node : nodes) {
      const auto local =
          node->VersionV1(table, v1::VERSION_LEVEL_LOCAL, index, options_.call_timeout);
      if (!local.ok()) return Status(local.status()).Prefixed(node->address());
      index = std::max(index, local->index);
      by_index[local->index].push_back(node->address());
      by_version[local->version].push_back(node->address());
    }
    // Versions of different indexes prove nothing. Asks again for the highest index.
    if (by_index.size() > 1) continue;
    std::string found = "version of " + what + " at index " + std::to_string(index) + ":";
    for (const auto& [version, names] : by_version) {
      found += " " + std::to_string(version);
      if (by_version.size() > 1) found += " on " + Names(names) + ";";
    }
    if (by_version.size() > 1) return FailedPrecondition("the nodes differ: " + found);
    Say(found);
    return OkStatus();
  }
  return FailedPrecondition("the nodes were never at one index, because others write; version of " +
                            what + " not compared");
}

Status Scenario::Full() {
  std::vector<NodeClient*> reachable;
  RETURN_IF_ERROR(FindReachable(&reachable));
  RETURN_IF_ERROR(CreateTables());
  RETURN_IF_ERROR(InsertAtomically());
  RETURN_IF_ERROR(UpdateRows());
  RETURN_IF_ERROR(CommitInTwoPhases());
  RETURN_IF_ERROR(RollBackInTwoPhases());
  return CompareVersions();
}

Status Scenario::VerifyOnly() { return CompareVersions(); }

int RunScenario(const std::string& name, const ScenarioOptions& options, std::ostream* out) {
  const bool strong = options.mode == CommitMode::kStrong;
  *out << "scenario " << name << ", mode " << (strong ? "strong" : "quorum") << ", nodes "
       << Names(options.addresses) << std::endl;
  Scenario scenario(options, out);
  const Status status = name == "full"          ? scenario.Full()
                        : name == "verify-only" ? scenario.VerifyOnly()
                                                : scenario.BatchCommitAndRollback();
  if (status.ok()) {
    *out << "PASS " << name << std::endl;
    return 0;
  }
  *out << "FAIL " << name << ": " << ErrorInWords(status) << std::endl;
  return 1;
}

}  // namespace cairn::tools
