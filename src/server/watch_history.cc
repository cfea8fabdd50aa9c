#include "server/watch_history.h"

#include <algorithm>

namespace cairn::server {

using state_machine::ChangeKind;
using state_machine::ChangePosition;
using state_machine::RetainedPage;
using state_machine::RetainedQuery;

namespace {

// The end of the command that the position lies in; none if it lies between two.
std::optional<ChangePosition> CommandAround(const RetainedPage& page, ChangePosition position) {
  for (const auto& command : page.commands) {
    const auto& changes = command->changes;
    if (changes.back().position < position) continue;
    const bool is_whole = changes.back().kind == ChangeKind::kCommandEnd;
    if (is_whole && changes.back().position == position) return std::nullopt;
    if (position < changes.front().position) return std::nullopt;
    return is_whole ? std::optional(changes.back().position) : page.open;
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::string> TablesOf(const std::vector<WatchFilter>& filters) {
  std::vector<std::string> tables;
  for (const WatchFilter& filter : filters) {
    if (filter.table.empty()) return {};
    tables.push_back(filter.table);
  }
  std::sort(tables.begin(), tables.end());
  tables.erase(std::unique(tables.begin(), tables.end()), tables.end());
  return tables;
}

RetainedQuery WatchHistory::Query(ChangePosition after) const {
  return {tables_, after, cursor_, open_, kWatchMessageBytes};
}

Result<WatchSegmentPtr> WatchHistory::Take(const RetainedPage& page, ChangePosition after,
                                           std::optional<ChangePosition> visible, WatchFeed* feed) {
  ASSIGN_OR_RETURN(const WatchSegmentPtr segment, feed->FromPage(page, after, visible, &passed_));
  const bool judged = !visible || after < *visible;
  if (judged && !page.commands.empty() && cursor_ < page.cursor && page.cursor < after) {
    // The page told only whether a change of the command that the position lies in has passed.
    cursor_ = page.cursor;
    open_ = page.open;
  } else if (segment->through >= page.through) {
    cursor_ = std::max(page.cursor, segment->through);
    open_ = page.open;
  } else if (segment->through > after) {
    cursor_ = segment->through;
    open_ = CommandAround(page, segment->through);
  }
  return segment;
}

}  // namespace cairn::server
