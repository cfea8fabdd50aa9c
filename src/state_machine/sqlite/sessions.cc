#include "state_machine/sqlite/sessions.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "base/bytes.h"
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
    " requests BLOB NOT NULL)";

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

// ---- Opening ------------------------------------------------------------------------------------

Status Sessions::Open(sqlite3* db) {
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(db, "SELECT results_from FROM _cairn_state"));
  ASSIGN_OR_RETURN(const bool row, read.Next());
  if (!row) return DataLoss("_cairn_state is empty");
  results_from_ = read.Uint(0);
  saved_results_from_ = results_from_;
  read.Finalize();
  RETURN_IF_ERROR(LoadSessions(db));
  RETURN_IF_ERROR(LoadRequests(db));
  Index();
  RETURN_IF_ERROR(write_session_.Prepare(
      db,
      "REPLACE INTO _cairn_sessions(id, name, used, used_lease_ms, acknowledged_below,"
      " forgotten_below, forgot_gaps) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)"));
  RETURN_IF_ERROR(remove_session_.Prepare(db, "DELETE FROM _cairn_sessions WHERE id = ?1"));
  RETURN_IF_ERROR(write_chunk_.Prepare(
      db, "INSERT INTO _cairn_requests(number, session, requests) VALUES(?1, ?2, ?3)"));
  RETURN_IF_ERROR(
      shrink_chunk_.Prepare(db, "UPDATE _cairn_requests SET requests = ?2 WHERE number = ?1"));
  return remove_chunk_.Prepare(db, "DELETE FROM _cairn_requests WHERE number = ?1");
}

void Sessions::Close() {
  for (InternalStatement* each :
       {&write_session_, &remove_session_, &write_chunk_, &shrink_chunk_, &remove_chunk_}) {
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
  std::unordered_map<Session*, uint64_t> numbers;  // the last one of each
  InternalStatement read;
  RETURN_IF_ERROR(
      read.Prepare(db, "SELECT number, session, requests FROM _cairn_requests ORDER BY number"));
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) break;
    const auto it = by_id.find(read.Uint(1));
    if (it == by_id.end()) return DataLoss("_cairn_requests holds requests of no session");
    Status status = LoadChunk(it->second, read.Uint(0), read.Bytes(2), &numbers[it->second]);
    if (!status.ok()) {
      return std::move(status).Prefixed("_cairn_requests: what is kept of session '" +
                                        it->second->name + "' from number " +
                                        std::to_string(read.Uint(0)) + " on");
    }
  }
  for (const auto& [name, session] : by_name_) {
    std::sort(session->requests.begin(), session->requests.end(),
              [](const Request& a, const Request& b) { return a.sequence < b.sequence; });
  }
  return OkStatus();
}

Status Sessions::LoadChunk(Session* session, uint64_t number, std::string_view encoded,
                           uint64_t* last) {
  Chunk chunk{number, 0, 0, {}};
  ByteReader reader(encoded);
  while (reader.remaining() > 0) {
    Request request;
    request.number = number + reader.Varint();
    request.sequence = reader.Varint();
    request.hash = reader.U64();
    const bool has_result = reader.U8() != 0;
    const std::string_view result = has_result ? reader.String() : std::string_view();
    // In order, so that the row of a request is found by its number.
    if (!reader.ok() || request.sequence == 0 || request.number <= *last ||
        IndexOfCommand(request.number) != IndexOfCommand(number)) {
      return DataLoss("damaged");
    }
    *last = request.number;
    if (request.sequence < std::max(session->acknowledged_below, session->forgotten_below)) {
      continue;
    }
    ++chunk.remembered;
    if (has_result && request.number >= results_from_) {
      // Now, not when a retry asks for it: then it would be in the middle of the log.
      const Result<CommandResult> decoded = DecodeCommandResult(result);
      if (!decoded.ok()) {
        return DataLoss("damaged at request " + std::to_string(request.sequence) + ": " +
                        decoded.status().message());
      }
      request.result = std::make_shared<const std::string>(result);
      ++chunk.held;
    }
    session->requests.push_back(std::move(request));
  }
  if (chunk.remembered == 0) return DataLoss("nothing in it is remembered");
  session->chunks.push_back(std::move(chunk));
  return OkStatus();
}

void Sessions::Index() {
  by_use_.clear();
  held_.clear();
  results_bytes_ = 0;
  for (const auto& [name, session] : by_name_) {
    by_use_.push_back(session.get());
    for (const Request& request : session->remembered()) {
      if (request.result == nullptr) continue;
      held_[request.number] = {session.get(), request.sequence};
      results_bytes_ += request.result->size();
    }
  }
  by_use_.sort([](const Session* a, const Session* b) { return a->used < b->used; });
  for (auto it = by_use_.begin(); it != by_use_.end(); ++it) (*it)->place = it;
}

// ---- Commands -----------------------------------------------------------------------------------

void Sessions::Expire(uint64_t lease_ms) {
  while (!by_use_.empty()) {
    Session* const oldest = by_use_.front();
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
                         .With(Outcome::kNotApplied)
                         .With(Reason::kSessionExpired));
    }
    session = Create(id.session, number);
  }
  Use(session, number, lease_ms);
  Acknowledge(session, command.acknowledged_below);
  if (id.sequence < session->acknowledged_below) {
    if (CAIRN_PLANTED("late_retry_applied_again")) return std::nullopt;
    return ResultGone(LogIndex());
  }
  if (const Request* known = FindRequest(session, id.sequence)) {
    return AnswerKnown(*known, operation_hash);
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
  AddToChunk(session, request);
  auto& requests = session->requests;
  const auto first = requests.begin() + static_cast<ptrdiff_t>(session->dropped);
  auto at = requests.end();
  while (at != first && std::prev(at)->sequence > request.sequence) --at;
  requests.insert(at, std::move(request));
  EnforceBounds(session);
}

void Sessions::AddToChunk(Session* session, const Request& request) {
  auto& chunks = session->chunks;
  if (chunks.empty() || IndexOfCommand(chunks.back().number) != IndexOfCommand(request.number) ||
      chunks.back().encoded.size() >= kChunkBytesMax) {
    chunks.push_back({request.number, 0, 0, {}});
  }
  Chunk& chunk = chunks.back();
  ++chunk.remembered;
  if (request.result != nullptr) ++chunk.held;
  Encode(request, &chunk);
}

void Sessions::Encode(const Request& request, Chunk* chunk) {
  ByteWriter writer(&chunk->encoded);
  writer.Varint(request.number - chunk->number);
  writer.Varint(request.sequence);
  writer.U64(request.hash);
  writer.U8(request.result == nullptr ? 0 : 1);
  if (request.result != nullptr) writer.String(*request.result);
}

Sessions::Request* Sessions::FindRequest(Session* session, uint64_t sequence) {
  const std::span<Request> requests = session->remembered();
  const auto it = std::lower_bound(
      requests.begin(), requests.end(), sequence,
      [](const Request& request, uint64_t wanted) { return request.sequence < wanted; });
  return it != requests.end() && it->sequence == sequence ? &*it : nullptr;
}

Sessions::Session* Sessions::Find(const std::string& name) {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : it->second.get();
}

Sessions::Session* Sessions::Create(const std::string& name, uint64_t number) {
  if (by_name_.size() >= kSessionsMax) Remove(by_use_.front());
  saved_.try_emplace(name, nullptr);
  auto made = std::make_unique<Session>();
  Session* const session = made.get();
  session->name = name;
  session->id = number;
  session->used = number;
  session->touched_batch = batch_;
  by_name_.emplace(name, std::move(made));
  session->place = by_use_.insert(by_use_.end(), session);
  return session;
}

void Sessions::Use(Session* session, uint64_t number, uint64_t lease_ms) {
  Save(session);
  session->used = number;
  session->used_lease_ms = lease_ms;
  by_use_.splice(by_use_.end(), by_use_, session->place);
}

void Sessions::Save(Session* session) {
  if (session->touched_batch == batch_) return;
  session->touched_batch = batch_;
  // Once a batch, not when they are dropped, since all others move by it.
  auto& requests = session->requests;
  requests.erase(requests.begin(), requests.begin() + static_cast<ptrdiff_t>(session->dropped));
  session->dropped = 0;
  saved_.try_emplace(session->name, std::make_unique<Session>(*session));
}

void Sessions::Acknowledge(Session* session, uint64_t below) {
  if (below <= session->acknowledged_below) return;
  session->acknowledged_below = below;
  while (session->dropped < session->requests.size() &&
         session->requests[session->dropped].sequence < below) {
    DropFirst(session);
  }
}

void Sessions::DropFirst(Session* session) {
  Request& request = session->requests[session->dropped++];
  const auto chunk = ChunkOf(session, request.number);
  if (request.result != nullptr) --chunk->held;
  DropResult(request);
  request.result = nullptr;
  if (--chunk->remembered > 0) return;
  if (chunk->number < first_number_) removed_chunks_.push_back(chunk->number);
  session->chunks.erase(chunk);
}

void Sessions::DropResult(const Request& request) {
  if (request.result == nullptr) return;
  results_bytes_ -= request.result->size();
  held_.erase(request.number);
}

std::vector<Sessions::Chunk>::iterator Sessions::ChunkOf(Session* session, uint64_t number) {
  auto& chunks = session->chunks;
  CHECK(!chunks.empty() && chunks.front().number <= number) << "a request has no row";
  return std::prev(
      std::upper_bound(chunks.begin(), chunks.end(), number,
                       [](uint64_t wanted, const Chunk& chunk) { return wanted < chunk.number; }));
}

// By one number for all, and in the rows only where nothing else is in the way: each is written
// twice at most.
void Sessions::DropOldestResult() {
  CHECK(!held_.empty()) << results_bytes_ << " bytes of results are nobody's";
  const auto [number, owner] = *held_.begin();
  const auto [session, sequence] = owner;
  results_from_ = number + 1;
  Save(session);
  Request* const request = FindRequest(session, sequence);
  CHECK(request != nullptr) << "a held result is lost";
  DropResult(*request);
  request->result = nullptr;
  const auto chunk = ChunkOf(session, number);
  if (--chunk->held == 0) Shrink(session, chunk);
}

// At once, with what is remembered now: at the end of the batch that could be less, and batches do
// not end at the same place on every node.
void Sessions::Shrink(Session* session, std::vector<Chunk>::iterator chunk) {
  const auto next = std::next(chunk);
  const uint64_t end = next == session->chunks.end() ? UINT64_MAX : next->number;
  std::map<uint64_t, const Request*> rest;  // by number
  for (const Request& request : session->remembered()) {
    if (request.number >= chunk->number && request.number < end) rest[request.number] = &request;
  }
  chunk->encoded.clear();
  for (const auto& [number, request] : rest) Encode(*request, &*chunk);
}

void Sessions::EnforceBounds(Session* session) {
  while (results_bytes_ > kResultsBytesMaxTotal) DropOldestResult();
  if (session->remembered().size() <= kRequestsPerSessionMax) return;
  const uint64_t lowest = session->remembered().front().sequence;
  const uint64_t floor = std::max(session->forgotten_below, session->acknowledged_below);
  // Sequences start at 1, so a floor of 0 and of 1 are the same.
  if (lowest > std::max<uint64_t>(floor, 1)) session->forgot_gaps = true;
  session->forgotten_below = lowest + 1;
  DropFirst(session);
}

void Sessions::Remove(Session* session) {
  Save(session);
  for (const Request& request : session->remembered()) DropResult(request);
  for (const Chunk& chunk : session->chunks) {
    if (chunk.number < first_number_) removed_chunks_.push_back(chunk.number);
  }
  if (session->id < first_number_) removed_sessions_.push_back(session->id);
  by_use_.erase(session->place);
  by_name_.erase(std::string(session->name));
}

// ---- Batches ------------------------------------------------------------------------------------

void Sessions::BeginBatch(uint64_t first_number) { first_number_ = first_number; }

Status Sessions::Flush() {
  for (const uint64_t number : removed_chunks_) {
    RETURN_IF_ERROR(remove_chunk_.Bind(1, number).Run());
  }
  for (const uint64_t id : removed_sessions_) RETURN_IF_ERROR(remove_session_.Bind(1, id).Run());
  for (const auto& [name, before] : saved_) {
    Session* const session = Find(name);
    if (session != nullptr) RETURN_IF_ERROR(Write(session));
  }
  return OkStatus();
}

Status Sessions::Write(Session* session) {
  RETURN_IF_ERROR(write_session_.Bind(1, session->id)
                      .BindText(2, session->name)
                      .Bind(3, session->used)
                      .Bind(4, session->used_lease_ms)
                      .Bind(5, session->acknowledged_below)
                      .Bind(6, session->forgotten_below)
                      .Bind(7, static_cast<int64_t>(session->forgot_gaps))
                      .Run());
  for (Chunk& chunk : session->chunks) {
    if (chunk.encoded.empty() || CAIRN_PLANTED("results_not_stored")) continue;
    if (chunk.number < first_number_) {
      RETURN_IF_ERROR(shrink_chunk_.Bind(1, chunk.number).BindBlob(2, chunk.encoded).Run());
    } else {
      RETURN_IF_ERROR(
          write_chunk_.Bind(1, chunk.number).Bind(2, session->id).BindBlob(3, chunk.encoded).Run());
    }
    chunk.encoded = std::string();
  }
  return OkStatus();
}

void Sessions::BatchCommitted() {
  ++batch_;
  saved_results_from_ = results_from_;
  saved_.clear();
  removed_chunks_.clear();
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
  results_from_ = saved_results_from_;
  BatchCommitted();
  Index();
}

}  // namespace cairn::state_machine
