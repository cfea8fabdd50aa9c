// Reads the audit.
#pragma once

#include "base/result.h"
#include "state_machine/audit.h"
#include "state_machine/sqlite/read_pool.h"

namespace cairn::state_machine {

// The next rows of a chain, and its head, of one state.
Result<AuditPage> ReadAuditPage(ReadTransaction* read, const AuditQuery& query);

}  // namespace cairn::state_machine
