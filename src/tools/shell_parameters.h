// ShellParameters: the values that `.parameter set` gives to the parameters of statements.
#pragma once

#include <map>
#include <ostream>
#include <string>

#include "base/status.h"
#include "cairn/value.h"

namespace cairn::tools {

// As in the shell of SQLite: a parameter without a value is NULL. Not thread-safe.
class ShellParameters {
 public:
  // `name` is :a, @a, $a or ?5. The value is an SQL expression without tables: that of `quoted_text`,
  // the rest of the line. If it is none, `text` is the value.
  Status Set(const std::string& name, const std::string& text, const std::string& expression);
  void Unset(const std::string& name) { values_.erase(name); }
  void Clear() { values_.clear(); }
  void List(std::ostream* out) const;
  bool empty() const { return values_.empty(); }

  // The statement, with a value for each of its parameters.
  Statement Bind(const std::string& sql) const;

 private:
  std::map<std::string, Value> values_;
};

}  // namespace cairn::tools
