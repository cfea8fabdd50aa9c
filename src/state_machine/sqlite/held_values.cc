#include "state_machine/sqlite/held_values.h"

#include <map>
#include <set>
#include <string>
#include <vector>

#include "state_machine/sqlite/authorizer.h"
#include "state_machine/sqlite/sql_scan.h"
#include "state_machine/sqlite/sql_tokens.h"

namespace cairn::state_machine {
namespace {

using Registers = std::set<int64_t>;

// The register that gets a value of any length. 0: none.
int64_t MadeBy(const ProgramOperation& op) {
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
int64_t GivenBy(const ProgramOperation& op) {
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

class Finder {
 public:
  explicit Finder(const ProgramListing& listing) : listing_(listing), ops_(listing.ops()) {}

  void Look(HeldValues* found) {
    FindHeld(&MadeBy, &made_);
    FindHeld(&GivenBy, &given_);
    for (size_t i = 0; i < ops_.size(); ++i) {
      if (listing_.RunsOnce(i) || !listing_.IsLooped(i)) continue;
      found->copies = found->copies || Copies(ops_[i], made_);
      found->made = found->made || WorksOn(ops_[i], made_);
      found->given = found->given || WorksOn(ops_[i], given_);
    }
    found->rows = found->rows || KeepsLongRows();
    found->sorts = found->sorts || KeepsInOrder();
  }

 private:
  // Finds the registers that get a value in operations that run once, and the copies of these
  // registers.
  void FindHeld(int64_t (*source)(const ProgramOperation&), Registers* held) const {
    for (size_t i = 0; i < ops_.size(); ++i) {
      const int64_t into = source(ops_[i]);
      if (listing_.RunsOnce(i) && into > 0) held->insert(into);
    }
    for (size_t size = 0; size != held->size();) {
      size = held->size();
      for (const ProgramOperation& op : ops_) Propagate(op, held);
    }
  }

  static void Propagate(const ProgramOperation& op, Registers* registers) {
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

  static bool Copies(const ProgramOperation& op, const Registers& held) {
    constexpr const char* kCompare[] = {"Eq", "Ne", "Lt", "Le", "Gt", "Ge"};
    if (op.name == "Copy") return HasAny(held, op.p1, op.p3 + 1);
    // If one value was made in the loop, the shorter value decides the cost.
    return IsOneOf(op.name, kCompare) && held.contains(op.p1) && held.contains(op.p3);
  }

  // True if the work of the operation grows with the length of a held value, and nothing else
  // counts it.
  static bool WorksOn(const ProgramOperation& op, const Registers& held) {
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

  // The tables beside the database that the program makes.
  std::set<int64_t> OwnTables() const {
    std::set<int64_t> tables;
    for (const ProgramOperation& op : ops_) {
      if (op.name == "OpenEphemeral" || op.name == "OpenAutoindex" || op.name == "SorterOpen") {
        tables.insert(op.p1);
      }
    }
    return tables;
  }

  bool KeepsInOrder() const {
    const std::set<int64_t> own_tables = OwnTables();
    for (size_t i = 0; i < ops_.size(); ++i) {
      const ProgramOperation& op = ops_[i];
      const bool inserts = op.name == "IdxInsert" || op.name == "SorterInsert";
      if (inserts && own_tables.contains(op.p1) && listing_.IsLooped(i)) return true;
    }
    return false;
  }

  bool KeepsLongRows() const {
    Registers any;
    const std::set<int64_t> own_tables = OwnTables();
    std::map<int64_t, bool> records;  // by their registers: whether they may be long
    for (const ProgramOperation& op : ops_) {
      for (const int64_t into : {MadeBy(op), GivenBy(op)}) {
        if (into > 0) any.insert(into);
      }
    }
    for (const ProgramOperation& op : ops_) Propagate(op, &any);
    for (const ProgramOperation& op : ops_) {
      if (op.name == "MakeRecord") records[op.p3] = HasAny(any, op.p1, op.p2);
      const bool inserts =
          op.name == "Insert" || op.name == "IdxInsert" || op.name == "SorterInsert";
      if (!inserts || !own_tables.contains(op.p1)) continue;
      const auto it = records.find(op.p2);
      if (it == records.end() || it->second) return true;
    }
    return false;
  }

  const ProgramListing& listing_;
  const std::vector<ProgramOperation>& ops_;
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

void FindHeldValues(const ProgramListing& listing, HeldValues* found) {
  Finder(listing).Look(found);
}

}  // namespace cairn::state_machine
