// WatchFeed: the changes that pass one set of filters, judged and encoded once for all watches that
// have equal filters.
//
// The feed cuts the changes into segments. A segment covers all changes between two positions, and
// holds those that pass, ready to be sent. Watches at one position get the same segment. A watch
// that begins inside a segment gets a part of its own up to the segment's end, and shares from
// there on. Segments are forgotten when no watch asks for them any more, or past a bound in bytes;
// then they are made again from the ring.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "server/watch_filter.h"
#include "server/watch_tables.h"
#include "state_machine/change.h"
#include "state_machine/change_ring.h"
#include "state_machine/retained_page.h"

namespace cairn::server {

// About the size of a message with several events.
inline constexpr size_t kWatchMessageBytes = 64 << 10;

struct WatchSegment {
  state_machine::ChangePosition after;
  state_machine::ChangePosition through;
  std::string fields;                      // the events, encoded as fields of a WatchResponse
  std::vector<TableDefinitionPtr> tables;  // that the events name
  uint64_t used_in = 0;                    // the round in which a watch asked for it last

  size_t bytes() const { return sizeof *this + fields.size() + tables.size() * sizeof tables[0]; }
};
using WatchSegmentPtr = std::shared_ptr<WatchSegment>;

// What all feeds share. One thread at a time.
struct WatchFeedShare {
  static constexpr size_t kSegmentBytesMax = 16 << 20;

  std::shared_ptr<state_machine::ChangeRing> ring;
  WatchTables* tables = nullptr;
  ConditionCount conditions;
  size_t segment_bytes = 0;  // of all feeds
  uint64_t changes_judged = 0;
  // The last read of the ring: many feeds ask for the same.
  std::optional<state_machine::ChangePosition> read_after;
  state_machine::ChangeRing::Read read;

  Result<const state_machine::ChangeRing::Read*> Read(state_machine::ChangePosition after);
};

// One thread at a time.
class WatchFeed {
 public:
  // The share must outlive the feed.
  WatchFeed(std::vector<WatchFilter> filters, WatchFeedShare* share)
      : judge_(std::move(filters), &share->conditions), share_(share) {}
  ~WatchFeed() { Trim(UINT64_MAX); }
  WatchFeed(const WatchFeed&) = delete;
  WatchFeed& operator=(const WatchFeed&) = delete;

  // What follows `after`, and is not beyond `visible` if that is given: a segment with events or
  // without. One that ends at `after` means that nothing has followed yet.
  //   OUT_OF_RANGE         what follows is not held any more
  //   FAILED_PRECONDITION  a condition cannot be asked of the next change
  Result<WatchSegmentPtr> Next(state_machine::ChangePosition after,
                               std::optional<state_machine::ChangePosition> visible,
                               uint64_t round);
  // The same from a page of retained changes, for one watch. `passed`: whether a change of the command that
  // the page goes on with has passed before; then, whether one of the command that the segment ends in.
  Result<WatchSegmentPtr> FromPage(const state_machine::RetainedPage& page,
                                   state_machine::ChangePosition after,
                                   std::optional<state_machine::ChangePosition> visible,
                                   bool* passed);
  // Forgets the segments that no watch has asked for since `round`.
  void Trim(uint64_t round);

 private:
  struct Making;
  using Track = std::map<state_machine::ChangePosition, WatchSegmentPtr>;

  Result<WatchSegmentPtr> Make(state_machine::ChangePosition after,
                               std::optional<state_machine::ChangePosition> limit);
  Status AddCommand(const state_machine::CommandChanges& command, Making* making);
  Result<bool> AddChange(const state_machine::CommandChanges& command, size_t place,
                         Making* making);
  Result<bool> Passes(const state_machine::Change& change, TableDefinitionPtr* table);
  Status JudgeBefore(const state_machine::CommandChanges& command, Making* making);
  void Keep(const WatchSegmentPtr& segment);
  Track::iterator Drop(Track::iterator segment);

  ChangeJudge judge_;
  WatchFeedShare* const share_;
  Track track_;  // by `after`; segments do not overlap
};

}  // namespace cairn::server
