#include "timeseries/sqlite/scan.h"

#include <algorithm>
#include <cmath>

#include "base/bytes.h"
#include "timeseries/sqlite/retention.h"

namespace cairn::timeseries {
namespace {

constexpr int kFirstTag = 2;  // the column of `all_series_`

enum class Bound { kFrom, kUntil };

// The integers that may satisfy a comparison with `value`: narrows them, never too much, because
// SQLite compares again. False: none does.
bool Narrow(sqlite3_value* value, Bound bound, int64_t* limit) {
  switch (sqlite3_value_numeric_type(value)) {
    case SQLITE_NULL: return false;
    case SQLITE_INTEGER: *limit = sqlite3_value_int64(value); return true;
    case SQLITE_FLOAT: {
      const double real = sqlite3_value_double(value);
      if (real >= 0x1p62) {
        if (bound == Bound::kFrom) *limit = INT64_MAX;
      } else if (real <= -0x1p62) {
        if (bound == Bound::kUntil) *limit = INT64_MIN;
      } else {
        *limit = static_cast<int64_t>(bound == Bound::kFrom ? std::floor(real) : std::ceil(real));
      }
      return true;
    }
    default: return true;  // a text that is no number: SQLite compares
  }
}

bool IsNumber(sqlite3_value* value) {
  const int type = sqlite3_value_type(value);
  return type == SQLITE_INTEGER || type == SQLITE_FLOAT;
}

// The texts of a list. Left empty if the list may be equal to other texts, too, or is long: SQLite
// compares. False: the list has nothing that a text equals.
bool TakeList(sqlite3_value* list, std::vector<OwnedValue>* texts) {
  constexpr size_t kTextsMax = 256;
  bool may_be_others = false;
  sqlite3_value* value = nullptr;
  for (int rc = sqlite3_vtab_in_first(list, &value); rc == SQLITE_OK && value != nullptr;
       rc = sqlite3_vtab_in_next(list, &value)) {
    may_be_others = may_be_others || IsNumber(value) || texts->size() == kTextsMax;
    if (may_be_others) break;
    if (sqlite3_value_type(value) == SQLITE_TEXT) texts->emplace_back(sqlite3_value_dup(value));
  }
  if (may_be_others) texts->clear();
  return may_be_others || !texts->empty();
}

}  // namespace

// ---- The plan -----------------------------------------------------------------------------------

int Scan::Begin(const Plan& plan, sqlite3_value** arguments) {
  const OwnWork own(storage_.db());
  plan_ = plan;
  range_ = PointRange();
  range_.descending = plan.descending;
  range_.wanted = plan.wanted;
  now_ = nullptr;
  numbers_ = 0;
  merged_.clear();
  one_.Release();
  int place = 0;
  if (!TakeTags(arguments, &place) || !TakeTimes(arguments, place)) return SQLITE_OK;
  merges_ = (numbers_ & plan.unordered) != 0;
  const std::string suffix = rollup_ == nullptr ? "" : rollup_->suffix;
  int rc = Retention(&owner_, &charge_).ExpiredBefore(suffix, &range_.expired_before);
  if (rc != SQLITE_OK) return rc;
  range_.from = std::max(range_.from, range_.expired_before);
  rc = BeginSeries();
  if (rc != SQLITE_OK) return rc;
  if (!merges_) return NextSeries();
  rc = StepSeries();
  has_row_ = rc == SQLITE_ROW;
  if (has_row_) return NextMerged();
  return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

// False: no series is wanted.
bool Scan::TakeTags(sqlite3_value** arguments, int* place) {
  const Declaration& declaration = storage_.declaration();
  wanted_tags_.clear();
  wanted_tags_.resize(declaration.tags.size());
  for (size_t i = 0; i < declaration.tags.size(); ++i) {
    std::vector<OwnedValue>& wanted = wanted_tags_[i];
    if ((plan_.tags >> i & 1) != 0) {
      sqlite3_value* const value = arguments[(*place)++];
      wanted.emplace_back(sqlite3_value_dup(value));
      const bool is_text = declaration.Tag(i).type == ColumnType::kText;
      if (is_text && IsNumber(value)) numbers_ |= 1U << i;
    }
    if ((plan_.lists >> i & 1) != 0 && !TakeList(arguments[(*place)++], &wanted)) return false;
  }
  return true;
}

bool Scan::TakeTimes(sqlite3_value** arguments, int place) {
  if (plan_.time_equals) {
    if (!Narrow(arguments[place], Bound::kFrom, &range_.from)) return false;
    if (!Narrow(arguments[place++], Bound::kUntil, &range_.until)) return false;
  }
  int64_t limit = INT64_MIN;
  if (plan_.time_from) {
    if (!Narrow(arguments[place++], Bound::kFrom, &limit)) return false;
    range_.from = std::max(range_.from, limit);
  }
  limit = INT64_MAX;
  if (plan_.time_until) {
    if (!Narrow(arguments[place++], Bound::kUntil, &limit)) return false;
    range_.until = std::min(range_.until, limit);
  }
  range_.only_last = plan_.last && sqlite3_value_type(arguments[place]) == SQLITE_INTEGER &&
                     sqlite3_value_int64(arguments[place]) == 1;
  return true;
}

int Scan::BeginSeries() {
  const Declaration& declaration = storage_.declaration();
  std::string wants = "1";
  std::string tags;
  std::string equal;
  std::string order;
  int last = 0;  // parameter
  for (size_t i = 0; i < declaration.tags.size(); ++i) {
    const std::string tag = "t" + std::to_string(i);
    tags += ", " + tag;
    if (!merges_ || (plan_.unordered >> i & 1) == 0) order += ", " + tag;
    std::string list;
    for (size_t j = 0; j < wanted_tags_[i].size(); ++j) list += ", ?" + std::to_string(++last);
    if (list.empty()) continue;
    list.erase(0, 2);
    if ((numbers_ >> i & 1) == 0) {
      const bool is_one = wanted_tags_[i].size() == 1;
      equal += " AND " + tag + (is_one ? " = " + list : " IN (" + list + ")");
    } else {
      // A condition on rows that are read and charged: no index finds '05' for 5.
      wants += " AND (" + tag + " = CAST(" + list + " AS TEXT) OR " + tag + " = CAST(" + list +
               " AS NUMERIC))";
    }
  }
  std::string sql = "SELECT " + wants + ", id" + tags + " FROM {series} WHERE 1" + equal;
  sql += plan_.by_tags || merges_ ? " ORDER BY " + (order + ", id").substr(2) : " ORDER BY id";
  const int rc = owner_.Take(sql, &all_series_);
  if (rc != SQLITE_OK) return rc;
  last = 0;
  for (const auto& values : wanted_tags_) {
    for (const OwnedValue& value : values) {
      sqlite3_bind_value(all_series_.get(), ++last, value.get());
    }
  }
  return SQLITE_OK;
}

// ---- Series -------------------------------------------------------------------------------------

int Scan::StepSeries() {
  for (;;) {
    const int rc = all_series_.Step();
    if (rc == SQLITE_DONE) all_series_.Release();
    if (rc != SQLITE_ROW) return rc;
    if (!Charge(kStepsToSeek)) return SQLITE_INTERRUPT;
    if (all_series_.IntAt(0) != 0) return SQLITE_ROW;
  }
}

int Scan::NextSeries() {
  for (;;) {
    now_ = nullptr;
    int rc = StepSeries();
    if (rc != SQLITE_ROW) return rc == SQLITE_DONE ? SQLITE_OK : rc;
    rc = one_.Begin(all_series_.IntAt(1), range_);
    if (rc != SQLITE_OK) return rc;
    if (one_.at_end()) continue;
    now_ = &one_;
    return SQLITE_OK;
  }
}

int Scan::Next() {
  if (!merges_ && now_->NextInBlock()) return SQLITE_OK;
  const OwnWork own(storage_.db());
  if (merges_ && now_->NextInBlock()) {
    ChooseMerged();
    return SQLITE_OK;
  }
  const int rc = now_->NextBlock();
  if (rc != SQLITE_OK) return rc;
  if (!merges_) return now_->at_end() ? NextSeries() : SQLITE_OK;
  ChooseMerged();
  return at_end() ? NextMerged() : SQLITE_OK;
}

// ---- Series that are merged ---------------------------------------------------------------------

std::string Scan::MergeKey() const {
  std::string key;
  ByteWriter writer(&key);
  for (size_t i = 0; i < owner_.declaration().tags.size(); ++i) {
    if ((plan_.unordered >> i & 1) != 0) continue;
    const int column = kFirstTag + static_cast<int>(i);
    if (owner_.declaration().Tag(i).type == ColumnType::kText) {
      writer.String(all_series_.BytesAt(column));
    } else {
      writer.I64(all_series_.IntAt(column));
    }
  }
  return key;
}

int Scan::AddMerged() {
  if (merged_.size() >= kMergedSeriesMax) return SQLITE_RANGE;
  auto series = std::make_unique<Merged>(&storage_, &charge_, rollup_);
  const int rc = series->points.Begin(all_series_.IntAt(1), range_);
  if (rc != SQLITE_OK || series->points.at_end()) return rc;
  for (size_t i = 0; i < owner_.declaration().tags.size(); ++i) {
    sqlite3_value* const tag =
        sqlite3_column_value(all_series_.get(), kFirstTag + static_cast<int>(i));
    series->tags.emplace_back(sqlite3_value_dup(tag));
    if (series->tags.back() == nullptr) return SQLITE_NOMEM;
  }
  merged_.push_back(std::move(series));
  return SQLITE_OK;
}

// Goes to the next series that share a key and have points.
int Scan::NextMerged() {
  merged_.clear();
  now_ = nullptr;
  while (has_row_ && merged_.empty()) {
    const std::string key = MergeKey();
    while (has_row_ && MergeKey() == key) {
      int rc = AddMerged();
      if (rc != SQLITE_OK) return rc;
      rc = StepSeries();
      has_row_ = rc == SQLITE_ROW;
      if (!has_row_ && rc != SQLITE_DONE) return rc;
    }
  }
  ChooseMerged();
  return SQLITE_OK;
}

void Scan::ChooseMerged() {
  now_ = nullptr;
  for (const auto& series : merged_) {
    if (series->points.at_end()) continue;
    const bool is_next =
        now_ == nullptr || (plan_.descending ? series->points.time() > now_->time()
                                             : series->points.time() < now_->time());
    if (!is_next) continue;
    now_ = &series->points;
    merged_now_ = series.get();
  }
}

void Scan::Result(sqlite3_context* context, const DeclaredColumn& column) const {
  if (column.role != Role::kTag) return now_->Result(context, column);
  sqlite3_result_value(context,
                       merges_ ? merged_now_->tags[column.place].get()
                               : sqlite3_column_value(all_series_.get(),
                                                      kFirstTag + static_cast<int>(column.place)));
}

}  // namespace cairn::timeseries
