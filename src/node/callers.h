// Callers: which process speaks for each other member, and where it lives.
//
// A member is one lineage of starts of one data directory (boot_file.h). Messages count only from
// the last start of the member that this node knows of, by a configuration in its log or by what a
// process told this node itself. A process whose earlier starts do not include that start runs from
// a copy, or from data that were set back. It must not vote or acknowledge under the member's name.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "raft/types.h"
#include "transport/transport.h"

namespace cairn::node {

// Whether a process with this `start` may follow one that started as `before`: it has `before`
// among its earlier starts, or its directory remembers only later ones.
bool Follows(const transport::Start& start, const raft::Boot& before);
// Whether a process with this `start` speaks for a member whose last known start is `known`: the
// start is `known`, or follows it.
bool IsOrFollows(const transport::Start& start, const raft::Boot& known);

// Thread-safe: transport threads ask, the core thread reports.
class Callers {
 public:
  // `silence_max` is two election timeouts. A process that should have spoken and was silent for
  // longer counts as gone.
  explicit Callers(SteadyTime silence_max) : silence_max_(silence_max) {}

  struct Known {
    uint64_t node_id = 0;
    raft::Boot boot;
    std::string address;
    bool operator==(const Known&) const = default;
  };

  // A process says that it is this member. OK: from now on this process speaks for the member.
  // ABORTED: the process before it still runs, or of two processes nothing tells which one is the
  // member; this process may ask again. ALREADY_EXISTS: this process runs from a copy, or from data
  // that were set back, and stays refused.
  //
  // Only a start in this node's log, or a start that follows the caller's, proves that the caller
  // is a copy. The bad schedule otherwise: there is no leader, and a member and its copy run. The
  // member reaches one voter first, and the copy another one. Each voter calls the process that
  // comes second a copy. Both leave for good, and the member is lost without need. So the second
  // process waits until a leader has recorded one of the two.
  Status Admit(const transport::Identity& caller, SteadyTime now);
  // A connection from an admitted process has ended. The connection may only have broken, so the
  // next start of the member is let in a moment later. Otherwise a copy that tries again and again
  // could take the place of the original while the original connects anew.
  void Leave(const transport::Identity& caller, SteadyTime now);
  // Whether messages from that process count.
  bool Counts(MemberId member, const raft::Boot& boot) const;
  // Whether the process that this node reached as that member may be the one that speaks for it:
  // the process was not refused, and its start is not older than the last known one.
  bool MayReach(MemberId member, const raft::Boot& boot) const;
  // A message has come from that process. Returns true if the message counts.
  bool OnMessage(MemberId member, const raft::Boot& boot, SteadyTime now);
  // Whether each other member has reason to send to this node all the time. Members send to a
  // leader all the time, and to everybody while there is no leader. Followers send nothing to each
  // other, so between followers silence means little.
  void OnRole(bool all_speak);

  // A configuration in this node's log, which may not be committed. The starts that it records are
  // those of processes that a leader has heard.
  void OnLogged(const raft::Configuration& config);
  // The committed configuration.
  void OnConfig(const raft::Configuration& config);
  // As leader of `term` this node knows that each member's log holds all entries up to that index.
  void OnAcknowledged(Term term, const std::map<MemberId, LogIndex>& held);

  // The processes that have told this node who they are, by member. A process whose start is older
  // than the configuration records is left out.
  std::map<MemberId, Known> known() const;
  // Changes whenever known() does.
  uint64_t version() const;

 private:
  struct Caller {
    Known known;
    transport::Start start;
    SteadyTime heard{0};
    int connections = 0;
  };
  Status Judge(const transport::Identity& caller, SteadyTime now) const CAIRN_REQUIRES(mutex_);
  // For a caller that neither is `last` nor follows it.
  Status JudgeStranger(const transport::Identity& caller, const raft::Boot& last) const
      CAIRN_REQUIRES(mutex_);
  SteadyTime SilenceMax(const Caller& caller) const CAIRN_REQUIRES(mutex_);
  // The last start of the member that is known here.
  std::optional<raft::Boot> Last(MemberId member) const CAIRN_REQUIRES(mutex_);
  bool CountsLocked(MemberId member, const raft::Boot& boot) const CAIRN_REQUIRES(mutex_);
  void MakeRoom() CAIRN_REQUIRES(mutex_);
  void ForgetBehind() CAIRN_REQUIRES(mutex_);

  const SteadyTime silence_max_;
  mutable Mutex mutex_;
  bool all_speak_ CAIRN_GUARDED_BY(mutex_) = true;
  std::map<MemberId, Caller> callers_ CAIRN_GUARDED_BY(mutex_);
  std::map<MemberId, raft::Boot> recorded_ CAIRN_GUARDED_BY(mutex_);
  // The last refused start of each member.
  std::map<MemberId, raft::Boot> refused_ CAIRN_GUARDED_BY(mutex_);
  uint64_t next_member_id_ CAIRN_GUARDED_BY(mutex_) = 1;
  Term held_in_ CAIRN_GUARDED_BY(mutex_);
  std::map<MemberId, LogIndex> held_ CAIRN_GUARDED_BY(mutex_);
  uint64_t version_ CAIRN_GUARDED_BY(mutex_) = 1;
};

}  // namespace cairn::node
