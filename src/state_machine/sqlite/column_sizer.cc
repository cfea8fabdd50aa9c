#include "state_machine/sqlite/column_sizer.h"

#include <algorithm>
#include <utility>

namespace cairn::state_machine {
namespace {

constexpr size_t kDepthMax = 2000;    // of definitions and columns within each other
constexpr size_t kNestingMax = 100;   // of SELECTs in a text; SQLite's parser gives up before
constexpr size_t kBodiesMax = 50;     // of one name, as the statements of a trigger may have
constexpr uint64_t kCopiesMax = 500;  // SQLite flattens no compound SELECT that has more

uint64_t Sum(uint64_t a, uint64_t b) { return std::min(a + b, kTokensMost); }
uint64_t Product(uint64_t a, uint64_t b) {
  return a != 0 && b > kTokensMost / a ? kTokensMost : std::min(a * b, kTokensMost);
}

// These can never be names, unlike most words of SQL.
bool BeginsClause(const Token& token) {
  return IsAnyWord(token, "SELECT", "FROM", "WHERE", "GROUP", "ORDER", "HAVING", "LIMIT", "UNION",
                   "EXCEPT", "INTERSECT", "SET", "VALUES", "RETURNING") ||
         token.type == TokenType::kSemicolon;
}
bool IsReserved(const Token& token) {
  return IsAnyWord(token, "AND", "OR", "NOT", "NULL", "IS", "IN", "CASE", "WHEN", "THEN", "ELSE",
                   "BETWEEN", "JOIN", "ON", "AS", "ALL", "DISTINCT");
}

}  // namespace

// While the tokens of one part are read.
struct ColumnSizer::Reading {
  Size size;
  uint64_t used = 1;  // the largest column of the sources
  std::vector<Item> items{{}};
  int parentheses = 0;
  bool in_from = false;
  bool at_source = false;  // there, and not behind the ON of a JOIN
  uint64_t arms = 1;       // of the compound SELECT
  uint64_t copies = 1;     // made of it by its sources
  uint64_t sources = 0;    // flattened
};

ColumnSizer::ColumnSizer(std::string_view sql, uint64_t leaf_column, FindView view)
    : tokens_(TokensOf(sql)), leaf_column_(leaf_column), view_(std::move(view)) {
  FindParts();
}

void ColumnSizer::FindParts() {
  parts_.emplace_back().end = tokens_.size();
  std::map<size_t, std::string> heads;          // names, by the places of the parentheses
  std::vector<std::pair<size_t, size_t>> open;  // the part around it, the part that it begins or 0
  size_t part = 0;
  for (size_t i = 0; i < tokens_.size(); ++i) {
    if (const size_t end = EndOfTableHead(tokens_, i); end != 0) heads[end] = NameOf(tokens_[i]);
    if (tokens_[i].type == TokenType::kOpen) {
      const auto head = heads.find(i);
      const bool is_body = head != heads.end();
      const bool begins = is_body || (i + 1 < tokens_.size() &&
                                      IsAnyWord(tokens_[i + 1], "SELECT", "WITH", "VALUES"));
      open.emplace_back(part, begins ? parts_.size() : 0);
      if (!begins) continue;
      if (is_body) parts_[part].bodies.emplace(head->second, parts_.size());
      part_at_[i] = parts_.size();
      parts_.push_back(
          {i + 1, tokens_.size(), part, parts_[part].nesting + 1, is_body, {}, Part::kUnknown, {}});
      part = parts_.size() - 1;
    } else if (tokens_[i].type == TokenType::kClose && !open.empty()) {
      if (open.back().second != 0) parts_[open.back().second].end = i;
      part = open.back().first;
      open.pop_back();
    }
  }
}

bool ColumnSizer::IsWithin(size_t part, size_t outer) const {
  while (part > outer) part = parts_[part].parent;
  return part == outer;
}

ColumnSizer::Size ColumnSizer::SizeOf(size_t part, size_t from) {
  // A recursive table expression is not expanded in itself. If another expression that is being
  // computed is reached, the name is that of a column that is called like a table. The incomplete
  // size must not be kept as the size of that table.
  if (parts_[part].state == Part::kUnderWay) {
    return IsWithin(from, part) ? Size() : kEndlessColumns;
  }
  if (parts_[part].state == Part::kKnown) return parts_[part].size;
  if (depth_ > kDepthMax || parts_[part].nesting > kNestingMax) return kEndlessColumns;
  parts_[part].state = Part::kUnderWay;
  ++depth_;
  parts_[part].size = Compute(part);
  --depth_;
  parts_[part].state = Part::kKnown;
  return parts_[part].size;
}

ColumnSizer::Size ColumnSizer::Compute(size_t part) {
  Reading reading;
  reading.used = leaf_column_;
  for (size_t i = parts_[part].begin; i < parts_[part].end; ++i) {
    const auto inner = part_at_.find(i);
    if (inner == part_at_.end()) {
      TakeToken(part, i, &reading);
      continue;
    }
    i = parts_[inner->second].end;
    if (parts_[inner->second].is_body) continue;  // counts where it is named
    const Size size = SizeOf(inner->second, part);
    if (reading.in_from) TakeSource(size, &reading);
    const bool is_expression = !reading.in_from || !reading.at_source || reading.parentheses > 0;
    if (is_expression) TakeExpression(size, &reading);
  }
  Size size = reading.size;
  size.used = std::max(size.used, reading.used);
  uint64_t own = 0;
  for (const Item& item : reading.items) {
    // A SELECT in an expression may use the columns of the sources too.
    const uint64_t tokens = Sum(item.others, Product(Sum(item.uses, item.nested), reading.used));
    if (item.in_result) size.column = std::max(size.column, tokens);
    own = Sum(own, tokens);
    size.plain = Sum(size.plain, item.others + item.uses);
    size.apart = Sum(size.apart, Sum(item.others, Product(item.uses, leaf_column_)));
  }
  size.flattened = Sum(reading.sources, Product(own, reading.copies));
  size.copies = std::min(kCopiesMax, Product(reading.arms, reading.copies));
  return size;
}

void ColumnSizer::TakeSource(const Size& source, Reading* reading) {
  reading->used = std::max(reading->used, source.column);
  reading->size.used = std::max(reading->size.used, source.used);
  reading->size.apart = Sum(reading->size.apart, source.apart);
  reading->size.plain = Sum(reading->size.plain, source.plain);
  reading->sources = Sum(reading->sources, source.flattened);
  if (reading->at_source) {
    reading->copies = std::min(kCopiesMax, Product(reading->copies, source.copies));
  }
}

void ColumnSizer::TakeExpression(const Size& inner, Reading* reading) {
  if (!reading->in_from) {  // a part in FROM is taken as a source
    reading->size.used = std::max(reading->size.used, inner.used);
    reading->size.apart = Sum(reading->size.apart, inner.apart);
    reading->size.plain = Sum(reading->size.plain, inner.plain);
  }
  reading->items.back().nested = Sum(reading->items.back().nested, inner.flattened);
}

void ColumnSizer::TakeToken(size_t part, size_t at, Reading* reading) {
  const Token& token = tokens_[at];
  if (BeginsClause(token)) {
    if (IsWord(token, "UNION")) ++reading->arms;
    reading->in_from = reading->at_source = IsWord(token, "FROM");
    reading->items.push_back({IsAnyWord(token, "SELECT", "VALUES", "RETURNING"), 0, 0, 1});
    return;
  }
  if (token.type == TokenType::kOpen) ++reading->parentheses;
  if (token.type == TokenType::kClose) --reading->parentheses;
  if (token.text == "," && reading->parentheses == 0) {
    reading->at_source = reading->in_from;
    const bool in_result = reading->items.back().in_result;
    reading->items.push_back({in_result, 0, 0, 1});
    return;
  }
  if (IsWord(token, "JOIN")) reading->at_source = true;
  if (IsWord(token, "ON")) reading->at_source = false;
  TakeName(part, at, reading);
}

void ColumnSizer::TakeName(size_t part, size_t at, Reading* reading) {
  const Token& token = tokens_[at];
  const Token before = at > 0 ? tokens_[at - 1] : Token();
  const Token behind = at + 1 < tokens_.size() ? tokens_[at + 1] : Token();
  Item& item = reading->items.back();
  const bool all_columns = token.text == "*" && (before.text == "," || before.text == "." ||
                                                 IsAnyWord(before, "SELECT", "DISTINCT", "ALL"));
  if (all_columns) {
    ++item.uses;
    return;
  }
  const bool is_name =
      IsName(token) && !IsReserved(token) && behind.text != "." && !IsWord(before, "AS");
  if (is_name && TakeTable(part, NameOf(token), reading) && reading->at_source) return;
  const bool is_literal = token.type == TokenType::kQuoted && token.text.back() == '\'';
  const bool is_column = is_name && !is_literal && behind.type != TokenType::kOpen &&
                         (!reading->at_source || reading->parentheses > 0);
  ++(is_column ? item.uses : item.others);
}

// A name means the nearest enclosing WITH that defines it, otherwise a view.
bool ColumnSizer::TakeTable(size_t part, const std::string& name, Reading* reading) {
  for (size_t at = part;; at = parts_[at].parent) {
    const auto [first, last] = parts_[at].bodies.equal_range(name);
    size_t bodies = 0;
    for (auto body = first; body != last; ++body) {
      const bool many = ++bodies > kBodiesMax;
      TakeSource(many ? kEndlessColumns : SizeOf(body->second, part), reading);
      if (many) break;
    }
    if (first != last) return true;
    if (at == 0) break;
  }
  const Size* const view = view_(name);
  if (view != nullptr) TakeSource(*view, reading);
  return view != nullptr;
}

// ---- GeneratedColumns ---------------------------------------------------------------------------

GeneratedColumns::GeneratedColumns(std::string_view create_table)
    : tokens_(TokensOf(create_table)) {
  size_t begin = 0;
  int depth = 0;
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const TokenType type = tokens_[i].type;
    if (type == TokenType::kOpen && ++depth == 1) begin = i + 1;
    if (type == TokenType::kClose) --depth;
    const bool ends = depth == 0 ? type == TokenType::kClose : depth == 1 && tokens_[i].text == ",";
    if (!ends) continue;
    AddColumn(begin, i);
    begin = i + 1;
  }
  for (const auto& [name, column] : columns_) {
    const uint64_t tokens = TokensOfColumn(name, 0);
    total_ = Sum(total_, tokens);
    largest_ = std::max(largest_, tokens);
  }
}

void GeneratedColumns::AddColumn(size_t begin, size_t end) {
  for (size_t i = begin + 1; i + 1 < end; ++i) {
    if (!IsWord(tokens_[i], "AS") || tokens_[i + 1].type != TokenType::kOpen) continue;
    columns_[NameOf(tokens_[begin])] = {i + 2, end, 0};
    return;
  }
}

uint64_t GeneratedColumns::TokensOfColumn(const std::string& name, size_t depth) {
  const auto found = columns_.find(name);
  if (found == columns_.end()) return 1;
  Column& column = found->second;
  if (column.tokens != 0) return column.tokens;
  if (depth > kDepthMax) return kTokensMost;
  column.tokens = 1;  // one that names itself is an error
  uint64_t tokens = 1;
  for (size_t i = column.begin; i < column.end; ++i) {
    tokens = Sum(tokens, IsName(tokens_[i]) ? TokensOfColumn(NameOf(tokens_[i]), depth + 1) : 1);
  }
  return column.tokens = tokens;
}

}  // namespace cairn::state_machine
