// Conversion between the public types and the messages of cairn.v1. Client and server share it.
#pragma once

#include <grpcpp/support/status.h>
#include <grpcpp/support/string_ref.h>

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/status.h"
#include "cairn/v1/database.pb.h"
#include "cairn/v1/types.pb.h"
#include "cairn/value.h"

namespace cairn::rpc {

// Trailing metadata of every failed call: a serialized cairn.v1.ErrorDetail, and the leader's
// address alone, for callers that need no more.
inline constexpr char kErrorMetadata[] = "cairn-error-bin";
inline constexpr char kLeaderMetadata[] = "cairn-leader";
// Request metadata: SESSION/SEQUENCE, or a text without a slash, which is a bare id.
inline constexpr char kRequestIdMetadata[] = "cairn-request-id";
// Request metadata of a request that a node forwards to the leader. Such a request is not forwarded
// again. The value is the sender's cluster id, because another cluster may by now answer at the
// leader's address.
inline constexpr char kForwardedMetadata[] = "cairn-forwarded";

// Values are moved out of their source, so the source is not const.
void ToProto(Value value, v1::Value* out);
Value FromProto(v1::Value* value);
void ToProto(Statement statement, v1::Statement* out);
Statement FromProto(v1::Statement* statement);
// The expectation of a batch's statement, of this contract or of the package `transaction`. One of a
// kind that this version does not know is INVALID_ARGUMENT: the statement must not run without it.
template <class Message>
Result<RowExpectation> ExpectationOf(const Message& each) {
  using Kind = RowExpectation::Kind;
  if (!each.has_expect()) return RowExpectation();
  if (each.expect().has_exactly()) return RowExpectation{Kind::kExactly, each.expect().exactly()};
  if (each.expect().has_at_least()) return RowExpectation{Kind::kAtLeast, each.expect().at_least()};
  return InvalidArgument("a statement expects something that this version of Cairn does not know")
      .With(Outcome::kNotApplied);
}
// All statements of a request, in the field that its treatment of foreign keys asks for.
void ToProto(std::vector<Statement> statements, ForeignKeys foreign_keys, v1::ExecuteRequest* out);
void ToProto(BatchStatement each, v1::BatchStatement* out);
Result<BatchStatement> FromProto(v1::BatchStatement* each);
void ToProto(Row row, v1::Row* out);
Row FromProto(v1::Row* row);
void ToProto(StatementResult result, v1::StatementResult* out);
StatementResult FromProto(v1::StatementResult* result);
void ToProto(Column column, v1::Column* out);
Column FromProto(v1::Column* column);

// Text on the wire must be UTF-8. CheckUtf8 refuses a statement whose SQL or parameter names are
// not UTF-8. Values may be anything.
bool IsUtf8(const std::string& text);
Status CheckUtf8(const Statement& statement);
// The text with '?' in place of each byte that is not part of valid UTF-8.
std::string Utf8OrQuestionMarks(std::string text);

// Whole characters of a text, and a mark if some are missing: at most `bytes_max` bytes in all.
std::string CutText(std::string text, size_t bytes_max);

// gRPC's clients accept 8 KiB of metadata. The message is part of it, with three bytes for each
// byte that is not ASCII. Past 8 KiB the clients show an error of their own. SQLite repeats whole
// tokens in its messages, so messages need a bound.
inline constexpr size_t kErrorTextBytesMax = 2000;

// Cuts the text to kErrorTextBytesMax.
void ToProto(const Status& status, v1::Error* out);
// Never OK. An error whose code is 0, or is no gRPC code, becomes UNKNOWN with an unknown outcome.
Status FromProto(const v1::Error& error);
void ToProto(const Status& status, v1::ErrorDetail* out);

// The Status of a call, from gRPC's status and the trailing metadata. Failures that gRPC itself
// makes (connection, cancellation, deadline) carry no detail; `otherwise` is their outcome.
Status FromGrpc(const grpc::Status& status,
                const std::multimap<grpc::string_ref, grpc::string_ref>& trailing_metadata,
                Outcome otherwise);

}  // namespace cairn::rpc
