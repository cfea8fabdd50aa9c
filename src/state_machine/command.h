// Commands: what the entries of the replicated log carry, and their bytes.
//
// One log entry is a batch: a header, stamped once by the leader, and any number of commands, each
// with its own outcome. docs/internals/wire_format.md specifies the encoding.
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
using cairn::NamedValue;
using cairn::Row;
using cairn::Statement;
using cairn::StatementResult;
using cairn::Value;

// Names one request. Either a session (at most 64 bytes) and a sequence in it, from 1 on; or a bare
// id, which is a text of its own with sequence 0.
struct RequestId {
  std::string session;
  uint64_t sequence = 0;
  bool empty() const { return session.empty(); }
  bool bare() const { return !session.empty() && sequence == 0; }
  bool operator==(const RequestId&) const = default;
  auto operator<=>(const RequestId&) const = default;
};

// ---- Kinds of command ---------------------------------------------------------------------------

// All statements take effect, or none; each gets its own result.
struct Execute {
  std::vector<Statement> statements;
  bool maintenance = false;  // may do as much work as the header grants maintenance
  bool operator==(const Execute&) const = default;
};
// Does nothing but make the session known, so that later sequences may arrive in any order.
struct OpenSession {
  bool operator==(const OpenSession&) const = default;
};
struct Prepare {
  std::string tx_id;
  Statement statement;
  uint64_t timeout_ms = 0;  // from this entry's lease time to the deadline; 0: the default
  bool operator==(const Prepare&) const = default;
};
struct Commit {
  std::string tx_id;
  bool operator==(const Commit&) const = default;
};
struct Rollback {
  std::string tx_id;
  bool operator==(const Rollback&) const = default;
};
// Carries the header's lease time alone: expires sessions and prepared transactions that are due.
struct AdvanceLease {
  bool operator==(const AdvanceLease&) const = default;
};

// Changes nothing. Every member makes a digest of what the database holds after this entry.
struct Digest {
  bool operator==(const Digest&) const = default;
};

// Raises the feature level of the cluster (feature_level.h). A level that is reached already stays.
struct RaiseLevel {
  uint64_t level = 0;
  bool operator==(const RaiseLevel&) const = default;
};

using Operation =
    std::variant<Execute, OpenSession, Prepare, Commit, Rollback, AdvanceLease, Digest, RaiseLevel>;

struct Command {
  RequestId id;
  // The client needs no result below this sequence any more (it has them all).
  uint64_t acknowledged_below = 0;
  Operation operation;
  // Who asks, as the node says that took the request: `host:192.0.2.7`. Never the client's word.
  std::string principal = {};
  // The node out of whose own session `id` is; 0: the client named its request.
  uint64_t named_by = 0;
  bool operator==(const Command&) const = default;
};

// ---- Entries ------------------------------------------------------------------------------------

inline constexpr uint64_t kRequestTtlDefaultMs = 15 * 60 * 1000;

struct BatchHeader {
  int64_t wall_ms = 0;       // what SQL sees as now, Unix milliseconds UTC
  uint64_t random_seed = 0;  // what random() draws from
  uint64_t lease_ms = 0;     // the replicated lease clock; never goes back
  // Work, in steps (sqlite/work_budget.h); 0: unbounded.
  uint64_t command_steps_max = 0;      // that one command may do
  uint64_t entry_steps_max = 0;        // no command begins after those before it have done as much
  uint64_t maintenance_steps_max = 0;  // that a command of maintenance may do
  // For how long an answered request is remembered at the least, on the lease clock.
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
inline constexpr size_t kCommandBytesMax = 16 << 20;
inline constexpr size_t kCommandsPerBatchMax = 4096;
// Text of one statement. SQLite's parser takes up to some hundred bytes of memory for one of text,
// so this, too, bounds memory; larger amounts of data belong in parameters.
inline constexpr size_t kSqlBytesMax = 1 << 20;
// A value of one byte on the wire takes forty in memory, a statement of three takes eighty: these
// two bound what a command of kCommandBytesMax can make a decoder allocate (about 60 MiB).
inline constexpr size_t kStatementsPerCommandMax = 16384;
inline constexpr size_t kValuesPerCommandMax = 1 << 20;

// The only judgement of a command's id, principal and of what it acknowledges, however they arrived:
// INVALID_ARGUMENT, not applied. The node that takes a request asks it, and so does every node that
// applies the command.
Status CheckRequestId(const Command& command);
// Who the session of the command belongs to.
std::string OwnerOf(const Command& command);

// Bytes of one command alone; a batch is its header and its commands' bytes, so that the router can
// encode once and the leader can join.
std::string EncodeCommand(const Command& command);
// Appends to `out` an entry payload made of already encoded commands.
void EncodeBatch(const BatchHeader& header, const std::vector<std::string>& encoded_commands,
                 std::string* out);
// INVALID_ARGUMENT on malformed bytes; UNIMPLEMENTED, with advice for the operator, for a format or
// an operation that this build does not know. Never crashes on any input.
Result<CommandBatch> DecodeBatch(std::string_view bytes);
Result<Command> DecodeCommand(std::string_view bytes);
// One statement as it stands in a command.
std::string EncodeStatement(const Statement& statement);
Result<Statement> DecodeStatement(std::string_view bytes);

// ---- Results ------------------------------------------------------------------------------------

// The replicated answer to a command, the same on every node. `status` not OK: nothing took effect
// (its outcome is kApplied: the failure itself is the committed result).
struct CommandResult {
  Status status;
  LogIndex index;  // the entry that first carried the command
  std::vector<StatementResult> statements;
  // What it cost to apply, in steps of work. Of what is replicated, but not part of the answer: it
  // is neither encoded nor remembered.
  uint64_t steps = 0;
  // The request was answered before, with OK, and its result is no longer held. Only what is known
  // to have succeeded is told so.
  bool result_gone = false;
};

std::string EncodeCommandResult(const CommandResult& result);
Result<CommandResult> DecodeCommandResult(std::string_view bytes);

}  // namespace cairn::state_machine
