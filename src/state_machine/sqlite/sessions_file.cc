// The rows of sessions: _cairn_sessions and _cairn_requests, read at the start and written once a
// batch (docs/internals/state_machine.md).
#include "base/bytes.h"
#include "state_machine/sqlite/sessions.h"

namespace cairn::state_machine {
namespace {

constexpr uint8_t kHeldFlag = 0x80;  // in the byte of the code: the result follows

}  // namespace

void EncodeKeptRequest(uint64_t place, uint64_t sequence, uint64_t hash, uint8_t code,
                       std::optional<std::string_view> result, std::string* out) {
  ByteWriter writer(out);
  writer.Varint(place);
  writer.Varint(sequence);
  writer.U64(hash);
  writer.U8(static_cast<uint8_t>(code | (result.has_value() ? kHeldFlag : 0)));
  if (result.has_value()) writer.String(*result);
}

std::string WithoutResults(std::string_view encoded) {
  std::string out;
  ByteReader reader(encoded);
  while (reader.remaining() > 0) {
    const uint64_t place = reader.Varint();
    const uint64_t sequence = reader.Varint();
    const uint64_t hash = reader.U64();
    const uint8_t kept = reader.U8();
    if ((kept & kHeldFlag) != 0) reader.String();
    EncodeKeptRequest(place, sequence, hash, static_cast<uint8_t>(kept & ~kHeldFlag), {}, &out);
  }
  return out;
}

const char* const Sessions::kSchema =
    "CREATE TABLE _cairn_sessions(id INTEGER PRIMARY KEY, name TEXT NOT NULL, owner TEXT NOT NULL,"
    " used INTEGER NOT NULL, used_lease_ms INTEGER NOT NULL, acknowledged_below INTEGER NOT NULL,"
    " forgotten_below INTEGER NOT NULL, results_from INTEGER NOT NULL);"
    "CREATE TABLE _cairn_requests(number INTEGER PRIMARY KEY, session INTEGER NOT NULL,"
    " lease_ms INTEGER NOT NULL, requests BLOB NOT NULL)";

// ---- Opening ------------------------------------------------------------------------------------

Status Sessions::Open(sqlite3* db) {
  RETURN_IF_ERROR(LoadSessions(db));
  RETURN_IF_ERROR(LoadRequests(db));
  RETURN_IF_ERROR(write_session_.Prepare(
      db,
      "REPLACE INTO _cairn_sessions(id, name, owner, used, used_lease_ms, acknowledged_below,"
      " forgotten_below, results_from) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"));
  RETURN_IF_ERROR(remove_session_.Prepare(db, "DELETE FROM _cairn_sessions WHERE id = ?1"));
  RETURN_IF_ERROR(write_chunk_.Prepare(db,
                                       "INSERT INTO _cairn_requests(number, session, lease_ms,"
                                       " requests) VALUES(?1, ?2, ?3, ?4)"));
  RETURN_IF_ERROR(
      read_chunk_.Prepare(db, "SELECT requests FROM _cairn_requests WHERE number = ?1"));
  RETURN_IF_ERROR(
      shrink_chunk_.Prepare(db, "UPDATE _cairn_requests SET requests = ?2 WHERE number = ?1"));
  return remove_chunk_.Prepare(db, "DELETE FROM _cairn_requests WHERE number = ?1");
}

void Sessions::Close() {
  for (InternalStatement* each : {&write_session_, &remove_session_, &write_chunk_, &read_chunk_,
                                  &shrink_chunk_, &remove_chunk_}) {
    each->Finalize();
  }
  BatchCommitted();
  by_name_.clear();
  by_use_.clear();
  held_.Clear();
  shares_.Clear();
}

Status Sessions::LoadSessions(sqlite3* db) {
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(db,
                               "SELECT id, name, owner, used, used_lease_ms, acknowledged_below,"
                               " forgotten_below, results_from FROM _cairn_sessions"
                               " ORDER BY used"));
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) return OkStatus();
    auto session = std::make_unique<Session>();
    session->id = read.Uint(0);
    session->name = std::string(read.Bytes(1));
    session->owner = shares_.Of(std::string(read.Bytes(2)));
    session->use = {read.Uint(3), read.Uint(4), read.Uint(5), read.Uint(6), read.Uint(7)};
    session->place = by_use_.insert(by_use_.end(), session.get());
    shares_.Add(session->owner, kSessionBytes + session->name.size());
    const std::string name = session->name;
    if (!by_name_.emplace(name, std::move(session)).second) {
      return DataLoss("_cairn_sessions holds the session '" + name + "' twice");
    }
  }
}

Status Sessions::LoadRequests(sqlite3* db) {
  std::unordered_map<uint64_t, Session*> by_id;
  for (const auto& [name, session] : by_name_) by_id[session->id] = session.get();
  std::unordered_map<Session*, uint64_t> numbers;  // the last one of each
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(
      db, "SELECT number, session, lease_ms, requests FROM _cairn_requests ORDER BY number"));
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) return OkStatus();
    const auto it = by_id.find(read.Uint(1));
    if (it == by_id.end()) return DataLoss("_cairn_requests holds requests of no session");
    Chunk chunk;
    chunk.number = read.Uint(0);
    chunk.lease_ms = read.Uint(2);
    Status status = LoadChunk(it->second, std::move(chunk), read.Bytes(3), &numbers[it->second]);
    if (!status.ok()) {
      return std::move(status).Prefixed("_cairn_requests: what is kept of session '" +
                                        it->second->name + "' from number " +
                                        std::to_string(read.Uint(0)) + " on");
    }
  }
}

Status Sessions::LoadChunk(Session* session, Chunk chunk, std::string_view encoded,
                           uint64_t* last) {
  ByteReader reader(encoded);
  while (reader.remaining() > 0) {
    Request request;
    request.number = chunk.number + reader.Varint();
    const uint64_t sequence = reader.Varint();
    request.hash = reader.U64();
    const uint8_t kept = reader.U8();
    const bool has_result = (kept & kHeldFlag) != 0;
    request.code = static_cast<uint8_t>(kept & ~kHeldFlag);
    const std::string_view result = has_result ? reader.String() : std::string_view();
    const bool is_code = request.code <= static_cast<uint8_t>(StatusCode::kUnauthenticated) ||
                         request.code == kCodeNotKept;
    // In order, so that the row of a request is found by its number.
    if (!reader.ok() || !is_code || sequence == 0 || request.number <= *last ||
        IndexOfCommand(request.number) != IndexOfCommand(chunk.number)) {
      return DataLoss("damaged");
    }
    *last = request.number;
    if (sequence < std::max(session->use.acknowledged_below, session->use.forgotten_below)) {
      continue;
    }
    ++chunk.remembered;
    if (has_result && request.number >= session->use.results_from) {
      // Checked now: a retry would find the damage in the middle of the log.
      const Result<CommandResult> decoded = DecodeCommandResult(result);
      if (!decoded.ok()) {
        return DataLoss("damaged at request " + std::to_string(sequence) + ": " +
                        decoded.status().message());
      }
      request.result = std::make_unique<const std::string>(result);
      ++chunk.held;
      HoldResult(session, sequence, request);
    }
    if (!session->requests.emplace(sequence, std::move(request)).second) {
      return DataLoss("damaged: sequence " + std::to_string(sequence) + " stands there twice");
    }
    shares_.Add(session->owner, kRequestBytes);
  }
  if (chunk.remembered == 0) return DataLoss("nothing in it is remembered");
  session->chunks.push_back(std::move(chunk));
  return OkStatus();
}

// ---- Writing ------------------------------------------------------------------------------------

Status Sessions::Flush() {
  for (const uint64_t number : removed_chunks_) {
    RETURN_IF_ERROR(remove_chunk_.Bind(1, number).Run());
  }
  for (const uint64_t id : removed_sessions_) RETURN_IF_ERROR(remove_session_.Bind(1, id).Run());
  for (Session* const session : touched_) {
    if (!session->removed) RETURN_IF_ERROR(Write(session));
  }
  return WriteShrunk();
}

Status Sessions::Write(Session* session) {
  RETURN_IF_ERROR(write_session_.Bind(1, session->id)
                      .BindText(2, session->name)
                      .BindText(3, session->owner->name)
                      .Bind(4, session->use.used)
                      .Bind(5, session->use.used_lease_ms)
                      .Bind(6, session->use.acknowledged_below)
                      .Bind(7, session->use.forgotten_below)
                      .Bind(8, session->use.results_from)
                      .Run());
  for (auto chunk = session->chunks.rbegin(); chunk != session->chunks.rend(); ++chunk) {
    if (chunk->number < first_number_) break;
    if (chunk->remembered == 0) continue;
    RETURN_IF_ERROR(write_chunk_.Bind(1, chunk->number)
                        .Bind(2, session->id)
                        .Bind(3, chunk->lease_ms)
                        .BindBlob(4, *chunk->encoded)
                        .Run());
  }
  return OkStatus();
}

Status Sessions::WriteShrunk() {
  for (const auto& [session, number] : shrunk_chunks_) {
    if (session->removed) continue;
    const auto chunk = ChunkOf(session, number);
    if (chunk->remembered == 0) continue;
    ASSIGN_OR_RETURN(const bool row, read_chunk_.Bind(1, number).Next());
    if (!row) return DataLoss("_cairn_requests has lost the row " + std::to_string(number));
    const std::string shrunk = WithoutResults(read_chunk_.Bytes(0));
    read_chunk_.Reset();
    RETURN_IF_ERROR(shrink_chunk_.Bind(1, number).BindBlob(2, shrunk).Run());
  }
  return OkStatus();
}

}  // namespace cairn::state_machine
