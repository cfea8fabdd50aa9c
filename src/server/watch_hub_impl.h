// The parts of the WatchHub. Only its own files include this.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "server/watch_hub.h"

namespace cairn::server {

// A watch. But for what is const, it belongs to the hub's thread.
class WatchHub::Watch {
 public:
  Watch(std::shared_ptr<WatchSink> to, std::string who, std::vector<WatchFilter> what,
        std::unique_ptr<state_machine::ChangeRing::Membership> member, SteadyTime by,
        std::function<void(const WatchPtr&)> on_ready)
      : sink(std::move(to)),
        principal(std::move(who)),
        filters(std::move(what)),
        membership(std::move(member)),
        begin_by(by),
        ready(std::move(on_ready)) {}

  const std::shared_ptr<WatchSink> sink;
  const std::string principal;
  const std::vector<WatchFilter> filters;
  std::unique_ptr<state_machine::ChangeRing::Membership> membership;
  const SteadyTime begin_by;
  const std::optional<SteadyTime> signal_every = sink->signal_every();
  std::function<void(const WatchPtr&)> ready;

  SteadyTime signal_due{0};               // when the next signal may be sent
  bool begun = false;                     // it has a position
  bool held = false;                      // the rows of a snapshot are on their way
  bool sending = false;                   // a message is under way
  bool first_due = false;                 // the first message waits for the first page of history
  std::shared_ptr<WatchHistory> history;  // while it is told from the database
  bool reading = false;                   // a page is being read, or waits for its turn
  std::optional<Position> retained;       // changes after it are held in the database
  bool ended = false;
  Position position;  // but while it waits, that of the cohort
  Position told;
  SentTables tables;
  Group* group = nullptr;
  Cohort* cohort = nullptr;  // while it waits
};

struct WatchHub::AskedPage {
  WatchPtr watch;
  std::shared_ptr<WatchHistory> history;
  Position after;
};

struct WatchHub::Cohort {
  Position position;
  std::set<WatchPtr> watches;
};

struct WatchHub::Group {
  Group(const std::vector<WatchFilter>& filters, WatchFeedShare* share) : feed(filters, share) {}

  WatchFeed feed;
  size_t watches = 0;
  Cohorts cohorts;  // that wait, by position
};

}  // namespace cairn::server
