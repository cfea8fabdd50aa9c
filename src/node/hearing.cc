#include "node/hearing.h"

namespace cairn::node {

Contacts Hearing::contacts() const {
  return {context_.self, last_heard_, context_.now(),
          2 * context_.options.election_ticks * SteadyTime(context_.options.tick)};
}

}  // namespace cairn::node
