#include "state_machine/audit.h"

#include <algorithm>
#include <charconv>
#include <set>
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
  return chain == AuditChain::kChanges ? "changes" : "denied";
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
    found_ = sought_ != 0 && sought_ == number_ && sought_hash_ == hash_;
  }
  // What was cut meanwhile was checked before.
  head_ = page.head;
  for (const AuditRow& row : page.rows) {
    if (row.number != number_ + 1) return Broken(number_ + 1, "is missing");
    if (HashOf(hash_, row) != row.hash) return Broken(row.number, "is not what was written");
    number_ = row.number;
    hash_ = row.hash;
    if (number_ != sought_) continue;
    if (hash_ != sought_hash_) return Broken(number_, "has not the hash of the anchor");
    found_ = true;
  }
  return OkStatus();
}

Status AuditCheck::Finish() const {
  if (number_ < head_.rows) return Broken(number_ + 1, "is missing");
  if (number_ > head_.rows || hash_ != head_.hash) {
    return Broken(number_, "is not what the head says");
  }
  if (sought_ == 0 || found_) return OkStatus();
  if (sought_ > head_.rows) {
    return DataLoss("the audit has " + std::to_string(head_.rows) + " rows, and the anchor has " +
                    std::to_string(sought_) + ": rows are missing at the end");
  }
  if (sought_ < head_.cut) {
    return FailedPrecondition("the audit keeps its rows from " + std::to_string(head_.cut + 1) +
                              " on, and the anchor is older: only a later one can be found");
  }
  return Broken(sought_, "has not the hash of the anchor");
}

Status AuditCheck::Seek(std::string_view anchor) {
  const size_t colon = anchor.find(':');
  const char* const end = anchor.data() + std::min(colon, anchor.size());
  const auto [last, error] = std::from_chars(anchor.data(), end, sought_);
  const bool whole = colon != std::string_view::npos && error == std::errc() && last == end &&
                     sought_ != 0 && anchor.size() == colon + 1 + kHashDigits;
  if (!whole) {
    sought_ = 0;
    return InvalidArgument("an anchor is ROWS:HASH, as 'cairn audit verify' prints it");
  }
  sought_hash_ = anchor.substr(colon + 1);
  return OkStatus();
}

std::string HeadText(const AuditHead& head) { return std::to_string(head.rows) + ":" + head.hash; }

bool IsAudited(const Operation& operation) { return std::visit(Telling{}, operation).has_value(); }

std::optional<AuditNote> NoteOf(const Command& command) {
  auto told = std::visit(Telling{}, command.operation);
  if (!told) return std::nullopt;
  AuditNote note{std::string(told->first), command.principal, command.address,
                 std::move(told->second), 1};
  if (note.text.size() > kAuditTextBytesMax) note.text.resize(kAuditTextBytesMax);
  return note;
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
  if (text.size() > kAuditTextBytesMax) text.resize(kAuditTextBytesMax);
  return AuditNote{std::string(audit_kind::kMembership), "", "", std::move(text), 1};
}

}  // namespace cairn::state_machine
