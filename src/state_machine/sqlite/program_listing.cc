#include "state_machine/sqlite/program_listing.h"

#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/sql_tokens.h"

namespace cairn::state_machine {
namespace {

bool Jumps(const std::string& name) {
  constexpr const char* kJumps[] = {"Goto",       "Next",  "Prev",      "VNext",
                                    "SorterNext", "IfPos", "IfNotZero", "DecrJumpZero",
                                    "RowSetTest", "If",    "IfNot"};
  return IsOneOf(name, kJumps);
}

}  // namespace

ProgramListing::ProgramListing(std::vector<ProgramOperation> ops, bool is_trigger)
    : ops_(std::move(ops)), is_trigger_(is_trigger) {
  FindBefore();
  FindLoops();
}

size_t ProgramListing::Clamp(int64_t address) const {
  return std::min(static_cast<size_t>(std::max<int64_t>(address, 0)), ops_.size());
}

void ProgramListing::FindBefore() {
  before_.assign(ops_.size(), false);
  const auto at = [this](size_t i) { return before_.begin() + static_cast<int64_t>(i); };
  for (size_t i = 0; i < ops_.size(); ++i) {
    if (ops_[i].name == "Once") std::fill(at(i), at(std::max(Clamp(ops_[i].p2), i)), true);
  }
  if (ops_[0].name != "Init" || ops_[0].p2 == 0) return;
  init_ = Clamp(ops_[0].p2);
  std::fill(at(init_), before_.end(), true);
}

void ProgramListing::FindLoops() {
  looped_.assign(ops_.size(), false);
  for (size_t i = 0; i < std::min(init_, ops_.size()); ++i) {
    if (ops_[i].name == "Return" || ops_[i].name == "Init") continue;
    if (ops_[i].p2 <= 0 || !Jumps(ops_[i].name)) continue;
    for (size_t at = Clamp(ops_[i].p2); at <= i; ++at) looped_[at] = true;
  }
  for (size_t i = 0; i < ops_.size(); ++i) {
    if (ops_[i].name != "Gosub" || !looped_[i]) continue;
    for (size_t at = Clamp(ops_[i].p2); at < ops_.size(); ++at) {
      looped_[at] = true;
      if (ops_[at].name == "Return" && ops_[at].p1 == ops_[i].p1) break;
    }
  }
}

Status ForEachListing(sqlite3* db, std::string_view sql,
                      const std::function<void(const ProgramListing&)>& tell) {
  Tokenizer tokens(sql);
  Token token = tokens.Next();
  while (token.type == TokenType::kSemicolon) token = tokens.Next();
  if (token.type == TokenType::kEnd) return OkStatus();
  const std::string_view rest = sql.substr(static_cast<size_t>(token.text.data() - sql.data()));
  InternalStatement explain;
  RETURN_IF_ERROR(explain.Prepare(db, "EXPLAIN " + std::string(rest)));
  std::vector<ProgramOperation> ops;
  bool is_trigger = false;
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, explain.Next());
    if ((!row || explain.Int(0) == 0) && !ops.empty()) {
      tell(ProgramListing(std::exchange(ops, {}), std::exchange(is_trigger, true)));
    }
    if (!row) return OkStatus();
    ops.push_back({std::string(explain.Bytes(1)), explain.Int(2), explain.Int(3), explain.Int(4),
                   std::string(explain.Bytes(5)), explain.Int(6)});
  }
}

}  // namespace cairn::state_machine
