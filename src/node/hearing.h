// Hearing: whom this node hears, and when it last did. It calls nobody.
//
// A message that is heard may have waited in a socket while this process was stopped. So hearing is
// good enough to tell the living from the dead, and not to tell how old something is (freshness.h).
#pragma once

#include <map>

#include "base/clock.h"
#include "base/ids.h"
#include "node/membership.h"
#include "node/replica_context.h"

namespace cairn::node {

// Not thread-safe: the core thread owns it.
class Hearing {
 public:
  explicit Hearing(ReplicaContext* context) : context_(*context) {}

  void OnHeard(MemberId member, SteadyTime now) { last_heard_[member] = now; }
  bool HeardSince(MemberId member, SteadyTime since) const;

  Contacts contacts() const;

 private:
  const ReplicaContext& context_;
  std::map<MemberId, SteadyTime> last_heard_;
};

}  // namespace cairn::node
