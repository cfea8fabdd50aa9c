// Sessions: the replicated memory of answered requests, which makes a retry return the first
// result.
//
// It is a function of the log alone: what is kept, dropped or refused depends on the commands and
// on the lease time in their entries, never on this node or on where its batches end.
//
// A request is remembered until its client acknowledges it, or until it is as old as the entry's
// request_ttl_ms says. Where there is no room, new requests are refused; younger ones are never
// forgotten for them. What is remembered longest is a request's code (OK, or the error's): its
// result may go earlier, but an error never turns into OK. Of an error nothing but the code is kept:
// its text is that of the build of SQLite that ran it, and members may run different builds.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "state_machine/command.h"
#include "state_machine/sqlite/held_results.h"
#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/request_memory.h"
#include "state_machine/sqlite/shares.h"

namespace cairn::state_machine {

// Bounds. The same on all nodes: they decide which commands are refused, and which retries still
// get their results. A client holds an eighth of kSessionsBytesMax at most.
inline constexpr uint64_t kSessionsBytesMax = 64 << 20;    // of clients' sessions and requests
inline constexpr uint64_t kSessionBytes = 512;             // what a session counts, beside its name
inline constexpr uint64_t kRequestBytes = 128;             // what a request in it counts
inline constexpr size_t kRequestsPerNodeMax = 65'536;      // of a node's own session; the lowest go
inline constexpr size_t kResultBytesMax = 64 << 10;        // a larger result is not kept
inline constexpr size_t kResultsBytesMaxTotal = 32 << 20;  // of clients; one holds an eighth
inline constexpr size_t kNodeResultsBytesMax = 16 << 20;   // of the sessions of all nodes
inline constexpr size_t kResultOverheadBytes = 160;        // what a result counts, beside its bytes
inline constexpr size_t kChunkBytesMax = 64 << 10;         // from there on a new row is begun

// One request as it stands in a row of _cairn_requests; without a `result` only the code is kept.
void EncodeKeptRequest(uint64_t place, uint64_t sequence, uint64_t hash, uint8_t code,
                       std::optional<std::string_view> result, std::string* out);

// The apply thread's. Held in memory, written once a batch.
class Sessions {
 public:
  static const char* const kSchema;

  // `room_divisor`: see SqliteOptions.
  explicit Sessions(uint64_t room_divisor = 1) : shares_(kSessionsBytesMax / room_divisor) {}
  Status Open(sqlite3* db);
  void Close();

  // At the start of each entry: removes the sessions that were not used for `ttl_ms`, or some of them
  // (kForgottenPerEntryMax).
  void BeginEntry(uint64_t lease_ms, uint64_t ttl_ms);

  // If the command was answered before, or may not run, its answer. Else none: run it, then Record
  // its result. Only for commands whose id is of a session, and which CheckRequestId lets pass.
  std::optional<CommandResult> Admit(const Command& command, uint64_t number,
                                     uint64_t operation_hash);
  void Record(const Command& command, uint64_t number, uint64_t operation_hash,
              const CommandResult& result);

  // `first_number`: not above that of any command of the batch.
  void BeginBatch(uint64_t first_number) { first_number_ = first_number; }

  // Within the batch's transaction, just before its commit.
  Status Flush();
  void BatchCommitted();
  void BatchUndone();

  size_t size() const { return by_name_.size(); }
  size_t results_bytes() const { return held_.bytes(); }
  // What clients hold, of kSessionsBytesMax.
  uint64_t bytes() const { return shares_.total(); }

 private:
  struct Request {
    uint64_t number = 0;  // of its command
    uint64_t hash = 0;
    std::unique_ptr<const std::string> result;  // null: no longer (or never) held
    uint8_t code = 0;                           // see KeptCode
  };
  using Requests = std::map<uint64_t, Request>;  // by sequence

  // Requests that one entry brought, in one row: it is written once, again without results when the
  // last of those was dropped, and removed once no request in it is remembered. It keeps those that
  // are not: so what it holds depends on the log alone, not on where batches end.
  struct Chunk {
    uint64_t number = 0;  // of its first request; the rowid of its row
    uint64_t lease_ms = 0;
    uint32_t remembered = 0;               // how many of them still are; 0: the row is gone
    uint32_t held = 0;                     // and with their results
    std::unique_ptr<std::string> encoded;  // until it is written
  };
  // What changes with each use.
  struct Use {
    uint64_t used = 0;  // number of the command that used it last
    uint64_t used_lease_ms = 0;
    uint64_t acknowledged_below = 0;  // the client has the results of all below
    uint64_t forgotten_below = 0;     // requests below that are not remembered are not told apart
    uint64_t results_from = 0;        // results of commands with a lower number are held no longer
  };
  struct Session {
    std::string name;
    uint64_t id = 0;  // number of the command that made it; the rowid of its row
    Shares::Client* owner = nullptr;
    std::list<Session*>::iterator place;  // in by_use_
    Use use;
    Requests requests;
    std::vector<Chunk> chunks;   // by number; those from `first_chunk` on
    size_t first_chunk = 0;      // the rows before are gone, and some behind may be
    size_t gone_chunks = 0;      // in all
    uint64_t touched_batch = 0;  // the last batch that changed it
    uint64_t moved_batch = 0;    // the last batch that moved it in by_use_
    bool removed = false;        // in this batch
  };
  // One step of the batch, to be taken back from the last one on.
  struct Step {
    enum class Kind : uint8_t { kCreate, kUse, kMove, kAdd, kDrop, kDropResult, kRemove };
    Kind kind;
    Session* session;
    uint64_t sequence = 0;
    Use use;                                    // kUse: as it was
    std::list<Session*>::iterator next;         // kMove, kRemove: before which it stood
    Requests::node_type request;                // kDrop
    std::unique_ptr<const std::string> result;  // kDropResult
    std::unique_ptr<Session> owned;             // kRemove
  };

  Session* Find(const std::string& name);
  Session* Create(const Command& command, uint64_t number);
  Step& Log(Step::Kind kind, Session* session);
  void Change(Session* session);
  void Touch(Session* session, uint64_t number);
  void Remove(Session* session);
  void Acknowledge(Session* session, uint64_t below);
  void ForgetOld(Session* session);
  std::optional<CommandResult> AnswerOf(Session* session, const Command& command,
                                        uint64_t hash) const;
  void AddToChunk(Session* session, uint64_t sequence, const Request& request);
  void DropFirst(Session* session);
  void HoldResult(Session* session, uint64_t sequence, const Request& request);
  void ReleaseResult(const Session& session, const Request& request);
  void DropResult(Session* session, uint64_t sequence);
  static std::vector<Chunk>::iterator ChunkOf(Session* session, uint64_t number);
  void Undo(Step* step);
  void UndoAdd(const Step& step);
  void UndoDrop(Step* step);
  void UndoDropResult(Step* step);
  void UndoRemove(Step* step);
  static void Compact(Session* session);
  Status LoadSessions(sqlite3* db);
  Status LoadRequests(sqlite3* db);
  Status LoadChunk(Session* session, Chunk chunk, std::string_view encoded, uint64_t* last);
  Status Write(Session* session);
  Status WriteShrunk();

  std::unordered_map<std::string, std::unique_ptr<Session>> by_name_;
  std::list<Session*> by_use_;  // the least recently used first
  Shares shares_;
  HeldResults<std::pair<Session*, uint64_t>> held_{kResultsBytesMaxTotal, kNodeResultsBytesMax};

  // ---- Of the current entry
  uint64_t lease_ms_ = 0;
  uint64_t ttl_ms_ = 0;

  // ---- Of the current batch
  uint64_t batch_ = 1;
  uint64_t first_number_ = 0;  // sessions and requests from here on are not in the file
  std::vector<Step> steps_;
  std::vector<Session*> touched_;
  std::list<Session*> removed_;           // their places, so that iterators to them stay good
  std::vector<uint64_t> removed_chunks_;  // in the file, by number
  std::vector<uint64_t> removed_sessions_;
  std::vector<std::pair<Session*, uint64_t>> shrunk_chunks_;  // in the file, by number

  InternalStatement write_session_;
  InternalStatement remove_session_;
  InternalStatement write_chunk_;
  InternalStatement read_chunk_;
  InternalStatement shrink_chunk_;
  InternalStatement remove_chunk_;
};

}  // namespace cairn::state_machine
