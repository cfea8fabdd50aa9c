// Sessions: the replicated memory of answered requests. Because of it a retry returns the first
// result.
//
// Sessions are a function of the log alone. The commands and the lease times of the entries decide
// what is kept, dropped or refused, never this node or the boundaries of its batches.
//
// A request is remembered until its client acknowledges it, or until it is as old as the entry's
// request_ttl_ms. If there is no room, new requests are refused; younger requests are never
// forgotten to make room. The code of a request (OK, or the code of an error) is remembered
// longest. A result may go earlier, but an error never turns into OK. Of an error only the code is
// kept: the text comes from the build of SQLite that ran the request, and members may run different
// builds.
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

// Bounds. They are the same on all nodes, because they decide which commands are refused and which
// retries still get their results. One client holds at most an eighth of kSessionsBytesMax.
inline constexpr uint64_t kSessionsBytesMax = 64 << 20;    // of clients' sessions and requests
inline constexpr uint64_t kSessionBytes = 512;             // counted for a session, beside its name
inline constexpr uint64_t kRequestBytes = 128;             // counted for a request
inline constexpr size_t kRequestsPerNodeMax = 65'536;      // of a node's session
inline constexpr size_t kResultBytesMax = 64 << 10;        // a larger result is not kept
inline constexpr size_t kResultsBytesMaxTotal = 32 << 20;  // of clients; an eighth for each
inline constexpr size_t kNodeResultsBytesMax = 16 << 20;   // of the sessions of all nodes
inline constexpr size_t kResultOverheadBytes = 160;        // counted for a result, beside its bytes
inline constexpr size_t kChunkBytesMax = 64 << 10;         // past it a new row begins

// As `forgotten_below` in the file: a restore has ended the session.
inline constexpr uint64_t kEndedByRestore = UINT64_MAX;

// Encodes one request of a row of _cairn_requests. Without a `result` only the code is kept.
void EncodeKeptRequest(uint64_t place, uint64_t sequence, uint64_t hash, uint8_t code,
                       std::optional<std::string_view> result, std::string* out);
// Encodes a sound row of _cairn_requests again, without the results.
std::string WithoutResults(std::string_view encoded);

// Used by the apply thread. Held in memory, and written once a batch.
class Sessions {
 public:
  static const char* const kSchema;

  // `room_divisor`: see SqliteOptions.
  explicit Sessions(uint64_t room_divisor = 1) : shares_(kSessionsBytesMax / room_divisor) {}
  Status Open(sqlite3* db);
  void Close();

  // Called at the start of each entry: removes sessions that were not used for `ttl_ms`, as many as
  // kForgottenPerEntryMax allows.
  void BeginEntry(uint64_t lease_ms, uint64_t ttl_ms);

  // Returns the answer if the command was answered before or may not run. Otherwise returns
  // nothing: the caller runs the command, then calls Record. Only for commands whose id is of a
  // session and has passed CheckRequestId.
  std::optional<CommandResult> Admit(const Command& command, uint64_t number,
                                     uint64_t operation_hash);
  void Record(const Command& command, uint64_t number, uint64_t operation_hash,
              const CommandResult& result);

  // `first_number`: at most the number of the first command of the batch.
  void BeginBatch(uint64_t first_number) { first_number_ = first_number; }

  // Called within the batch's transaction, just before the commit.
  Status Flush();
  void BatchCommitted();
  void BatchUndone();

  size_t size() const { return by_name_.size(); }
  size_t results_bytes() const { return held_.bytes(); }
  // The part of kSessionsBytesMax that clients hold.
  uint64_t bytes() const { return shares_.total(); }

 private:
  struct Request {
    uint64_t number = 0;  // of the request's command
    uint64_t hash = 0;
    std::unique_ptr<const std::string> result;  // null: not held (any more)
    uint8_t code = 0;                           // see KeptCode
  };
  using Requests = std::map<uint64_t, Request>;  // by sequence

  // Requests of one entry, in one row of _cairn_requests. The row is written once, written again
  // without results when the last result in it is dropped, and removed when no request in it is
  // remembered. Until then the row keeps forgotten requests too, so its contents depend on the log
  // alone, not on the boundaries of batches.
  struct Chunk {
    uint64_t number = 0;  // of the first request; the rowid of the row
    uint64_t lease_ms = 0;
    uint32_t remembered = 0;               // requests that still are; 0: the row is gone
    uint32_t held = 0;                     // requests whose results are still held
    std::unique_ptr<std::string> encoded;  // until the row is written
  };
  // The part of a session that changes with each use.
  struct Use {
    uint64_t used = 0;  // number of the last command that used the session
    uint64_t used_lease_ms = 0;
    uint64_t acknowledged_below = 0;  // the client has received all results below
    uint64_t forgotten_below = 0;     // requests below: not remembered means unknown
    uint64_t results_from = 0;        // results of commands below this number are gone
  };
  struct Session {
    std::string name;
    uint64_t id = 0;  // number of the command that created it; the rowid of its row
    Shares::Client* owner = nullptr;
    std::list<Session*>::iterator place;  // in by_use_
    Use use;
    Requests requests;
    std::vector<Chunk> chunks;   // by number; valid from `first_chunk` on
    size_t first_chunk = 0;      // earlier rows are gone, and some later ones may be
    size_t gone_chunks = 0;      // in all of `chunks`
    uint64_t touched_batch = 0;  // the last batch that changed it
    uint64_t moved_batch = 0;    // the last batch that moved it in by_use_
    bool removed = false;        // in this batch
  };
  // One step of the batch. BatchUndone takes the steps back, the last one first.
  struct Step {
    enum class Kind : uint8_t { kCreate, kUse, kMove, kAdd, kDrop, kDropResult, kRemove };
    Kind kind;
    Session* session;
    uint64_t sequence = 0;
    Use use;                                    // kUse: the value before
    std::list<Session*>::iterator next;         // kMove, kRemove: the neighbour behind
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
  std::list<Session*> by_use_;  // least recently used first
  Shares shares_;
  HeldResults<std::pair<Session*, uint64_t>> held_{kResultsBytesMaxTotal, kNodeResultsBytesMax};

  // ---- The current entry
  uint64_t lease_ms_ = 0;
  uint64_t ttl_ms_ = 0;

  // ---- The current batch
  uint64_t batch_ = 1;
  uint64_t first_number_ = 0;  // sessions and requests from this number on are not in the file
  std::vector<Step> steps_;
  std::vector<Session*> touched_;
  std::list<Session*> removed_;  // the places of removed sessions, so that iterators stay valid
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
