// Hearing: whom this node hears, and when it last did. It calls nobody.
#pragma once

#include <map>
#include <optional>

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
  // When this node last knew of a leader that knew of a majority. A leader: when it last heard from
  // one itself.
  std::optional<SteadyTime> LastContact(SteadyTime now) const;

 private:
  const ReplicaContext& context_;
  std::map<MemberId, SteadyTime> last_heard_;
};

}  // namespace cairn::node
