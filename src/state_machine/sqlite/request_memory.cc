#include "state_machine/sqlite/request_memory.h"

#include <bit>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/splitmix.h"

namespace cairn::state_machine {
namespace {

// Not for secrets: a client that makes two of its own requests collide harms only itself.
class Hasher {
 public:
  explicit Hasher(uint64_t seed = 0x6361697260ULL) : state_(seed) {}
  void Word(uint64_t word) {
    state_ = std::rotl(state_ ^ (word * 0x9e3779b97f4a7c15ULL), 29) * 0xbf58476d1ce4e5b9ULL;
  }
  void Bytes(std::string_view bytes) {
    Word(bytes.size());
    const char* p = bytes.data();
    size_t left = bytes.size();
    for (; left >= 8; p += 8, left -= 8) {
      uint64_t word;
      std::memcpy(&word, p, sizeof word);
      Word(word);
    }
    uint64_t last = 0;
    std::memcpy(&last, p, left);
    Word(last);
  }
  uint64_t Finish() const { return MixBits(state_); }

 private:
  uint64_t state_;
};
static_assert(std::endian::native == std::endian::little, "hashes are kept in the file");

void HashValue(const Value& value, Hasher* hasher) {
  hasher->Word(value.index());
  if (const auto* integer = std::get_if<int64_t>(&value)) {
    hasher->Word(static_cast<uint64_t>(*integer));
  } else if (const auto* real = std::get_if<double>(&value)) {
    hasher->Word(std::bit_cast<uint64_t>(*real));
  } else if (const auto* text = std::get_if<std::string>(&value)) {
    hasher->Bytes(*text);
  } else if (const auto* blob = std::get_if<Blob>(&value)) {
    hasher->Bytes(blob->bytes);
  }
}

void HashStatement(const Statement& statement, Hasher* hasher) {
  hasher->Bytes(statement.sql);
  hasher->Word(statement.positional.size());
  for (const Value& value : statement.positional) HashValue(value, hasher);
  hasher->Word(statement.named.size());
  for (const NamedValue& named : statement.named) {
    hasher->Bytes(named.name);
    HashValue(named.value, hasher);
  }
}

}  // namespace

uint64_t OperationHash(const Operation& operation) {
  Hasher hasher;
  hasher.Word(operation.index());
  if (const auto* execute = std::get_if<Execute>(&operation)) {
    hasher.Word(execute->statements.size());
    for (const Statement& statement : execute->statements) HashStatement(statement, &hasher);
    // Version 0.1 knew neither maintenance nor the numbers below, and its requests are remembered
    // by their hashes. So a field that is not set does not change the hash.
    if (execute->maintenance) hasher.Word(1);
    for (const RowExpectation& expect : execute->expect) {
      hasher.Word(static_cast<uint64_t>(expect.kind));
      hasher.Word(expect.rows);
    }
    if (execute->foreign_keys != ForeignKeys::kEnforced) {
      hasher.Word(0x100 + static_cast<uint64_t>(execute->foreign_keys));
    }
  } else if (const auto* prepare = std::get_if<Prepare>(&operation)) {
    hasher.Bytes(prepare->tx_id);
    hasher.Word(prepare->timeout_ms);
    HashStatement(prepare->statement, &hasher);
    if (prepare->number != 0) hasher.Word(prepare->number);
  } else if (const auto* commit = std::get_if<Commit>(&operation)) {
    hasher.Bytes(commit->tx_id);
    if (commit->statements != 0) hasher.Word(commit->statements);
  } else if (const auto* rollback = std::get_if<Rollback>(&operation)) {
    hasher.Bytes(rollback->tx_id);
  } else if (const auto* change = std::get_if<ChangeAccess>(&operation)) {
    hasher.Word(static_cast<uint64_t>(change->kind));
    hasher.Bytes(change->principal);
    hasher.Bytes(change->privilege);
    hasher.Bytes(change->pattern);
  } else if (const auto* record = std::get_if<RecordAudit>(&operation)) {
    for (const AuditNote& note : record->notes) {
      for (const std::string* text : {&note.kind, &note.principal, &note.address, &note.text}) {
        hasher.Bytes(*text);
      }
      hasher.Word(note.count);
    }
  } else if (const auto* restore = std::get_if<Restore>(&operation)) {
    hasher.Word(static_cast<uint64_t>(restore->step));
    hasher.Bytes(restore->id);
    hasher.Word(restore->number);
    hasher.Bytes(restore->bytes);
  }
  return hasher.Finish();
}

TextHash HashOfText(const std::string& text) {
  Hasher a;
  Hasher b(0x62617265206964ULL);
  a.Bytes(text);
  b.Bytes(text);
  return {a.Finish(), b.Finish()};
}

bool MayUseIdOf(const std::string& owner, const Command& command) {
  return IsSamePrincipal(owner, OwnerOf(command));
}

// ---- Answers ------------------------------------------------------------------------------------

bool IsFinal(const Status& status) {
  return status.outcome() != Outcome::kNotApplied && status.outcome() != Outcome::kUnknown;
}

CommandResult Refusal(Status status, Outcome outcome) {
  CommandResult result;
  result.status = std::move(status).With(outcome);
  return result;
}

Status NotYourTransaction(const std::string& tx_id) {
  return PermissionDenied("the transaction '" + tx_id + "' is that of another principal")
      .With(Outcome::kNotApplied);
}

CommandResult AnswerByCode(uint8_t code, LogIndex index) {
  CommandResult result;
  if (code == kCodeNotKept) {
    return Refusal(FailedPrecondition("this request was answered by version 0.1, or before the "
                                      "database was restored from a backup: what came of it is "
                                      "not held any more"),
                   Outcome::kUnknown);
  }
  result.index = index;
  if (code == 0) {
    result.result_gone = true;
  } else {
    result.status = Status(static_cast<StatusCode>(code),
                           "this request was applied before and failed; of a failure only its "
                           "kind is remembered")
                        .With(Outcome::kApplied);
  }
  return result;
}

CommandResult NotYours(bool known) {
  return Refusal(
      PermissionDenied("this request id belongs to another client, who was the first to use it"),
      known ? Outcome::kUnknown : Outcome::kNotApplied);
}

CommandResult SessionExpired(const std::string& why) {
  return Refusal(FailedPrecondition("session expired: " + why +
                                    ", so whether this request was applied before cannot be told")
                     .With(Reason::kSessionExpired),
                 Outcome::kUnknown);
}

CommandResult OtherRequest() {
  return Refusal(InvalidArgument("this request id was used for another request before"),
                 Outcome::kNotApplied);
}

CommandResult NoRoom(const std::string& of_what, const std::string& advice) {
  return Refusal(ResourceExhausted("no room to remember more " + of_what + ": " + advice),
                 Outcome::kNotApplied);
}

CommandResult HeldResult(const std::string& encoded) {
  Result<CommandResult> result = DecodeCommandResult(encoded);
  CHECK(result.ok()) << "kept result: " << result.status().ToString();
  return std::move(result).value();
}

}  // namespace cairn::state_machine
