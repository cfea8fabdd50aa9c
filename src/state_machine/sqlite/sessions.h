// Sessions: the replicated memory of answered requests, which makes a retry return the first
// result.
//
// It is a function of the log alone: what is kept, dropped or expired depends on the commands and
// on the lease time in their entries, never on this node or on where its batches end.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "state_machine/command.h"
#include "state_machine/sqlite/internal_sql.h"

namespace cairn::state_machine {

// Bounds. The same on all nodes: they decide which retries still get their results.
inline constexpr uint64_t kSessionTtlMs = 60 * 60 * 1000;  // of the lease clock, since the last use
inline constexpr size_t kSessionsMax = 10'000;             // the least recently used goes first
inline constexpr size_t kResultBytesMax = 64 << 10;        // a larger result is not kept
inline constexpr size_t kResultsBytesMaxTotal = 32 << 20;  // the oldest results go first
inline constexpr size_t kRequestsPerSessionMax = 4096;     // not acknowledged; the lowest go first
inline constexpr size_t kChunkBytesMax = 64 << 10;         // from there on a new row is begun

// 64 bits over all that a command asks for, the same on every node and in every release.
uint64_t OperationHash(const Operation& operation);

// Orders all commands of the log: the index of the entry, and the command's place in it.
inline uint64_t CommandNumber(LogIndex index, size_t place) {
  static_assert(kCommandsPerBatchMax == 4096);
  return index.value() << 12 | place;
}
inline LogIndex IndexOfCommand(uint64_t number) { return LogIndex(number >> 12); }

// The apply thread's. Held in memory, written once a batch.
class Sessions {
 public:
  static const char* const kSchema;

  Status Open(sqlite3* db);
  void Close();

  // Removes the sessions not used for kSessionTtlMs. At the start of each entry.
  void Expire(uint64_t lease_ms);

  // If the command was answered before, or may not run, its answer. Else none: run it, then Record
  // its result. Commands without a session always run and are never recorded.
  std::optional<CommandResult> Admit(const Command& command, uint64_t number,
                                     uint64_t operation_hash, uint64_t lease_ms);
  void Record(const Command& command, uint64_t number, uint64_t operation_hash,
              const CommandResult& result);

  // `first_number`: not above that of any command of the batch.
  void BeginBatch(uint64_t first_number);

  // Within the batch's transaction, just before its commit.
  Status Flush();
  void BatchCommitted();
  void BatchUndone();

  size_t size() const { return by_name_.size(); }
  size_t results_bytes() const { return results_bytes_; }
  // The results of commands with a lower number are held no longer. Kept in _cairn_state.
  uint64_t results_from() const { return results_from_; }

 private:
  struct Request {
    uint64_t sequence = 0;
    uint64_t number = 0;  // of its command
    uint64_t hash = 0;
    std::shared_ptr<const std::string> result;  // null: no longer (or never) held
  };
  // Requests that one entry brought, in one row: it is written once, again without results when the
  // last of those was dropped, and removed once no request in it is remembered. What it holds
  // depends on the log alone, not on where batches end.
  struct Chunk {
    uint64_t number = 0;    // of its first request; the rowid of its row
    size_t remembered = 0;  // how many of them still are
    size_t held = 0;        // and with their results
    std::string encoded;    // until it is written
  };
  struct Session {
    std::string name;
    uint64_t id = 0;    // number of the command that made it; the rowid of its row
    uint64_t used = 0;  // number of the command that used it last
    std::list<Session*>::iterator place;  // in by_use_
    uint64_t used_lease_ms = 0;
    uint64_t acknowledged_below = 0;  // the client has the results of all below
    uint64_t forgotten_below = 0;     // requests below are no longer told apart
    bool forgot_gaps = false;         // some of those may never have come
    std::vector<Request> requests;    // by sequence; the first `dropped` are remembered no longer
    size_t dropped = 0;
    std::vector<Chunk> chunks;   // by number
    uint64_t touched_batch = 0;  // the batch that saved a copy of it

    std::span<Request> remembered() { return std::span(requests).subspan(dropped); }
  };
  using SessionPtr = std::unique_ptr<Session>;

  Session* Find(const std::string& name);
  Session* Create(const std::string& name, uint64_t number);
  void Use(Session* session, uint64_t number, uint64_t lease_ms);
  void Save(Session* session);
  void Remove(Session* session);
  void Acknowledge(Session* session, uint64_t below);
  void AddToChunk(Session* session, const Request& request);
  void DropFirst(Session* session);
  void DropResult(const Request& request);
  static std::vector<Chunk>::iterator ChunkOf(Session* session, uint64_t number);
  static void Encode(const Request& request, Chunk* chunk);
  static void Shrink(Session* session, std::vector<Chunk>::iterator chunk);
  void DropOldestResult();
  static Request* FindRequest(Session* session, uint64_t sequence);
  void EnforceBounds(Session* session);
  void Index();
  CommandResult AnswerKnown(const Request& request, uint64_t hash) const;
  Status LoadSessions(sqlite3* db);
  Status LoadRequests(sqlite3* db);
  Status Write(Session* session);
  Status LoadChunk(Session* session, uint64_t number, std::string_view encoded, uint64_t* last);

  std::unordered_map<std::string, SessionPtr> by_name_;
  std::list<Session*> by_use_;  // the least recently used first
  // Results that are held, oldest first, with whose they are.
  std::map<uint64_t, std::pair<Session*, uint64_t>> held_;
  size_t results_bytes_ = 0;
  uint64_t results_from_ = 0;

  // ---- Of the current batch
  uint64_t batch_ = 1;
  uint64_t first_number_ = 0;  // sessions and requests from here on are not in the file
  std::unordered_map<std::string, SessionPtr> saved_;  // as they were; null: there was none
  uint64_t saved_results_from_ = 0;
  std::vector<uint64_t> removed_chunks_;  // in the file, by number
  std::vector<uint64_t> removed_sessions_;

  InternalStatement write_session_;
  InternalStatement remove_session_;
  InternalStatement write_chunk_;
  InternalStatement shrink_chunk_;
  InternalStatement remove_chunk_;
};

}  // namespace cairn::state_machine
