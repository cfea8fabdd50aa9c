// Vector indexes, as libSQL writes them:
//
//     CREATE INDEX i ON t(libsql_vector_idx(c, 'metric=cosine')) [WHERE ...]
//
// SQLite keeps such an index as one on an expression. The expression is always NULL, so an entry
// takes some bytes, and the function checks each vector that the index takes in. The function sees
// a value but not the column, so the definition says what the column holds: WithColumnType adds an
// argument 'column=f32_blob(3)' to the text before SQLite sees it.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/status.h"
#include "vectors/distance.h"
#include "vectors/vector.h"

namespace cairn::vectors {

inline constexpr char kIndexFunction[] = "libsql_vector_idx";
// The bound on the text of a new index: each search compiles its WHERE.
inline constexpr size_t kDefinitionBytesMax = 4096;

// What a column of vectors holds.
struct ColumnType {
  Kind kind = Kind::kFloat32;
  size_t dimensions = 0;
};
// Reads "F32_BLOB(3)", "FLOAT32(3)" and so on, in any case. INVALID_ARGUMENT for other texts.
Result<ColumnType> ParseColumnType(std::string_view declared);

// The arguments of the function behind the first.
struct IndexParameters {
  Metric metric = Metric::kCosine;
  std::optional<ColumnType> column;
};
// Takes one argument. INVALID_ARGUMENT if libSQL knows none such.
Status TakeParameter(std::string_view argument, IndexParameters* parameters);

struct IndexDefinition {
  std::string name;
  std::string table;
  std::string column;
  bool column_quoted = false;
  IndexParameters parameters;
  std::string where;         // the text behind WHERE; may be empty
  size_t arguments_end = 0;  // the place in the text of the bracket that closes the arguments
  std::string sql;           // the text
};

// The definition; none if the text does not make a vector index. INVALID_ARGUMENT if it is a CREATE
// INDEX that names libsql_vector_idx() among its columns in another way, or gives it an argument
// that it does not know.
Result<std::optional<IndexDefinition>> ParseIndexDefinition(std::string_view sql);

// The declared type of a column; none if there is no such column.
using TypeOfColumn =
    std::function<std::optional<std::string>(const std::string& table, const std::string& column)>;
// The text with the argument that tells the column's type; any other text as it is.
// INVALID_ARGUMENT if the text makes a vector index, and the index cannot be.
Result<std::string> WithColumnType(std::string_view sql, const TypeOfColumn& type_of);

}  // namespace cairn::vectors
