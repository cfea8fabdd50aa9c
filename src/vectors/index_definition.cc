#include "vectors/index_definition.h"

#include <algorithm>
#include <charconv>
#include <vector>

#include "vectors/sql_words.h"

namespace cairn::vectors {
namespace {

// A definition has fewer tokens before its WHERE.
constexpr size_t kWordsMax = 100;

struct TypeName {
  std::string_view name;
  Kind kind;
};
constexpr TypeName kTypeNames[] = {
    {"f32_blob", Kind::kFloat32},     {"float32", Kind::kFloat32},
    {"f64_blob", Kind::kFloat64},     {"float64", Kind::kFloat64},
    {"f16_blob", Kind::kFloat16},     {"float16", Kind::kFloat16},
    {"fb16_blob", Kind::kFloatB16},   {"floatb16", Kind::kFloatB16},
    {"f8_blob", Kind::kFloat8},       {"float8", Kind::kFloat8},
    {"f1bit_blob", Kind::kFloat1Bit}, {"float1bit", Kind::kFloat1Bit},
};

// Settings of libSQL's own kind of index. They are taken, and change nothing.
constexpr std::string_view kNumbersOfLibsql[] = {"alpha", "search_l", "insert_l", "max_neighbors"};
constexpr std::string_view kTextsOfLibsql[] = {"type", "compress_neighbors"};

// The type as ParseColumnType reads it. The declared text may hold comments and quotes.
std::string TextOfType(const ColumnType& type) {
  const auto* const name =
      std::find_if(std::begin(kTypeNames), std::end(kTypeNames),
                   [&type](const TypeName& each) { return each.kind == type.kind; });
  return std::string(name->name) + "(" + std::to_string(type.dimensions) + ")";
}

Status NotADefinition() {
  return InvalidArgument(
      "libsql_vector_idx() makes a vector index and is good for nothing else: CREATE INDEX name ON "
      "table(libsql_vector_idx(column, 'metric=cosine'))");
}

bool IsPositiveNumber(std::string_view text) {
  double value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && stop == text.data() + text.size() && value > 0;
}

// Walks over the tokens of a CREATE INDEX.
class Reader {
 public:
  explicit Reader(const std::vector<SqlWord>& words) : words_(words) {}
  bool Take(std::string_view lower) {
    if (at_ == words_.size() || !words_[at_].Is(lower)) return false;
    ++at_;
    return true;
  }
  // The column is no text: a text is a value, the same in each row.
  bool TakeColumn(IndexDefinition* index) {
    if (at_ == words_.size() || words_[at_].type != SqlWord::Type::kName) return false;
    index->column_quoted = words_[at_].quoted;
    return TakeName(&index->column);
  }
  bool TakeName(std::string* name) {
    if (at_ == words_.size() || !words_[at_].IsName()) return false;
    *name = words_[at_++].value;
    return true;
  }
  const SqlWord* TakeText() {
    if (at_ == words_.size() || words_[at_].type != SqlWord::Type::kText) return nullptr;
    return &words_[at_++];
  }
  // The place in the text of the last token that was taken.
  const SqlWord& last() const { return words_[at_ - 1]; }
  bool ended() const { return at_ == words_.size(); }

 private:
  const std::vector<SqlWord>& words_;
  size_t at_ = 0;
};

bool IsFunction(const SqlWord& word) {
  return word.type == SqlWord::Type::kName && LowerCase(word.value) == kIndexFunction;
}

// True if the text is a CREATE INDEX that names the function before its WHERE.
bool NamesFunction(std::string_view sql) {
  const std::vector<SqlWord> head = SplitSql(sql, 3);
  if (head.size() < 3 || !head[0].Is("create")) return false;
  if (!head[1].Is("index") && !(head[1].Is("unique") && head[2].Is("index"))) return false;
  size_t at = 0;
  for (SqlWord word; TakeWord(sql, &at, &word) && !word.Is("where");) {
    if (IsFunction(word)) return true;
  }
  return false;
}

bool TakeHead(Reader* reader, IndexDefinition* index) {
  if (!reader->Take("create") || !reader->Take("index")) return false;
  if (reader->Take("if") && !(reader->Take("not") && reader->Take("exists"))) return false;
  if (!reader->TakeName(&index->name)) return false;
  if (reader->Take(".") && !reader->TakeName(&index->name)) return false;
  return reader->Take("on") && reader->TakeName(&index->table) && reader->Take("(") &&
         reader->Take(kIndexFunction) && reader->Take("(") && reader->TakeColumn(index);
}

}  // namespace

Result<ColumnType> ParseColumnType(std::string_view declared) {
  const std::vector<SqlWord> words = SplitSql(declared, 5);
  const auto is_type = [&words](const TypeName& each) { return words[0].Is(each.name); };
  const auto* const type =
      words.size() != 4 ? std::end(kTypeNames)
                        : std::find_if(std::begin(kTypeNames), std::end(kTypeNames), is_type);
  if (type == std::end(kTypeNames) || !words[1].Is("(") || !words[3].Is(")")) {
    return InvalidArgument("a vector index needs a column with a type like F32_BLOB(3), and not '" +
                           std::string(declared.substr(0, 64)) + "'");
  }
  const std::string& digits = words[2].value;
  size_t dimensions = 0;
  const auto [stop, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), dimensions);
  if (error != std::errc() || stop != digits.data() + digits.size() || dimensions == 0 ||
      dimensions > kDimensionsMax) {
    return InvalidArgument("the type of a column of vectors tells their dimensions, 1 to " +
                           std::to_string(kDimensionsMax) + ": F32_BLOB(3)");
  }
  return ColumnType{type->kind, dimensions};
}

Status TakeParameter(std::string_view argument, IndexParameters* parameters) {
  const size_t equals = argument.find('=');
  const std::string name = LowerCase(argument.substr(0, equals));
  const std::string_view value =
      equals == std::string_view::npos ? std::string_view() : argument.substr(equals + 1);
  if (name == "metric") {
    const std::string metric = LowerCase(value);
    if (metric != "cosine" && metric != "l2") {
      return InvalidArgument("a vector index has 'metric=cosine' or 'metric=l2', and not '" +
                             std::string(argument) + "'");
    }
    parameters->metric = metric == "l2" ? Metric::kL2 : Metric::kCosine;
    return OkStatus();
  }
  if (name == "column") {
    ASSIGN_OR_RETURN(parameters->column, ParseColumnType(value));
    return OkStatus();
  }
  if (std::find(std::begin(kNumbersOfLibsql), std::end(kNumbersOfLibsql), name) !=
          std::end(kNumbersOfLibsql) &&
      IsPositiveNumber(value)) {
    return OkStatus();
  }
  if (std::find(std::begin(kTextsOfLibsql), std::end(kTextsOfLibsql), name) !=
          std::end(kTextsOfLibsql) &&
      !value.empty()) {
    return OkStatus();
  }
  return InvalidArgument("libsql_vector_idx() does not know '" +
                         std::string(argument.substr(0, 64)) +
                         "'; it knows 'metric=cosine' and 'metric=l2'");
}

Result<std::optional<IndexDefinition>> ParseIndexDefinition(std::string_view sql) {
  if (!NamesFunction(sql)) return std::optional<IndexDefinition>();
  const std::vector<SqlWord> words = SplitSql(sql, kWordsMax);
  IndexDefinition index;
  index.sql = sql;
  Reader reader(words);
  if (!TakeHead(&reader, &index)) return NotADefinition();
  while (reader.Take(",")) {
    const SqlWord* const argument = reader.TakeText();
    if (argument == nullptr) return NotADefinition();
    RETURN_IF_ERROR(TakeParameter(argument->value, &index.parameters));
  }
  if (!reader.Take(")")) return NotADefinition();
  index.arguments_end = reader.last().at;
  if (!reader.Take(")")) return NotADefinition();
  if (reader.Take("where")) {
    index.where = sql.substr(reader.last().end);
    while (!index.where.empty() &&
           (index.where.back() == ';' || index.where.back() == ' ' || index.where.back() == '\n')) {
      index.where.pop_back();
    }
  } else if (!reader.ended() && !reader.Take(";")) {
    return NotADefinition();
  }
  return std::optional(std::move(index));
}

Result<std::string> WithColumnType(std::string_view sql, const TypeOfColumn& type_of) {
  ASSIGN_OR_RETURN(const std::optional<IndexDefinition> index, ParseIndexDefinition(sql));
  if (!index.has_value()) return std::string(sql);
  if (sql.size() > kDefinitionBytesMax) {
    return InvalidArgument("the text of a vector index has at most " +
                           std::to_string(kDefinitionBytesMax) +
                           " bytes, because each search compiles its WHERE; shorten the WHERE");
  }
  const std::optional<std::string> declared = type_of(index->table, index->column);
  if (!declared.has_value()) {
    // SQLite says that there is no such table or column. But it takes a name in quotes that is no
    // column for a text.
    if (!index->column_quoted) return std::string(sql);
    return InvalidArgument("the table " + index->table + " has no column " + index->column);
  }
  ASSIGN_OR_RETURN(const ColumnType type, ParseColumnType(*declared));
  if (type.kind == Kind::kFloat1Bit && index->parameters.metric == Metric::kL2) {
    return InvalidArgument("vectors of bits have no Euclidean distance: use 'metric=cosine'");
  }
  if (const auto& told = index->parameters.column; told.has_value()) {
    if (told->kind == type.kind && told->dimensions == type.dimensions) return std::string(sql);
    return InvalidArgument("the column of the vector index is of type " + *declared +
                           ", and the index says otherwise");
  }
  std::string text(sql.substr(0, index->arguments_end));
  text += ", 'column=" + TextOfType(type) + "'";
  return text + std::string(sql.substr(index->arguments_end));
}

}  // namespace cairn::vectors
