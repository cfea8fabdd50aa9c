// Reads retained changes, page by page, from views of the database (change_retention.h).
#pragma once

#include <vector>

#include "base/result.h"
#include "state_machine/retained_page.h"
#include "state_machine/sqlite/read_pool.h"

namespace cairn::state_machine {

Result<std::vector<RetainedSetting>> ReadRetainedSettings(ReadTransaction* read);
Result<RetainedPage> ReadRetainedPage(ReadTransaction* read, const RetainedQuery& query);

}  // namespace cairn::state_machine
