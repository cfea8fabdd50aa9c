// The audit: who changed members, rights, settings or the whole database, and who was refused.
//
// Rows are made by apply (sqlite/audit_tables.h), so all nodes have the same. Each row has a hash that
// covers the row before, so a row that is changed, added or taken out breaks the chain. The number of
// rows and the hash of the last one are the head. Whoever has written an old head down elsewhere can
// see that all up to it is still there, unchanged.
//
// There are three chains, each with bounds of its own: a stranger who is refused day and night, and an
// operator who asks day and night for what is not done, drive no change out.
//
// Apply itself makes the rows of changes. Who asked and who was refused is what a node says, and rows of
// no other kind can be said.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
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
inline constexpr std::string_view kAsked = "asked";    // said by a node: for a change of members
inline constexpr std::string_view kDenied = "denied";  // said by a node
}  // namespace audit_kind

// The values are stored.
enum class AuditChain : uint8_t {
  kChanges = 0,
  kDenied = 1,  // of the kind audit_kind::kDenied
  kAsked = 2,   // of the kind audit_kind::kAsked
};
inline constexpr std::array kAuditChains = {AuditChain::kChanges, AuditChain::kDenied,
                                            AuditChain::kAsked};
const char* ChainName(AuditChain chain);  // "changes", "denied", "asked"
AuditChain ChainOf(const AuditNote& note);
// Cuts texts that are longer than kAuditTextBytesMax, between two characters.
void CutTexts(AuditNote* note);
// INVALID_ARGUMENT unless a node may say these notes.
Status CheckNotes(const RecordAudit& record);

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
  // Behind the last page.
  Status Finish() const;
  uint64_t after() const { return number_; }  // for the next page
  const AuditHead& head() const { return head_; }
  // An old head, as HeadText writes it, to look for: if the chain has another hash there, or ends
  // before, it is not what was written. May be called again, for others. INVALID_ARGUMENT if it is none.
  Status Seek(std::string_view anchor);
  size_t found() const { return found_; }
  // How many of those that are sought are older than what is kept.
  size_t too_old() const;

 private:
  bool begun_ = false;
  uint64_t number_ = 0;  // of the last row that was read
  std::string hash_;
  AuditHead head_;
  Status Compare();

  std::map<uint64_t, std::set<std::string>> sought_;
  size_t found_ = 0;
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
