// Writes points. What is stored is a function of the sequence of statements alone: a tail that has
// kSealAt points gives its oldest kBlockPoints to a block, within the statement that adds the last
// of them. A clock, a cache or a restart has no part in it.
//
// A point that is not newer than all blocks goes into the block that covers its time. Statements
// change points in order, so the block is kept open until a point of another block comes, and until
// the statement ends: Flush.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "timeseries/sqlite/points.h"
#include "timeseries/sqlite/retention.h"
#include "timeseries/sqlite/storage.h"
#include "timeseries/sqlite/work.h"

namespace cairn::timeseries {

// A tail of so many points gives its oldest ones to a block.
struct SealRule {
  int64_t seal_at = 640;
  int64_t block_points = 512;
};
inline constexpr size_t kSplitAt = 1024;    // a block that grows beyond is cut in halves
inline constexpr size_t kSmallBlock = 128;  // a last block below is joined with what comes next

struct TimeSpan {
  int64_t first = 0;
  int64_t last = 0;
};

// What to do with a point whose time is taken.
enum class OnConflict { kFail, kReplace, kIgnore };

// What a statement has changed, and has not written yet.
class HeldChanges {
 public:
  virtual ~HeldChanges() = default;
  virtual bool has_changes() const = 0;
  virtual int Flush() = 0;
  // Forgets the changes, and all that is known of the file.
  virtual void Discard() = 0;
  // Forgets what is known of the file: another connection may have changed it.
  virtual void Forget() = 0;
};

// Hears of the points in blocks.
class SealedPoints {
 public:
  virtual ~SealedPoints() = default;
  // Those from the place `from` on are in blocks now, and are newer than all before.
  virtual int Append(int64_t series, const Block& points, size_t from) = 0;
  // Points between these times have come, gone or changed.
  virtual int Change(int64_t series, int64_t from, int64_t until) = 0;
};

struct WriterOptions {
  SealRule seal{};
  bool expires = true;             // there is a retention in the storage
  SealedPoints* sealed = nullptr;  // null: nobody wants to know
};

class Writer : public HeldChanges {
 public:
  // An error that is to have a message leaves it in `error`, whose owner clears it.
  Writer(Storage* storage, const ChargeWork* charge, std::string* error,
         const WriterOptions& options = {})
      : storage_(*storage),
        charge_(*charge),
        error_(*error),
        options_(options),
        retention_(storage, charge) {}

  // The number of the series with these tags (bound to the parameters 1, ...). A new one is made.
  int FindSeries(const PointValues& tags, int64_t* series);
  // SQLITE_CONSTRAINT without a message: the point was left out, by kIgnore.
  int Insert(int64_t series, int64_t time, const PointValues& values, OnConflict on_conflict);
  // `times`: the first and the last of the block.
  int InsertBlock(int64_t series, std::string_view bytes, OnConflict on_conflict, TimeSpan* times);
  int Delete(int64_t series, int64_t time);
  int Exists(int64_t series, int64_t time, bool* exists);
  int SetRetention(int64_t retention_ms, std::string_view suffix = {});
  // See Retention.
  int Expire(int64_t now_ms, const std::vector<RollupExpiry>& rollups, ExpiryOutcome* outcome);

  // Of the open block.
  bool has_changes() const override { return open_.open && open_.changed; }
  int Flush() override;
  void Discard() override;
  void Forget() override;

 private:
  struct SeriesState {
    int64_t tail_points = 0;
    int64_t sealed_until = INT64_MIN;  // the last time in blocks
  };
  struct OpenBlock {
    bool open = false;
    bool changed = false;
    int64_t id = 0;  // of the row
    int64_t series = 0;
    int64_t owns_from = 0;   // times that belong to the block: from here
    int64_t owns_until = 0;  // to before here
    int64_t changed_from = 0;
    int64_t changed_until = 0;
    void Changed(int64_t time);
    Block points;
  };

  int StateOf(int64_t series, SeriesState** state);
  // Whether points of this time have expired.
  int IsExpired(int64_t time, bool* expired);
  int Expired(int64_t time);
  int InsertIntoTail(int64_t series, SeriesState* state, int64_t time, const PointValues& values,
                     OnConflict on_conflict);
  int InsertIntoBlock(int64_t series, int64_t time, const PointValues& values,
                      OnConflict on_conflict);
  int Open(int64_t series, int64_t time);
  int SealOldest(int64_t series, int64_t points);
  int DeleteFromTail(int64_t series, SeriesState* state, int64_t time);
  int StoreWhole(int64_t series, SeriesState* state, const Block& block, std::string_view bytes,
                 bool* stored);
  int InsertPoints(int64_t series, const Block& block, OnConflict on_conflict);
  int RemoveBlock(int64_t id);
  int WriteBlock(int64_t id, int64_t series, const Block& points);
  int InsertRow(int64_t series, const Block& points, std::string_view data);
  int CountTail(int64_t series, int64_t from, int64_t until, int64_t* points);
  uint64_t columns() const { return storage_.declaration().values.size(); }
  int Fail(int rc, std::string message);
  int Refuse(const Status& status);
  int Conflict(int64_t time);
  bool Charge(uint64_t steps) { return !charge_ || charge_(steps); }

  Storage& storage_;
  const ChargeWork& charge_;
  std::string& error_;
  const WriterOptions options_;
  OpenBlock open_;
  std::unordered_map<int64_t, SeriesState> states_;
  Retention retention_;
  std::optional<int64_t> expired_before_;  // none: not known
  // The tags of the last point, and their series.
  std::string last_tags_;
  int64_t last_series_ = 0;
};

}  // namespace cairn::timeseries
