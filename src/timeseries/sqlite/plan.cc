#include "timeseries/sqlite/plan.h"

#include <array>
#include <cstring>
#include <vector>

namespace cairn::timeseries {
namespace {

enum Bit {
  kTimeEquals = 8,
  kTimeFrom,
  kTimeUntil,
  kLast,
  kByTags,
  kDescending,
  kUnordered,
  kLists = kUnordered + 8
};

// Rows and costs that make SQLite prefer a plan with more conditions. They do not depend on the data,
// so all nodes choose the same plan.
constexpr double kRows = 1'000'000;
constexpr double kRowsOfASeries = 10'000;
constexpr double kRowsOfARange = 500;

// The places of the constraints that the plan uses; -1: none.
struct Found {
  std::array<int, kTagsMax> tags;
  int equals = -1;
  int from = -1;
  int until = -1;
  int last = -1;
};

Found FindConstraints(const Declaration& declaration, sqlite3_index_info* info) {
  Found found;
  found.tags.fill(-1);
  for (int i = 0; i < info->nConstraint; ++i) {
    const auto& constraint = info->aConstraint[i];
    if (constraint.usable == 0 || constraint.iColumn < 0) continue;
    const auto column = static_cast<size_t>(constraint.iColumn);
    const bool equals = constraint.op == SQLITE_INDEX_CONSTRAINT_EQ;
    if (column == declaration.is_last_column()) {
      if (equals) found.last = i;
      continue;
    }
    if (column >= declaration.columns.size()) continue;
    const DeclaredColumn& declared = declaration.columns[column];
    if (declared.role == Role::kTag) {
      const bool binary = sqlite3_stricmp(sqlite3_vtab_collation(info, i), "BINARY") == 0;
      if (equals && binary) found.tags[declared.place] = i;
    } else if (declared.role == Role::kTime) {
      switch (constraint.op) {
        case SQLITE_INDEX_CONSTRAINT_EQ: found.equals = i; break;
        case SQLITE_INDEX_CONSTRAINT_GT:
        case SQLITE_INDEX_CONSTRAINT_GE: found.from = i; break;
        case SQLITE_INDEX_CONSTRAINT_LT:
        case SQLITE_INDEX_CONSTRAINT_LE: found.until = i; break;
        default: break;
      }
    }
  }
  return found;
}

// True if the plan gives rows in the order that is asked for: the tags in their order, then the
// time. Tags that equal an argument may be left out. INTEGER tags have one value then. TEXT tags may
// have several (scan.h), so an order that names them is given only where it names them in turn.
bool GivesOrder(const Declaration& declaration, const sqlite3_index_info& info, Plan* plan) {
  if (info.nOrderBy == 0) return false;
  size_t tag = 0;  // the next one of the order
  const auto is_text = [&](size_t i) { return declaration.Tag(i).type == ColumnType::kText; };
  const auto leave_out_until = [&](size_t end) {
    for (; tag < end && (plan->tags >> tag & 1) != 0; ++tag) {
      if (is_text(tag)) plan->unordered |= 1U << tag;
    }
  };
  for (int i = 0; i < info.nOrderBy; ++i) {
    const auto& term = info.aOrderBy[i];
    if (term.iColumn < 0 || static_cast<size_t>(term.iColumn) >= declaration.columns.size()) {
      return false;
    }
    const DeclaredColumn& column = declaration.columns[static_cast<size_t>(term.iColumn)];
    if (column.role == Role::kTag) {
      if ((plan->tags >> column.place & 1) != 0 && !is_text(column.place)) continue;
      leave_out_until(column.place);
      if (column.place != tag || term.desc != 0) return false;
      ++tag;
      plan->by_tags = true;
      continue;
    }
    leave_out_until(declaration.tags.size());
    const bool is_last_term = i + 1 == info.nOrderBy;
    if (column.role != Role::kTime || tag != declaration.tags.size() || !is_last_term) return false;
    plan->descending = term.desc != 0;
  }
  return true;
}

uint64_t WantedValues(const Declaration& declaration, uint64_t used) {
  uint64_t wanted = 0;
  for (size_t i = 0; i < declaration.values.size(); ++i) {
    // The highest bit stands for all columns from the 64th on.
    const size_t column = std::min<size_t>(declaration.values[i], 63);
    if ((used >> column & 1) != 0) wanted |= uint64_t{1} << i;
  }
  return wanted;
}

}  // namespace

int Plan::Number() const {
  return static_cast<int>(tags) | time_equals << kTimeEquals | time_from << kTimeFrom |
         time_until << kTimeUntil | last << kLast | by_tags << kByTags | descending << kDescending |
         static_cast<int>(unordered << kUnordered) | static_cast<int>(lists << kLists);
}

std::string Plan::Wanted() const {
  std::string text;
  for (uint64_t rest = wanted; rest != 0; rest >>= 1) text += (rest & 1) != 0 ? '>' : '<';
  return text;
}

Plan Plan::Of(int number, const char* wanted) {
  const auto has = [number](Bit bit) { return (number >> bit & 1) != 0; };
  Plan plan;
  plan.tags = static_cast<uint32_t>(number) & 0xff;
  plan.time_equals = has(kTimeEquals);
  plan.time_from = has(kTimeFrom);
  plan.time_until = has(kTimeUntil);
  plan.last = has(kLast);
  plan.by_tags = has(kByTags);
  plan.descending = has(kDescending);
  plan.unordered = static_cast<uint32_t>(number) >> kUnordered & 0xff;
  plan.lists = static_cast<uint32_t>(number) >> kLists & 0xff;
  for (size_t i = 0; wanted != nullptr && wanted[i] != '\0'; ++i) {
    if (wanted[i] == '>') plan.wanted |= uint64_t{1} << i;
  }
  return plan;
}

int ChoosePlan(const Declaration& declaration, sqlite3_index_info* info) {
  const Found found = FindConstraints(declaration, info);
  Plan plan;
  int arguments = 0;
  const auto use = [&](int constraint) {
    // SQLite looks at the conditions again, so the plan may leave in what it cannot judge.
    if (constraint >= 0) info->aConstraintUsage[constraint].argvIndex = ++arguments;
    return constraint >= 0;
  };
  double rows = kRows;
  size_t tags = 0;
  for (size_t i = 0; i < declaration.tags.size(); ++i) {
    if (!use(found.tags[i])) continue;
    // Otherwise SQLite takes the values of a list one by one, and then compares them as texts, also
    // where the list has numbers.
    const bool is_list = declaration.Tag(i).type == ColumnType::kText &&
                         sqlite3_vtab_in(info, found.tags[i], 1) != 0;
    (is_list ? plan.lists : plan.tags) |= 1U << i;
    rows /= is_list ? 2 : 10;
    if (!is_list) ++tags;
  }
  const bool one_series = tags == declaration.tags.size();
  if (one_series) rows = kRowsOfASeries;
  plan.time_equals = use(found.equals);
  plan.time_from = use(found.from);
  plan.time_until = use(found.until);
  plan.last = use(found.last);
  if (plan.time_equals || plan.last) {
    rows = one_series ? 1 : 1000;
  } else if (plan.time_from || plan.time_until) {
    rows = one_series ? kRowsOfARange : rows / (plan.time_from && plan.time_until ? 20 : 4);
  }
  bool text_tags = false;  // a number may equal several texts
  for (size_t i = 0; i < declaration.tags.size(); ++i) {
    text_tags = text_tags || declaration.Tag(i).type == ColumnType::kText;
  }
  if (one_series && plan.time_equals && !text_tags) info->idxFlags = SQLITE_INDEX_SCAN_UNIQUE;
  if (Plan ordered = plan; GivesOrder(declaration, *info, &ordered)) {
    info->orderByConsumed = 1;
    plan = ordered;
  }
  plan.wanted = WantedValues(declaration, info->colUsed);
  info->estimatedRows = static_cast<sqlite3_int64>(rows);
  info->estimatedCost = 50 + rows;
  info->idxNum = plan.Number();
  info->idxStr = sqlite3_mprintf("%s", plan.Wanted().c_str());
  info->needToFreeIdxStr = 1;
  return info->idxStr == nullptr ? SQLITE_NOMEM : SQLITE_OK;
}

}  // namespace cairn::timeseries
