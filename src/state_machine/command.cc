#include "state_machine/command.h"

#include <type_traits>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "state_machine/audit.h"
#include "state_machine/value_codec.h"

namespace cairn::state_machine {
namespace {

// The first byte of every entry payload. A reader refuses every other value: a member that guessed
// at an unknown format would apply something else than its peers do. Format 1 is that of Cairn 0.1.
constexpr uint8_t kBatchFormatOf01 = 1;
constexpr uint8_t kBatchFormat = 2;

enum class OperationTag : uint8_t {
  kExecute = 1,
  kOpenSession = 2,
  kPrepare = 3,
  kCommit = 4,
  kRollback = 5,
  kAdvanceLease = 6,
  kDigest = 7,
  kRaiseLevel = 8,
  kExecuteMaintenance = 9,
  kExecuteExpecting = 10,
  kExecuteForeignKeysOff = 11,
  kMaintainTimeSeries = 12,
  kRetainChanges = 13,
  kRestore = 14,
  kChangeAccess = 15,
  kRecordAudit = 18,
};
constexpr OperationTag kLastOperation = OperationTag::kRecordAudit;
// Stand before the operation: of a command that is restricted, and of one with an address, which
// follows.
constexpr uint8_t kRestricted = 16;
constexpr uint8_t kFrom = 17;

constexpr char kWrittenBy01[] =
    "this entry was written by Cairn 0.1 and not applied: start 0.1 again on all nodes, stop it "
    "cleanly, then start 0.2";
constexpr char kOfALaterVersion[] =
    " is of a later version of Cairn than this node runs: start that version on this node";

constexpr size_t kValueBytesMin = 1;
constexpr size_t kNamedBytesMin = 2;      // length of the name, value
constexpr size_t kStatementBytesMin = 3;  // lengths of the text and of both lists
constexpr size_t kExpectationBytesMin = 2;
constexpr size_t kAuditNoteBytesMin = 5;
constexpr size_t kCommandBytesMin = 6;  // operation, two lengths, three numbers
// ---- Writing ------------------------------------------------------------------------------------

void PutStatement(const Statement& statement, ByteWriter* out) {
  out->String(statement.sql);
  out->Varint(statement.positional.size());
  for (const Value& value : statement.positional) PutValue(value, out);
  out->Varint(statement.named.size());
  for (const NamedValue& named : statement.named) {
    out->String(named.name);
    PutValue(named.value, out);
  }
}

// At least the encoded size of the parts that are usually large, so that one allocation is enough
// for most commands.
size_t SizeHint(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return 6 + text->size();
  if (const auto* blob = std::get_if<Blob>(&value)) return 6 + blob->bytes.size();
  return 11;
}
size_t SizeHint(const Statement& statement) {
  size_t size = 16 + statement.sql.size();
  for (const Value& value : statement.positional) size += SizeHint(value);
  for (const NamedValue& named : statement.named) {
    size += 6 + named.name.size() + SizeHint(named.value);
  }
  return size;
}
size_t SizeHint(const Command& command) {
  size_t size = 49 + command.id.session.size() + command.principal.size();
  if (const auto* execute = std::get_if<Execute>(&command.operation)) {
    for (const Statement& statement : execute->statements) size += SizeHint(statement);
    size += 4 * execute->expect.size();
  } else if (const auto* prepare = std::get_if<Prepare>(&command.operation)) {
    size += 16 + prepare->tx_id.size() + SizeHint(prepare->statement);
  } else if (const auto* restore = std::get_if<Restore>(&command.operation)) {
    size += kRestoreIdBytesMax + restore->bytes.size();
  } else {
    size += kTxIdBytesMax;
  }
  return size;
}

struct OperationWriter {
  ByteWriter* out;

  void operator()(const Execute& execute) const {
    // No member could decode an entry with a list of another length.
    CHECK(execute.expect.empty() || execute.expect.size() == execute.statements.size())
        << execute.expect.size();
    const bool keys_off = execute.foreign_keys != ForeignKeys::kEnforced;
    CHECK(execute.expect.empty() || !keys_off) << "expectations with foreign keys off";
    if (keys_off) out->U8(static_cast<uint8_t>(execute.foreign_keys));
    if (keys_off || !execute.expect.empty()) out->U8(execute.maintenance ? 1 : 0);
    out->Varint(execute.statements.size());
    for (const Statement& statement : execute.statements) PutStatement(statement, out);
    for (const RowExpectation& expect : execute.expect) {
      out->U8(static_cast<uint8_t>(expect.kind));
      out->Varint(expect.rows);
    }
  }
  void operator()(const OpenSession&) const {}
  void operator()(const Prepare& prepare) const {
    out->String(prepare.tx_id);
    out->Varint(prepare.timeout_ms);
    out->Varint(prepare.number);
    PutStatement(prepare.statement, out);
  }
  void operator()(const Commit& commit) const {
    out->String(commit.tx_id);
    out->Varint(commit.statements);
  }
  void operator()(const Rollback& rollback) const { out->String(rollback.tx_id); }
  void operator()(const AdvanceLease&) const {}
  void operator()(const Digest&) const {}
  void operator()(const RaiseLevel& raise) const { out->Varint(raise.level); }
  void operator()(const MaintainTimeSeries&) const {}
  void operator()(const RetainChanges& retain) const {
    out->String(retain.table);
    out->Varint(retain.retain_ms);
    out->Varint(retain.bytes_max);
  }
  void operator()(const Restore& restore) const {
    out->U8(static_cast<uint8_t>(restore.step));
    out->String(restore.id);
    out->Varint(restore.number);
    out->String(restore.bytes);
  }
  void operator()(const ChangeAccess& change) const {
    out->U8(static_cast<uint8_t>(change.kind));
    out->String(change.principal);
    out->String(change.privilege);
    out->String(change.pattern);
    if (change.kind >= ChangeAccess::Kind::kTrustKey) out->Varint(change.time_s);
  }
  void operator()(const RecordAudit& record) const {
    out->Varint(record.notes.size());
    // What a reader refuses is never written: a command that nobody can read stops all nodes.
    CHECK(record.notes.size() <= kAuditNotesMax);
    for (AuditNote note : record.notes) {
      CutTexts(&note);
      out->String(note.kind);
      out->String(note.principal);
      out->String(note.address);
      out->String(note.text);
      out->Varint(note.count);
    }
  }
};

OperationTag TagOf(const Operation& operation) {
  const auto* const execute = std::get_if<Execute>(&operation);
  if (execute != nullptr && execute->foreign_keys != ForeignKeys::kEnforced) {
    return OperationTag::kExecuteForeignKeysOff;
  }
  if (execute != nullptr && !execute->expect.empty()) return OperationTag::kExecuteExpecting;
  if (execute != nullptr && execute->maintenance) return OperationTag::kExecuteMaintenance;
  if (std::holds_alternative<MaintainTimeSeries>(operation)) {
    return OperationTag::kMaintainTimeSeries;
  }
  if (std::holds_alternative<RetainChanges>(operation)) return OperationTag::kRetainChanges;
  if (std::holds_alternative<Restore>(operation)) return OperationTag::kRestore;
  if (std::holds_alternative<ChangeAccess>(operation)) return OperationTag::kChangeAccess;
  if (std::holds_alternative<RecordAudit>(operation)) return OperationTag::kRecordAudit;
  static_assert(std::is_same_v<std::variant_alternative_t<0, Operation>, Execute>);
  static_assert(std::is_same_v<std::variant_alternative_t<5, Operation>, AdvanceLease>);
  static_assert(std::is_same_v<std::variant_alternative_t<6, Operation>, Digest>);
  static_assert(std::is_same_v<std::variant_alternative_t<7, Operation>, RaiseLevel>);
  return static_cast<OperationTag>(operation.index() + 1);
}

// ---- Reading ------------------------------------------------------------------------------------

// `values_left` is the rest of kValuesPerCommandMax.
Statement TakeStatement(StrictReader* in, size_t* values_left) {
  Statement statement;
  statement.sql = in->String(kNoLimit);
  const size_t positional = in->Count(*values_left, kValueBytesMin);
  *values_left -= positional;
  statement.positional.reserve(positional);
  for (size_t i = 0; i < positional && in->ok(); ++i) statement.positional.push_back(TakeValue(in));
  const size_t named = in->Count(*values_left, kNamedBytesMin);
  *values_left -= named;
  statement.named.reserve(named);
  for (size_t i = 0; i < named && in->ok(); ++i) {
    NamedValue& value = statement.named.emplace_back();
    value.name = in->String(kNoLimit);
    value.value = TakeValue(in);
  }
  return statement;
}

RowExpectation TakeExpectation(StrictReader* in) {
  const uint8_t kind = in->U8();
  const RowExpectation expect{static_cast<RowExpectation::Kind>(kind), in->Varint()};
  if (kind > static_cast<uint8_t>(RowExpectation::Kind::kAtLeast)) in->Refuse();
  if (expect.kind == RowExpectation::Kind::kAny && expect.rows != 0) in->Refuse();
  return expect;
}

ForeignKeys TakeForeignKeys(StrictReader* in) {
  const uint8_t keys = in->U8();
  // Enforced ones would be encoded as another operation.
  if (keys == 0 || keys > static_cast<uint8_t>(ForeignKeys::kUnchecked)) in->Refuse();
  return static_cast<ForeignKeys>(keys);
}

Execute TakeExecute(OperationTag tag, StrictReader* in) {
  const bool expecting = tag == OperationTag::kExecuteExpecting;
  const bool keys_off = tag == OperationTag::kExecuteForeignKeysOff;
  Execute execute;
  if (keys_off) execute.foreign_keys = TakeForeignKeys(in);
  const uint8_t maintenance =
      expecting || keys_off ? in->U8() : tag == OperationTag::kExecuteMaintenance;
  if (maintenance > 1) in->Refuse();
  execute.maintenance = maintenance != 0;
  const size_t count = in->Count(kStatementsPerCommandMax,
                                 kStatementBytesMin + (expecting ? kExpectationBytesMin : 0));
  execute.statements.reserve(count);
  size_t values_left = kValuesPerCommandMax;
  for (size_t i = 0; i < count && in->ok(); ++i) {
    execute.statements.push_back(TakeStatement(in, &values_left));
  }
  if (!expecting) return execute;
  if (count == 0) in->Refuse();  // it would be encoded as another operation
  execute.expect.reserve(count);
  for (size_t i = 0; i < count && in->ok(); ++i) execute.expect.push_back(TakeExpectation(in));
  return execute;
}

Restore TakeRestore(StrictReader* in) {
  Restore restore;
  const uint8_t step = in->U8();
  if (step > static_cast<uint8_t>(Restore::Step::kAbort)) in->Refuse();
  restore.step = static_cast<Restore::Step>(step);
  restore.id = in->String(kRestoreIdBytesMax);
  restore.number = in->Varint();
  restore.bytes = in->String(kRestorePieceBytesMax);
  return restore;
}

ChangeAccess TakeChangeAccess(StrictReader* in) {
  ChangeAccess change;
  const uint8_t kind = in->U8();
  if (kind > static_cast<uint8_t>(ChangeAccess::Kind::kRevokeTokens)) in->Refuse();
  change.kind = static_cast<ChangeAccess::Kind>(kind);
  change.principal = in->String(kAccessTextBytesMax);
  change.privilege = in->String(kAccessTextBytesMax);
  change.pattern = in->String(kAccessTextBytesMax);
  if (change.kind >= ChangeAccess::Kind::kTrustKey) change.time_s = in->Varint();
  return change;
}

RecordAudit TakeRecordAudit(StrictReader* in) {
  RecordAudit record;
  const size_t count = in->Count(kAuditNotesMax, kAuditNoteBytesMin);
  record.notes.reserve(count);
  for (size_t i = 0; i < count && in->ok(); ++i) {
    AuditNote& note = record.notes.emplace_back();
    note.kind = in->String(kAuditTextBytesMax);
    note.principal = in->String(kAuditTextBytesMax);
    note.address = in->String(kAuditTextBytesMax);
    note.text = in->String(kAuditTextBytesMax);
    note.count = in->Varint();
  }
  return record;
}

Operation TakeOperation(OperationTag tag, StrictReader* in) {
  switch (tag) {
    case OperationTag::kExecute:
    case OperationTag::kExecuteMaintenance:
    case OperationTag::kExecuteExpecting:
    case OperationTag::kExecuteForeignKeysOff: return TakeExecute(tag, in);
    case OperationTag::kOpenSession: return OpenSession{};
    case OperationTag::kPrepare: {
      Prepare prepare;
      prepare.tx_id = in->String(kTxIdBytesMax);
      prepare.timeout_ms = in->Varint();
      prepare.number = in->Varint();
      size_t values_left = kValuesPerCommandMax;
      prepare.statement = TakeStatement(in, &values_left);
      return prepare;
    }
    case OperationTag::kCommit: {
      Commit commit;
      commit.tx_id = in->String(kTxIdBytesMax);
      commit.statements = in->Varint();
      return commit;
    }
    case OperationTag::kRollback: return Rollback{std::string(in->String(kTxIdBytesMax))};
    case OperationTag::kAdvanceLease: return AdvanceLease{};
    case OperationTag::kDigest: return Digest{};
    case OperationTag::kRaiseLevel: return RaiseLevel{in->Varint()};
    case OperationTag::kMaintainTimeSeries: return MaintainTimeSeries{};
    case OperationTag::kRetainChanges: {
      RetainChanges retain;
      retain.table = in->String(kRetainedNameBytesMax);
      retain.retain_ms = in->Varint();
      retain.bytes_max = in->Varint();
      return retain;
    }
    case OperationTag::kRestore: return TakeRestore(in);
    case OperationTag::kChangeAccess: return TakeChangeAccess(in);
    case OperationTag::kRecordAudit: return TakeRecordAudit(in);
  }
  in->Refuse();
  return AdvanceLease{};
}

}  // namespace

// ---- Commands -----------------------------------------------------------------------------------

std::string EncodeCommand(const Command& command) {
  std::string bytes;
  bytes.reserve(SizeHint(command));
  ByteWriter out(&bytes);
  if (command.restricted) out.U8(kRestricted);
  if (!command.address.empty()) {
    out.U8(kFrom);
    out.String(command.address);
  }
  out.U8(static_cast<uint8_t>(TagOf(command.operation)));
  out.String(command.id.session);
  out.Varint(command.id.sequence);
  out.Varint(command.acknowledged_below);
  out.String(command.principal);
  out.Varint(command.named_by);
  std::visit(OperationWriter{&out}, command.operation);
  return bytes;
}

Result<Command> DecodeCommand(std::string_view bytes) {
  if (bytes.size() > kCommandBytesMax) {
    return InvalidArgument("a command of " + std::to_string(bytes.size()) + " bytes; at most " +
                           std::to_string(kCommandBytesMax) + " are allowed");
  }
  StrictReader in(bytes);
  Command command;
  uint8_t operation = in.U8();
  if (operation == kRestricted) {
    command.restricted = true;
    operation = in.U8();
  }
  if (operation == kFrom) {
    command.address = in.String(kAddressBytesMax);
    if (command.address.empty()) in.Refuse();
    operation = in.U8();
  }
  if (operation > static_cast<uint8_t>(kLastOperation)) {
    return Unimplemented("operation " + std::to_string(operation) + kOfALaterVersion);
  }
  if (operation == kRestricted || operation == kFrom) in.Refuse();
  const auto tag = static_cast<OperationTag>(operation);
  command.id.session = in.String(kSessionBytesMax);
  command.id.sequence = in.Varint();
  command.acknowledged_below = in.Varint();
  command.principal = in.String(kPrincipalBytesMax);
  command.named_by = in.Varint();
  command.operation = TakeOperation(tag, &in);
  if (!in.done()) return InvalidArgument("malformed command");
  return command;
}

std::string EncodeStatement(const Statement& statement) {
  std::string bytes;
  bytes.reserve(SizeHint(statement));
  ByteWriter out(&bytes);
  PutStatement(statement, &out);
  return bytes;
}

Result<Statement> DecodeStatement(std::string_view bytes) {
  StrictReader in(bytes);
  size_t values_left = kValuesPerCommandMax;
  Statement statement = TakeStatement(&in, &values_left);
  if (!in.done()) return InvalidArgument("malformed statement");
  return statement;
}

void EncodeBatch(const BatchHeader& header, const std::vector<std::string>& encoded_commands,
                 std::string* out) {
  // No member could decode such an entry in the log. It is better that this leader stops than that
  // all members do.
  CHECK(encoded_commands.size() <= kCommandsPerBatchMax) << encoded_commands.size();
  size_t size = out->size() + 64;
  for (const std::string& command : encoded_commands) {
    CHECK(command.size() <= kCommandBytesMax) << command.size();
    size += 4 + command.size();
  }
  out->reserve(size);
  ByteWriter writer(out);
  writer.U8(kBatchFormat);
  writer.I64(header.wall_ms);
  writer.U64(header.random_seed);
  writer.Varint(header.lease_ms);
  writer.Varint(header.command_steps_max);
  writer.Varint(header.entry_steps_max);
  writer.Varint(header.maintenance_steps_max);
  writer.Varint(header.request_ttl_ms);
  writer.Varint(encoded_commands.size());
  for (const std::string& command : encoded_commands) writer.String(command);
}

Result<CommandBatch> DecodeBatch(std::string_view bytes) {
  StrictReader in(bytes);
  const uint8_t format = in.U8();
  if (in.ok() && format == kBatchFormatOf01) return Unimplemented(kWrittenBy01);
  if (in.ok() && format > kBatchFormat) {
    return Unimplemented("batch format " + std::to_string(format) + kOfALaterVersion);
  }
  if (format != kBatchFormat) in.Refuse();
  CommandBatch batch;
  batch.header.wall_ms = in.I64();
  batch.header.random_seed = in.U64();
  batch.header.lease_ms = in.Varint();
  batch.header.command_steps_max = in.Varint();
  batch.header.entry_steps_max = in.Varint();
  batch.header.maintenance_steps_max = in.Varint();
  batch.header.request_ttl_ms = in.Varint();
  const size_t count = in.Count(kCommandsPerBatchMax, 1 + kCommandBytesMin);
  batch.commands.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    const std::string_view command_bytes = in.String(kCommandBytesMax);
    if (!in.ok()) break;
    ASSIGN_OR_RETURN(Command command, DecodeCommand(command_bytes));
    batch.commands.push_back(std::move(command));
  }
  if (!in.done()) return InvalidArgument("malformed command batch");
  return batch;
}

}  // namespace cairn::state_machine
