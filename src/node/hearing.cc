#include "node/hearing.h"

namespace cairn::node {

Contacts Hearing::contacts() const {
  return {context_.self, last_heard_, context_.now(),
          2 * context_.options.election_ticks * SteadyTime(context_.options.tick)};
}

bool Hearing::HeardSince(MemberId member, SteadyTime since) const {
  const auto heard = last_heard_.find(member);
  return heard != last_heard_.end() && heard->second >= since;
}

}  // namespace cairn::node
