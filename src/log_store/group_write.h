// The rules that every LogStore imposes on a GroupWrite.
#pragma once

#include "log_store/log_store.h"

namespace cairn::log_store {

// Aborts if `write` does not fit on a log in `state`: a core that asks for a hole in its log is
// broken, and nothing from it may reach the disk. Otherwise changes `state` to the state after the
// write.
void CheckAndAdvance(const GroupWrite& write, GroupState* state);

// The same for a compaction. False if there is nothing to compact.
bool CheckCompaction(const GroupState& state, LogIndex index);

}  // namespace cairn::log_store
