// The rows that a watch begins with: those of the watched tables as of one index.
#pragma once

#include <memory>
#include <vector>

#include "server/query_task.h"
#include "server/watch_filter.h"
#include "server/watch_hub.h"

namespace cairn::server {

// The first statement of the read. The consumer gives the others.
QueryRequest SnapshotQuestion();
// Sends the rows to `sink`, in bounded chunks at the pace of the client, and hands the watch to the
// hub at the index of the rows. The watch must be held for it.
std::shared_ptr<QueryConsumer> NewWatchSnapshot(WatchHub* hub, WatchHub::WatchPtr watch,
                                                std::shared_ptr<WatchSink> sink,
                                                std::vector<WatchFilter> filters);

}  // namespace cairn::server
