#include "state_machine/sqlite/sessions.h"

#include <algorithm>

#include "base/check.h"

namespace cairn::state_machine {
namespace {

// How many old requests of a session one request of its client forgets.
constexpr size_t kForgottenPerRequestMax = 64;

uint64_t HeldBytes(const std::string& result) { return result.size() + kResultOverheadBytes; }

CommandResult Unknown(const char* why) {
  return Refusal(FailedPrecondition(why), Outcome::kUnknown);
}

}  // namespace

// ---- Commands -----------------------------------------------------------------------------------

void Sessions::BeginEntry(uint64_t lease_ms, uint64_t ttl_ms) {
  lease_ms_ = lease_ms;
  ttl_ms_ = ttl_ms;
  size_t forgotten = 0;
  while (!by_use_.empty() && forgotten < kForgottenPerEntryMax &&
         IsAsOldAs(ttl_ms, by_use_.front()->use.used_lease_ms, lease_ms)) {
    forgotten += 1 + by_use_.front()->requests.size();
    Remove(by_use_.front());
  }
}

std::optional<CommandResult> Sessions::Admit(const Command& command, uint64_t number,
                                             uint64_t operation_hash) {
  const RequestId& id = command.id;
  Session* session = Find(id.session);
  if (session == nullptr) {
    if (id.sequence != 1) {
      return SessionExpired("it is not known (any more)");
    }
    session = Create(command, number);
    if (session == nullptr) {
      return NoRoom("sessions", "use fewer of them, or try again when unused ones have expired");
    }
    return std::nullopt;
  }
  if (!MayUseIdOf(session->owner->name, command)) {
    const bool known = session->requests.contains(id.sequence) ||
                       id.sequence < session->use.acknowledged_below ||
                       id.sequence < session->use.forgotten_below;
    return NotYours(known);
  }
  Touch(session, number);
  Acknowledge(session, command.acknowledged_below);
  ForgetOld(session);
  if (auto answer = AnswerOf(session, command, operation_hash)) return answer;
  if (!shares_.Fits(*session->owner, kRequestBytes)) {
    return NoRoom(
        "requests",
        "acknowledge those whose answers have arrived (acknowledged_below), or wait until "
        "the oldest are forgotten");
  }
  return std::nullopt;
}

std::optional<CommandResult> Sessions::AnswerOf(Session* session, const Command& command,
                                                uint64_t hash) const {
  const uint64_t sequence = command.id.sequence;
  if (session->use.forgotten_below == kEndedByRestore) {
    return SessionExpired("the database was restored from a backup");
  }
  if (const auto it = session->requests.find(sequence); it != session->requests.end()) {
    const Request& request = it->second;
    if (request.hash != hash) return OtherRequest();
    if (request.result != nullptr) return HeldResult(*request.result);
    return AnswerByCode(request.code, IndexOfCommand(request.number));
  }
  if (sequence < session->use.acknowledged_below) {
    return Unknown(
        "the client has acknowledged the answer to this request, so that nothing of it is held");
  }
  if (sequence >= session->use.forgotten_below) return std::nullopt;
  return Unknown(
      "this request lies too far behind the session's newest one to tell whether it was applied "
      "before");
}

void Sessions::Record(const Command& command, uint64_t number, uint64_t operation_hash,
                      const CommandResult& result) {
  if (!IsFinal(result.status)) return;
  Session* const session = Find(command.id.session);
  CHECK(session != nullptr) << "a session went while its command ran";
  Request request;
  request.number = number;
  request.hash = operation_hash;
  request.code = static_cast<uint8_t>(result.status.code());
  const uint64_t sequence = command.id.sequence;
  if (result.status.ok()) {
    std::string encoded = EncodeCommandResult(result);
    if (encoded.size() <= kResultBytesMax) {
      request.result = std::make_unique<const std::string>(std::move(encoded));
      HoldResult(session, sequence, request);
    }
  }
  AddToChunk(session, sequence, request);
  const size_t before = session->requests.size();
  session->requests.emplace_hint(session->requests.end(), sequence, std::move(request));
  CHECK(session->requests.size() == before + 1) << "a request was run that is remembered";
  shares_.Add(session->owner, kRequestBytes);
  Log(Step::Kind::kAdd, session).sequence = sequence;
  while (const auto oldest = held_.ExcessOf(session->owner)) {
    DropResult(oldest->place.first, oldest->place.second);
  }
  // Only the node itself knows these ids, and it retries none after the request's deadline.
  if (session->owner->is_node && session->requests.size() > kRequestsPerNodeMax) {
    DropFirst(session);
  }
}

void Sessions::AddToChunk(Session* session, uint64_t sequence, const Request& request) {
  auto& chunks = session->chunks;
  if (chunks.empty() || IndexOfCommand(chunks.back().number) != IndexOfCommand(request.number) ||
      chunks.back().encoded == nullptr || chunks.back().encoded->size() >= kChunkBytesMax) {
    Chunk& made = chunks.emplace_back();
    made.number = request.number;
    made.lease_ms = lease_ms_;
    made.encoded = std::make_unique<std::string>();
  }
  Chunk& chunk = chunks.back();
  if (chunk.remembered == 0 && chunk.number != request.number) --session->gone_chunks;
  ++chunk.remembered;
  if (request.result != nullptr) ++chunk.held;
  std::optional<std::string_view> result;
  if (request.result != nullptr) result = *request.result;
  EncodeKeptRequest(request.number - chunk.number, sequence, request.hash, request.code, result,
                    chunk.encoded.get());
}

Sessions::Session* Sessions::Find(const std::string& name) {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : it->second.get();
}

Sessions::Session* Sessions::Create(const Command& command, uint64_t number) {
  const std::string& name = command.id.session;
  Shares::Client* const owner = shares_.Of(OwnerOf(command));
  const uint64_t bytes = kSessionBytes + name.size();
  if (!shares_.Fits(*owner, bytes + kRequestBytes)) return nullptr;
  auto made = std::make_unique<Session>();
  Session* const session = made.get();
  session->name = name;
  session->id = number;
  session->owner = owner;
  session->touched_batch = batch_;
  session->use.used = number;
  session->use.used_lease_ms = lease_ms_;
  session->use.acknowledged_below = command.acknowledged_below;
  session->place = by_use_.insert(by_use_.end(), session);
  by_name_.emplace(name, std::move(made));
  shares_.Add(owner, bytes);
  touched_.push_back(session);
  Log(Step::Kind::kCreate, session);
  return session;
}

Sessions::Step& Sessions::Log(Step::Kind kind, Session* session) {
  Step& step = steps_.emplace_back();
  step.kind = kind;
  step.session = session;
  return step;
}

// Called before the row of the session changes.
void Sessions::Change(Session* session) {
  if (session->touched_batch == batch_) return;
  session->touched_batch = batch_;
  touched_.push_back(session);
  Log(Step::Kind::kUse, session).use = session->use;
}

void Sessions::Touch(Session* session, uint64_t number) {
  Change(session);
  if (session->moved_batch != batch_) {
    session->moved_batch = batch_;
    Log(Step::Kind::kMove, session).next = std::next(session->place);
  }
  session->use.used = number;
  session->use.used_lease_ms = lease_ms_;
  by_use_.splice(by_use_.end(), by_use_, session->place);
}

void Sessions::Acknowledge(Session* session, uint64_t below) {
  if (below <= session->use.acknowledged_below) return;
  session->use.acknowledged_below = below;
  while (!session->requests.empty() && session->requests.begin()->first < below) {
    DropFirst(session);
  }
}

// Forgets from the lowest sequence on, while that is old. So everything remembered lies above
// everything forgotten, and one number tells them apart. Later requests forget the rest.
void Sessions::ForgetOld(Session* session) {
  for (size_t i = 0; i < kForgottenPerRequestMax && !session->requests.empty(); ++i) {
    const auto& [sequence, lowest] = *session->requests.begin();
    if (!IsAsOldAs(ttl_ms_, ChunkOf(session, lowest.number)->lease_ms, lease_ms_)) return;
    DropFirst(session);
  }
}

void Sessions::DropFirst(Session* session) {
  Requests::node_type node = session->requests.extract(session->requests.begin());
  Use& use = session->use;
  if (node.key() >= use.acknowledged_below) {
    use.forgotten_below = std::max(node.key(), node.key() + 1);
  }
  const auto chunk = ChunkOf(session, node.mapped().number);
  if (node.mapped().result != nullptr) {
    --chunk->held;
    ReleaseResult(*session, node.mapped());
  }
  if (--chunk->remembered == 0) {
    ++session->gone_chunks;
    if (chunk->number < first_number_) removed_chunks_.push_back(chunk->number);
  }
  shares_.Take(session->owner, kRequestBytes);
  Log(Step::Kind::kDrop, session).request = std::move(node);
}

void Sessions::HoldResult(Session* session, uint64_t sequence, const Request& request) {
  held_.Add(session->owner, request.number, HeldBytes(*request.result), {session, sequence});
}

void Sessions::ReleaseResult(const Session& session, const Request& request) {
  held_.Remove(session.owner, request.number);
}

std::vector<Sessions::Chunk>::iterator Sessions::ChunkOf(Session* session, uint64_t number) {
  auto& chunks = session->chunks;
  const auto first = chunks.begin() + static_cast<ptrdiff_t>(session->first_chunk);
  CHECK(first != chunks.end() && first->number <= number) << "a request has no row";
  // Nearly always the first row.
  if (std::next(first) == chunks.end() || std::next(first)->number > number) return first;
  return std::prev(
      std::upper_bound(first, chunks.end(), number,
                       [](uint64_t wanted, const Chunk& chunk) { return wanted < chunk.number; }));
}

// Records the drop by one number in the session. A row is rewritten only when its last result is
// dropped, so each row is written twice at most.
void Sessions::DropResult(Session* session, uint64_t sequence) {
  const auto request = session->requests.find(sequence);
  CHECK(request != session->requests.end()) << "a held result is lost";
  const uint64_t number = request->second.number;
  Change(session);
  session->use.results_from = number + 1;
  ReleaseResult(*session, request->second);
  Step& step = Log(Step::Kind::kDropResult, session);
  step.sequence = sequence;
  step.result = std::move(request->second.result);
  const auto chunk = ChunkOf(session, number);
  if (--chunk->held > 0) return;
  if (chunk->number < first_number_) {
    shrunk_chunks_.emplace_back(session, chunk->number);
  } else {
    *chunk->encoded = WithoutResults(*chunk->encoded);
  }
}

void Sessions::Remove(Session* session) {
  for (const auto& [sequence, request] : session->requests) {
    if (request.result != nullptr) ReleaseResult(*session, request);
  }
  for (const Chunk& chunk : session->chunks) {
    if (chunk.remembered > 0 && chunk.number < first_number_) {
      removed_chunks_.push_back(chunk.number);
    }
  }
  if (session->id < first_number_) removed_sessions_.push_back(session->id);
  shares_.Take(session->owner,
               kSessionBytes + session->name.size() + session->requests.size() * kRequestBytes);
  session->removed = true;
  const auto it = by_name_.find(session->name);
  Step& step = Log(Step::Kind::kRemove, session);
  step.next = std::next(session->place);
  step.owned = std::move(it->second);
  by_name_.erase(it);
  removed_.splice(removed_.end(), by_use_, session->place);
}

// ---- Batches ------------------------------------------------------------------------------------

// Gone rows are erased only when they are many, because each erasure moves all others.
void Sessions::Compact(Session* session) {
  auto& chunks = session->chunks;
  for (auto chunk = chunks.rbegin(); chunk != chunks.rend() && chunk->encoded != nullptr; ++chunk) {
    chunk->encoded.reset();
  }
  size_t& first = session->first_chunk;
  while (first < chunks.size() && chunks[first].remembered == 0) ++first;
  if (session->gone_chunks * 2 <= chunks.size()) return;
  std::erase_if(chunks, [](const Chunk& chunk) { return chunk.remembered == 0; });
  first = 0;
  session->gone_chunks = 0;
}

void Sessions::BatchCommitted() {
  ++batch_;
  for (Session* const session : touched_) {
    if (!session->removed) Compact(session);
  }
  touched_.clear();
  steps_.clear();
  removed_.clear();
  removed_chunks_.clear();
  removed_sessions_.clear();
  shrunk_chunks_.clear();
  shares_.Collect();
}

void Sessions::BatchUndone() {
  for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) Undo(&*step);
  touched_.clear();
  BatchCommitted();
}

void Sessions::Undo(Step* step) {
  Session* const session = step->session;
  switch (step->kind) {
    case Step::Kind::kCreate:
      shares_.Take(session->owner, kSessionBytes + session->name.size());
      by_use_.erase(session->place);
      by_name_.erase(std::string(session->name));
      return;
    case Step::Kind::kUse: session->use = step->use; return;
    case Step::Kind::kMove: by_use_.splice(step->next, by_use_, session->place); return;
    case Step::Kind::kAdd: return UndoAdd(*step);
    case Step::Kind::kDrop: return UndoDrop(step);
    case Step::Kind::kDropResult: return UndoDropResult(step);
    case Step::Kind::kRemove: return UndoRemove(step);
  }
}

void Sessions::UndoAdd(const Step& step) {
  Session* const session = step.session;
  const auto it = session->requests.find(step.sequence);
  Chunk& chunk = session->chunks.back();
  if (it->second.result != nullptr) {
    ReleaseResult(*session, it->second);
    --chunk.held;
  }
  if (--chunk.remembered == 0) ++session->gone_chunks;
  // Steps are undone last to first: the command that began the row comes last.
  if (chunk.number == it->second.number) {
    session->chunks.pop_back();
    --session->gone_chunks;
  }
  session->requests.erase(it);
  shares_.Take(session->owner, kRequestBytes);
}

void Sessions::UndoDrop(Step* step) {
  Session* const session = step->session;
  const Request& request = step->request.mapped();
  const auto chunk = ChunkOf(session, request.number);
  if (chunk->remembered++ == 0) --session->gone_chunks;
  if (request.result != nullptr) {
    ++chunk->held;
    HoldResult(session, step->request.key(), request);
  }
  session->requests.insert(std::move(step->request));
  shares_.Add(session->owner, kRequestBytes);
}

void Sessions::UndoDropResult(Step* step) {
  Session* const session = step->session;
  Request& request = session->requests.at(step->sequence);
  request.result = std::move(step->result);
  HoldResult(session, step->sequence, request);
  ++ChunkOf(session, request.number)->held;
}

void Sessions::UndoRemove(Step* step) {
  Session* const session = step->session;
  by_use_.splice(step->next, removed_, session->place);
  by_name_.emplace(session->name, std::move(step->owned));
  session->removed = false;
  for (const auto& [sequence, request] : session->requests) {
    if (request.result != nullptr) HoldResult(session, sequence, request);
  }
  shares_.Add(session->owner,
              kSessionBytes + session->name.size() + session->requests.size() * kRequestBytes);
}

}  // namespace cairn::state_machine
