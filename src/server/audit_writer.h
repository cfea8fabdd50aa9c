// AuditWriter: writes into the audit what no entry of the log tells by itself, and tells the audit's head
// to the log of the program.
//
// Once a minute it writes who was refused (Refusals), in one entry, and at once who asked for a change
// of the members. What can not be written, because nobody leads, waits for the next minute. What waits when
// the node is stopped is tried once more. Below
// feature level 3 there is no audit, and nothing is kept.
//
// The leader logs the heads of the chains once a day, and when it begins to lead: whoever keeps the log elsewhere
// can prove later what was in the audit (cairn audit verify --anchor).
#pragma once

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "node/replica.h"
#include "server/refusals.h"
#include "server/router.h"

namespace cairn::server {

// Thread-safe but for Start.
class AuditWriter {
 public:
  static constexpr std::chrono::seconds kEvery{60};
  static constexpr std::chrono::hours kAnchorEvery{24};
  static constexpr std::chrono::seconds kLastWriteMax{2};
  static constexpr size_t kWaitingMax = 64;

  // All outlive this.
  AuditWriter(node::Replica* replica, Router* router, Clock* clock, uint64_t node_id)
      : replica_(*replica), router_(*router), clock_(*clock), node_id_(node_id) {}
  ~AuditWriter() { Stop(); }
  AuditWriter(const AuditWriter&) = delete;
  AuditWriter& operator=(const AuditWriter&) = delete;

  // Begins, on a thread of its own, when the replica has started.
  void Start();
  // Writes what waits, and then nothing more. Takes kLastWriteMax at most: without a majority the rest
  // ends with the router.
  void Drain();
  // Nothing more is written. The router is stopped or closed before, or this may take as long as a
  // write. May be called twice, and without Start.
  void Stop();

  Refusals* refusals() { return &refusals_; }
  // Writes the note soon. Equal notes that wait are counted in one. Past kWaitingMax notes it goes to the
  // log of the program alone, and the audit tells how many did.
  void Add(state_machine::AuditNote note);

 private:
  void Run();
  // False: what waits could not be written.
  bool WriteAll(bool with_refusals, SteadyTime timeout);
  // Those that wait.
  std::vector<state_machine::AuditNote> TakeNotes();
  // Waits for the answer.
  Status Write(std::vector<state_machine::AuditNote> notes, SteadyTime timeout);
  void LogHeads();

  node::Replica& replica_;
  Router& router_;
  Clock& clock_;
  const uint64_t node_id_;
  Refusals refusals_;
  SteadyTime logged_at_{0};
  bool logged_ = false;  // since this node leads
  std::thread thread_;
  Mutex mutex_;
  CondVar changed_;
  bool stopped_ CAIRN_GUARDED_BY(mutex_) = false;
  bool ended_ CAIRN_GUARDED_BY(mutex_) = true;  // there is no thread
  std::vector<state_machine::AuditNote> waiting_ CAIRN_GUARDED_BY(mutex_);
  uint64_t lost_ CAIRN_GUARDED_BY(mutex_) = 0;  // for which there was no room
};

}  // namespace cairn::server
