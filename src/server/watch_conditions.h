// Whether the conditions of a watch are valid for the tables as they are at its start.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "server/query_task.h"
#include "server/watch_filter.h"

namespace cairn::server {

// Asks for the columns of the tables that have conditions. None if there are no conditions.
std::optional<QueryRequest> ColumnsQuestion(const std::vector<WatchFilter>& filters);
// Takes the answer, and calls `done` once: OK, INVALID_ARGUMENT, or why there was no answer. A
// table that does not exist yet has no columns, and is not judged.
std::shared_ptr<QueryConsumer> NewConditionCheck(std::vector<WatchFilter> filters,
                                                 std::function<void(const Status&)> done);

}  // namespace cairn::server
