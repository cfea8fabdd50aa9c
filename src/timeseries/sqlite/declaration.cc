#include "timeseries/sqlite/declaration.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "base/sql_name.h"
#include "timeseries/sqlite/bucket.h"

namespace cairn::timeseries {
namespace {

bool IsSpace(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsSpace(text.back())) text.remove_suffix(1);
  return text;
}

// Takes a name, with or without quotes, and the spaces behind it.
Result<std::string> TakeName(std::string_view* text) {
  std::string name;
  const char quote = text->empty() ? ' ' : text->front();
  if (quote == '"' || quote == '`' || quote == '[') {
    const char end = quote == '[' ? ']' : quote;
    size_t i = 1;
    for (; i < text->size(); ++i) {
      if ((*text)[i] != end) {
        name += (*text)[i];
      } else if (end != ']' && i + 1 < text->size() && (*text)[i + 1] == end) {
        name += (*text)[i++];
      } else {
        break;
      }
    }
    if (i == text->size()) return InvalidArgument("a quote without an end: " + std::string(*text));
    text->remove_prefix(i + 1);
  } else {
    while (!text->empty() && !IsSpace(text->front())) {
      name += text->front();
      text->remove_prefix(1);
    }
  }
  *text = Trimmed(*text);
  if (name.empty()) return InvalidArgument("a column without a name");
  return name;
}

// `words`: what follows the name, in lower case, with single spaces.
bool TakeType(const std::string& words, DeclaredColumn* column, TimeUnit* unit) {
  if (words == "text tag" || words == "integer tag") {
    column->role = Role::kTag;
    column->type = words == "text tag" ? ColumnType::kText : ColumnType::kInteger;
  } else if (words == "timestamp_ms" || words == "timestamp_us") {
    column->role = Role::kTime;
    column->type = ColumnType::kInteger;
    *unit = words == "timestamp_ms" ? TimeUnit::kMilliseconds : TimeUnit::kMicroseconds;
  } else if (words == "real") {
    column->type = ColumnType::kReal;
  } else if (words == "integer") {
    column->type = ColumnType::kInteger;
  } else if (words == "text") {
    column->type = ColumnType::kText;
  } else if (words == "boolean") {
    column->type = ColumnType::kBoolean;
  } else {
    return false;
  }
  return true;
}

std::string SingleSpaced(std::string_view text) {
  std::string out;
  for (const char c : Trimmed(text)) {
    if (!IsSpace(c)) {
      out += c;
    } else if (out.back() != ' ') {
      out += ' ';
    }
  }
  return out;
}

// An option is a word, then "=".
bool IsOption(std::string_view argument) {
  size_t i = 0;
  while (i < argument.size() &&
         (std::isalnum(static_cast<unsigned char>(argument[i])) != 0 || argument[i] == '_')) {
    ++i;
  }
  const std::string_view rest = Trimmed(argument.substr(i));
  return i > 0 && !rest.empty() && rest.front() == '=';
}

// A text in single quotes, or a bare word.
std::string Unquoted(std::string_view text) {
  if (text.size() < 2 || text.front() != '\'' || text.back() != '\'') return std::string(text);
  return std::string(text.substr(1, text.size() - 2));
}

// '1m:90d,1h': the widths, each perhaps with a retention.
Status TakeRollups(std::string_view list, Declaration* declaration) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    const std::string_view item = Trimmed(list.substr(0, comma));
    list.remove_prefix(std::min(comma + 1, list.size()));
    const size_t colon = std::min(item.find(':'), item.size());
    RollupOption rollup;
    rollup.name = item.substr(0, colon);
    RETURN_IF_ERROR(ParseRollupWidth(rollup.name, &rollup.width_ms));
    if (colon < item.size()) {
      RETURN_IF_ERROR(ParseRetention(item.substr(colon + 1), &rollup.retention_ms));
    }
    declaration->rollups.push_back(std::move(rollup));
  }
  return OkStatus();
}

Status CheckRollups(const Declaration& declaration) {
  if (declaration.rollups.size() > kRollupsMax) {
    return InvalidArgument("a time series has at most " + std::to_string(kRollupsMax) + " rollups");
  }
  int64_t before_ms = 0;
  for (const RollupOption& rollup : declaration.rollups) {
    if (before_ms != 0 && (rollup.width_ms <= before_ms || rollup.width_ms % before_ms != 0)) {
      return InvalidArgument(
          "rollups are listed by width, and each width is a multiple of the one "
          "before: rollups='1m,1h,1d'");
    }
    before_ms = rollup.width_ms;
    if (rollup.retention_ms == 0) continue;
    if (declaration.retention_ms == 0 || rollup.retention_ms < declaration.retention_ms) {
      return InvalidArgument("a rollup lives at least as long as the points: the retention of " +
                             rollup.name + " is shorter than that of the time series");
    }
  }
  if (!declaration.rollups.empty() && declaration.values.size() > kRollupValuesMax) {
    return InvalidArgument("a time series with rollups has at most " +
                           std::to_string(kRollupValuesMax) + " columns of values");
  }
  return OkStatus();
}

Status TakeOption(std::string_view argument, Declaration* declaration) {
  const size_t equals = argument.find('=');
  const std::string name = Lower(Trimmed(argument.substr(0, equals)));
  const std::string value = Unquoted(Trimmed(argument.substr(equals + 1)));
  if (name == "retention") return ParseRetention(value, &declaration->retention_ms);
  if (name == "rollups") return TakeRollups(value, declaration);
  return InvalidArgument("a time series has no option " + name);
}

Status Add(DeclaredColumn column, Declaration* declaration, size_t* times) {
  const size_t place = declaration->columns.size();
  switch (column.role) {
    case Role::kTag:
      column.place = declaration->tags.size();
      declaration->tags.push_back(place);
      break;
    case Role::kTime:
      declaration->time = place;
      ++*times;
      break;
    case Role::kValue:
      column.place = declaration->values.size();
      declaration->values.push_back(place);
      break;
  }
  declaration->columns.push_back(std::move(column));
  return OkStatus();
}

Status CheckDeclaration(const Declaration& declaration, size_t times) {
  if (times != 1) {
    return InvalidArgument(
        "a time series has exactly one column of type TIMESTAMP_MS or TIMESTAMP_US");
  }
  if (declaration.values.empty() || declaration.values.size() > kValuesMax ||
      declaration.tags.size() > kTagsMax) {
    return InvalidArgument("a time series has 1 to " + std::to_string(kValuesMax) +
                           " columns of values and at most " + std::to_string(kTagsMax) + " tags");
  }
  return CheckNames(declaration);
}

}  // namespace

Result<Declaration> ParseDeclaration(const std::vector<std::string_view>& arguments) {
  Declaration declaration;
  size_t times = 0;
  for (const std::string_view argument : arguments) {
    std::string_view rest = Trimmed(argument);
    if (IsOption(rest)) {
      RETURN_IF_ERROR(TakeOption(rest, &declaration));
      continue;
    }
    DeclaredColumn column;
    ASSIGN_OR_RETURN(column.name, TakeName(&rest));
    if (!TakeType(Lower(SingleSpaced(rest)), &column, &declaration.unit)) {
      return InvalidArgument("column " + column.name + " of a time series: \"" + std::string(rest) +
                             "\" is not one of TEXT TAG, INTEGER TAG, TIMESTAMP_MS, TIMESTAMP_US, "
                             "REAL, INTEGER, TEXT, BOOLEAN");
    }
    RETURN_IF_ERROR(Add(std::move(column), &declaration, &times));
  }
  RETURN_IF_ERROR(CheckDeclaration(declaration, times));
  RETURN_IF_ERROR(CheckRollups(declaration));
  return declaration;
}

bool Declaration::HasRollup(std::string_view suffix) const {
  return std::any_of(rollups.begin(), rollups.end(),
                     [suffix](const RollupOption& rollup) { return suffix == "_" + rollup.name; });
}

Status CheckNames(const Declaration& declaration) {
  std::set<std::string> names = {"block", "is_last"};
  for (const DeclaredColumn& column : declaration.columns) {
    if (names.insert(Lower(column.name)).second) continue;
    return InvalidArgument("the name " + column.name +
                           " is taken: columns of a time series differ in more than case, and "
                           "block and is_last are columns of every time series");
  }
  return OkStatus();
}

Status CheckTableName(const Declaration& declaration, std::string_view table) {
  for (const DeclaredColumn& column : declaration.columns) {
    if (Lower(column.name) != Lower(table)) continue;
    return InvalidArgument(
        "no column of a time series has the name of the table, which is that of "
        "the column for commands");
  }
  return OkStatus();
}

std::string SqlOfDeclaration(const Declaration& declaration, std::string_view table) {
  std::string sql = "CREATE TABLE x(";
  for (const DeclaredColumn& column : declaration.columns) {
    sql += QuotedName(column.name) + " " + SqlType(column.type) + ", ";
  }
  return sql + "block BLOB HIDDEN, is_last INTEGER HIDDEN, " + QuotedName(table) + " HIDDEN)";
}

const char* SqlType(ColumnType type) {
  switch (type) {
    case ColumnType::kReal: return "REAL";
    case ColumnType::kText: return "TEXT";
    case ColumnType::kInteger:
    case ColumnType::kBoolean: break;
  }
  return "INTEGER";
}

std::string ValueNames(const Declaration& declaration, uint64_t wanted) {
  std::string names;
  for (size_t i = 0; i < declaration.values.size(); ++i) {
    names += (wanted >> i & 1) == 0 ? ", NULL" : ", v" + std::to_string(i);
  }
  return names;
}

}  // namespace cairn::timeseries
