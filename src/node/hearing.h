// Hearing: whom this node hears, and when it last did. It calls nobody.
//
// What was heard may have waited in a socket while this process was stopped: that is good enough to
// tell the living from the dead, not for how old something is (freshness.h).
#pragma once

#include <map>

#include "base/clock.h"
#include "base/ids.h"
#include "node/membership.h"
#include "node/replica_context.h"

namespace cairn::node {

// One owner (the core thread).
class Hearing {
 public:
  explicit Hearing(ReplicaContext* context) : context_(*context) {}

  void OnHeard(MemberId member, SteadyTime now) { last_heard_[member] = now; }

  Contacts contacts() const;

 private:
  const ReplicaContext& context_;
  std::map<MemberId, SteadyTime> last_heard_;
};

}  // namespace cairn::node
