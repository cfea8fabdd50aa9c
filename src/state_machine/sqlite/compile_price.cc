#include "state_machine/sqlite/compile_price.h"

#include <algorithm>
#include <cctype>
#include <set>
#include <utility>
#include <vector>

#include "state_machine/sqlite/expansions.h"
#include "state_machine/sqlite/sql_scan.h"
#include "state_machine/sqlite/sql_tokens.h"

namespace cairn::state_machine {
namespace {

// Larger prices are treated as this one.
constexpr uint64_t kTooMuch = uint64_t{1} << 40;
// SQLite joins at most so many tables, and knows at most so many aggregates of a SELECT.
constexpr uint64_t kJoinedMax = 64;
constexpr uint64_t kAggregatesMax = 2000;
// The ways to use the indexes of a table that SQLite looks at: so many, and more for each table.
constexpr uint64_t kWaysMax = 20'000;
constexpr uint64_t kWaysPerTable = 1000;
constexpr uint64_t kStepsPerWay = 14;
constexpr uint64_t kStepsPerTree = 80;  // for each table of the join, and each OR
constexpr uint64_t kColumnsOfConstraint = 4;
// A shorter text without tables and without WITH is never above kCompileStepsMax.
constexpr size_t kShortTextBytes = 16 << 10;
constexpr size_t kViewDepthMax = 1000;

uint64_t Sum(uint64_t a, uint64_t b) { return std::min(a + b, kTooMuch); }
uint64_t Product(uint64_t a, uint64_t b) { return b != 0 && a > kTooMuch / b ? kTooMuch : a * b; }

bool IsAggregate(const std::string& name) {
  static const std::set<std::string> kAggregates = {
      "avg", "count", "group_concat", "json_group_array", "json_group_object", "max",
      "min", "sum",   "total"};
  return kAggregates.contains(name);
}

bool IsConstant(const Token& token) {
  if (token.type == TokenType::kParameter) return true;
  const char first = token.text.empty() ? '\0' : token.text[0];
  return first == '\'' || std::isdigit(static_cast<unsigned char>(first)) != 0 ||
         (first == '.' && token.text.size() > 1);
}

// Goes through the tokens of a text once.
class Pricer {
 public:
  Pricer(std::string_view sql, const FindNamed& find) : tokens_(TokensOf(sql)), find_(find) {}

  CompilePrice Price() {
    for (at_ = 0; at_ < tokens_.size(); ++at_) Take(tokens_[at_]);
    while (!scopes_.empty()) End();
    FoldConstants();
    const uint64_t aggregates = Product(operands_, std::min(aggregates_, kAggregatesMax));
    const uint64_t windows = Product(windows_, Product(windows_, windows_));
    price_.steps = Sum(price_.steps, Sum(squares_ / 2, Sum(aggregates, windows)));
    return price_;
  }
  // True if each operand of the text costs.
  bool counts_operands() const { return aggregates_ > 0; }

 private:
  enum class List { kNone, kIn, kRow };
  // A SELECT, or a statement that writes.
  struct Scope {
    int depth = 0;
    bool in_from = false;  // between FROM and WHERE
    bool merges = false;   // may be flattened into the scope around it
    uint64_t tables = 0;
    uint64_t trees = 0;
    uint64_t columns_max = 1;
    uint64_t ors = 0;
    uint64_t ands = 0;
  };

  void Take(const Token& token) {
    if (token.type == TokenType::kOpen) return Open();
    if (token.type == TokenType::kClose) return Close();
    if (token.type == TokenType::kSemicolon) {
      while (scopes_.size() > 1) End();
      EndArm();
      return;
    }
    // Behind the rows of VALUES.
    if (values_depth_ == Depth() && token.text != ",") values_depth_ = -1;
    if (token.type == TokenType::kWord && TakeKeyword(token)) return;
    if (IsConstant(token)) {
      ++operands_;
      if (!StandsAlone()) ++constants_;
    } else if (IsName(token)) {
      ++operands_;
      if (!StandsAlone()) TakeName(NameOf(token));
    }
  }

  bool TakeKeyword(const Token& token) {
    if (IsWord(token, "SELECT")) {
      Begin();
    } else if (IsWord(token, "VALUES")) {
      values_depth_ = Depth();
      Innermost().in_from = false;
    } else if (IsAnyWord(token, "FROM", "JOIN", "INTO", "UPDATE")) {
      Innermost().in_from = true;
    } else if (IsAnyWord(token, "WHERE", "SET", "GROUP", "ORDER", "HAVING", "LIMIT")) {
      Innermost().in_from = false;
    } else if (IsWord(token, "OR")) {
      ++Innermost().ors;
      ++constants_;
    } else if (IsWord(token, "AND")) {
      ++Innermost().ands;
      ++constants_;
    } else if (IsWord(token, "OVER")) {
      ++windows_;
    } else {
      return false;
    }
    return true;
  }

  void TakeName(const std::string& name) {
    if (IsNext(".")) return;  // a table of which a column is named
    if (IsNext("(") && IsAggregate(name)) ++aggregates_;
    const CompilePrice* const named = find_ ? find_(name) : nullptr;
    if (named == nullptr) return;
    Scope& scope = Innermost();
    scope.tables = Sum(scope.tables, named->tables);
    scope.trees = Sum(scope.trees, named->trees);
    scope.columns_max = std::max(scope.columns_max, named->columns_max);
    price_.tables = Sum(price_.tables, named->tables);
    price_.trees = Sum(price_.trees, named->trees);
    price_.columns_max = std::max(price_.columns_max, named->columns_max);
    price_.steps = Sum(price_.steps, named->steps);
  }

  void Open() {
    List list = List::kNone;
    if (at_ > 0 && IsWord(tokens_[at_ - 1], "IN")) list = List::kIn;
    if (values_depth_ == Depth()) list = List::kRow;
    lists_.push_back(list);
  }

  void Close() {
    while (scopes_.size() > 1 && scopes_.back().depth >= Depth() && Depth() > 0) End();
    if (values_depth_ >= Depth()) values_depth_ = -1;
    if (lists_.empty()) return;
    // Rows of VALUES have constants of their own.
    if (lists_.back() == List::kRow) FoldConstants();
    lists_.pop_back();
  }

  int Depth() const { return static_cast<int>(lists_.size()); }
  bool IsNext(std::string_view text) const {
    return at_ + 1 < tokens_.size() && tokens_[at_ + 1].text == text;
  }
  // A value of a list that SQLite goes through once.
  bool StandsAlone() const {
    if (lists_.empty() || lists_.back() == List::kNone || at_ == 0) return false;
    const std::string_view before = tokens_[at_ - 1].text;
    return (before == "(" || before == ",") && (IsNext(",") || IsNext(")"));
  }

  Scope& Innermost() {
    if (scopes_.empty()) scopes_.emplace_back();
    return scopes_.back();
  }
  // A SELECT begins.
  void Begin() {
    if (Innermost().depth == Depth()) return EndArm();
    const bool merges = scopes_.back().in_from;
    scopes_.emplace_back();
    scopes_.back().depth = Depth();
    scopes_.back().merges = merges;
  }
  // The next arm of a compound SELECT, or the next statement, begins.
  void EndArm() {
    const Scope scope = Innermost();
    End();
    scopes_.emplace_back();
    scopes_.back().depth = scope.depth;
    scopes_.back().merges = scope.merges;
  }
  void End() {
    const Scope scope = scopes_.back();
    scopes_.pop_back();
    Add(scope);
    if (!scope.merges || scopes_.empty()) return;
    Scope& around = scopes_.back();
    around.tables = Sum(around.tables, scope.tables);
    around.trees = Sum(around.trees, scope.trees);
    around.columns_max = std::max(around.columns_max, scope.columns_max);
    around.ors = Sum(around.ors, scope.ors);
    around.ands = Sum(around.ands, scope.ands);
  }
  void Add(const Scope& scope) {
    if (scope.tables == 0) return;
    const uint64_t tables = std::min(scope.tables, kJoinedMax);
    const uint64_t tried = Product(tables + scope.ors + scope.ands / 4, scope.trees);
    price_.steps = Sum(price_.steps, Product(tried, kStepsPerTree));
    // Each condition on one column of an index goes with each one on another.
    const uint64_t ways_max = kWaysMax + kWaysPerTable * tables;
    const uint64_t each = 1 + (scope.ands + 1) / scope.columns_max;
    uint64_t ways = 1;
    for (uint64_t i = 0; i < scope.columns_max && ways < ways_max && each > 1; ++i) ways *= each;
    price_.steps = Sum(price_.steps, Product(std::min(ways, ways_max), kStepsPerWay));
  }
  void FoldConstants() {
    squares_ = Sum(squares_, Product(constants_, constants_));
    constants_ = 0;
  }

  const std::vector<Token> tokens_;
  const FindNamed& find_;
  size_t at_ = 0;
  std::vector<List> lists_;  // a parenthesis each
  std::vector<Scope> scopes_;
  int values_depth_ = -1;
  uint64_t constants_ = 0;
  uint64_t squares_ = 0;
  uint64_t operands_ = 0;
  uint64_t aggregates_ = 0;
  uint64_t windows_ = 0;
  CompilePrice price_;
};

// The columns that a CREATE INDEX names.
uint64_t ColumnsOfIndex(std::string_view sql) {
  uint64_t columns = 1;
  int depth = 0;
  for (const Token& token : TokensOf(sql)) {
    if (token.type == TokenType::kOpen) ++depth;
    if (token.type == TokenType::kClose && --depth == 0) break;
    if (depth == 1 && token.text == ",") ++columns;
  }
  return columns;
}

}  // namespace

CompilePrice PriceOfText(std::string_view sql, const FindNamed& find) {
  const std::string_view head = WithoutConstantRows(sql);
  Pricer pricer(head, find);
  CompilePrice price = pricer.Price();
  // INSERT INTO count(x) VALUES counts as an aggregate, too.
  if (pricer.counts_operands() && head != sql) price = Pricer(sql, find).Price();
  // SQLite compiles a common table expression once for each place that names it.
  price.steps = Product(price.steps, 1 + std::min(ExpansionsOf(head), kExpansionsMax));
  price.steps -= std::min(price.steps, kCompileStepsFree);
  return price;
}

Status CheckCompilePrice(std::string_view sql) {
  if (sql.size() < kShortTextBytes && !HoldsWord(sql, "with")) return OkStatus();
  if (PriceOfText(sql, nullptr).steps <= kCompileStepsMax) return OkStatus();
  return InvalidArgument(
      "the statement has so many constants, conditions or aggregates that it takes too long to "
      "compile: give the values as rows of VALUES, or do the work in several statements");
}

void SchemaPrices::AddTable(const std::string& lower_name, std::string_view sql) {
  if (HoldsWord(sql, "as")) generated_.insert(lower_name);
  CompilePrice& table = named_[lower_name];
  table.tables = 1;
  ++table.trees;
}

void SchemaPrices::AddIndex(const std::string& lower_table, std::string_view sql) {
  CompilePrice& table = named_[lower_table];
  ++table.trees;
  std::set<std::string> names;
  for (const Token& token : TokensOf(sql)) {
    if (IsName(token)) names.insert(NameOf(token));
  }
  index_names_.emplace(lower_table, std::move(names));
  table.columns_max =
      std::max(table.columns_max, sql.empty() ? kColumnsOfConstraint : ColumnsOfIndex(sql));
}

uint64_t SchemaPrices::IndexesOf(const std::string& lower_table) const {
  return index_names_.count(lower_table);
}

uint64_t SchemaPrices::IndexesOf(const std::string& lower_table,
                                 const std::set<std::string>& columns) const {
  // A generated column changes with those that it is made of.
  if (generated_.contains(lower_table)) return IndexesOf(lower_table);
  const auto [first, last] = index_names_.equal_range(lower_table);
  return static_cast<uint64_t>(std::count_if(first, last, [&](const auto& index) {
    const std::set<std::string>& names = index.second;
    return names.empty() ||
           std::any_of(columns.begin(), columns.end(),
                       [&](const std::string& each) { return names.contains(each); });
  }));
}

void SchemaPrices::AddView(const std::string& lower_name, std::string_view sql) {
  view_texts_[lower_name] = sql;
}

void SchemaPrices::AddTrigger(const std::string& lower_name, std::string_view sql) {
  trigger_texts_[lower_name] = sql;
}

void SchemaPrices::Compute() {
  std::set<std::string> under_way;
  const FindNamed find = [&](const std::string& name) -> const CompilePrice* {
    const auto text = view_texts_.find(name);
    if (text == view_texts_.end() || named_.contains(name)) return Find(name);
    // SQLite refuses a view of itself. Expansions refuses so long a chain.
    if (under_way.size() > kViewDepthMax || !under_way.insert(name).second) return nullptr;
    const CompilePrice price = PriceOfText(text->second, find);
    under_way.erase(name);
    return &(named_[name] = price);
  };
  for (const auto& [name, sql] : view_texts_) total_ = Sum(total_, find(name)->steps);
  for (const auto& [name, sql] : trigger_texts_) {
    total_ = Sum(total_, (triggers_[name] = PriceOfText(sql, find)).steps);
  }
  view_texts_.clear();
  trigger_texts_.clear();
}

const CompilePrice* SchemaPrices::Find(const std::string& lower_name) const {
  const auto named = named_.find(lower_name);
  return named == named_.end() ? nullptr : &named->second;
}

CompilePrice SchemaPrices::Of(std::string_view sql) const {
  return PriceOfText(sql, [this](const std::string& name) { return Find(name); });
}

CompilePrice SchemaPrices::OfTrigger(const std::string& lower_name) const {
  const auto trigger = triggers_.find(lower_name);
  return trigger == triggers_.end() ? CompilePrice() : trigger->second;
}

Status CheckSchemaPrice(uint64_t total) {
  if (total <= kCompileStepsMax) return OkStatus();
  return InvalidArgument(
      "the triggers and views of the schema would take too long to compile: they have too many "
      "constants, aggregates, windows, or joins of tables with many indexes");
}

}  // namespace cairn::state_machine
