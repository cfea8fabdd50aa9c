// Status: what happened. Result<T>: a value, or the Status that says why there is none.
#pragma once

#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <utility>

namespace cairn {

// Numerically equal to the gRPC status codes, so that a code crosses the wire unchanged.
enum class StatusCode : uint8_t {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

const char* StatusCodeName(StatusCode code);

// What became of a write. Every failed write says exactly one of these.
enum class Outcome : uint8_t {
  kNone = 0,        // not a write
  kApplied = 1,     // committed and applied; the error (if any) is its replicated result
  kNotApplied = 2,  // surely never takes effect; safe to send again, even under a new request id
  kUnknown = 3,     // may or may not take effect; send again only under the same request id
};

const char* OutcomeName(Outcome outcome);

// Why a call failed, where one code covers cases that a program must tell apart. Messages are for
// people: no program compares them. Reasons are replicated and sent to clients, so a number is
// never used again.
enum class Reason : uint8_t {
  kNone = 0,
  kSessionExpired = 1,  // the cluster does not know the session that names the request
  // The answer leaves the result out: it is too large, or no longer held. Ask for a read again as a
  // stream. A write has the outcome kApplied: it took effect, and only its result is missing.
  kResultTooLarge = 2,
  kConnectionRefused = 3,  // the host answers, and nothing listens at the port
  kUnexpectedRows = 4,     // a statement did not change or return as many rows as it must
  kPositionNotHeld = 5,    // a watch asks for changes that the node does not hold
};
inline constexpr Reason kReasonLast = Reason::kPositionNotHeld;

const char* ReasonName(Reason reason);

// Where the leader is, as far as the answering node knows. An empty address: no leader is known.
struct LeaderHint {
  uint64_t node_id = 0;
  std::string address;
  bool operator==(const LeaderHint&) const = default;
};

// A value; cheap when OK. Thread-compatible.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }
  Outcome outcome() const { return outcome_; }
  Reason reason() const { return reason_; }
  // The statement of the request that failed, from 1; 0: none, or not known any more. Of a request
  // that failed before, only the code is remembered.
  uint32_t statement() const { return statement_; }
  const std::optional<LeaderHint>& leader_hint() const { return leader_hint_; }

  // Builders: `return Unavailable("no leader").With(Outcome::kNotApplied);`
  Status With(Outcome outcome) && {
    outcome_ = outcome;
    return std::move(*this);
  }
  Status With(Reason reason) && {
    reason_ = reason;
    return std::move(*this);
  }
  Status With(LeaderHint hint) && {
    leader_hint_ = std::move(hint);
    return std::move(*this);
  }
  Status AtStatement(uint32_t number) && {
    statement_ = number;
    return std::move(*this);
  }
  // Puts `context` and ": " before the message.
  Status Prefixed(const std::string& context) &&;

  // "OK" or "UNAVAILABLE: no leader".
  std::string ToString() const;

  bool operator==(const Status&) const = default;

 private:
  StatusCode code_ = StatusCode::kOk;
  Outcome outcome_ = Outcome::kNone;
  Reason reason_ = Reason::kNone;
  uint32_t statement_ = 0;
  std::string message_;
  std::optional<LeaderHint> leader_hint_;
};

std::ostream& operator<<(std::ostream& os, const Status& status);

inline Status OkStatus() { return Status(); }
Status InvalidArgument(std::string message);
Status DeadlineExceeded(std::string message);
Status NotFound(std::string message);
Status AlreadyExists(std::string message);
Status PermissionDenied(std::string message);
Status ResourceExhausted(std::string message);
Status FailedPrecondition(std::string message);
Status Aborted(std::string message);
Status OutOfRange(std::string message);
Status Unimplemented(std::string message);
Status Internal(std::string message);
Status Unavailable(std::string message);
Status DataLoss(std::string message);
Status Cancelled(std::string message);
// A status made from errno: "open /x/y: No such file or directory", with a fitting code (ENOSPC is
// RESOURCE_EXHAUSTED, EACCES PERMISSION_DENIED, ENOENT NOT_FOUND, all others INTERNAL).
Status ErrnoStatus(const std::string& context, int error);

namespace internal {
// Prints why and aborts: the program used a value that the Result does not hold, or made a Result
// from an OK status.
[[noreturn]] void ResultMisuse(const std::string& what);
}  // namespace internal

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}  // NOLINT: implicit, so that `return value;` works
  Result(Status status) : status_(std::move(status)) {  // NOLINT: implicit, as above
    if (status_.ok()) internal::ResultMisuse("a Result without a value needs an error");
  }

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }

  const T& value() const& {
    if (!ok()) internal::ResultMisuse(status_.ToString());
    return *value_;
  }
  T& value() & {
    if (!ok()) internal::ResultMisuse(status_.ToString());
    return *value_;
  }
  T&& value() && {
    if (!ok()) internal::ResultMisuse(status_.ToString());
    return std::move(*value_);
  }
  const T& operator*() const& { return value(); }
  T& operator*() & { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  const T* operator->() const { return &value(); }
  T* operator->() { return &value(); }

 private:
  Status status_;
  std::optional<T> value_;
};

}  // namespace cairn
