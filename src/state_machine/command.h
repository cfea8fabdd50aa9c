// Commands: what the entries of the replicated log carry, and their bytes.
//
// One log entry is a batch: a header, which the leader stamps once, and any number of commands.
// Each command has its own outcome. docs/internals/wire_format.md specifies the encoding.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/status.h"
#include "cairn/value.h"

namespace cairn::state_machine {

// The public value types are the state machine's own.
using cairn::Blob;
using cairn::Column;
using cairn::ForeignKeys;
using cairn::NamedValue;
using cairn::Row;
using cairn::RowExpectation;
using cairn::Statement;
using cairn::StatementResult;
using cairn::Value;

// Names one request: a session (at most 64 bytes) with a sequence from 1 on, or a bare id, which is
// a text with the sequence 0.
struct RequestId {
  std::string session;
  uint64_t sequence = 0;
  bool empty() const { return session.empty(); }
  bool bare() const { return !session.empty() && sequence == 0; }
  bool operator==(const RequestId&) const = default;
  auto operator<=>(const RequestId&) const = default;
};

// ---- Kinds of command ---------------------------------------------------------------------------

// All statements take effect, or none. Each gets its own result.
struct Execute {
  std::vector<Statement> statements;
  bool maintenance = false;  // has the header's budget for maintenance
  // Empty, or one for each statement. Needs kLevelExpectations.
  std::vector<RowExpectation> expect{};
  // Anything but kEnforced needs kLevelDataPlatform, and goes with no expectation.
  ForeignKeys foreign_keys = ForeignKeys::kEnforced;
  bool operator==(const Execute&) const = default;
};
// Opens the session and does nothing else. Later sequences may then arrive in any order.
struct OpenSession {
  bool operator==(const OpenSession&) const = default;
};
struct Prepare {
  std::string tx_id;
  Statement statement;
  uint64_t timeout_ms = 0;  // from this entry's lease time to the deadline; 0: the default time
  uint64_t number = 0;      // place of the statement in its transaction, from 1; 0: not given
  bool operator==(const Prepare&) const = default;
};
struct Commit {
  std::string tx_id;
  uint64_t statements = 0;  // how many the transaction has; 0: not given
  bool operator==(const Commit&) const = default;
};
struct Rollback {
  std::string tx_id;
  bool operator==(const Rollback&) const = default;
};
// Carries the header's lease time and nothing else. Sessions and prepared transactions that are due
// expire.
struct AdvanceLease {
  bool operator==(const AdvanceLease&) const = default;
};

// Changes nothing. Every member computes a digest of its database after this entry.
struct Digest {
  bool operator==(const Digest&) const = default;
};

// Raises the feature level of the cluster (feature_level.h). The level never falls.
struct RaiseLevel {
  uint64_t level = 0;
  bool operator==(const RaiseLevel&) const = default;
};

// One slice of what time series do by themselves: points older than the retention of their table
// go. The leader proposes it. Needs kLevelDataPlatform.
struct MaintainTimeSeries {
  bool operator==(const MaintainTimeSeries&) const = default;
};

// Keeps the changes of a table in the database (sqlite/change_retention.h), or ends that. Needs
// kLevelDataPlatform.
struct RetainChanges {
  std::string table;
  uint64_t retain_ms = 0;  // 0: not any more
  uint64_t bytes_max = 0;  // 0: the default
  bool operator==(const RetainChanges&) const = default;
};

// One step of the replacement of the whole database by a backup (sqlite/restore_into.h). Needs
// kLevelDataPlatform. A finish takes effect only as the only command of its entry.
struct Restore {
  enum class Step : uint8_t { kBegin = 0, kPiece = 1, kFinish = 2, kAbort = 3 };
  Step step = Step::kBegin;
  std::string id;       // names the restore, the same in all steps
  uint64_t number = 0;  // kBegin: the bytes of the backup; kPiece: where the piece begins
  std::string bytes;    // kBegin: the backup's SHA-256, in hexadecimal; kPiece: the piece
  bool operator==(const Restore&) const = default;
};

// Changes who may do what (access.h), or which tokens are believed (token_trust.h). Needs
// kLevelDataPlatform.
struct ChangeAccess {
  enum class Kind : uint8_t {
    kGrant = 0,
    kRevoke = 1,
    kTrustKey = 2,      // of tokens; from here on `time_s` counts, and `pattern` is empty
    kDistrustKey = 3,   // and with it all of its tokens
    kRevokeToken = 4,   // one
    kRevokeTokens = 5,  // all of a principal that were issued until now
  };
  Kind kind = Kind::kGrant;
  // The name in a certificate, or * for everybody; the name of a key; the id of a token.
  std::string principal;
  std::string privilege;  // or a role; of kTrustKey the key, in hexadecimal
  std::string pattern;    // of the names of tables; empty: everything
  uint64_t time_s = 0;    // now, as the node that took the request knows it
  bool operator==(const ChangeAccess&) const = default;
};

// Something that the audit (audit.h) is to tell, and that no entry of the log does by itself.
struct AuditNote {
  std::string kind;       // such as audit_kind::kDenied
  std::string principal;  // who; empty: not known
  std::string address;    // from where; empty: not known
  std::string text;
  uint64_t count = 1;  // how often
  bool operator==(const AuditNote&) const = default;
};
// Adds rows to the audit. Nodes alone may ask for it. Needs kLevelDataPlatform.
struct RecordAudit {
  std::vector<AuditNote> notes;
  bool operator==(const RecordAudit&) const = default;
};

using Operation =
    std::variant<Execute, OpenSession, Prepare, Commit, Rollback, AdvanceLease, Digest, RaiseLevel,
                 MaintainTimeSeries, RetainChanges, Restore, ChangeAccess, RecordAudit>;

struct Command {
  RequestId id;
  // The client has received all results below this sequence and needs them no more.
  uint64_t acknowledged_below = 0;
  Operation operation;
  // The client, such as `principal:alice` or `host:192.0.2.7`. The node that took the request sets this field; a client
  // never does.
  std::string principal = {};
  // The node that named the request, in a session of the node's own. 0: the client named it.
  uint64_t named_by = 0;
  // The principal may do only what it is granted (access.h) in the state that the command meets.
  // Without it the node that took the request checks no privileges. Needs kLevelDataPlatform.
  bool restricted = false;
  // Where the client is, for the audit; set for what the audit tells alone (IsAudited in audit.h).
  // Needs kLevelDataPlatform.
  std::string address = {};
  bool operator==(const Command&) const = default;
};

// ---- Entries ------------------------------------------------------------------------------------

inline constexpr uint64_t kRequestTtlDefaultMs = 15 * 60 * 1000;

struct BatchHeader {
  int64_t wall_ms = 0;       // the current time for SQL, Unix milliseconds UTC
  uint64_t random_seed = 0;  // seeds random()
  uint64_t lease_ms = 0;     // the replicated lease clock; never goes back
  // Work, in steps (sqlite/work_budget.h); 0: unbounded.
  uint64_t command_steps_max = 0;      // of one command
  uint64_t entry_steps_max = 0;        // of the entry; past it no other command begins
  uint64_t maintenance_steps_max = 0;  // of one command of maintenance
  // An answered request is remembered for at least this time, on the lease clock.
  uint64_t request_ttl_ms = kRequestTtlDefaultMs;
};

struct CommandBatch {
  BatchHeader header;
  std::vector<Command> commands;
};

// Limits that encoder and decoder share.
inline constexpr size_t kSessionBytesMax = 64;
inline constexpr size_t kPrincipalBytesMax = 128;
inline constexpr size_t kTxIdBytesMax = 256;
inline constexpr size_t kRetainedNameBytesMax = 1024;
inline constexpr size_t kRestoreIdBytesMax = 64;
// Of each text of ChangeAccess.
inline constexpr size_t kAccessTextBytesMax = 256;
// Of each text of an AuditNote.
inline constexpr size_t kAuditTextBytesMax = 256;
inline constexpr size_t kAuditNotesMax = 16;
inline constexpr size_t kAddressBytesMax = 64;
inline constexpr size_t kRestorePieceBytesMax = 1 << 20;
inline constexpr size_t kCommandBytesMax = 16 << 20;
inline constexpr size_t kCommandsPerBatchMax = 4096;
// The text of one statement. SQLite's parser takes up to some hundred bytes of memory for each byte
// of text, so this limit bounds memory too. Larger amounts of data belong in parameters. From
// kLevelDataPlatform on, the long literals of an INSERT, REPLACE or UPDATE do not count: a literal
// takes a few bytes of memory for each byte.
inline constexpr size_t kSqlBytesMax = 1 << 20;
// A value of one byte on the wire takes forty bytes in memory, and a statement of three bytes takes
// eighty. These two limits bound the memory that a decoder allocates for a command of
// kCommandBytesMax (about 60 MiB).
inline constexpr size_t kStatementsPerCommandMax = 16384;
inline constexpr size_t kValuesPerCommandMax = 1 << 20;

// Checks a command's id, its principal and its acknowledgement: INVALID_ARGUMENT, not applied, if
// one is illegal. This is the only such check. The node that takes a request calls it, and so does
// every node that applies the command.
Status CheckRequestId(const Command& command);
// The owner of the command's session.
std::string OwnerOf(const Command& command);

// The failure of the statement at `place`, from 0, of `count` in its request. The status says the
// statement's number, and so does the message if there are several.
Status FailureOf(size_t place, size_t count, Status failure);

// The bytes of one command. A batch is a header and the bytes of its commands, so the router
// encodes a command once, and the leader joins the bytes.
std::string EncodeCommand(const Command& command);
// Appends to `out` an entry payload made of already encoded commands.
void EncodeBatch(const BatchHeader& header, const std::vector<std::string>& encoded_commands,
                 std::string* out);
// INVALID_ARGUMENT on malformed bytes; UNIMPLEMENTED, with advice for the operator, for a format or
// an operation that this build does not know. Never crashes on any input.
Result<CommandBatch> DecodeBatch(std::string_view bytes);
Result<Command> DecodeCommand(std::string_view bytes);
// The bytes of one statement, as they stand in a command.
std::string EncodeStatement(const Statement& statement);
Result<Statement> DecodeStatement(std::string_view bytes);

// ---- Results ------------------------------------------------------------------------------------

// The replicated answer to a command, the same on every node. If `status` is not OK, nothing took
// effect. The outcome is then kApplied, because the failure is the committed result.
struct CommandResult {
  Status status;
  LogIndex index;  // the entry that first carried the command
  std::vector<StatementResult> statements;
  // The steps of work that the command took. The number is the same on every node, but is not part
  // of the answer: it is neither encoded nor remembered.
  uint64_t steps = 0;
  // The request succeeded before, and its result is no longer held. Only a request that is known to
  // have succeeded gets this answer.
  bool result_gone = false;
};

std::string EncodeCommandResult(const CommandResult& result);
Result<CommandResult> DecodeCommandResult(std::string_view bytes);

}  // namespace cairn::state_machine
