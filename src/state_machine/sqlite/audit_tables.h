// AuditTables: the audit (audit.h), as replicated rows.
//
// Rows are added by apply, in the SQLite transaction of the entries, and travel with snapshots and
// backups. A restore into a running cluster leaves the audit of the cluster as it is, and adds a row.
//
//     _cairn_audit        the rows of all chains; the id is ChainOffset(chain) + the number of the row
//     _cairn_audit_heads  a row for each chain: AuditHead, and what is kept
//
// The tables are made by the first row. What is kept is bounded (AuditBounds). What goes follows from
// the rows alone: it goes when a row is added, by the lease clock of that row. So it does not matter
// where SQLite transactions end.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/status.h"
#include "state_machine/audit.h"
#include "state_machine/sqlite/engine.h"
#include "state_machine/sqlite/internal_sql.h"

namespace cairn::state_machine {

// Owned by the applier, and used on its thread.
class AuditTables {
 public:
  static const char* const kSchema;
  static constexpr std::array kTables = {"_cairn_audit", "_cairn_audit_heads"};
  static constexpr uint64_t ChainOffset(AuditChain chain) {
    return static_cast<uint64_t>(chain) << 56;
  }
  static Result<bool> IsIn(sqlite3* db);

  struct Time {
    LogIndex entry;
    int64_t wall_ms = 0;
    uint64_t lease_ms = 0;
  };

  explicit AuditTables(const AuditBounds& bounds = kAuditBounds) : bounds_(bounds) {}

  Status Open(Engine* engine);
  // Before the engine is destroyed.
  void Close();

  // Adds a row to the chain of its kind. Texts that are too long are cut.
  Status Add(AuditNote note, const Time& time);

  // ---- For each batch
  Status Flush();
  void BatchCommitted();
  void BatchUndone();

 private:
  struct Chain {
    AuditHead head;
    uint64_t bytes = 0;  // of the rows that are kept
    bool operator==(const Chain&) const = default;
  };
  using Chains = std::array<Chain, kAuditChains.size()>;

  Status OpenTables();
  Status Load();
  // Removes the oldest rows that are too many, as of the time of the last row.
  Status Cut(AuditChain chain, uint64_t lease_ms);

  const AuditBounds bounds_;
  Engine* engine_ = nullptr;
  bool has_tables_ = false;
  Chains chains_;
  std::optional<Chains> before_;  // the batch; none: it has added nothing
  std::vector<AuditRow> added_;   // by the batch
  InternalStatement insert_;
  InternalStatement oldest_;
  InternalStatement remove_;
  InternalStatement write_head_;
};

}  // namespace cairn::state_machine
