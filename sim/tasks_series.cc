// Tasks on a time series with a retention and rollups. They judge themselves: the rollups are what
// aggregates of the points are, and no point has changed. The digests judge the storage.
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
  task.next = [](const Answer& a) {
    if (a.type != history::EventType::kOk) return End{a.type, {}, ""};
    for (const state_machine::StatementResult& result : a.result->statements) {
      if (result.rows.at(0).at(0) == state_machine::Value(int64_t{0})) continue;
      return End{a.type, {}, "a time series and its rollups do not agree"};
    }
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
  std::vector<state_machine::Statement> statements;
  switch (rng_.Below(6)) {
    case 0:  // late
      statements.push_back({"INSERT OR IGNORE INTO series VALUES(?1, ?2, ?2), (?1, ?3, ?3)",
                            {device, before(), before()},
                            {}});
      break;
    case 1: {
      const int64_t from = before();
      statements.push_back(
          {"DELETE FROM series WHERE ts BETWEEN ?1 AND ?2", {from, from + 50'000}, {}});
      break;
    }
    case 2: statements.push_back({"INSERT INTO series(series) VALUES('expire')", {}, {}}); break;
    default: {
      const int64_t from = series_time_;
      series_time_ += 100 * 2'000;
      statements.push_back(
          {"INSERT OR IGNORE INTO series SELECT ?1, bucket, bucket FROM time_buckets(?2, ?3, 2000)",
           {device, from, series_time_},
           {}});
    }
  }
  Task task;
  task.f = "series";
  task.first.write = state_machine::Execute{std::move(statements)};
  task.first.may_fail = true;
  task.next = [](const Answer& a) { return End{a.type, {}, ""}; };
  return task;
}

}  // namespace cairn::sim
