#include "timeseries/sqlite/functions.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "timeseries/sqlite/bucket.h"

namespace cairn::timeseries {
namespace {

constexpr int kFlags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
constexpr uint64_t kStepsOfAPoint = 4;

void Fail(sqlite3_context* context, const std::string& message) {
  sqlite3_result_error(context, message.c_str(), static_cast<int>(message.size()));
}

bool IsNull(sqlite3_value* value) { return sqlite3_value_type(value) == SQLITE_NULL; }

bool Charge(sqlite3_context* context, uint64_t steps) {
  const auto& charge = *static_cast<const ChargeWork*>(sqlite3_user_data(context));
  if (!charge || charge(steps)) return true;
  sqlite3_result_error_code(context, SQLITE_INTERRUPT);
  return false;
}

// The state of an aggregate: made at the first row, destroyed by Take. Null: no memory, or there was
// no row.
template <class T>
T* StateOf(sqlite3_context* context) {
  auto** const place = static_cast<T**>(sqlite3_aggregate_context(context, sizeof(T*)));
  if (place == nullptr) return nullptr;
  if (*place == nullptr) *place = new T();
  return *place;
}

template <class T>
std::unique_ptr<T> TakeState(sqlite3_context* context) {
  auto** const place = static_cast<T**>(sqlite3_aggregate_context(context, 0));
  return std::unique_ptr<T>(place == nullptr ? nullptr : std::exchange(*place, nullptr));
}

// ---- time_bucket --------------------------------------------------------------------------------

void TimeBucket(sqlite3_context* context, int argc, sqlite3_value** argv) {
  if (IsNull(argv[0]) || IsNull(argv[1])) return;
  int64_t width = 0;
  if (const Status read = ReadWidth(argv[0], &width); !read.ok()) {
    return Fail(context, read.message());
  }
  const int64_t origin = argc > 2 ? sqlite3_value_int64(argv[2]) : 0;
  int64_t bucket = 0;
  if (!BucketOf(sqlite3_value_int64(argv[1]), width, origin, &bucket)) {
    return Fail(context, "time_bucket: the time is out of range");
  }
  sqlite3_result_int64(context, bucket);
}

// ---- first and last -----------------------------------------------------------------------------

struct Extreme {
  bool found = false;
  int64_t time = 0;
  sqlite3_value* value = nullptr;
  ~Extreme() { sqlite3_value_free(value); }
};

template <bool last>
void StepExtreme(sqlite3_context* context, int /*argc*/, sqlite3_value** argv) {
  if (IsNull(argv[1]) || !Charge(context, 1)) return;
  auto* const extreme = StateOf<Extreme>(context);
  if (extreme == nullptr) return sqlite3_result_error_nomem(context);
  const int64_t time = sqlite3_value_int64(argv[1]);
  if (extreme->found && (last ? time <= extreme->time : time >= extreme->time)) return;
  extreme->found = true;
  extreme->time = time;
  sqlite3_value_free(extreme->value);
  extreme->value = sqlite3_value_dup(argv[0]);
  if (extreme->value == nullptr) sqlite3_result_error_nomem(context);
}

void FinishExtreme(sqlite3_context* context) {
  const auto extreme = TakeState<Extreme>(context);
  if (extreme != nullptr && extreme->value != nullptr)
    sqlite3_result_value(context, extreme->value);
}

// ---- Functions of points in the order of time ---------------------------------------------------

struct Points {
  std::vector<std::pair<int64_t, double>> points;
  double argument = 0;  // the third one
  bool linear = false;
  bool in_order = true;

  void Sort() {
    if (!in_order) std::sort(points.begin(), points.end());
  }
};

// Negative if it is no integer of 64 bits; times of points are never so far apart.
int64_t Distance(int64_t from, int64_t until) {
  int64_t distance = 0;
  return __builtin_sub_overflow(until, from, &distance) ? -1 : distance;
}

Points* TakePoint(sqlite3_context* context, sqlite3_value** argv) {
  if (IsNull(argv[0]) || IsNull(argv[1]) || !Charge(context, kStepsOfAPoint)) return nullptr;
  auto* const points = StateOf<Points>(context);
  if (points == nullptr) {
    sqlite3_result_error_nomem(context);
    return nullptr;
  }
  if (points->points.size() >= kPointsOfACallMax) {
    Fail(context, "more than 1048576 points in one group: group by time_bucket()");
    return nullptr;
  }
  const std::pair<int64_t, double> point{sqlite3_value_int64(argv[1]),
                                         sqlite3_value_double(argv[0])};
  if (!points->points.empty() && point < points->points.back()) points->in_order = false;
  points->points.push_back(point);
  return points;
}

void StepDelta(sqlite3_context* context, int /*argc*/, sqlite3_value** argv) {
  TakePoint(context, argv);
}

void FinishDelta(sqlite3_context* context) {
  const auto points = TakeState<Points>(context);
  if (points == nullptr || points->points.empty()) return;
  points->Sort();
  sqlite3_result_double(context, points->points.back().second - points->points.front().second);
}

void StepRate(sqlite3_context* context, int argc, sqlite3_value** argv) {
  Points* const points = TakePoint(context, argv);
  if (points == nullptr) return;
  constexpr double kMillisecondsPerSecond = 1000;
  points->argument = argc > 2 ? sqlite3_value_double(argv[2]) : kMillisecondsPerSecond;
}

// A counter that falls has begun again at 0.
void FinishRate(sqlite3_context* context) {
  const auto points = TakeState<Points>(context);
  if (points == nullptr || points->points.size() < 2) return;
  points->Sort();
  const auto& all = points->points;
  const int64_t duration = Distance(all.front().first, all.back().first);
  if (duration <= 0 || !(points->argument > 0)) return;
  double increase = 0;
  for (size_t i = 1; i < all.size(); ++i) {
    const double step = all[i].second - all[i - 1].second;
    increase += step >= 0 ? step : all[i].second;
  }
  sqlite3_result_double(context, increase * points->argument / static_cast<double>(duration));
}

void StepAverage(sqlite3_context* context, int argc, sqlite3_value** argv) {
  bool linear = false;
  if (argc > 2) {
    const auto* const text = reinterpret_cast<const char*>(sqlite3_value_text(argv[2]));
    const std::string_view method = text == nullptr ? "" : text;
    linear = method == "linear";
    if (!linear && method != "locf") {
      return Fail(context, "time_weighted_avg: the method is 'locf' or 'linear'");
    }
  }
  Points* const points = TakePoint(context, argv);
  if (points != nullptr) points->linear = linear;
}

// A value holds until the next point; or changes in a line towards it.
void FinishAverage(sqlite3_context* context) {
  const auto points = TakeState<Points>(context);
  if (points == nullptr || points->points.empty()) return;
  points->Sort();
  const auto& all = points->points;
  const int64_t duration = Distance(all.front().first, all.back().first);
  if (duration <= 0) return sqlite3_result_double(context, all.back().second);
  double sum = 0;
  for (size_t i = 1; i < all.size(); ++i) {
    const auto length = static_cast<double>(Distance(all[i - 1].first, all[i].first));
    const double level =
        points->linear ? (all[i - 1].second + all[i].second) * 0.5 : all[i - 1].second;
    sum += level * length;
  }
  sqlite3_result_double(context, sum / static_cast<double>(duration));
}

// ---- histogram ----------------------------------------------------------------------------------

struct Histogram {
  std::vector<int64_t> counts;  // below, the buckets, above
  double low = 0;
  double high = 0;
};

constexpr int64_t kBucketsMax = 1000;

void StepHistogram(sqlite3_context* context, int /*argc*/, sqlite3_value** argv) {
  if (IsNull(argv[0]) || !Charge(context, 1)) return;
  auto* const histogram = StateOf<Histogram>(context);
  if (histogram == nullptr) return sqlite3_result_error_nomem(context);
  if (histogram->counts.empty()) {
    const int64_t buckets = sqlite3_value_int64(argv[3]);
    histogram->low = sqlite3_value_double(argv[1]);
    histogram->high = sqlite3_value_double(argv[2]);
    if (buckets < 1 || buckets > kBucketsMax || !(histogram->low < histogram->high) ||
        !std::isfinite(histogram->high - histogram->low)) {
      return Fail(context, "histogram(value, low, high, n): low is below high, and n is 1 to 1000");
    }
    histogram->counts.resize(static_cast<size_t>(buckets) + 2);
  }
  const double value = sqlite3_value_double(argv[0]);
  const size_t buckets = histogram->counts.size() - 2;
  size_t place = 0;
  if (value >= histogram->high) {
    place = buckets + 1;
  } else if (value >= histogram->low) {
    const double part = (value - histogram->low) / (histogram->high - histogram->low);
    place = 1 + std::min(static_cast<size_t>(part * static_cast<double>(buckets)), buckets - 1);
  }
  ++histogram->counts[place];
}

void FinishHistogram(sqlite3_context* context) {
  const auto histogram = TakeState<Histogram>(context);
  if (histogram == nullptr || histogram->counts.empty()) return;
  std::string json;
  for (const int64_t count : histogram->counts) {
    json += json.empty() ? "[" : ",";
    json += std::to_string(count);
  }
  json += ']';
  sqlite3_result_text64(context, json.data(), json.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
}

// ---- Gaps ---------------------------------------------------------------------------------------

// The last value that is not NULL, of the rows in the frame.
struct Carried {
  int64_t values = 0;  // in the frame that are not NULL
  sqlite3_value* value = nullptr;
  ~Carried() { sqlite3_value_free(value); }
};

void StepLocf(sqlite3_context* context, int /*argc*/, sqlite3_value** argv) {
  if (!Charge(context, 1)) return;
  auto* const carried = StateOf<Carried>(context);
  if (carried == nullptr) return sqlite3_result_error_nomem(context);
  if (IsNull(argv[0])) return;
  ++carried->values;
  sqlite3_value_free(carried->value);
  carried->value = sqlite3_value_dup(argv[0]);
  if (carried->value == nullptr) sqlite3_result_error_nomem(context);
}

void InvertLocf(sqlite3_context* context, int /*argc*/, sqlite3_value** argv) {
  auto* const carried = StateOf<Carried>(context);
  if (carried != nullptr && !IsNull(argv[0])) --carried->values;
}

void ValueOfLocf(sqlite3_context* context) {
  auto** const place = static_cast<Carried**>(sqlite3_aggregate_context(context, 0));
  if (place == nullptr || *place == nullptr || (*place)->values == 0) return;
  sqlite3_result_value(context, (*place)->value);
}

void FinishLocf(sqlite3_context* context) {
  ValueOfLocf(context);
  TakeState<Carried>(context);
}

// interpolate(time, time before, value before, time after, value after)
void Interpolate(sqlite3_context* context, int /*argc*/, sqlite3_value** argv) {
  constexpr int kArguments = 5;
  for (int i = 0; i < kArguments; ++i) {
    if (IsNull(argv[i])) return;
  }
  const double before = sqlite3_value_double(argv[2]);
  const double after = sqlite3_value_double(argv[4]);
  const double from = sqlite3_value_double(argv[1]);
  const double length = sqlite3_value_double(argv[3]) - from;
  if (!(length > 0)) return sqlite3_result_double(context, before);
  const double part = (sqlite3_value_double(argv[0]) - from) / length;
  sqlite3_result_double(context, before + (after - before) * part);
}

// ---- Installation -------------------------------------------------------------------------------

struct Function {
  const char* name;
  int arguments;
  void (*call)(sqlite3_context*, int, sqlite3_value**) = nullptr;  // of a scalar function
  void (*step)(sqlite3_context*, int, sqlite3_value**) = nullptr;
  void (*finish)(sqlite3_context*) = nullptr;
  void (*value)(sqlite3_context*) = nullptr;  // of a window function
  void (*invert)(sqlite3_context*, int, sqlite3_value**) = nullptr;
};

constexpr Function kFunctions[] = {
    {"time_bucket", 2, TimeBucket},
    {"time_bucket", 3, TimeBucket},
    {"interpolate", 5, Interpolate},
    {"first", 2, nullptr, StepExtreme<false>, FinishExtreme},
    {"last", 2, nullptr, StepExtreme<true>, FinishExtreme},
    {"delta", 2, nullptr, StepDelta, FinishDelta},
    {"rate", 2, nullptr, StepRate, FinishRate},
    {"rate", 3, nullptr, StepRate, FinishRate},
    {"time_weighted_avg", 2, nullptr, StepAverage, FinishAverage},
    {"time_weighted_avg", 3, nullptr, StepAverage, FinishAverage},
    {"histogram", 4, nullptr, StepHistogram, FinishHistogram},
    {"locf", 1, nullptr, StepLocf, FinishLocf, ValueOfLocf, InvertLocf},
};

Status Checked(int rc, const char* name) {
  return rc == SQLITE_OK
             ? OkStatus()
             : Internal(std::string("the function ") + name + ": " + std::to_string(rc));
}

}  // namespace

Status AddFunctions(sqlite3* db, const ChargeWork* charge) {
  auto* const data = const_cast<ChargeWork*>(charge);
  for (const Function& each : kFunctions) {
    const int rc =
        each.value != nullptr
            ? sqlite3_create_window_function(db, each.name, each.arguments, kFlags, data, each.step,
                                             each.finish, each.value, each.invert, nullptr)
            : sqlite3_create_function_v2(db, each.name, each.arguments, kFlags, data, each.call,
                                         each.step, each.finish, nullptr);
    RETURN_IF_ERROR(Checked(rc, each.name));
  }
  return Checked(AddTimeBuckets(db), "time_buckets");
}

Status RemoveFunctions(sqlite3* db) {
  for (const Function& each : kFunctions) {
    const int rc = sqlite3_create_function_v2(db, each.name, each.arguments, SQLITE_UTF8, nullptr,
                                              nullptr, nullptr, nullptr, nullptr);
    RETURN_IF_ERROR(Checked(rc, each.name));
  }
  return Checked(RemoveTimeBuckets(db), "time_buckets");
}

}  // namespace cairn::timeseries
