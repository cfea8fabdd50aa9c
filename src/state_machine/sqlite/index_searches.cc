#include "state_machine/sqlite/index_searches.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <set>

#include "base/sql_name.h"
#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/program_cache.h"
#include "state_machine/sqlite/sql_scan.h"
#include "state_machine/sqlite/sql_tokens.h"
#include "state_machine/sqlite/statement.h"

namespace cairn::state_machine {
namespace {

using Kind = IndexSearch::Kind;

// More than any budget; sums of a few do not overflow.
constexpr uint64_t kTooMuch = uint64_t{1} << 44;
// What is spent on a program with an empty index.
constexpr uint64_t kIndexBytesMin = 4096;
constexpr uint64_t kPageBytesMin = 4096;
// The fewest steps between two searches in a loop (VFilter, Next and what gives the arguments), and
// between two runs of a trigger.
constexpr uint64_t kStepsOfLoop = 4;
constexpr uint64_t kStepsOfTrigger = 10;

uint64_t Times(uint64_t a, uint64_t b) {
  return a != 0 && b > kTooMuch / a ? kTooMuch : std::min(a * b, kTooMuch);
}

// The module of a virtual table.
std::string ModuleOf(const SchemaCatalog& catalog, const std::string& table) {
  const std::string sql = catalog.SqlOfVirtual(table);
  Tokenizer tokens(sql);
  for (Token token = tokens.Next(); token.type != TokenType::kEnd; token = tokens.Next()) {
    if (IsWord(token, "USING")) return NameOf(tokens.Next());
  }
  return {};
}

// The virtual tables that the program touches, for which `matches(module)`.
template <class Matches>
std::set<std::string> Touched(const SchemaCatalog& catalog, const ProgramFacts& facts,
                              const Matches& matches) {
  std::set<std::string> found;
  for (const std::set<std::string>* names : {&facts.reads, &facts.writes}) {
    for (const std::string& name : *names) {
      if (catalog.IsVirtual(name) && matches(ModuleOf(catalog, name))) found.insert(name);
    }
  }
  return found;
}

bool IsTree(const std::string& module) { return module.starts_with("rtree"); }
bool IsVocabulary(const std::string& module) { return module == "fts5vocab"; }
bool IsOfWords(const std::string& module) { return module == "fts5"; }

// ---- The listing --------------------------------------------------------------------------------

// The operation that last gave register `to` a value, as it stands before `end`; null: not known.
const ProgramOperation* SourceOf(const std::vector<ProgramOperation>& ops, int64_t to, size_t end,
                                 int copies_max = 8) {
  constexpr const char* kIntoP2[] = {"String8", "String",   "Variable", "Integer",    "Int64",
                                     "Real",    "Null",     "Blob",     "Param",      "RowData",
                                     "Rowid",   "NewRowid", "Sequence", "SorterData", "IntCopy"};
  constexpr const char* kIntoP1[] = {"Cast", "AggFinal"};
  constexpr const char* kNotIntoP3[] = {"Copy", "VFilter", "Goto", "Init", "Null", "String8"};
  for (size_t i = end; i-- > 0;) {
    const ProgramOperation& op = ops[i];
    const bool copies = (op.name == "SCopy" && op.p2 == to) ||
                        (op.name == "Copy" && op.p2 <= to && to <= op.p2 + op.p3);
    if (copies) {
      // What is copied may be made at the end of the program, once.
      if (copies_max == 0) return nullptr;
      return SourceOf(ops, op.p1 + (to - op.p2), ops.size(), copies_max - 1);
    }
    if (op.p2 == to && IsOneOf(op.name, kIntoP2)) return &op;
    if (op.p1 == to && IsOneOf(op.name, kIntoP1)) return nullptr;
    if (op.p3 == to && to != 0 && !IsOneOf(op.name, kNotIntoP3)) return nullptr;
  }
  return nullptr;
}

void TakeWords(const std::vector<ProgramOperation>& ops, size_t filter, int64_t argument,
               IndexSearch* search) {
  const ProgramOperation* const source = SourceOf(ops, ops[filter].p3 + 2 + argument, filter);
  if (source == nullptr) {
    search->given = false;
  } else if (source->name == "Variable") {
    search->parameters.push_back(static_cast<int>(source->p1));
  } else if (source->name == "String8" || source->name == "String") {
    search->literals += source->p4 + " ";
  } else {
    constexpr const char* kShort[] = {"Integer", "Int64", "Real", "Null"};
    search->given = search->given && IsOneOf(source->name, kShort);
  }
}

// FTS5 and the R-Tree describe a search in P4: FTS5 by M, L or G and a column for each text, and =, <, >
// for rowids; the R-Tree by two characters for each condition.
std::optional<IndexSearch> ReadFilter(const std::vector<ProgramOperation>& ops, size_t filter) {
  IndexSearch search;
  const std::string& plan = ops[filter].p4;
  bool has_words = false;
  int64_t argument = 0;
  for (size_t i = 0; i < plan.size(); ++argument) {
    const char c = plan[i++];
    if (c == '=' || c == '<' || c == '>') continue;
    if (c == 'M' || c == 'L' || c == 'G' || c == 'm' || c == 'r') {
      has_words = true;
      TakeWords(ops, filter, argument, &search);
      while (i < plan.size() && std::isdigit(static_cast<unsigned char>(plan[i])) != 0) ++i;
    } else {
      ++search.conditions;
      ++i;
    }
  }
  if (!has_words && search.conditions == 0) return std::nullopt;
  search.kind = has_words ? Kind::kWords : Kind::kBoxes;
  return search;
}

// Whether the table is asked for its words; 0 and 1 are all rows, and one row.
bool AsksOldTable(const std::vector<ProgramOperation>& ops, size_t filter) {
  if (filter < 2 || ops[filter - 2].name != "Integer") return true;
  return (ops[filter - 2].p1 & 0xffff) > 1;
}

// ---- What it costs ------------------------------------------------------------------------------

uint64_t TakeVarint(std::string_view* bytes) {
  uint64_t value = 0;
  for (int i = 0; i < 9 && !bytes->empty(); ++i) {
    const auto byte = static_cast<unsigned char>(bytes->front());
    bytes->remove_prefix(1);
    if (i == 8) return value << 8 | byte;
    value = value << 7 | (byte & 0x7f);
    if ((byte & 0x80) == 0) break;
  }
  return value;
}

Result<std::string> ReadCell(sqlite3* db, const std::string& sql) {
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(db, sql));
  ASSIGN_OR_RETURN(const bool row, read.Next());
  return row ? std::string(read.Bytes(0)) : std::string();
}

Result<uint64_t> IndexBytes(sqlite3* db, const std::string& table) {
  ASSIGN_OR_RETURN(
      const std::string record,
      ReadCell(db, "SELECT block FROM main." + QuotedName(table + "_data") + " WHERE id = 10"));
  ASSIGN_OR_RETURN(
      const std::string page_bytes,
      ReadCell(db, "SELECT v FROM main." + QuotedName(table + "_config") + " WHERE k = 'pgsz'"));
  const uint64_t bytes = page_bytes.empty() ? 0 : std::strtoull(page_bytes.c_str(), nullptr, 10);
  return Times(PagesOfStructure(record), std::max(bytes, kPageBytesMin));
}

// Numbers of nodes are given upwards.
Result<uint64_t> NodesOf(sqlite3* db, const std::string& table) {
  ASSIGN_OR_RETURN(const std::string most,
                   ReadCell(db, "SELECT max(nodeno) FROM main." + QuotedName(table + "_node")));
  return most.empty() ? 1 : std::strtoull(most.c_str(), nullptr, 10);
}

// As FTS5 was told to cut a text into words.
bool CutsCharacters(const SchemaCatalog& catalog, const std::string& table) {
  const std::string sql = LowerCase(catalog.SqlOfVirtual(table));
  return sql.find("trigram") != std::string::npos || sql.find("separators") != std::string::npos;
}

const Value* ValueOf(const Program& program, const Statement& statement, int number) {
  const auto index = static_cast<size_t>(number - 1);
  if (index < statement.positional.size()) return &statement.positional[index];
  for (const NamedValue& each : statement.named) {
    if (FindParameter(program.stmt.get(), each.name) == number) return &each.value;
  }
  return nullptr;
}

uint64_t PriceOf(const IndexSearch& search, const Program& program, const Statement& statement,
                 bool by_characters) {
  uint64_t price = 0;
  if (!search.literals.empty()) price = PriceOfWords(search.literals, by_characters);
  for (const int number : search.parameters) {
    const Value* const value = ValueOf(program, statement, number);
    if (value == nullptr) return kTooMuch;
    std::string_view text;
    if (const auto* string = std::get_if<std::string>(value)) text = *string;
    if (const auto* blob = std::get_if<Blob>(value)) {
      text =
          std::string_view(reinterpret_cast<const char*>(blob->bytes.data()), blob->bytes.size());
    }
    price += PriceOfWords(text, by_characters);
  }
  return std::clamp<uint64_t>(price, kStepsPerWord, kTooMuch);
}

// The largest of the tables decides where one does not see which of them is searched.
class Costs {
 public:
  Costs(sqlite3* db, const SchemaCatalog& catalog, const Program& program,
        const Statement& statement, uint64_t pending_bytes)
      : db_(db),
        catalog_(catalog),
        program_(program),
        statement_(statement),
        pending_bytes_(pending_bytes) {}

  Status Measure() {
    for (const std::string& table : Touched(catalog_, program_.facts, &IsOfWords)) {
      ASSIGN_OR_RETURN(const uint64_t bytes, IndexBytes(db_, table));
      index_bytes_ = std::max(index_bytes_, bytes);
      by_characters_ = by_characters_ || CutsCharacters(catalog_, table);
    }
    index_bytes_ = std::max(index_bytes_ + pending_bytes_, kIndexBytesMin);
    for (const std::string& table : Touched(catalog_, program_.facts, &IsTree)) {
      ASSIGN_OR_RETURN(const uint64_t nodes, NodesOf(db_, table));
      nodes_ = std::max(nodes_, nodes);
    }
    return OkStatus();
  }

  uint64_t Of(const IndexSearch& search) const {
    switch (search.kind) {
      case Kind::kWords:
        return Times(index_bytes_, PriceOf(search, program_, statement_, by_characters_));
      case Kind::kVocabulary: return Times(index_bytes_, kStepsPerWord);
      case Kind::kBoxes:
        return Times(nodes_, kStepsPerTreeNode + search.conditions * kStepsPerCondition);
      case Kind::kUncounted: return 0;
    }
    return 0;
  }

 private:
  sqlite3* const db_;
  const SchemaCatalog& catalog_;
  const Program& program_;
  const Statement& statement_;
  const uint64_t pending_bytes_;
  uint64_t index_bytes_ = 0;
  uint64_t nodes_ = 1;
  bool by_characters_ = false;
};

}  // namespace

uint64_t PriceOfWords(std::string_view text, bool by_characters) {
  uint64_t words = 0;
  uint64_t prefixes = 0;
  bool in_word = false;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool letter = byte < 0x80 && std::isalnum(byte) != 0;
    // What is not ASCII may separate words.
    const bool begins = by_characters || byte >= 0xc0 || (letter && !in_word);
    if (begins) ++words;
    if (c == '*') ++prefixes;
    in_word = letter;
  }
  words = std::max<uint64_t>(words, 1);
  // Words that are near each other, and lists of columns, are looked at once for each other one.
  const bool multiplies =
      LowerCase(text).find("near") != std::string::npos || text.find('{') != std::string_view::npos;
  const uint64_t pairs = multiplies ? Times(words, words) : 0;
  return std::min(words * kStepsPerWord + prefixes * kStepsPerPrefix + pairs, kTooMuch);
}

uint64_t PagesOfStructure(std::string_view record) {
  constexpr size_t kCookieBytes = 4;
  constexpr std::string_view kSecondVersion("\xff\x00\x00\x01", 4);
  if (record.size() < kCookieBytes) return 0;
  record.remove_prefix(kCookieBytes);
  const bool second = record.starts_with(kSecondVersion);
  if (second) record.remove_prefix(kSecondVersion.size());
  const uint64_t levels = TakeVarint(&record);
  TakeVarint(&record);  // segments
  TakeVarint(&record);  // writes
  uint64_t pages = 0;
  for (uint64_t level = 0; level < levels; ++level) {
    if (record.empty()) return kTooMuch;
    TakeVarint(&record);  // segments that are being merged
    const uint64_t segments = TakeVarint(&record);
    for (uint64_t i = 0; i < segments; ++i) {
      if (record.empty()) return kTooMuch;
      TakeVarint(&record);  // its id
      const uint64_t first = TakeVarint(&record);
      const uint64_t last = TakeVarint(&record);
      if (last < first) return kTooMuch;
      pages = std::min(pages + (last - first) + 1, kTooMuch);
      constexpr int kMoreOfSecond = 5;
      for (int k = 0; second && k < kMoreOfSecond; ++k) TakeVarint(&record);
    }
  }
  return pages;
}

bool MaySearch(const SchemaCatalog& catalog, const ProgramFacts& facts) {
  return std::any_of(facts.reads.begin(), facts.reads.end(),
                     [&](const std::string& name) { return catalog.IsVirtual(name); });
}

void FindSearches(const ProgramListing& listing, const SchemaCatalog& catalog,
                  const ProgramFacts& facts, std::vector<IndexSearch>* searches) {
  const std::vector<ProgramOperation>& ops = listing.ops();
  const bool vocabulary = !Touched(catalog, facts, &IsVocabulary).empty();
  const bool old_words = !Touched(catalog, facts, [](const std::string& module) {
                            return module == "fts3" || module == "fts4";
                          }).empty();
  const bool old_vocabulary = !Touched(catalog, facts, [](const std::string& module) {
                                 return module == "fts4aux";
                               }).empty();
  for (size_t i = 0; i < ops.size(); ++i) {
    if (ops[i].name != "VFilter") continue;
    std::optional<IndexSearch> search = ReadFilter(ops, i);
    if (!search.has_value()) {
      search.emplace();
      const bool uncounted = old_vocabulary || (old_words && AsksOldTable(ops, i));
      if (!uncounted && !vocabulary) continue;
      search->kind = uncounted ? Kind::kUncounted : Kind::kVocabulary;
    }
    if (listing.IsLooped(i) && !listing.RunsOnce(i)) {
      search->steps_between = kStepsOfLoop;
    } else if (listing.is_trigger()) {
      search->steps_between = kStepsOfTrigger;
    }
    searches->push_back(std::move(*search));
  }
}

Result<SearchCosts> CostsOfSearches(sqlite3* db, const SchemaCatalog& catalog,
                                    const Program& program, const Statement& statement,
                                    uint64_t pending_bytes) {
  SearchCosts costs;
  if (program.searches.empty()) return costs;
  Costs measured(db, catalog, program, statement, pending_bytes);
  RETURN_IF_ERROR(measured.Measure());
  costs.once = kStepsPerMeasure;
  for (const IndexSearch& search : program.searches) {
    const uint64_t steps = measured.Of(search);
    if (search.steps_between == 0) {
      costs.once = std::min(costs.once + steps, kTooMuch);
    } else {
      costs.per_step = std::min(costs.per_step + steps / search.steps_between, kTooMuch);
    }
  }
  return costs;
}

}  // namespace cairn::state_machine
