#include "state_machine/command.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <type_traits>

#include "base/bytes.h"
#include "base/check.h"

namespace cairn::state_machine {
namespace {

// First byte of every entry payload and of every result. A reader refuses any other: a member that
// guessed at an unknown format would apply something else than its peers do.
// Format 1 is of Cairn 0.1.
constexpr uint8_t kBatchFormatOf01 = 1;
constexpr uint8_t kBatchFormat = 2;
constexpr uint8_t kResultFormat = 1;

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
};
constexpr OperationTag kLastOperation = OperationTag::kExecuteMaintenance;

enum class ValueTag : uint8_t { kNull = 0, kInteger = 1, kReal = 2, kText = 3, kBlob = 4 };

constexpr char kWrittenBy01[] =
    "this entry was written by Cairn 0.1 and not applied: start 0.1 again on all nodes, stop it "
    "cleanly, then start 0.2";
constexpr char kOfALaterVersion[] =
    " is of a later version of Cairn than this node runs: start that version on this node";

constexpr uint8_t kResultGoneFlag = 1;
constexpr uint8_t kLeaderHintFlag = 2;
constexpr uint8_t kReasonFlag = 4;

constexpr size_t kValueBytesMin = 1;
constexpr size_t kNamedBytesMin = 2;      // length of the name, value
constexpr size_t kStatementBytesMin = 3;  // lengths of the text and of both lists
constexpr size_t kCommandBytesMin = 6;    // operation, two lengths, three numbers
constexpr size_t kColumnBytesMin = 2;     // both lengths
constexpr size_t kStatementResultBytesMin = 4;

// Small numbers of either sign in few bytes: 0, -1, 1, -2 become 0, 1, 2, 3.
uint64_t ZigZag(int64_t v) {
  return (static_cast<uint64_t>(v) << 1) ^ static_cast<uint64_t>(v >> 63);
}
int64_t UnZigZag(uint64_t v) { return static_cast<int64_t>((v >> 1) ^ (~(v & 1) + 1)); }

size_t VarintSize(uint64_t v) { return v == 0 ? 1 : (std::bit_width(v) + 6) / 7; }

// ---- Writing ------------------------------------------------------------------------------------

void PutValue(const Value& value, ByteWriter* out) {
  switch (value.index()) {
    case 0: out->U8(static_cast<uint8_t>(ValueTag::kNull)); return;
    case 1:
      out->U8(static_cast<uint8_t>(ValueTag::kInteger));
      out->Varint(ZigZag(*std::get_if<1>(&value)));
      return;
    case 2:
      out->U8(static_cast<uint8_t>(ValueTag::kReal));
      out->F64(*std::get_if<2>(&value));
      return;
    case 3:
      out->U8(static_cast<uint8_t>(ValueTag::kText));
      out->String(*std::get_if<3>(&value));
      return;
    default:
      out->U8(static_cast<uint8_t>(ValueTag::kBlob));
      out->String(std::get_if<4>(&value)->bytes);
      return;
  }
}

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

// At least the encoded size of what is usually large, so that one allocation does for most
// commands.
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
  size_t size = 48 + command.id.session.size() + command.principal.size();
  if (const auto* execute = std::get_if<Execute>(&command.operation)) {
    for (const Statement& statement : execute->statements) size += SizeHint(statement);
  } else if (const auto* prepare = std::get_if<Prepare>(&command.operation)) {
    size += 16 + prepare->tx_id.size() + SizeHint(prepare->statement);
  } else {
    size += kTxIdBytesMax;
  }
  return size;
}

struct OperationWriter {
  ByteWriter* out;

  void operator()(const Execute& execute) const {
    out->Varint(execute.statements.size());
    for (const Statement& statement : execute.statements) PutStatement(statement, out);
  }
  void operator()(const OpenSession&) const {}
  void operator()(const Prepare& prepare) const {
    out->String(prepare.tx_id);
    out->Varint(prepare.timeout_ms);
    PutStatement(prepare.statement, out);
  }
  void operator()(const Commit& commit) const { out->String(commit.tx_id); }
  void operator()(const Rollback& rollback) const { out->String(rollback.tx_id); }
  void operator()(const AdvanceLease&) const {}
  void operator()(const Digest&) const {}
  void operator()(const RaiseLevel& raise) const { out->Varint(raise.level); }
};

OperationTag TagOf(const Operation& operation) {
  const auto* const execute = std::get_if<Execute>(&operation);
  if (execute != nullptr && execute->maintenance) return OperationTag::kExecuteMaintenance;
  static_assert(std::is_same_v<std::variant_alternative_t<0, Operation>, Execute>);
  static_assert(std::is_same_v<std::variant_alternative_t<5, Operation>, AdvanceLease>);
  static_assert(std::is_same_v<std::variant_alternative_t<6, Operation>, Digest>);
  static_assert(std::is_same_v<std::variant_alternative_t<7, Operation>, RaiseLevel>);
  return static_cast<OperationTag>(operation.index() + 1);
}

// ---- Reading ------------------------------------------------------------------------------------

// ByteReader, but only the shortest form of a number is accepted: whatever decodes, encodes to the
// very same bytes again, so equal commands have equal bytes and a hash of them is well defined.
class StrictReader {
 public:
  explicit StrictReader(std::string_view in) : in_(in) {}

  uint8_t U8() { return in_.U8(); }
  uint64_t U64() { return in_.U64(); }
  int64_t I64() { return in_.I64(); }
  double F64() { return in_.F64(); }
  uint64_t Varint() {
    const size_t before = in_.remaining();
    const uint64_t v = in_.Varint();
    if (before - in_.remaining() != VarintSize(v)) ok_ = false;
    return v;
  }
  std::string_view String(size_t size_max) {
    const uint64_t size = Varint();
    if (size > size_max || size > in_.remaining()) {
      ok_ = false;
      return {};
    }
    return in_.Raw(size);
  }
  // The length of a list whose items take at least `item_bytes_min`: never more than can follow.
  size_t Count(size_t count_max, size_t item_bytes_min) {
    const uint64_t count = Varint();
    if (count > count_max || count > in_.remaining() / item_bytes_min) {
      ok_ = false;
      return 0;
    }
    return static_cast<size_t>(count);
  }
  void Refuse() { ok_ = false; }
  size_t remaining() const { return in_.remaining(); }
  bool ok() const { return ok_ && in_.ok(); }
  bool done() const { return ok_ && in_.done(); }

 private:
  ByteReader in_;
  bool ok_ = true;
};

constexpr size_t kNoLimit = std::numeric_limits<size_t>::max();

Value TakeValue(StrictReader* in) {
  switch (static_cast<ValueTag>(in->U8())) {
    case ValueTag::kNull: return {};
    case ValueTag::kInteger: return UnZigZag(in->Varint());
    case ValueTag::kReal: return in->F64();
    case ValueTag::kText: return std::string(in->String(kNoLimit));
    case ValueTag::kBlob: return Blob{std::string(in->String(kNoLimit))};
  }
  in->Refuse();
  return {};
}

// `values_left` is what remains of kValuesPerCommandMax.
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

Operation TakeOperation(OperationTag tag, StrictReader* in) {
  size_t values_left = kValuesPerCommandMax;
  switch (tag) {
    case OperationTag::kExecute:
    case OperationTag::kExecuteMaintenance: {
      Execute execute;
      execute.maintenance = tag == OperationTag::kExecuteMaintenance;
      const size_t count = in->Count(kStatementsPerCommandMax, kStatementBytesMin);
      execute.statements.reserve(count);
      for (size_t i = 0; i < count && in->ok(); ++i) {
        execute.statements.push_back(TakeStatement(in, &values_left));
      }
      return execute;
    }
    case OperationTag::kOpenSession: return OpenSession{};
    case OperationTag::kPrepare: {
      Prepare prepare;
      prepare.tx_id = in->String(kTxIdBytesMax);
      prepare.timeout_ms = in->Varint();
      prepare.statement = TakeStatement(in, &values_left);
      return prepare;
    }
    case OperationTag::kCommit: return Commit{std::string(in->String(kTxIdBytesMax))};
    case OperationTag::kRollback: return Rollback{std::string(in->String(kTxIdBytesMax))};
    case OperationTag::kAdvanceLease: return AdvanceLease{};
    case OperationTag::kDigest: return Digest{};
    case OperationTag::kRaiseLevel: return RaiseLevel{in->Varint()};
  }
  in->Refuse();
  return AdvanceLease{};
}

Status TakeStatus(uint8_t flags, StrictReader* in) {
  const uint8_t code = in->U8();
  const uint8_t outcome = in->U8();
  if (code > static_cast<uint8_t>(StatusCode::kUnauthenticated) ||
      outcome > static_cast<uint8_t>(Outcome::kUnknown)) {
    in->Refuse();
    return {};
  }
  Status status = Status(static_cast<StatusCode>(code), std::string(in->String(kNoLimit)))
                      .With(static_cast<Outcome>(outcome));
  if ((flags & kLeaderHintFlag) != 0) {
    LeaderHint hint;
    hint.node_id = in->Varint();
    hint.address = in->String(kNoLimit);
    status = std::move(status).With(std::move(hint));
  }
  if ((flags & kReasonFlag) != 0) {
    const uint8_t reason = in->U8();
    if (reason == 0 || reason > static_cast<uint8_t>(kReasonLast)) {
      in->Refuse();
      return {};
    }
    status = std::move(status).With(static_cast<Reason>(reason));
  }
  return status;
}

StatementResult TakeStatementResult(StrictReader* in) {
  StatementResult result;
  result.rows_affected = UnZigZag(in->Varint());
  result.last_insert_id = UnZigZag(in->Varint());
  const size_t columns = in->Count(kNoLimit, kColumnBytesMin);
  result.columns.reserve(columns);
  for (size_t i = 0; i < columns && in->ok(); ++i) {
    Column& column = result.columns.emplace_back();
    column.name = in->String(kNoLimit);
    column.decl_type = in->String(kNoLimit);
  }
  // A row without columns takes no bytes, so any number of them would fit: there are none.
  const size_t rows = in->Count(columns == 0 ? 0 : kNoLimit, std::max<size_t>(columns, 1));
  result.rows.reserve(rows);
  for (size_t i = 0; i < rows && in->ok(); ++i) {
    Row& row = result.rows.emplace_back();
    row.reserve(columns);
    for (size_t j = 0; j < columns && in->ok(); ++j) row.push_back(TakeValue(in));
  }
  return result;
}

}  // namespace

// ---- Commands -----------------------------------------------------------------------------------

Status CheckRequestId(const Command& command) {
  const auto refused = [](const std::string& why) {
    return InvalidArgument(why).With(Outcome::kNotApplied);
  };
  const RequestId& id = command.id;
  if (id.session.size() > kSessionBytesMax) {
    return refused("the session of the request id is longer than " +
                   std::to_string(kSessionBytesMax) + " bytes");
  }
  if (id.empty() && id.sequence != 0) return refused("the request id names no session");
  // Whoever passes a request on says who asked. An entry with a longer one could be read by nobody.
  if (command.principal.size() > kPrincipalBytesMax) {
    return refused("the principal of the request is longer than " +
                   std::to_string(kPrincipalBytesMax) + " bytes");
  }
  // It would count as answered before it was ever asked.
  if (command.acknowledged_below > id.sequence) {
    return refused("acknowledged_below " + std::to_string(command.acknowledged_below) +
                   " is past the request's own sequence " + std::to_string(id.sequence));
  }
  return OkStatus();
}

std::string OwnerOf(const Command& command) {
  if (command.named_by == 0) return command.principal;
  return "node:" + std::to_string(command.named_by);
}

std::string EncodeCommand(const Command& command) {
  std::string bytes;
  bytes.reserve(SizeHint(command));
  ByteWriter out(&bytes);
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
  const uint8_t operation = in.U8();
  if (operation > static_cast<uint8_t>(kLastOperation)) {
    return Unimplemented("operation " + std::to_string(operation) + kOfALaterVersion);
  }
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
  // No member could decode such an entry once it is in the log: better this leader stops than all.
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

// ---- Results ------------------------------------------------------------------------------------

std::string EncodeCommandResult(const CommandResult& result) {
  std::string bytes;
  ByteWriter out(&bytes);
  const std::optional<LeaderHint>& hint = result.status.leader_hint();
  const Reason reason = result.status.reason();
  out.U8(kResultFormat);
  out.U8(static_cast<uint8_t>((result.result_gone ? kResultGoneFlag : 0) |
                              (hint.has_value() ? kLeaderHintFlag : 0) |
                              (reason != Reason::kNone ? kReasonFlag : 0)));
  out.U8(static_cast<uint8_t>(result.status.code()));
  out.U8(static_cast<uint8_t>(result.status.outcome()));
  out.String(result.status.message());
  if (hint.has_value()) {
    out.Varint(hint->node_id);
    out.String(hint->address);
  }
  if (reason != Reason::kNone) out.U8(static_cast<uint8_t>(reason));
  out.Varint(result.index.value());
  out.Varint(result.statements.size());
  for (const StatementResult& statement : result.statements) {
    out.Varint(ZigZag(statement.rows_affected));
    out.Varint(ZigZag(statement.last_insert_id));
    out.Varint(statement.columns.size());
    for (const Column& column : statement.columns) {
      out.String(column.name);
      out.String(column.decl_type);
    }
    CHECK(!statement.columns.empty() || statement.rows.empty()) << "rows without columns";
    out.Varint(statement.rows.size());
    for (const Row& row : statement.rows) {
      CHECK(row.size() == statement.columns.size()) << row.size();
      for (const Value& value : row) PutValue(value, &out);
    }
  }
  return bytes;
}

Result<CommandResult> DecodeCommandResult(std::string_view bytes) {
  StrictReader in(bytes);
  const uint8_t format = in.U8();
  if (in.ok() && format != kResultFormat) {
    return InvalidArgument("command result of unknown format " + std::to_string(format));
  }
  CommandResult result;
  const uint8_t flags = in.U8();
  if ((flags & ~(kResultGoneFlag | kLeaderHintFlag | kReasonFlag)) != 0) in.Refuse();
  result.result_gone = (flags & kResultGoneFlag) != 0;
  result.status = TakeStatus(flags, &in);
  result.index = LogIndex(in.Varint());
  const size_t count = in.Count(kStatementsPerCommandMax, kStatementResultBytesMin);
  result.statements.reserve(count);
  for (size_t i = 0; i < count && in.ok(); ++i) {
    result.statements.push_back(TakeStatementResult(&in));
  }
  if (!in.done()) return InvalidArgument("malformed command result");
  return result;
}

}  // namespace cairn::state_machine
