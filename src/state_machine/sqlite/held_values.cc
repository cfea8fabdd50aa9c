#include "state_machine/sqlite/held_values.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "state_machine/sqlite/authorizer.h"
#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/sql_scan.h"
#include "state_machine/sqlite/sql_tokens.h"

namespace cairn::state_machine {
namespace {

struct Operation {
  std::string name;
  int64_t p1 = 0, p2 = 0, p3 = 0;
  std::string p4;
  int64_t p5 = 0;
};

using Registers = std::set<int64_t>;

template <size_t n>
bool IsOneOf(const std::string& name, const char* const (&names)[n]) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

// The register that gets a value of any length. 0: none.
int64_t MadeBy(const Operation& op) {
  constexpr const char* kIntoP3[] = {"Column",   "Concat",  "Function",
                                     "PureFunc", "VColumn", "AggValue"};
  constexpr const char* kIntoP2[] = {"RowData", "SorterData"};
  constexpr const char* kIntoP1[] = {"AggFinal", "Cast"};
  constexpr const char* kNumbers[] = {"count",  "sum",     "total",  "avg",
                                      "abs",    "round",   "length", "instr",
                                      "random", "unicode", "typeof", "unixepoch"};
  const std::string function = op.p4.substr(0, op.p4.find('('));
  if (IsOneOf(op.name, kIntoP2)) return op.p2;
  if (IsOneOf(function, kNumbers)) return 0;
  if (IsOneOf(op.name, kIntoP3)) return op.p3;
  return IsOneOf(op.name, kIntoP1) ? op.p1 : 0;
}

// The register that gets a parameter or a literal. 0: none.
int64_t GivenBy(const Operation& op) {
  constexpr const char* kGiven[] = {"Variable", "String8", "String", "Blob"};
  return IsOneOf(op.name, kGiven) ? op.p2 : 0;
}

// True for functions that are charged by the bytes of their arguments, or that read none of them.
bool IsCharged(const std::string& function) {
  constexpr const char* kCharged[] = {"instr",
                                      "replace",
                                      "trim",
                                      "ltrim",
                                      "rtrim",
                                      "like",
                                      "glob",
                                      "upper",
                                      "lower",
                                      "hex",
                                      "quote",
                                      "printf",
                                      "format",
                                      "strftime",
                                      "json",
                                      "json_array",
                                      "json_extract",
                                      "json_insert",
                                      "json_object",
                                      "json_patch",
                                      "json_quote",
                                      "json_remove",
                                      "json_replace",
                                      "json_set",
                                      "json_type",
                                      "json_valid",
                                      "->",
                                      "->>",
                                      "typeof",
                                      "subtype",
                                      "random",
                                      "zeroblob",
                                      "randomblob",
                                      "changes",
                                      "count",
                                      "json_array_length",
                                      "json_group_array",
                                      "json_group_object"};
  return IsOneOf(function, kCharged);
}

// One program: the statement's own, or a trigger's.
class Listing {
 public:
  void Add(Operation op) { ops_.push_back(std::move(op)); }

  void Look(HeldValues* found) {
    if (ops_.empty()) return;
    FindBefore();
    FindLoops();
    FindHeld(&MadeBy, &made_);
    FindHeld(&GivenBy, &given_);
    for (size_t i = 0; i < ops_.size(); ++i) {
      if (before_[i] || !looped_[i]) continue;
      found->copies = found->copies || Copies(ops_[i], made_);
      found->made = found->made || WorksOn(ops_[i], made_);
      found->given = found->given || WorksOn(ops_[i], given_);
    }
    found->rows = found->rows || KeepsLongRows();
  }

 private:
  size_t Clamp(int64_t address) const {
    return std::min(static_cast<size_t>(std::max<int64_t>(address, 0)), ops_.size());
  }

  // Finds the operations that run once: those behind Once, and those that Init jumps to.
  void FindBefore() {
    before_.assign(ops_.size(), false);
    for (size_t i = 0; i < ops_.size(); ++i) {
      if (ops_[i].name == "Once") {
        std::fill(before_.begin() + static_cast<int64_t>(i), At(ops_[i].p2, i), true);
      }
    }
    if (ops_[0].name != "Init" || ops_[0].p2 == 0) return;
    init_ = Clamp(ops_[0].p2);
    std::fill(before_.begin() + static_cast<int64_t>(init_), before_.end(), true);
  }

  std::vector<bool>::iterator At(int64_t address, size_t from) {
    return before_.begin() + static_cast<int64_t>(std::max(Clamp(address), from));
  }

  // Finds the operations between a jump back and its target, and those that are called from there.
  void FindLoops() {
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

  static bool Jumps(const std::string& name) {
    constexpr const char* kJumps[] = {"Goto",       "Next",  "Prev",      "VNext",
                                      "SorterNext", "IfPos", "IfNotZero", "DecrJumpZero",
                                      "RowSetTest", "If",    "IfNot"};
    return IsOneOf(name, kJumps);
  }

  // Finds the registers that get a value in operations that run once, and the copies of these
  // registers.
  void FindHeld(int64_t (*source)(const Operation&), Registers* held) const {
    for (size_t i = 0; i < ops_.size(); ++i) {
      const int64_t into = source(ops_[i]);
      if (before_[i] && into > 0) held->insert(into);
    }
    for (size_t size = 0; size != held->size();) {
      size = held->size();
      for (const Operation& op : ops_) Propagate(op, held);
    }
  }

  static void Propagate(const Operation& op, Registers* registers) {
    const bool copies = op.name == "Copy" || op.name == "SCopy" || op.name == "Move";
    if (!copies) return;
    const int64_t more = op.name == "Copy" ? op.p3 : op.name == "Move" ? op.p3 - 1 : 0;
    for (int64_t i = 0; i <= more; ++i) {
      if (registers->contains(op.p1 + i)) registers->insert(op.p2 + i);
    }
  }

  static bool HasAny(const Registers& registers, int64_t first, int64_t count) {
    const auto it = registers.lower_bound(first);
    return it != registers.end() && *it < first + count;
  }

  static bool Copies(const Operation& op, const Registers& held) {
    constexpr const char* kCompare[] = {"Eq", "Ne", "Lt", "Le", "Gt", "Ge"};
    if (op.name == "Copy") return HasAny(held, op.p1, op.p3 + 1);
    // If one value was made in the loop, the shorter value decides the cost.
    return IsOneOf(op.name, kCompare) && held.contains(op.p1) && held.contains(op.p3);
  }

  // True if the work of the operation grows with the length of a held value, and nothing else
  // counts it.
  static bool WorksOn(const Operation& op, const Registers& held) {
    constexpr const char* kCompute[] = {"Add",    "Subtract", "Multiply",  "Divide",    "Remainder",
                                        "BitAnd", "BitOr",    "ShiftLeft", "ShiftRight"};
    constexpr const char* kConvert[] = {"Cast", "BitNot", "Not", "If", "IfNot", "IsTrue"};
    const auto is_held = [&held](int64_t place) { return held.contains(place); };
    if (IsOneOf(op.name, kCompute)) return is_held(op.p1) || is_held(op.p2);
    if (op.name == "And" || op.name == "Or") return is_held(op.p1) || is_held(op.p2);
    if (IsOneOf(op.name, kConvert)) return is_held(op.p1);
    // A trigger may do such work with any value of the row.
    if (op.name == "Program") return !held.empty();
    if (op.name == "Affinity") return HasAny(held, op.p1, op.p2);
    const bool function = op.name == "Function" || op.name == "PureFunc";
    const bool aggregate = op.name == "AggStep" || op.name == "AggInverse";
    if ((!function && !aggregate) || IsCharged(op.p4.substr(0, op.p4.find('(')))) return false;
    // The listing does not show how many arguments a function with any number of arguments gets.
    constexpr int64_t kArgumentsMax = 127;
    const size_t open = op.p4.find('(');
    const std::string count = open == std::string::npos ? "" : op.p4.substr(open + 1);
    int64_t arguments =
        count.empty() || count[0] == '-' ? kArgumentsMax : std::atoll(count.c_str());
    if (aggregate) arguments = op.p5;
    if (function && arguments == kArgumentsMax && op.p3 > op.p2) arguments = op.p3 - op.p2;
    return HasAny(held, op.p2, arguments);
  }

  bool KeepsLongRows() const {
    Registers any;
    std::set<int64_t> own_tables;
    std::map<int64_t, bool> records;  // by their registers: whether they may be long
    for (const Operation& op : ops_) {
      for (const int64_t into : {MadeBy(op), GivenBy(op)}) {
        if (into > 0) any.insert(into);
      }
      if (op.name == "OpenEphemeral" || op.name == "OpenAutoindex" || op.name == "SorterOpen") {
        own_tables.insert(op.p1);
      }
    }
    for (const Operation& op : ops_) Propagate(op, &any);
    for (const Operation& op : ops_) {
      if (op.name == "MakeRecord") records[op.p3] = HasAny(any, op.p1, op.p2);
      const bool inserts =
          op.name == "Insert" || op.name == "IdxInsert" || op.name == "SorterInsert";
      if (!inserts || !own_tables.contains(op.p1)) continue;
      const auto it = records.find(op.p2);
      if (it == records.end() || it->second) return true;
    }
    return false;
  }

  std::vector<Operation> ops_;
  std::vector<bool> before_;
  std::vector<bool> looped_;
  size_t init_ = SIZE_MAX;
  Registers made_;
  Registers given_;
};

}  // namespace

bool MayHoldValues(const ProgramFacts& facts, std::string_view sql) {
  Tokenizer tokens(sql);
  Token token = tokens.Next();
  while (token.type == TokenType::kSemicolon) token = tokens.Next();
  const bool inserts = IsAnyWord(token, "INSERT", "REPLACE");
  if (facts.changes_schema && !IsWord(token, "CREATE")) return false;
  if (facts.selects_within) return true;
  if (!inserts) return facts.selects || facts.calls || sql.find("||") != std::string_view::npos;
  return facts.selects && HoldsWord(sql, "select");
}

Result<HeldValues> FindHeldValues(sqlite3* db, std::string_view sql) {
  Tokenizer tokens(sql);
  Token token = tokens.Next();
  while (token.type == TokenType::kSemicolon) token = tokens.Next();
  if (token.type == TokenType::kEnd) return HeldValues();
  const std::string_view rest = sql.substr(static_cast<size_t>(token.text.data() - sql.data()));
  InternalStatement explain;
  RETURN_IF_ERROR(explain.Prepare(db, "EXPLAIN " + std::string(rest)));
  HeldValues found;
  Listing listing;
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, explain.Next());
    if (!row || explain.Int(0) == 0) {
      listing.Look(&found);
      listing = Listing();
    }
    if (!row) return found;
    listing.Add({std::string(explain.Bytes(1)), explain.Int(2), explain.Int(3), explain.Int(4),
                 std::string(explain.Bytes(5)), explain.Int(6)});
  }
}

}  // namespace cairn::state_machine
