#include "timeseries/sqlite/rollup.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace cairn::timeseries {
namespace {

// The type of the sum; TEXT: there is none.
ColumnType SumType(ColumnType type) {
  return type == ColumnType::kBoolean ? ColumnType::kInteger : type;
}

void AddValue(std::string name, ColumnType type, Declaration* declaration) {
  DeclaredColumn column{std::move(name), Role::kValue, type, declaration->values.size()};
  declaration->values.push_back(declaration->columns.size());
  declaration->columns.push_back(std::move(column));
}

}  // namespace

Result<Declaration> RollupDeclaration(const Declaration& points) {
  Declaration rollup;
  rollup.unit = points.unit;
  for (const DeclaredColumn& column : points.columns) {
    if (column.role == Role::kValue) continue;
    if (column.role == Role::kTag) rollup.tags.push_back(rollup.columns.size());
    if (column.role == Role::kTime) rollup.time = rollup.columns.size();
    rollup.columns.push_back(column);
  }
  AddValue("points", ColumnType::kInteger, &rollup);
  for (size_t i = 0; i < points.values.size(); ++i) {
    const DeclaredColumn& value = points.Value(i);
    AddValue(value.name + "_count", ColumnType::kInteger, &rollup);
    if (value.type != ColumnType::kText) {
      AddValue(value.name + "_sum", SumType(value.type), &rollup);
    }
    for (const char* each : {"_min", "_max", "_first", "_last"}) {
      AddValue(value.name + each, value.type, &rollup);
    }
  }
  RETURN_IF_ERROR(CheckNames(rollup));
  return rollup;
}

// ---- Buckets ------------------------------------------------------------------------------------

void Bucket::Clear() {
  points_ = 0;
  columns_.assign(declaration_.values.size(), Column());
}

Bucket::Held Bucket::Read(const BlockColumn& column, size_t at) {
  Held held;
  held.null = column.IsNull(at);
  if (held.null) return held;
  if (column.type == ColumnType::kReal) {
    held.real = column.reals[at];
  } else if (column.type == ColumnType::kText) {
    held.text = column.texts[static_cast<size_t>(column.integers[at])];
  } else {
    held.integer = column.integers[at];
  }
  return held;
}

bool Bucket::Less(ColumnType type, const Held& a, const Held& b) {
  if (type == ColumnType::kReal) return a.real < b.real;
  if (type == ColumnType::kText) return a.text < b.text;
  return a.integer < b.integer;
}

Datum Bucket::DatumOf(const Held& held) { return {held.null, held.real, held.integer, held.text}; }

void Bucket::Load(const Block& rows, size_t at) {
  Clear();
  size_t place = 0;
  points_ = rows.columns[place++].integers[at];
  for (size_t i = 0; i < columns_.size(); ++i) {
    Column& column = columns_[i];
    column.count = rows.columns[place++].integers[at];
    if (declaration_.Value(i).type != ColumnType::kText) {
      const Held sum = Read(rows.columns[place++], at);
      column.has_sum = !sum.null || column.count == 0;
      column.real_sum = sum.real;
      column.integer_sum = sum.integer;
    }
    for (Held* each : {&column.min, &column.max, &column.first, &column.last}) {
      *each = Read(rows.columns[place++], at);
    }
  }
}

void Bucket::AddToSum(ColumnType type, const Held& value, Column* column) {
  if (!column->has_sum) return;
  if (type == ColumnType::kReal) {
    column->real_sum += value.real;
    column->has_sum = std::isfinite(column->real_sum);
  } else {
    column->has_sum =
        !__builtin_add_overflow(column->integer_sum, value.integer, &column->integer_sum);
  }
}

void Bucket::Add(const Block& points, size_t at) {
  const bool is_first = points_++ == 0;
  for (size_t i = 0; i < columns_.size(); ++i) {
    Column& column = columns_[i];
    const ColumnType type = points.columns[i].type;
    Held value = Read(points.columns[i], at);
    if (is_first) column.first = value;
    if (!value.null) {
      ++column.count;
      AddToSum(type, value, &column);
      if (column.min.null || Less(type, value, column.min)) column.min = value;
      if (column.max.null || Less(type, column.max, value)) column.max = value;
    }
    column.last = std::move(value);
  }
}

void Bucket::Take(PointValues* row) const {
  row->clear();
  row->push_back({false, 0, points_, {}});
  for (size_t i = 0; i < columns_.size(); ++i) {
    const Column& column = columns_[i];
    row->push_back({false, 0, column.count, {}});
    if (declaration_.Value(i).type != ColumnType::kText) {
      const bool null = column.count == 0 || !column.has_sum;
      row->push_back({null, column.real_sum, column.integer_sum, {}});
    }
    for (const Held* each : {&column.min, &column.max, &column.first, &column.last}) {
      row->push_back(DatumOf(*each));
    }
  }
}

}  // namespace cairn::timeseries
