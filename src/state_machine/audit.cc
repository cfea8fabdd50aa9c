#include "state_machine/audit.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <utility>
#include <variant>

#include "base/bytes.h"
#include "base/sha256.h"
#include "state_machine/sqlite/sql_tokens.h"

namespace cairn::state_machine {
namespace {

constexpr size_t kHashDigits = 64;
// Of a row beside its texts.
constexpr uint64_t kRowBytes = 160;

std::string Quoted(const std::string& name) { return "'" + name + "'"; }

// Alone, because a statement may hold secrets.
std::string VerbOf(const Statement& statement) {
  Tokenizer tokens(statement.sql);
  Token first = tokens.Next();
  while (first.type == TokenType::kSemicolon) first = tokens.Next();
  return std::string(first.text.substr(0, 16));
}

struct Telling {
  using Told = std::optional<std::pair<std::string_view, std::string>>;

  Told operator()(const Execute& execute) const {
    if (!execute.maintenance || execute.statements.empty()) return std::nullopt;
    const size_t count = execute.statements.size();
    return {{audit_kind::kSettings,
             "maintenance: " + VerbOf(execute.statements.front()) +
                 (count == 1 ? "" : " and " + std::to_string(count - 1) + " more statements")}};
  }
  Told operator()(const RaiseLevel& raise) const {
    return {{audit_kind::kSettings, "feature level " + std::to_string(raise.level)}};
  }
  Told operator()(const RetainChanges& retain) const {
    return {{audit_kind::kSettings, retain.retain_ms == 0
                                        ? "retain no changes of " + Quoted(retain.table)
                                        : "retain changes of " + Quoted(retain.table) + " for " +
                                              std::to_string(retain.retain_ms) + " ms"}};
  }
  Told operator()(const Restore& restore) const {
    switch (restore.step) {
      case Restore::Step::kPiece: return std::nullopt;
      case Restore::Step::kBegin:
        return {{audit_kind::kRestore, "begin " + Quoted(restore.id) + ": a backup of " +
                                           std::to_string(restore.number) + " bytes, SHA-256 " +
                                           restore.bytes}};
      case Restore::Step::kFinish: return {{audit_kind::kRestore, "finish " + Quoted(restore.id)}};
      case Restore::Step::kAbort: break;
    }
    return {{audit_kind::kRestore, "abort " + Quoted(restore.id)}};
  }
  Told operator()(const ChangeAccess& change) const {
    using Kind = ChangeAccess::Kind;
    const std::string name = Quoted(change.principal);
    switch (change.kind) {
      case Kind::kTrustKey:
        return {{audit_kind::kSecurity, "trust key " + name + ", " + change.privilege}};
      case Kind::kDistrustKey: return {{audit_kind::kSecurity, "distrust key " + name}};
      case Kind::kRevokeToken: return {{audit_kind::kSecurity, "revoke token " + name}};
      case Kind::kRevokeTokens: return {{audit_kind::kSecurity, "revoke tokens of " + name}};
      case Kind::kGrant:
      case Kind::kRevoke: break;
    }
    const bool grants = change.kind == Kind::kGrant;
    return {{audit_kind::kSecurity, (grants ? "grant " : "revoke ") + change.privilege +
                                        (grants ? " to " : " from ") + name +
                                        (change.pattern.empty() ? "" : " on " + change.pattern)}};
  }
  template <class Other>
  Told operator()(const Other&) const {
    return std::nullopt;
  }
};

std::string NodesOf(const raft::Configuration& config, const std::set<MemberId>& members) {
  std::string ids;
  for (const MemberId member : members) {
    const auto found = config.info.find(member);
    if (found != config.info.end()) ids += " " + std::to_string(found->second.node_id);
  }
  return ids;
}

Status Broken(uint64_t number, const std::string& why) {
  return DataLoss("row " + std::to_string(number) + " of the audit " + why);
}

}  // namespace

const char* ChainName(AuditChain chain) {
  switch (chain) {
    case AuditChain::kDenied: return "denied";
    case AuditChain::kAsked: return "asked";
    case AuditChain::kChanges: break;
  }
  return "changes";
}

AuditChain ChainOf(const AuditNote& note) {
  if (note.kind == audit_kind::kDenied) return AuditChain::kDenied;
  return note.kind == audit_kind::kAsked ? AuditChain::kAsked : AuditChain::kChanges;
}

void CutTexts(AuditNote* note) {
  for (std::string* text : {&note->kind, &note->principal, &note->address, &note->text}) {
    if (text->size() <= kAuditTextBytesMax) continue;
    size_t end = kAuditTextBytesMax;
    while (end > 0 && (static_cast<uint8_t>((*text)[end]) & 0xc0) == 0x80) --end;
    text->resize(end);
  }
}

Status CheckNotes(const RecordAudit& record) {
  for (const AuditNote& note : record.notes) {
    if (ChainOf(note) != AuditChain::kChanges) continue;
    return InvalidArgument("a node says who asked and who was refused, and apply the rest");
  }
  return OkStatus();
}

std::string HashOf(const std::string& before, const AuditRow& row) {
  std::string bytes;
  ByteWriter out(&bytes);
  out.String(before);
  out.U64(row.number);
  out.I64(row.wall_ms);
  out.U64(row.lease_ms);
  out.U64(row.entry);
  out.String(row.note.kind);
  out.String(row.note.principal);
  out.String(row.note.address);
  out.String(row.note.text);
  out.U64(row.note.count);
  Sha256 sum;
  sum.Add(bytes);
  return sum.Hex();
}

uint64_t BytesOf(const AuditNote& note) {
  return kRowBytes + note.kind.size() + note.principal.size() + note.address.size() +
         note.text.size();
}

Status AuditCheck::Add(const AuditPage& page) {
  if (!begun_) {
    begun_ = true;
    number_ = page.head.cut;
    hash_ = page.head.cut_hash;
    if (number_ != 0) RETURN_IF_ERROR(Compare());
  }
  // What was cut meanwhile was checked before.
  head_ = page.head;
  for (const AuditRow& row : page.rows) {
    if (row.number != number_ + 1) return Broken(number_ + 1, "is missing");
    if (HashOf(hash_, row) != row.hash) return Broken(row.number, "is not what was written");
    number_ = row.number;
    hash_ = row.hash;
    RETURN_IF_ERROR(Compare());
  }
  return OkStatus();
}

// The anchors at the row that was read last.
Status AuditCheck::Compare() {
  const auto sought = sought_.find(number_);
  if (sought == sought_.end()) return OkStatus();
  if (sought->second.size() != 1 || *sought->second.begin() != hash_) {
    return Broken(number_, "has not the hash of the anchor");
  }
  ++found_;
  return OkStatus();
}

size_t AuditCheck::too_old() const {
  return static_cast<size_t>(
      std::distance(sought_.begin(), sought_.lower_bound(std::max<uint64_t>(head_.cut, 1))));
}

Status AuditCheck::Finish() const {
  if (number_ < head_.rows) return Broken(number_ + 1, "is missing");
  if (number_ > head_.rows || hash_ != head_.hash) {
    return Broken(number_, "is not what the head says");
  }
  if (!sought_.empty() && sought_.rbegin()->first > head_.rows) {
    return DataLoss("the audit has " + std::to_string(head_.rows) + " rows, and the anchor has " +
                    std::to_string(sought_.rbegin()->first) + ": rows are missing at the end");
  }
  return OkStatus();
}

Status AuditCheck::Seek(std::string_view anchor) {
  const size_t colon = anchor.find(':');
  const char* const end = anchor.data() + std::min(colon, anchor.size());
  uint64_t rows = 0;
  const auto [last, error] = std::from_chars(anchor.data(), end, rows);
  const bool whole = colon != std::string_view::npos && error == std::errc() && last == end &&
                     rows != 0 && anchor.size() == colon + 1 + kHashDigits;
  if (!whole) return InvalidArgument("an anchor is ROWS:HASH, as 'cairn audit verify' prints it");
  sought_[rows].emplace(anchor.substr(colon + 1));
  return OkStatus();
}

std::string HeadText(const AuditHead& head) { return std::to_string(head.rows) + ":" + head.hash; }

bool IsAudited(const Operation& operation) { return std::visit(Telling{}, operation).has_value(); }

std::optional<AuditNote> NoteOf(const Command& command) {
  auto told = std::visit(Telling{}, command.operation);
  if (!told) return std::nullopt;
  return AuditNote{std::string(told->first), command.principal, command.address,
                   std::move(told->second), 1};
}

std::optional<AuditNote> NoteOf(const raft::Configuration& before,
                                const raft::Configuration& after) {
  if (before.voters == after.voters && before.outgoing == after.outgoing &&
      before.learners == after.learners) {
    return std::nullopt;
  }
  std::string text = "voters" + NodesOf(after, after.voters);
  if (after.joint()) text += ", until now" + NodesOf(after, after.outgoing);
  if (!after.learners.empty()) text += ", learners" + NodesOf(after, after.learners);
  return AuditNote{std::string(audit_kind::kMembership), "", "", std::move(text), 1};
}

}  // namespace cairn::state_machine
