// The audit: who changed members, rights, settings or the whole database, and who was refused.
//
// Rows are made by apply (sqlite/audit_tables.h), so all nodes have the same. Each row has a hash that
// covers the row before, so a row that is changed, added or taken out breaks the chain. The number of
// rows and the hash of the last one are the head. Whoever has written an old head down elsewhere can
// see that all up to it is still there, unchanged.
//
// There are two chains, each with bounds of its own: a stranger who is refused day and night drives
// no change out.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "raft/types.h"
#include "state_machine/command.h"

namespace cairn::state_machine {

namespace audit_kind {
inline constexpr std::string_view kMembership = "membership";
inline constexpr std::string_view kSecurity = "security";
inline constexpr std::string_view kRestore = "restore";
inline constexpr std::string_view kSettings = "settings";
inline constexpr std::string_view kDenied = "denied";
}  // namespace audit_kind

// The values are stored.
enum class AuditChain : uint8_t {
  kChanges = 0,
  kDenied = 1,  // of the kind audit_kind::kDenied
};
inline constexpr std::array kAuditChains = {AuditChain::kChanges, AuditChain::kDenied};
const char* ChainName(AuditChain chain);  // "changes", "denied"

// What a chain keeps. The oldest rows go first.
struct AuditBounds {
  uint64_t rows_max = 20'000;
  uint64_t bytes_max = 8 << 20;
  uint64_t age_ms_max = uint64_t{400} * 24 * 3600 * 1000;  // on the lease clock
};
inline constexpr AuditBounds kAuditBounds;

struct AuditRow {
  uint64_t number = 0;    // in its chain, from 1 on, without a gap
  int64_t wall_ms = 0;    // the time that the leader knew
  uint64_t lease_ms = 0;  // the lease clock
  uint64_t entry = 0;     // of the log
  AuditNote note;
  std::string hash;  // 64 hexadecimal digits
};

struct AuditHead {
  uint64_t rows = 0;  // that there ever were
  std::string hash;   // of the last one; empty: there is none
  uint64_t cut = 0;   // of them, that are not kept any more
  std::string cut_hash;
  bool operator==(const AuditHead&) const = default;
};

// A part of a chain, as of one state.
struct AuditQuery {
  AuditChain chain = AuditChain::kChanges;
  uint64_t after = 0;  // rows behind this number
};
struct AuditPage {
  static constexpr size_t kRowsMax = 500;
  AuditHead head;
  std::vector<AuditRow> rows;
};

// The hash of a row whose predecessor has the hash `before`; empty: it is the first.
std::string HashOf(const std::string& before, const AuditRow& row);
// The memory of a row for AuditBounds::bytes_max.
uint64_t BytesOf(const AuditNote& note);

// Reads the pages of a chain, in order, and checks that nothing was changed, added or taken out.
// DATA_LOSS, in words, if something was.
class AuditCheck {
 public:
  Status Add(const AuditPage& page);
  // Behind the last page. Then `anchor`, an old head as HeadText writes it, is looked up: OK if it is in
  // the chain, FAILED_PRECONDITION if the chain does not reach back so far any more.
  Status Finish() const;
  uint64_t after() const { return number_; }  // for the next page
  const AuditHead& head() const { return head_; }
  // An old head to look for. INVALID_ARGUMENT if it is none.
  Status Seek(std::string_view anchor);

 private:
  bool begun_ = false;
  uint64_t number_ = 0;  // of the last row that was read
  std::string hash_;
  AuditHead head_;
  uint64_t sought_ = 0;  // 0: nothing
  std::string sought_hash_;
  bool found_ = false;
};

// "ROWS:HASH"; "0:" of an empty chain.
std::string HeadText(const AuditHead& head);

// True if the audit tells of such commands.
bool IsAudited(const Operation& operation);
// What the audit tells of a command that was applied, with its principal and address. None: nothing.
std::optional<AuditNote> NoteOf(const Command& command);
// What it tells of a change of the members. None: the members and their roles are the same.
std::optional<AuditNote> NoteOf(const raft::Configuration& before,
                                const raft::Configuration& after);

}  // namespace cairn::state_machine
