// Expansions: how often the views and common table expressions of a text are compiled.
//
// SQLite compiles a view, and a common table expression, once for each place that names it. A view
// over two uses of a view over two uses, and so on, of thirty levels is a text of two kilobytes that
// takes hours and all memory to compile, before the first step that a budget counts. So the number is
// computed from the texts, and bounded, before SQLite sees them.
//
// The number may be too high, where a column is called like a view; it is never too low.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/status.h"

namespace cairn::state_machine {

// Of one statement, view or trigger. The time to compile grows with the square, to about 0.4 s.
inline constexpr uint64_t kExpansionsMax = 1000;

// The engine's: its thread only.
class Expansions {
 public:
  void Clear();
  void AddView(const std::string& lower_name, std::string_view sql);
  void AddTrigger(const std::string& lower_name, std::string_view sql);
  // After all were added.
  void Compute();

  // Of a text of SQL, with those of the views that it names; not more than kCountMax.
  uint64_t Of(std::string_view sql) const;
  uint64_t OfTrigger(const std::string& lower_name) const;
  // The highest of any view or trigger, and the sum of all squares.
  uint64_t most() const { return most_; }
  uint64_t squares() const { return squares_; }

 private:
  void Note(uint64_t count);

  std::map<std::string, std::string> view_texts_;
  std::map<std::string, std::string> trigger_texts_;
  std::map<std::string, uint64_t> views_;  // computed
  std::map<std::string, uint64_t> triggers_;
  uint64_t most_ = 0;
  uint64_t squares_ = 0;
};

// INVALID_ARGUMENT if the number is above kExpansionsMax.
Status CheckExpansions(uint64_t expansions);
// Of a text that names no view: those of its common table expressions alone.
uint64_t ExpansionsOf(std::string_view sql);

}  // namespace cairn::state_machine
