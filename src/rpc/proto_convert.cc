#include "rpc/proto_convert.h"

#include <google/protobuf/stubs/common.h>

#include <string_view>
#include <utility>

#include "security/connection_error.h"

namespace cairn::rpc {
namespace {

Outcome OutcomeFromProto(v1::Outcome outcome) {
  switch (outcome) {
    case v1::OUTCOME_APPLIED: return Outcome::kApplied;
    case v1::OUTCOME_NOT_APPLIED: return Outcome::kNotApplied;
    case v1::OUTCOME_UNKNOWN: return Outcome::kUnknown;
    default: return Outcome::kNone;
  }
}

Reason ReasonFromProto(int reason) {
  const bool known = reason >= 0 && reason <= static_cast<int>(kReasonLast);
  return known ? static_cast<Reason>(reason) : Reason::kNone;
}

Status MakeStatus(int code, std::string message, const v1::ErrorDetail& detail) {
  if (code <= 0 || code > static_cast<int>(StatusCode::kUnauthenticated)) {
    return Status(StatusCode::kUnknown, std::move(message)).With(Outcome::kUnknown);
  }
  Status status = Status(static_cast<StatusCode>(code), std::move(message))
                      .With(OutcomeFromProto(detail.outcome()))
                      .With(ReasonFromProto(detail.reason()))
                      .AtStatement(detail.statement());
  if (detail.leader_address().empty()) return status;
  return std::move(status).With(LeaderHint{detail.leader_node_id(), detail.leader_address()});
}

}  // namespace

bool IsUtf8(const std::string& text) {
  return google::protobuf::internal::IsStructurallyValidUTF8(text.data(),
                                                             static_cast<int>(text.size()));
}

std::string Utf8OrQuestionMarks(std::string text) {
  if (IsUtf8(text)) return text;
  for (char& c : text) {
    if (static_cast<unsigned char>(c) >= 0x80) c = '?';
  }
  return text;
}

std::string CutText(std::string text, size_t bytes_max) {
  static constexpr std::string_view kMark = "... (cut)";
  if (text.size() <= bytes_max) return text;
  size_t end = bytes_max - kMark.size();
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  text.resize(end);
  return text.append(kMark);
}

Status CheckUtf8(const Statement& statement) {
  if (!IsUtf8(statement.sql)) return InvalidArgument("the SQL text is not valid UTF-8");
  for (const NamedValue& named : statement.named) {
    if (!IsUtf8(named.name)) return InvalidArgument("a parameter's name is not valid UTF-8");
  }
  return OkStatus();
}

void ToProto(Value value, v1::Value* out) {
  if (auto* integer = std::get_if<int64_t>(&value)) {
    out->set_integer(*integer);
  } else if (auto* real = std::get_if<double>(&value)) {
    out->set_real(*real);
  } else if (auto* text = std::get_if<std::string>(&value)) {
    if (IsUtf8(*text)) {
      out->set_text(std::move(*text));
    } else {
      out->set_text_bytes(std::move(*text));
    }
  } else if (auto* blob = std::get_if<Blob>(&value)) {
    out->set_blob(std::move(blob->bytes));
  }
}

Value FromProto(v1::Value* value) {
  switch (value->kind_case()) {
    case v1::Value::kInteger: return value->integer();
    case v1::Value::kReal: return value->real();
    case v1::Value::kText: return std::move(*value->mutable_text());
    case v1::Value::kTextBytes: return std::move(*value->mutable_text_bytes());
    case v1::Value::kBlob: return Blob{std::move(*value->mutable_blob())};
    case v1::Value::KIND_NOT_SET: break;
  }
  return std::monostate();
}

void ToProto(Statement statement, v1::Statement* out) {
  out->set_sql(std::move(statement.sql));
  for (Value& value : statement.positional) ToProto(std::move(value), out->add_positional());
  for (NamedValue& named : statement.named) {
    v1::NamedValue* to = out->add_named();
    to->set_name(std::move(named.name));
    if (!std::holds_alternative<std::monostate>(named.value)) {
      ToProto(std::move(named.value), to->mutable_value());
    }
  }
}

Statement FromProto(v1::Statement* statement) {
  Statement out;
  out.sql = std::move(*statement->mutable_sql());
  out.positional.reserve(static_cast<size_t>(statement->positional_size()));
  for (v1::Value& value : *statement->mutable_positional()) {
    out.positional.push_back(FromProto(&value));
  }
  for (v1::NamedValue& named : *statement->mutable_named()) {
    out.named.push_back({std::move(*named.mutable_name()), FromProto(named.mutable_value())});
  }
  return out;
}

void ToProto(std::vector<Statement> statements, ForeignKeys foreign_keys, v1::ExecuteRequest* out) {
  const bool enforced = foreign_keys == ForeignKeys::kEnforced;
  if (foreign_keys == ForeignKeys::kUnchecked) out->mutable_foreign_keys_off()->set_unchecked(true);
  for (Statement& each : statements) {
    ToProto(std::move(each),
            enforced ? out->add_statements() : out->mutable_foreign_keys_off()->add_statements());
  }
}
void ToProto(BatchStatement each, v1::BatchStatement* out) {
  ToProto(std::move(each.statement), out->mutable_statement());
  switch (each.expect.kind) {
    case RowExpectation::Kind::kAny: return;
    case RowExpectation::Kind::kExactly:
      return out->mutable_expect()->set_exactly(each.expect.rows);
    case RowExpectation::Kind::kAtLeast:
      return out->mutable_expect()->set_at_least(each.expect.rows);
  }
}

Result<BatchStatement> FromProto(v1::BatchStatement* each) {
  BatchStatement out;
  ASSIGN_OR_RETURN(out.expect, ExpectationOf(*each));
  // A statement that is not there is not made for the purpose: it would cost more than it is charged.
  if (each->has_statement()) out.statement = FromProto(each->mutable_statement());
  return out;
}

void ToProto(Row row, v1::Row* out) {
  for (Value& value : row) ToProto(std::move(value), out->add_values());
}

Row FromProto(v1::Row* row) {
  Row out;
  out.reserve(static_cast<size_t>(row->values_size()));
  for (v1::Value& value : *row->mutable_values()) out.push_back(FromProto(&value));
  return out;
}

void ToProto(Column column, v1::Column* out) {
  out->set_name(Utf8OrQuestionMarks(std::move(column.name)));
  out->set_decl_type(Utf8OrQuestionMarks(std::move(column.decl_type)));
}

Column FromProto(v1::Column* column) {
  return {std::move(*column->mutable_name()), std::move(*column->mutable_decl_type())};
}

void ToProto(StatementResult result, v1::StatementResult* out) {
  out->set_rows_affected(result.rows_affected);
  out->set_last_insert_id(result.last_insert_id);
  for (Column& column : result.columns) ToProto(std::move(column), out->add_columns());
  for (Row& row : result.rows) ToProto(std::move(row), out->add_rows());
}

StatementResult FromProto(v1::StatementResult* result) {
  StatementResult out;
  out.rows_affected = result->rows_affected();
  out.last_insert_id = result->last_insert_id();
  for (v1::Column& column : *result->mutable_columns()) out.columns.push_back(FromProto(&column));
  for (v1::Row& row : *result->mutable_rows()) out.rows.push_back(FromProto(&row));
  return out;
}

void ToProto(const Status& status, v1::ErrorDetail* out) {
  out->set_outcome(static_cast<v1::Outcome>(status.outcome()));
  out->set_reason(static_cast<v1::Reason>(status.reason()));
  out->set_statement(status.statement());
  if (status.leader_hint()) {
    out->set_leader_node_id(status.leader_hint()->node_id);
    out->set_leader_address(status.leader_hint()->address);
  }
}

void ToProto(const Status& status, v1::Error* out) {
  out->set_code(static_cast<int>(status.code()));
  out->set_message(CutText(Utf8OrQuestionMarks(status.message()), kErrorTextBytesMax));
  ToProto(status, out->mutable_detail());
}

Status FromProto(const v1::Error& error) {
  return MakeStatus(error.code(), error.message(), error.detail());
}

Status FromGrpc(const grpc::Status& status,
                const std::multimap<grpc::string_ref, grpc::string_ref>& trailing_metadata,
                Outcome otherwise) {
  if (status.ok()) return OkStatus();
  v1::ErrorDetail detail;
  const auto found = trailing_metadata.find(kErrorMetadata);
  const bool has_detail =
      found != trailing_metadata.end() &&
      detail.ParseFromArray(found->second.data(), static_cast<int>(found->second.size()));
  if (has_detail) return MakeStatus(status.error_code(), status.error_message(), detail);
  // A call that is refused at the door has reached no service.
  const bool refused = status.error_code() == grpc::StatusCode::UNAUTHENTICATED ||
                       status.error_code() == grpc::StatusCode::PERMISSION_DENIED;
  if (refused && otherwise == Outcome::kUnknown) otherwise = Outcome::kNotApplied;
  detail.set_outcome(static_cast<v1::Outcome>(otherwise));
  return MakeStatus(status.error_code(), security::ConnectionErrorInWords(status.error_message()),
                    detail);
}

}  // namespace cairn::rpc
