// WatchHistory: where a watch stands that is told from the database, because the ring does not go back
// so far.
//
// The changes come in pages, each read by a thread for reads and put down at once. While the client takes
// a message, the watch holds neither a page nor a thread. Once the ring holds what follows, the watch
// goes on with the ring.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "server/watch_feed.h"
#include "server/watch_filter.h"
#include "state_machine/change.h"
#include "state_machine/retained_page.h"

namespace cairn::server {

// Reads a page of what this node has applied. `done` is called once, on any thread.
using ReadHistory =
    std::function<void(state_machine::RetainedQuery query, const std::string& principal,
                       std::function<void(Result<state_machine::RetainedPage>)> done)>;

// The tables that the filters name; none if a filter is about all tables.
std::vector<std::string> TablesOf(const std::vector<WatchFilter>& filters);

// One thread at a time.
class WatchHistory {
 public:
  explicit WatchHistory(std::vector<std::string> tables) : tables_(std::move(tables)) {}

  // What was read. Moves also while no change may be told yet.
  state_machine::ChangePosition cursor() const { return cursor_; }
  // Asks for what follows the position.
  state_machine::RetainedQuery Query(state_machine::ChangePosition after) const;
  // The next segment, from the page that the query has given. No progress: nothing follows, or nothing
  // that is `visible`.
  Result<WatchSegmentPtr> Take(const state_machine::RetainedPage& page,
                               state_machine::ChangePosition after,
                               std::optional<state_machine::ChangePosition> visible,
                               WatchFeed* feed);

 private:
  std::vector<std::string> tables_;
  state_machine::ChangePosition cursor_;
  std::optional<state_machine::ChangePosition> open_;
  bool passed_ = false;  // a change of the command that the cursor lies in has passed
};

}  // namespace cairn::server
