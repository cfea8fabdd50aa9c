#include "state_machine/sqlite/column_growth.h"

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "state_machine/sqlite/column_sizer.h"
#include "state_machine/sqlite/sql_scan.h"

namespace cairn::state_machine {
namespace {

// Growth by this factor is ordinary, and free of charge.
constexpr uint64_t kTimesFree = 8;
constexpr uint64_t kTokensFree = 1000;
constexpr size_t kViewDepthMax = 1000;

uint64_t Beyond(uint64_t count, uint64_t free) { return count - std::min(count, free); }

bool MayFlatten(const ColumnGrowth::Size& size) {
  return size.used <= kUsedColumnTokensMax &&
         (size.flattened <= kFlattenedTokensMax || size.flattened <= kTimesFree * size.apart);
}

uint64_t Grown(const ColumnGrowth::Size& size, bool flattened) {
  return Beyond(flattened ? size.flattened : size.apart, kTimesFree * size.plain + kTokensFree);
}

}  // namespace

void ColumnGrowth::Clear() { *this = ColumnGrowth(); }

void ColumnGrowth::AddView(const std::string& lower_name, std::string_view sql) {
  texts_.emplace(lower_name, sql);
}

void ColumnGrowth::AddTrigger(std::string_view sql) { texts_.emplace("", sql); }

void ColumnGrowth::AddTable(std::string_view sql) {
  if (!HoldsWord(sql, "as")) return;
  const GeneratedColumns columns(sql);
  generated_ = std::max(generated_, columns.total());
  generated_column_ = std::max(generated_column_, columns.largest());
}

void ColumnGrowth::Compute() {
  std::vector<std::string> under_way;
  const ColumnSizer::FindView find = [&](const std::string& name) -> const Size* {
    const auto text = name.empty() ? texts_.end() : texts_.find(name);
    if (text == texts_.end()) return nullptr;
    const auto [view, fresh] = views_.try_emplace(name);
    if (!fresh) {
      // The text of a view begins with the view's own name. Otherwise as in ColumnSizer::SizeOf.
      const bool known = std::find(under_way.begin(), under_way.end(), name) == under_way.end();
      return known || under_way.back() == name ? &view->second : &kEndlessColumns;
    }
    if (under_way.size() > kViewDepthMax) {
      view->second = kEndlessColumns;
      return &view->second;
    }
    under_way.push_back(name);
    view->second = ColumnSizer(text->second, generated_column_, find).Whole();
    under_way.pop_back();
    return &view->second;
  };
  uint64_t flattened = 0;
  for (const auto& [name, sql] : texts_) {
    if (!name.empty()) {
      may_flatten_ = MayFlatten(*find(name)) && may_flatten_;
      continue;
    }
    const Size trigger = ColumnSizer(sql, generated_column_, find).Whole();
    may_flatten_ = MayFlatten(trigger) && may_flatten_;
    flattened += Beyond(trigger.flattened, kTimesFree * trigger.apart);
    grown_ += Grown(trigger, true);
  }
  may_flatten_ = may_flatten_ && flattened <= kFlattenedTokensMax;
  if (!may_flatten_) grown_ = 0;
  texts_.clear();
}

ColumnGrowth::Verdict ColumnGrowth::Judge(std::string_view sql) const {
  Verdict verdict;
  verdict.may_flatten = may_flatten_;
  if (views_.empty() && generated_ == 0 && !HoldsWord(sql, "select")) {
    verdict.grown = grown_;
    return verdict;
  }
  const Size size = ColumnSizer(sql, generated_column_, [this](const std::string& name) {
                      const auto view = views_.find(name);
                      return view == views_.end() ? nullptr : &view->second;
                    }).Whole();
  if (generated_ > 0 && size.apart > kGeneratedUsesMax) {
    verdict.status = InvalidArgument(
        "the statement is too large once each use of a generated column stands for its expression");
    return verdict;
  }
  verdict.may_flatten = may_flatten_ && MayFlatten(size);
  verdict.grown = Grown(size, verdict.may_flatten) + grown_ + Beyond(generated_, kTokensFree);
  return verdict;
}

Status CheckGenerated(uint64_t tokens) {
  if (tokens <= kGeneratedTokensMax) return OkStatus();
  return InvalidArgument("the generated columns of a table have more than " +
                         std::to_string(kGeneratedTokensMax) +
                         " tokens once each of those that they name stands for its expression");
}

void AllowFlattening(sqlite3* db, bool allowed) {
  // Pushing a WHERE down into a subquery puts expressions into the subquery too.
  constexpr int kQueryFlattener = 0x1, kCountOfView = 0x200, kPushDown = 0x1000;
  sqlite3_test_control(SQLITE_TESTCTRL_OPTIMIZATIONS, db,
                       allowed ? 0 : kQueryFlattener | kCountOfView | kPushDown);
}

}  // namespace cairn::state_machine
