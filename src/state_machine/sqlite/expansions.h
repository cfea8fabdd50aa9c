// Expansions: how often SQLite compiles the views and common table expressions of a text.
//
// SQLite compiles a view or a common table expression once for each place that names it. Thirty
// levels of views, each of which uses the view below twice, are two kilobytes of text. SQLite would
// compile them for hours and take all memory, before the first step that a budget counts. So the
// number is computed from the texts, and bounded, before SQLite sees them.
//
// The number may be too high if a column has the name of a view; it is never too low.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/status.h"

namespace cairn::state_machine {

// The bound for one statement, view or trigger. The time to compile grows with the square of the
// number, to about 0.4 s.
inline constexpr uint64_t kExpansionsMax = 1000;

// Owned by the engine, and used on its thread only.
class Expansions {
 public:
  void Clear();
  void AddView(const std::string& lower_name, std::string_view sql);
  void AddTrigger(const std::string& lower_name, std::string_view sql);
  // Called after all texts were added.
  void Compute();

  // The number for a text of SQL, with the expansions of the views that it names. At most
  // kCountMax.
  uint64_t Of(std::string_view sql) const;
  uint64_t OfTrigger(const std::string& lower_name) const;
  // The highest number of any view or trigger, and the sum of all squares.
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
// The number for a text that names no view: that of its common table expressions.
uint64_t ExpansionsOf(std::string_view sql);

}  // namespace cairn::state_machine
