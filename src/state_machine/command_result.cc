// The encoding of results: what a retry gets, and what a node keeps in its file.

#include <algorithm>
#include <optional>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "state_machine/command.h"
#include "state_machine/value_codec.h"

namespace cairn::state_machine {
namespace {

// The first byte of every result. A reader refuses every other value.
constexpr uint8_t kResultFormat = 1;

constexpr uint8_t kResultGoneFlag = 1;
constexpr uint8_t kLeaderHintFlag = 2;
constexpr uint8_t kReasonFlag = 4;

constexpr size_t kColumnBytesMin = 2;  // both lengths
constexpr size_t kStatementResultBytesMin = 4;

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
  // A row without columns takes no bytes, so a few bytes could claim any number of rows. A result
  // without columns has no rows.
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
