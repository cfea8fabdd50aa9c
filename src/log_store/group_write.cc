#include "log_store/group_write.h"

#include "base/check.h"

namespace cairn::log_store {

void CheckAndAdvance(const GroupWrite& write, GroupState* state) {
  CHECK(!write.group.is_none());
  if (write.reset_to.has_value()) {
    state->snapshot_index = state->last = write.reset_to->index;
    state->snapshot_term = write.reset_to->term;
  }
  if (write.truncate_from.has_value()) {
    CHECK(*write.truncate_from > state->snapshot_index)
        << "group " << ToString(write.group) << " truncates from " << ToString(*write.truncate_from)
        << ", but its log begins after " << ToString(state->snapshot_index);
    if (*write.truncate_from <= state->last) state->last = *write.truncate_from - 1;
  }
  for (const raft::Entry& entry : write.entries) {
    CHECK(entry.payload != nullptr) << "entry " << ToString(entry.index);
    CHECK(entry.index == state->last + 1)
        << "group " << ToString(write.group) << " appends " << ToString(entry.index) << " after "
        << ToString(state->last);
    ++state->last;
  }
  if (write.hard_state.has_value()) state->hard_state = *write.hard_state;
}

bool CheckCompaction(const GroupState& state, LogIndex index) {
  CHECK(index <= state.last) << "compaction to " << ToString(index) << " of a log that ends at "
                             << ToString(state.last);
  return index > state.snapshot_index;
}

}  // namespace cairn::log_store
