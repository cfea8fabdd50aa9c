#include "state_machine/sqlite/sessions.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/planted.h"

namespace cairn::state_machine {
namespace {

// Not for secrets: a client that makes two of its own requests collide harms itself alone.
class Hasher {
 public:
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
  uint64_t Finish() const {
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_ = 0x6361697260ULL;
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

CommandResult Refusal(Status status) {
  CommandResult result;
  result.status = std::move(status);
  return result;
}

CommandResult ResultGone(LogIndex index) {
  CommandResult result;
  result.index = index;
  result.result_gone = true;
  return result;
}

}  // namespace

const char* const Sessions::kSchema =
    "CREATE TABLE _cairn_sessions(id INTEGER PRIMARY KEY, name TEXT NOT NULL, used INTEGER NOT "
    "NULL,"
    " used_lease_ms INTEGER NOT NULL, acknowledged_below INTEGER NOT NULL,"
    " forgotten_below INTEGER NOT NULL, forgot_gaps INTEGER NOT NULL);"
    "CREATE TABLE _cairn_requests(number INTEGER PRIMARY KEY, session INTEGER NOT NULL,"
    " sequence INTEGER NOT NULL, hash INTEGER NOT NULL, result BLOB)";

uint64_t OperationHash(const Operation& operation) {
  Hasher hasher;
  hasher.Word(operation.index());
  if (const auto* execute = std::get_if<Execute>(&operation)) {
    hasher.Word(execute->statements.size());
    for (const Statement& statement : execute->statements) HashStatement(statement, &hasher);
  } else if (const auto* prepare = std::get_if<Prepare>(&operation)) {
    hasher.Bytes(prepare->tx_id);
    hasher.Word(prepare->timeout_ms);
    HashStatement(prepare->statement, &hasher);
  } else if (const auto* commit = std::get_if<Commit>(&operation)) {
    hasher.Bytes(commit->tx_id);
  } else if (const auto* rollback = std::get_if<Rollback>(&operation)) {
    hasher.Bytes(rollback->tx_id);
  }
  return hasher.Finish();
}

// ---- Opening
// -------------------------------------------------------------------------------------

Status Sessions::Open(sqlite3* db) {
  RETURN_IF_ERROR(LoadSessions(db));
  RETURN_IF_ERROR(LoadRequests(db));
  Index();
  RETURN_IF_ERROR(write_session_.Prepare(
      db,
      "REPLACE INTO _cairn_sessions(id, name, used, used_lease_ms, acknowledged_below,"
      " forgotten_below, forgot_gaps) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)"));
  RETURN_IF_ERROR(remove_session_.Prepare(db, "DELETE FROM _cairn_sessions WHERE id = ?1"));
  RETURN_IF_ERROR(
      write_request_.Prepare(db,
                             "INSERT INTO _cairn_requests(number, session, sequence, hash, result)"
                             " VALUES(?1, ?2, ?3, ?4, ?5)"));
  RETURN_IF_ERROR(remove_request_.Prepare(db, "DELETE FROM _cairn_requests WHERE number = ?1"));
  return drop_result_.Prepare(db, "UPDATE _cairn_requests SET result = NULL WHERE number = ?1");
}

void Sessions::Close() {
  for (InternalStatement* each :
       {&write_session_, &remove_session_, &write_request_, &remove_request_, &drop_result_}) {
    each->Finalize();
  }
  BatchCommitted();
  by_name_.clear();
  Index();
}

Status Sessions::LoadSessions(sqlite3* db) {
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(db,
                               "SELECT id, name, used, used_lease_ms, acknowledged_below,"
                               " forgotten_below, forgot_gaps FROM _cairn_sessions"));
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) return OkStatus();
    auto session = std::make_unique<Session>();
    session->id = read.Uint(0);
    session->name = std::string(read.Bytes(1));
    session->used = read.Uint(2);
    session->used_lease_ms = read.Uint(3);
    session->acknowledged_below = read.Uint(4);
    session->forgotten_below = read.Uint(5);
    session->forgot_gaps = read.Int(6) != 0;
    by_name_[session->name] = std::move(session);
  }
}

Status Sessions::LoadRequests(sqlite3* db) {
  std::unordered_map<uint64_t, Session*> by_id;
  for (const auto& [name, session] : by_name_) by_id[session->id] = session.get();
  InternalStatement read;
  // Sequences are unsigned; SQLite takes those of 64 bits for negative.
  RETURN_IF_ERROR(read.Prepare(db,
                               "SELECT number, session, hash, result, sequence FROM _cairn_requests"
                               " ORDER BY sequence < 0, sequence"));
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) return OkStatus();
    const auto it = by_id.find(read.Uint(1));
    if (it == by_id.end()) return DataLoss("_cairn_requests holds a request of no session");
    Request request{read.Uint(4), read.Uint(0), read.Uint(2), nullptr};
    if (!read.IsNull(3)) {
      // Now, not when a retry asks for it: then it would be in the middle of the log.
      const Result<CommandResult> result = DecodeCommandResult(read.Bytes(3));
      if (!result.ok()) {
        return DataLoss("_cairn_requests: the result kept for request " +
                        std::to_string(request.sequence) + " of session '" + it->second->name +
                        "' is damaged: " + result.status().message());
      }
      request.result = std::make_shared<const std::string>(read.Bytes(3));
    }
    it->second->requests.push_back(std::move(request));
  }
}

void Sessions::Index() {
  by_use_.clear();
  held_.clear();
  results_bytes_ = 0;
  for (const auto& [name, session] : by_name_) {
    by_use_[session->used] = session.get();
    for (const Request& request : session->requests) {
      if (request.result == nullptr) continue;
      held_[request.number] = {session.get(), request.sequence};
      results_bytes_ += request.result->size();
    }
  }
}

// ---- Commands
// ------------------------------------------------------------------------------------

void Sessions::Expire(uint64_t lease_ms) {
  while (!by_use_.empty()) {
    Session* const oldest = by_use_.begin()->second;
    if (oldest->used_lease_ms + kSessionTtlMs > lease_ms) return;
    Remove(oldest);
  }
}

std::optional<CommandResult> Sessions::Admit(const Command& command, uint64_t number,
                                             uint64_t operation_hash, uint64_t lease_ms) {
  const RequestId& id = command.id;
  if (id.session.empty()) return std::nullopt;
  if (CAIRN_PLANTED("retry_applied_twice") && Find(id.session) != nullptr) {
    Use(Find(id.session), number, lease_ms);
    return std::nullopt;
  }
  if (id.sequence == 0 || id.session.size() > kSessionBytesMax) {
    return Refusal(InvalidArgument("a request id needs a session of at most " +
                                   std::to_string(kSessionBytesMax) +
                                   " bytes and a sequence from 1 on")
                       .With(Outcome::kNotApplied));
  }
  Session* session = Find(id.session);
  if (session == nullptr) {
    if (id.sequence != 1) {
      return Refusal(FailedPrecondition("session expired: it is not known (any more), so whether "
                                        "this request was applied before cannot be told")
                         .With(Outcome::kNotApplied));
    }
    session = Create(id.session, number);
  }
  Use(session, number, lease_ms);
  Acknowledge(session, command.acknowledged_below);
  if (id.sequence < session->acknowledged_below) {
    if (CAIRN_PLANTED("late_retry_applied_again")) return std::nullopt;
    return ResultGone(LogIndex());
  }
  const auto it = std::lower_bound(
      session->requests.begin(), session->requests.end(), id.sequence,
      [](const Request& request, uint64_t sequence) { return request.sequence < sequence; });
  if (it != session->requests.end() && it->sequence == id.sequence) {
    return AnswerKnown(*it, operation_hash);
  }
  if (id.sequence >= session->forgotten_below) return std::nullopt;
  if (!session->forgot_gaps) return ResultGone(LogIndex());
  return Refusal(FailedPrecondition("this request lies too far behind the session's newest one to "
                                    "tell whether it was applied before")
                     .With(Outcome::kUnknown));
}

CommandResult Sessions::AnswerKnown(const Request& request, uint64_t hash) const {
  if (request.hash != hash) {
    return Refusal(InvalidArgument("this request id was used for another request before")
                       .With(Outcome::kNotApplied));
  }
  if (request.result == nullptr) return ResultGone(IndexOfCommand(request.number));
  Result<CommandResult> result = DecodeCommandResult(*request.result);
  CHECK(result.ok()) << "kept result: " << result.status().ToString();
  return std::move(result).value();
}

void Sessions::Record(const Command& command, uint64_t number, uint64_t operation_hash,
                      const CommandResult& result) {
  if (command.id.session.empty()) return;
  Session* const session = Find(command.id.session);
  CHECK(session != nullptr) << "a session went while its command ran";
  Request request{command.id.sequence, number, operation_hash, nullptr};
  std::string encoded = EncodeCommandResult(result);
  if (encoded.size() <= kResultBytesMax) {
    results_bytes_ += encoded.size();
    request.result = std::make_shared<const std::string>(std::move(encoded));
    held_.emplace_hint(held_.end(), number, std::pair(session, command.id.sequence));
  }
  auto& requests = session->requests;
  auto at = requests.end();
  while (at != requests.begin() && std::prev(at)->sequence > request.sequence) --at;
  requests.insert(at, std::move(request));
  EnforceBounds(session);
}

Sessions::Session* Sessions::Find(const std::string& name) {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : it->second.get();
}

Sessions::Session* Sessions::Create(const std::string& name, uint64_t number) {
  if (by_name_.size() >= kSessionsMax) Remove(by_use_.begin()->second);
  saved_.try_emplace(name, nullptr);
  auto made = std::make_unique<Session>();
  Session* const session = made.get();
  session->name = name;
  session->id = number;
  session->used = number;
  session->touched_batch = batch_;
  by_name_.emplace(name, std::move(made));
  by_use_.emplace_hint(by_use_.end(), number, session);
  return session;
}

void Sessions::Use(Session* session, uint64_t number, uint64_t lease_ms) {
  Save(session);
  auto node = by_use_.extract(session->used);
  session->used = number;
  session->used_lease_ms = lease_ms;
  node.key() = number;
  by_use_.insert(by_use_.end(), std::move(node));
}

void Sessions::Save(Session* session) {
  if (session->touched_batch == batch_) return;
  session->touched_batch = batch_;
  saved_.try_emplace(session->name, std::make_unique<Session>(*session));
}

void Sessions::Acknowledge(Session* session, uint64_t below) {
  if (below <= session->acknowledged_below) return;
  session->acknowledged_below = below;
  auto& requests = session->requests;
  auto end = requests.begin();
  for (; end != requests.end() && end->sequence < below; ++end) DropRequest(*end);
  requests.erase(requests.begin(), end);
}

void Sessions::DropRequest(const Request& request) {
  if (request.number < first_number_) removed_requests_.push_back(request.number);
  if (request.result == nullptr) return;
  results_bytes_ -= request.result->size();
  held_.erase(request.number);
}

void Sessions::DropResult(Session* session, uint64_t sequence) {
  Save(session);
  const auto it =
      std::lower_bound(session->requests.begin(), session->requests.end(), sequence,
                       [](const Request& request, uint64_t s) { return request.sequence < s; });
  CHECK(it != session->requests.end() && it->sequence == sequence) << "a held result is lost";
  if (it->number < first_number_) dropped_results_.push_back(it->number);
  results_bytes_ -= it->result->size();
  held_.erase(it->number);
  it->result = nullptr;
}

void Sessions::EnforceBounds(Session* session) {
  while (results_bytes_ > kResultsBytesMaxTotal) {
    const auto [owner, sequence] = held_.begin()->second;
    DropResult(owner, sequence);
  }
  if (session->requests.size() <= kRequestsPerSessionMax) return;
  const Request lowest = session->requests.front();
  const uint64_t floor = std::max(session->forgotten_below, session->acknowledged_below);
  // Sequences start at 1, so a floor of 0 and of 1 are the same.
  if (lowest.sequence > std::max<uint64_t>(floor, 1)) session->forgot_gaps = true;
  session->forgotten_below = lowest.sequence + 1;
  DropRequest(lowest);
  session->requests.erase(session->requests.begin());
}

void Sessions::Remove(Session* session) {
  Save(session);
  for (const Request& request : session->requests) DropRequest(request);
  if (session->id < first_number_) removed_sessions_.push_back(session->id);
  by_use_.erase(session->used);
  by_name_.erase(std::string(session->name));
}

// ---- Batches
// -------------------------------------------------------------------------------------

void Sessions::BeginBatch(uint64_t first_number) { first_number_ = first_number; }

Status Sessions::Flush() {
  for (const uint64_t number : removed_requests_) {
    RETURN_IF_ERROR(remove_request_.Bind(1, number).Run());
  }
  for (const uint64_t number : dropped_results_) {
    RETURN_IF_ERROR(drop_result_.Bind(1, number).Run());
  }
  for (const uint64_t id : removed_sessions_) RETURN_IF_ERROR(remove_session_.Bind(1, id).Run());
  for (const auto& [name, before] : saved_) {
    const Session* const session = Find(name);
    if (session == nullptr) continue;
    RETURN_IF_ERROR(write_session_.Bind(1, session->id)
                        .BindText(2, session->name)
                        .Bind(3, session->used)
                        .Bind(4, session->used_lease_ms)
                        .Bind(5, session->acknowledged_below)
                        .Bind(6, session->forgotten_below)
                        .Bind(7, static_cast<int64_t>(session->forgot_gaps))
                        .Run());
    for (const Request& request : session->requests) {
      if (request.number < first_number_ || CAIRN_PLANTED("results_not_stored")) continue;
      write_request_.Bind(1, request.number)
          .Bind(2, session->id)
          .Bind(3, request.sequence)
          .Bind(4, request.hash);
      if (request.result == nullptr) {
        write_request_.BindNull(5);
      } else {
        write_request_.BindBlob(5, *request.result);
      }
      RETURN_IF_ERROR(write_request_.Run());
    }
  }
  return OkStatus();
}

void Sessions::BatchCommitted() {
  ++batch_;
  saved_.clear();
  removed_requests_.clear();
  dropped_results_.clear();
  removed_sessions_.clear();
}

void Sessions::BatchUndone() {
  for (auto& [name, before] : saved_) {
    if (before == nullptr) {
      by_name_.erase(name);
    } else {
      by_name_[name] = std::move(before);
    }
  }
  BatchCommitted();
  Index();
}

}  // namespace cairn::state_machine
