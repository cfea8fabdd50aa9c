// Between the public types and the messages of cairn.v1; shared by client and server.
#pragma once

#include <grpcpp/support/status.h>
#include <grpcpp/support/string_ref.h>

#include <map>
#include <string>

#include "base/result.h"
#include "base/status.h"
#include "cairn/v1/database.pb.h"
#include "cairn/v1/types.pb.h"
#include "cairn/value.h"

namespace cairn::rpc {

// Trailing metadata of every failed call: a serialized cairn.v1.ErrorDetail, and the leader's
// address for those who only want to know where to go.
inline constexpr char kErrorMetadata[] = "cairn-error-bin";
inline constexpr char kLeaderMetadata[] = "cairn-leader";
// Request metadata: SESSION/SEQUENCE, or a text without a slash, which is a bare id.
inline constexpr char kRequestIdMetadata[] = "cairn-request-id";
// Request metadata of what a node passes on to the leader. Such a request goes no further. The
// value is the sender's cluster id: another cluster may by now answer at the leader's address.
inline constexpr char kForwardedMetadata[] = "cairn-forwarded";

// Values are moved out of their source, so the sources are not const.
void ToProto(Value value, v1::Value* out);
Value FromProto(v1::Value* value);
void ToProto(Statement statement, v1::Statement* out);
Statement FromProto(v1::Statement* statement);
void ToProto(Row row, v1::Row* out);
Row FromProto(v1::Row* row);
void ToProto(StatementResult result, v1::StatementResult* out);
StatementResult FromProto(v1::StatementResult* result);
void ToProto(Column column, v1::Column* out);
Column FromProto(v1::Column* column);

// Text on the wire must be UTF-8. CheckUtf8 refuses a statement whose SQL or parameter names are
// not; values may be anything.
bool IsUtf8(const std::string& text);
Status CheckUtf8(const Statement& statement);
// The same text with each byte that is not part of valid UTF-8 replaced by '?'.
std::string Utf8OrQuestionMarks(std::string text);

// Whole characters of a text, and a mark if some are missing: `bytes_max` bytes in all.
std::string CutText(std::string text, size_t bytes_max);

// gRPC's clients take 8 KiB of metadata, the message in it with three bytes for each that is not
// ASCII; past that they show an error of their own. SQLite repeats whole tokens in its messages.
inline constexpr size_t kErrorTextBytesMax = 2000;

// The text is cut to kErrorTextBytesMax.
void ToProto(const Status& status, v1::Error* out);
// Never OK: an error whose code is 0 or no gRPC code is UNKNOWN, of unknown outcome.
Status FromProto(const v1::Error& error);
void ToProto(const Status& status, v1::ErrorDetail* out);

// What a call ended with, from the status and the trailing metadata. gRPC itself makes the failures
// that carry no detail (connection, cancellation, deadline); `otherwise` is their outcome.
Status FromGrpc(const grpc::Status& status,
                const std::multimap<grpc::string_ref, grpc::string_ref>& trailing_metadata,
                Outcome otherwise);

}  // namespace cairn::rpc
