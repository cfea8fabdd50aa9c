#include "state_machine/sqlite/json_aggregates.h"

#include <string>
#include <string_view>

#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/linear_functions.h"

namespace cairn::state_machine {
namespace {

// SQLite's mark on the results of its JSON functions.
constexpr unsigned kJsonSubtype = 'J';
// The price of an element. Each byte of it costs a fourth of a step more.
constexpr uint64_t kStepsPerElement = 5;

std::string_view TextOf(sqlite3_value* value) {
  const auto* const text = reinterpret_cast<const char*>(sqlite3_value_text(value));
  return {text, text == nullptr ? 0 : static_cast<size_t>(sqlite3_value_bytes(value))};
}

// Writes a string as SQLite's JSON functions do.
void AppendString(std::string_view text, std::string* out) {
  constexpr std::string_view kSpecial = "\b\t\n\f\r";
  constexpr std::string_view kLetters = "btnfr";
  constexpr char kDigits[] = "0123456789abcdef";
  if (text.data() == nullptr) return;  // a NULL for a name
  *out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      *out += '\\';
    } else if (const size_t at = kSpecial.find(c); at != std::string_view::npos) {
      *out += '\\';
      *out += kLetters[at];
      continue;
    } else if (static_cast<unsigned char>(c) <= 0x1f) {
      *out += "\\u00";
      *out += static_cast<char>('0' + (c >> 4));
      *out += kDigits[c & 0xf];
      continue;
    }
    *out += c;
  }
  *out += '"';
}

void AppendValue(sqlite3_value* value, std::string* out) {
  const int type = sqlite3_value_type(value);
  if (type == SQLITE_NULL) {
    *out += "null";
  } else if (type != SQLITE_TEXT || sqlite3_value_subtype(value) == kJsonSubtype) {
    *out += TextOf(value);
  } else {
    AppendString(TextOf(value), out);
  }
}

// The bytes of the first element, with the comma behind it.
size_t FirstElement(std::string_view elements) {
  bool in_string = false;
  int nested = 0;
  for (size_t i = 0; i < elements.size(); ++i) {
    const char c = elements[i];
    if (c == '\\') {
      ++i;
    } else if (c == '"') {
      in_string = !in_string;
    } else if (!in_string) {
      if (c == ',' && nested == 0) return i + 1;
      if (c == '{' || c == '[') ++nested;
      if (c == '}' || c == ']') --nested;
    }
  }
  return elements.size();
}

}  // namespace

// The state of one aggregate.
struct JsonAggregates::Text {
  std::string elements;  // with commas between them
  size_t removed = 0;    // bytes at the front
  std::string_view view() const { return std::string_view(elements).substr(removed); }
};

Status JsonAggregates::Install(sqlite3* db, WorkBudget* budget) {
  budget_ = budget;
  constexpr int kFlags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS | SQLITE_SUBTYPE;
  int rc = sqlite3_create_window_function(db, "json_group_array", 1, kFlags, this, &Step<false>,
                                          &Final<false>, &Value<false>, &Inverse, nullptr);
  if (rc == SQLITE_OK) {
    rc = sqlite3_create_window_function(db, "json_group_object", 2, kFlags, this, &Step<true>,
                                        &Final<true>, &Value<true>, &Inverse, nullptr);
  }
  return rc == SQLITE_OK ? OkStatus() : SqliteTrouble(db, rc, "create function");
}

template <bool is_object>
void JsonAggregates::Step(sqlite3_context* context, int /*argc*/, sqlite3_value** argv) {
  auto* const self = static_cast<JsonAggregates*>(sqlite3_user_data(context));
  auto** const slot = static_cast<Text**>(sqlite3_aggregate_context(context, sizeof(Text*)));
  if (slot == nullptr) return sqlite3_result_error_nomem(context);
  if (*slot == nullptr) *slot = new Text;
  std::string& elements = (*slot)->elements;
  const size_t before = elements.size();
  sqlite3_value* const value = argv[is_object ? 1 : 0];
  if (sqlite3_value_type(value) == SQLITE_BLOB) {
    return sqlite3_result_error(context, "JSON cannot hold BLOB values", -1);
  }
  // Each byte is written as at most six bytes.
  const auto bytes = static_cast<size_t>(sqlite3_value_bytes(argv[0]) + sqlite3_value_bytes(value));
  if (!AllowWork(context, self->budget_, kStepsPerElement + 16 * bytes / kBytesPerStep)) return;
  const auto bytes_max = static_cast<size_t>(
      sqlite3_limit(sqlite3_context_db_handle(context), SQLITE_LIMIT_LENGTH, -1));
  if ((*slot)->view().size() + bytes > bytes_max ||
      self->bytes_ + bytes > kJsonAggregatesBytesMax) {
    return sqlite3_result_error_toobig(context);
  }
  if (before > (*slot)->removed) elements += ',';
  if (is_object) {
    AppendString(TextOf(argv[0]), &elements);
    elements += ':';
  }
  AppendValue(value, &elements);
  self->bytes_ += elements.size() - before;
}

// Called when the first element leaves the window.
void JsonAggregates::Inverse(sqlite3_context* context, int /*argc*/, sqlite3_value** /*argv*/) {
  auto* const self = static_cast<JsonAggregates*>(sqlite3_user_data(context));
  auto** const slot = static_cast<Text**>(sqlite3_aggregate_context(context, 0));
  if (slot == nullptr || *slot == nullptr) return;
  Text* const text = *slot;
  const size_t first = FirstElement(text->view());
  text->removed += first;
  // The string is moved only after as many bytes were removed as are moved.
  if (text->removed > text->elements.size() / 2) {
    text->elements.erase(0, text->removed);
    self->bytes_ -= text->removed;
    text->removed = 0;
  }
  AllowWork(context, self->budget_, 8 * first / kBytesPerStep);
}

void JsonAggregates::Give(sqlite3_context* context, Text* text, bool is_object) {
  std::string json(1, is_object ? '{' : '[');
  if (text != nullptr) {
    if (!AllowWork(context, budget_, text->view().size() / kBytesPerStep)) return;
    json += text->view();
  }
  json += is_object ? '}' : ']';
  sqlite3_result_text64(context, json.data(), json.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  sqlite3_result_subtype(context, kJsonSubtype);
}

template <bool is_object>
void JsonAggregates::Value(sqlite3_context* context) {
  auto* const self = static_cast<JsonAggregates*>(sqlite3_user_data(context));
  auto** const slot = static_cast<Text**>(sqlite3_aggregate_context(context, 0));
  self->Give(context, slot == nullptr ? nullptr : *slot, is_object);
}

// SQLite calls Final also for a statement that fails.
template <bool is_object>
void JsonAggregates::Final(sqlite3_context* context) {
  Value<is_object>(context);
  auto* const self = static_cast<JsonAggregates*>(sqlite3_user_data(context));
  auto** const slot = static_cast<Text**>(sqlite3_aggregate_context(context, 0));
  if (slot == nullptr || *slot == nullptr) return;
  self->bytes_ -= (*slot)->elements.size();
  delete *slot;
  *slot = nullptr;
}

}  // namespace cairn::state_machine
