// Tasks on a time series with a retention and rollups. They judge themselves: the rollups are what
// aggregates of the points are, no point has changed, and the points whose writes were acknowledged are
// there, unless they were deleted or have expired. The digests judge the storage.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "sim/tasks.h"

namespace cairn::sim {
namespace {

// Each value is the time of its point, so a point that has changed shows.
constexpr const char* kCreate =
    "CREATE VIRTUAL TABLE IF NOT EXISTS series USING timeseries(device INTEGER TAG, ts "
    "TIMESTAMP_MS,"
    " v INTEGER, retention='1h', rollups='1m,10m')";

constexpr int64_t kStep = 2'000;
constexpr int64_t kStretch = 100 * kStep;
constexpr int64_t kDeleted = 50'000;
// A read looks at so many of the stretches that must be there.
constexpr uint64_t kStretchesRead = 4;
constexpr char kMissing[] =
    "SELECT count(*) FROM time_buckets(?2, ?3, 2000) AS b WHERE b.bucket >= coalesce((SELECT v "
    "FROM "
    "series_config WHERE k = 'expired_before'), 0) AND NOT EXISTS (SELECT 1 FROM series WHERE "
    "device "
    "= ?1 AND ts = b.bucket)";

std::string Differences(const std::string& width) {
  const std::string rollup = "SELECT device, ts, points, v_sum, v_min, v_last FROM series_" +
                             width +
                             " WHERE ts >= coalesce((SELECT v FROM series_config WHERE k = "
                             "'expired_before'), 0)";
  const std::string points =
      "SELECT device, time_bucket('" + width +
      "', ts), count(*), sum(v), min(v), last(v, ts) FROM series GROUP BY 1, "
      "2";
  return "SELECT (SELECT count(*) FROM (SELECT * FROM (" + rollup + ") EXCEPT SELECT * FROM (" +
         points + "))) + (SELECT count(*) FROM (SELECT * FROM (" + points +
         ") EXCEPT SELECT * FROM (" + rollup + ")))";
}

}  // namespace

Task Tasks::CreateSeries() {
  Task task;
  task.f = "create series";
  task.first.write = state_machine::Execute{{{kCreate, {}, {}}}};
  task.first.may_lack_level = true;
  task.first.may_fail = true;
  task.next = [this](const Answer& a) {
    has_series_ = has_series_ || a.type == history::EventType::kOk;
    return End{a.type, {}, ""};
  };
  return task;
}

Task Tasks::ReadSeries() {
  Task task;
  task.f = "series";
  for (const char* width : {"1m", "10m"}) {
    task.first.queries.push_back({Differences(width), {}, {}});
  }
  task.first.queries.push_back({"SELECT count(*) FROM series WHERE v <> ts", {}, {}});
  std::vector<Stretch> stretches;
  for (uint64_t i = 0; i < kStretchesRead && !appended_.empty(); ++i) {
    const Stretch& each = appended_[rng_.Below(appended_.size())];
    task.first.queries.push_back({kMissing, {each.device, each.from, each.until}, {}});
    stretches.push_back(each);
  }
  task.next = [this, stretches](const Answer& a) {
    if (a.type != history::EventType::kOk) return End{a.type, {}, ""};
    constexpr size_t kOfOneState = 3;
    for (size_t i = 0; i < a.result->statements.size(); ++i) {
      if (a.result->statements[i].rows.at(0).at(0) == state_machine::Value(int64_t{0})) continue;
      if (i < kOfOneState) return End{a.type, {}, "a time series and its rollups do not agree"};
      // Some may have been deleted while the read was under way.
      if (!Stays(stretches[i - kOfOneState])) continue;
      return End{a.type, {}, "points whose write was acknowledged are not there"};
    }
    return End{a.type, {}, ""};
  };
  return task;
}

bool Tasks::Stays(const Stretch& stretch) const {
  return std::none_of(deleted_.begin(), deleted_.end(),
                      [&](const Stretch& other) { return stretch.Meets(other); });
}

Task Tasks::WriteSeries(state_machine::Statement statement) {
  Task task;
  task.f = "series";
  task.first.write = state_machine::Execute{{std::move(statement)}};
  task.first.may_fail = true;
  task.next = [](const Answer& a) { return End{a.type, {}, ""}; };
  return task;
}

Task Tasks::AppendSeries(int64_t device) {
  const Stretch stretch{device, series_time_, series_time_ + kStretch};
  series_time_ = stretch.until;
  Task task = WriteSeries(
      {"INSERT OR IGNORE INTO series SELECT ?1, bucket, bucket FROM time_buckets(?2, ?3, 2000)",
       {device, stretch.from, stretch.until},
       {}});
  if (options_.is_restored) return task;
  task.next = [this, stretch](const Answer& a) {
    if (a.type == history::EventType::kOk && Stays(stretch)) appended_.push_back(stretch);
    return End{a.type, {}, ""};
  };
  return task;
}

Task Tasks::DrawSeries() {
  if (!has_series_) return CreateSeries();
  // To compare all rows costs as much as some hundred writes.
  constexpr double kReads = 0.05;
  if (Chance(kReads)) return ReadSeries();
  const auto device = static_cast<int64_t>(rng_.Below(3));
  const auto before = [this] {
    return static_cast<int64_t>(rng_.Below(static_cast<uint64_t>(series_time_) + 1));
  };
  switch (rng_.Below(6)) {
    case 0:  // late
      return WriteSeries({"INSERT OR IGNORE INTO series VALUES(?1, ?2, ?2), (?1, ?3, ?3)",
                          {device, before(), before()},
                          {}});
    case 1: {
      const int64_t from = before();
      const Stretch stretch{device, from, from + kDeleted + 1};
      deleted_.push_back(stretch);
      std::erase_if(appended_, [&](const Stretch& each) { return each.Meets(stretch); });
      return WriteSeries(
          {"DELETE FROM series WHERE ts BETWEEN ?1 AND ?2", {from, from + kDeleted}, {}});
    }
    case 2: return WriteSeries({"INSERT INTO series(series) VALUES('expire')", {}, {}});
    default: return AppendSeries(device);
  }
}

}  // namespace cairn::sim
