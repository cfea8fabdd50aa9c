#include "timeseries/sqlite/points.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace cairn::timeseries {
namespace {

Status WrongType(const DeclaredColumn& column, const char* wants) {
  return InvalidArgument("column " + column.name + " of the time series takes " + wants);
}

std::string_view TextOf(sqlite3_value* value) {
  const auto* const text = reinterpret_cast<const char*>(sqlite3_value_text(value));
  return {text, text == nullptr ? 0 : static_cast<size_t>(sqlite3_value_bytes(value))};
}

// The integer, also if the value is a real number or a text that is one.
bool IntegerOf(sqlite3_value* value, int64_t* integer) {
  const int type = sqlite3_value_numeric_type(value);
  if (type == SQLITE_INTEGER) {
    *integer = sqlite3_value_int64(value);
    return true;
  }
  const double real = sqlite3_value_double(value);
  if (type != SQLITE_FLOAT || real != std::floor(real) || std::fabs(real) >= 0x1p53) return false;
  *integer = static_cast<int64_t>(real);
  return true;
}

// Texts may come twice until SortTexts: to look for one would cost as much as there are texts.
int64_t AddText(BlockColumn* column, std::string_view text) {
  column->texts.emplace_back(text);
  return static_cast<int64_t>(column->texts.size()) - 1;
}

void SortTexts(BlockColumn* column);

template <class T>
auto At(std::vector<T>* values, size_t at) {
  return values->begin() + static_cast<ptrdiff_t>(at);
}

int64_t IntegerIn(BlockColumn* column, const Datum& datum) {
  if (datum.null) return 0;
  return column->type == ColumnType::kText ? AddText(column, datum.text) : datum.integer;
}

void InsertDatum(BlockColumn* column, size_t at, size_t points, const Datum& datum) {
  if (datum.null && column->present.empty()) column->present.assign(points, 1);
  if (datum.null || !column->present.empty()) {
    column->present.insert(At(&column->present, at), datum.null ? 0 : 1);
  }
  if (column->type == ColumnType::kReal) {
    column->reals.insert(At(&column->reals, at), datum.null ? 0 : datum.real);
  } else {
    column->integers.insert(At(&column->integers, at), IntegerIn(column, datum));
  }
}

}  // namespace

Status ReadDatum(const DeclaredColumn& column, sqlite3_value* value, Datum* datum) {
  datum->null = sqlite3_value_type(value) == SQLITE_NULL;
  if (datum->null) {
    if (column.role == Role::kTag) return WrongType(column, "no NULL: it is a tag");
    return OkStatus();
  }
  const int type = sqlite3_value_type(value);
  switch (column.type) {
    case ColumnType::kReal: {
      const int numeric = sqlite3_value_numeric_type(value);
      if (numeric != SQLITE_INTEGER && numeric != SQLITE_FLOAT) {
        return WrongType(column, "real numbers");
      }
      datum->real = sqlite3_value_double(value) + 0.0;  // -0.0 becomes 0.0
      if (!std::isfinite(datum->real)) return WrongType(column, "no NaN and no infinity");
      return OkStatus();
    }
    case ColumnType::kInteger:
      return IntegerOf(value, &datum->integer) ? OkStatus() : WrongType(column, "integers");
    case ColumnType::kBoolean:
      if (IntegerOf(value, &datum->integer) && (datum->integer == 0 || datum->integer == 1)) {
        return OkStatus();
      }
      return WrongType(column, "0 and 1 (FALSE and TRUE)");
    case ColumnType::kText: break;
  }
  if (type != SQLITE_TEXT && type != SQLITE_INTEGER) return WrongType(column, "texts");
  datum->text = TextOf(value);
  if (datum->text.size() > kTextBytesMax) {
    return InvalidArgument("column " + column.name + ": a text of a time series has at most " +
                           std::to_string(kTextBytesMax) + " bytes");
  }
  return OkStatus();
}

Status ReadTime(const Declaration& declaration, sqlite3_value* value, int64_t* time) {
  const DeclaredColumn& column = declaration.columns[declaration.time];
  if (!IntegerOf(value, time)) {
    return WrongType(column, declaration.unit == TimeUnit::kMilliseconds
                                 ? "integers: milliseconds since 1970"
                                 : "integers: microseconds since 1970");
  }
  return CheckTime(declaration.unit, *time);
}

void BindValues(sqlite3_stmt* stmt, int first, const Declaration& declaration,
                const PointValues& values) {
  for (size_t i = 0; i < values.size(); ++i) {
    const int place = first + static_cast<int>(i);
    const Datum& datum = values[i];
    if (datum.null) {
      sqlite3_bind_null(stmt, place);
    } else if (declaration.Value(i).type == ColumnType::kReal) {
      sqlite3_bind_double(stmt, place, datum.real);
    } else if (declaration.Value(i).type == ColumnType::kText) {
      sqlite3_bind_text64(stmt, place, datum.text.data(), datum.text.size(), SQLITE_STATIC,
                          SQLITE_UTF8);
    } else {
      sqlite3_bind_int64(stmt, place, datum.integer);
    }
  }
}

bool Fits(const Declaration& declaration, const Block& block) {
  bool fits = block.unit == declaration.unit && block.columns.size() == declaration.values.size();
  for (size_t i = 0; fits && i < block.columns.size(); ++i) {
    fits = block.columns[i].type == declaration.Value(i).type;
  }
  return fits;
}

bool DecodeStored(const Declaration& declaration, std::string_view bytes, int64_t points,
                  uint64_t wanted, Block* block) {
  return DecodeBlock(bytes, wanted, block).ok() && Fits(declaration, *block) &&
         block->times.size() == static_cast<size_t>(points);
}

void ClearBlock(const Declaration& declaration, Block* block) {
  block->unit = declaration.unit;
  block->times.clear();
  block->columns.resize(declaration.values.size());
  for (size_t i = 0; i < block->columns.size(); ++i) {
    BlockColumn& column = block->columns[i];
    column.type = declaration.Value(i).type;
    column.present.clear();
    column.reals.clear();
    column.integers.clear();
    column.texts.clear();
  }
}

void InsertPoint(Block* block, size_t at, int64_t time, const PointValues& values) {
  for (size_t i = 0; i < values.size(); ++i) {
    InsertDatum(&block->columns[i], at, block->times.size(), values[i]);
  }
  block->times.insert(At(&block->times, at), time);
  // Texts that were replaced go, so that a statement that replaces for long holds few.
  constexpr size_t kUnusedTextsMax = 1024;
  for (BlockColumn& column : block->columns) {
    if (column.texts.size() > 2 * block->times.size() + kUnusedTextsMax) SortTexts(&column);
  }
}

void ReplacePoint(Block* block, size_t at, const PointValues& values) {
  const int64_t time = block->times[at];
  ErasePoint(block, at);
  InsertPoint(block, at, time, values);
}

void ErasePoint(Block* block, size_t at) {
  for (BlockColumn& column : block->columns) {
    if (!column.present.empty()) column.present.erase(At(&column.present, at));
    if (!column.reals.empty()) column.reals.erase(At(&column.reals, at));
    if (!column.integers.empty()) column.integers.erase(At(&column.integers, at));
  }
  block->times.erase(At(&block->times, at));
}

namespace {

void SortTexts(BlockColumn* column) {
  if (column->type != ColumnType::kText) return;
  std::vector<std::string> used;
  used.reserve(column->integers.size());
  for (size_t i = 0; i < column->integers.size(); ++i) {
    if (!column->IsNull(i)) used.push_back(column->texts[static_cast<size_t>(column->integers[i])]);
  }
  std::sort(used.begin(), used.end());
  used.erase(std::unique(used.begin(), used.end()), used.end());
  for (size_t i = 0; i < column->integers.size(); ++i) {
    if (column->IsNull(i)) continue;
    const std::string& text = column->texts[static_cast<size_t>(column->integers[i])];
    column->integers[i] = std::lower_bound(used.begin(), used.end(), text) - used.begin();
  }
  column->texts = std::move(used);
}

}  // namespace

void SortTexts(Block* block) {
  for (BlockColumn& column : block->columns) SortTexts(&column);
}

void AppendRow(sqlite3_stmt* stmt, uint64_t wanted, Block* block) {
  const size_t points = block->times.size();
  block->times.push_back(sqlite3_column_int64(stmt, 0));
  int place = 0;
  for (size_t i = 0; i < block->columns.size(); ++i) {
    BlockColumn& column = block->columns[i];
    ++place;
    if ((wanted >> i & 1) == 0) continue;
    Datum datum;
    datum.null = sqlite3_column_type(stmt, place) == SQLITE_NULL;
    if (!datum.null) {
      if (column.type == ColumnType::kReal) {
        datum.real = sqlite3_column_double(stmt, place);
      } else if (column.type == ColumnType::kText) {
        const auto* const text = reinterpret_cast<const char*>(sqlite3_column_text(stmt, place));
        datum.text = {text, static_cast<size_t>(sqlite3_column_bytes(stmt, place))};
      } else {
        datum.integer = sqlite3_column_int64(stmt, place);
      }
    }
    InsertDatum(&column, points, points, datum);
  }
}

void TakeValues(const Block& block, size_t at, PointValues* values) {
  values->resize(block.columns.size());
  for (size_t i = 0; i < block.columns.size(); ++i) {
    const BlockColumn& column = block.columns[i];
    Datum& datum = (*values)[i];
    datum = Datum();
    datum.null = column.IsNull(at);
    if (datum.null) continue;
    if (column.type == ColumnType::kReal) {
      datum.real = column.reals[at];
    } else if (column.type == ColumnType::kText) {
      datum.text = column.texts[static_cast<size_t>(column.integers[at])];
    } else {
      datum.integer = column.integers[at];
    }
  }
}

Block PartOf(const Block& block, size_t from, size_t end) {
  Block part;
  part.unit = block.unit;
  part.times.assign(block.times.begin() + static_cast<ptrdiff_t>(from),
                    block.times.begin() + static_cast<ptrdiff_t>(end));
  for (const BlockColumn& column : block.columns) {
    BlockColumn& taken = part.columns.emplace_back();
    taken.type = column.type;
    taken.texts = column.texts;
    const auto take = [&](const auto& values, auto* into) {
      if (values.empty()) return;
      into->assign(values.begin() + static_cast<ptrdiff_t>(from),
                   values.begin() + static_cast<ptrdiff_t>(end));
    };
    take(column.present, &taken.present);
    take(column.reals, &taken.reals);
    take(column.integers, &taken.integers);
  }
  return part;
}

void AppendBlock(const Block& later, Block* block) {
  PointValues values;
  for (size_t i = 0; i < later.times.size(); ++i) {
    TakeValues(later, i, &values);
    InsertPoint(block, block->times.size(), later.times[i], values);
  }
}

}  // namespace cairn::timeseries
