#include "state_machine/sqlite/expansions.h"

#include <algorithm>
#include <functional>
#include <set>
#include <utility>
#include <vector>

#include "state_machine/sqlite/sql_scan.h"
#include "state_machine/sqlite/sql_tokens.h"

namespace cairn::state_machine {
namespace {

// Larger counts are treated as this one.
constexpr uint64_t kCountMax = 1 << 20;
// A longer chain of definitions is too much in any case, and would need too much stack.
constexpr size_t kDepthMax = kExpansionsMax;

// The names in a text: those of each common table expression, and all others.
struct Names {
  std::map<std::string, std::vector<std::string>> of_tables;
  std::set<std::string> hidden;  // tables that a WITH within another one defines again
  std::vector<std::string> others;
};

Names NamesOf(std::string_view sql) {
  const std::vector<Token> tokens = TokensOf(sql);
  Names names;
  std::vector<std::pair<int, std::vector<std::string>*>> open;  // depth, of the inside of a body
  int depth = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (const size_t end = EndOfTableHead(tokens, i); end != 0) {
      const auto [table, first] = names.of_tables.try_emplace(NameOf(tokens[i]));
      if (!first) names.hidden.insert(table->first);
      open.emplace_back(++depth, &table->second);
      i = end;
      continue;
    }
    if (tokens[i].type == TokenType::kOpen) ++depth;
    if (tokens[i].type == TokenType::kClose) {
      if (!open.empty() && open.back().first == depth) open.pop_back();
      --depth;
    }
    if (IsName(tokens[i])) {
      (open.empty() ? names.others : *open.back().second).push_back(NameOf(tokens[i]));
    }
  }
  return names;
}

// Counts the expansions of the text of `names`. `outside` gives the counts of names that the text
// does not define.
class Counter {
 public:
  Counter(const Names& names, std::function<uint64_t(const std::string&)> outside)
      : names_(names), outside_(std::move(outside)) {}

  uint64_t Sum(const std::vector<std::string>& list) {
    uint64_t sum = 0;
    for (const std::string& name : list) sum = std::min(kCountMax, sum + Of(name));
    return sum;
  }

 private:
  uint64_t Of(const std::string& name) {
    const auto table = names_.of_tables.find(name);
    if (table == names_.of_tables.end()) return outside_(name);
    if (const auto known = known_.find(name); known != known_.end()) return known->second;
    if (under_way_.size() > kDepthMax) return kCountMax;
    if (!under_way_.insert(name).second) {
      // The expression names itself. Through another expression it may also name a table that it
      // hides: two names can stand for any number of tables, each within the next.
      return names_.hidden.contains(name) && path_.back() != name ? kCountMax : 0;
    }
    path_.push_back(name);
    const uint64_t count = std::min(kCountMax, 1 + Sum(table->second));
    path_.pop_back();
    under_way_.erase(name);
    return known_[name] = count;
  }

  const Names& names_;
  const std::function<uint64_t(const std::string&)> outside_;
  std::map<std::string, uint64_t> known_;
  std::set<std::string> under_way_;
  std::vector<std::string> path_;  // of those
};

uint64_t CountIn(std::string_view sql, std::function<uint64_t(const std::string&)> outside) {
  const Names names = NamesOf(sql);
  return Counter(names, std::move(outside)).Sum(names.others);
}

}  // namespace

void Expansions::Clear() {
  view_texts_.clear();
  trigger_texts_.clear();
  views_.clear();
  triggers_.clear();
  most_ = squares_ = 0;
}

void Expansions::AddView(const std::string& lower_name, std::string_view sql) {
  view_texts_[lower_name] = sql;
}

void Expansions::AddTrigger(const std::string& lower_name, std::string_view sql) {
  trigger_texts_[lower_name] = sql;
}

void Expansions::Compute() {
  std::set<std::string> under_way;
  const std::function<uint64_t(const std::string&)> of_view =
      [&](const std::string& name) -> uint64_t {
    const auto text = view_texts_.find(name);
    if (text == view_texts_.end()) return 0;
    if (const auto known = views_.find(name); known != views_.end()) return known->second;
    if (under_way.size() > kDepthMax) return kCountMax;
    if (!under_way.insert(name).second) return 0;
    const uint64_t count = std::min(kCountMax, 1 + CountIn(text->second, of_view));
    under_way.erase(name);
    return views_[name] = count;
  };
  for (const auto& [name, sql] : view_texts_) Note(of_view(name));
  for (const auto& [name, sql] : trigger_texts_) Note(triggers_[name] = CountIn(sql, of_view));
  view_texts_.clear();
  trigger_texts_.clear();
}

void Expansions::Note(uint64_t count) {
  most_ = std::max(most_, count);
  squares_ += count * count;
}

uint64_t Expansions::Of(std::string_view sql) const {
  if (views_.empty()) return ExpansionsOf(sql);
  return CountIn(sql, [this](const std::string& name) {
    const auto view = views_.find(name);
    return view == views_.end() ? 0 : view->second;
  });
}

uint64_t Expansions::OfTrigger(const std::string& lower_name) const {
  const auto trigger = triggers_.find(lower_name);
  return trigger == triggers_.end() ? 0 : trigger->second;
}

Status CheckExpansions(uint64_t expansions) {
  if (expansions <= kExpansionsMax) return OkStatus();
  return InvalidArgument("views and common table expressions name each other so that more than " +
                         std::to_string(kExpansionsMax) + " would have to be compiled");
}

uint64_t ExpansionsOf(std::string_view sql) {
  if (!HoldsWord(sql, "with")) return 0;
  return CountIn(sql, [](const std::string&) { return uint64_t{0}; });
}

}  // namespace cairn::state_machine
