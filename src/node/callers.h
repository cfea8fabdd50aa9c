// Callers: which process speaks for each other member, and where it lives.
//
// A member is one lineage of starts of one data directory (boot_file.h). Messages count only from
// the last start of it that this node knows of: by a configuration in its log, or by what a process
// told this node itself. A process whose earlier starts do not include that one is a
// copy, or was set back, and must not vote or acknowledge under the member's name.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/status.h"
#include "raft/types.h"
#include "transport/transport.h"

namespace cairn::node {

// Whether a process that started so may follow one that started as `before`: it has that start among
// its earlier ones, or its directory remembers only later ones.
bool Follows(const transport::Start& start, const raft::Boot& before);
// Whether a process that started so speaks for a member whose last known start is `known`: it is that
// start, or follows it.
bool IsOrFollows(const transport::Start& start, const raft::Boot& known);

// Thread-safe: transport threads ask, the core thread tells.
class Callers {
 public:
  // Two election timeouts: who should have spoken, and was silent for longer, counts as gone.
  explicit Callers(SteadyTime silence_max) : silence_max_(silence_max) {}

  struct Known {
    raft::Boot boot;
    std::string address;
    bool operator==(const Known&) const = default;
  };

  // A process says that it is this member. OK: from now on it is the one that speaks for it.
  // ABORTED: the process before it still runs; it may ask again. ALREADY_EXISTS: it is a copy, or
  // was set back, and stays refused.
  Status Admit(const transport::Identity& caller, SteadyTime now);
  // A connection from that process, which was admitted, has ended. It may only have broken, so the
  // next start of the member is let in a moment later: a copy that tries again and again could else
  // take the place of the original while that connects anew.
  void Leave(const transport::Identity& caller, SteadyTime now);
  // Whether messages from that process count.
  bool Counts(MemberId member, const raft::Boot& boot) const;
  // Whether the process that this node reached as that member may be the one that speaks for it: it
  // was not refused, and is not behind.
  bool MayReach(MemberId member, const raft::Boot& boot) const;
  // A message has come from that process. True if it counts.
  bool OnMessage(MemberId member, const raft::Boot& boot, SteadyTime now);
  // Whether each other member has reason to send to this node all the time: to a leader, and to all
  // while there is none. Followers say nothing to each other, so between them silence means little.
  void OnRole(bool all_speak);

  // A configuration in this node's log, which may not be committed: the starts that it records are
  // those of processes that a leader has heard.
  void OnLogged(const raft::Configuration& config);
  // The committed configuration.
  void OnConfig(const raft::Configuration& config);
  // As leader of that term this node knows that the member's log holds all up to `index`.
  void OnAcknowledged(Term term, const std::map<MemberId, LogIndex>& held);

  // The processes that have told this node who they are, by member, where they are not behind what
  // the configuration records.
  std::map<MemberId, Known> known() const;
  // Changes whenever known() does.
  uint64_t version() const;

 private:
  struct Caller {
    Known known;
    SteadyTime heard{0};
    int connections = 0;
  };
  Status Judge(const transport::Identity& caller, SteadyTime now) const;
  SteadyTime SilenceMax(const Caller& caller) const;
  // The last start of the member that is known here.
  std::optional<raft::Boot> Last(MemberId member) const;
  bool CountsLocked(MemberId member, const raft::Boot& boot) const;
  void MakeRoom();
  void ForgetBehind();

  const SteadyTime silence_max_;
  mutable std::mutex mutex_;
  bool all_speak_ = true;
  std::map<MemberId, Caller> callers_;
  std::map<MemberId, raft::Boot> recorded_;
  std::map<MemberId, raft::Boot> refused_;  // the last one; of members of the configuration alone
  uint64_t next_member_id_ = 1;
  Term held_in_;
  std::map<MemberId, LogIndex> held_;
  uint64_t version_ = 1;
};

}  // namespace cairn::node
