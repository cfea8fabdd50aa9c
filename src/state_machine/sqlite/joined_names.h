// Joins by USING and NATURAL, of which SQLite tells an authorizer nothing.
//
// SQLite calls the authorizer for each column that an expression names. The columns of such a join are
// matched by their names, and no call is made for them, nor for a table of which nothing else is read.
// The bad schedule without these checks: a client joins a table of its own to `_cairn_versions`,
// or to pragma_freelist_count, by NATURAL FULL JOIN, and stores what it finds. These differ between nodes,
// and so do the stored rows.
//
// So the text is asked: a table can only be joined if a text names it.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "base/status.h"

namespace cairn::state_machine {

// True if the text may have such a join: it holds NATURAL, or USING before a parenthesis.
bool JoinsByName(std::string_view sql);

// The identifiers of the text, and the texts in any of SQLite's four kinds of quotes, which may be
// names too. In lower case.
std::set<std::string> NamesIn(std::string_view sql);

// PERMISSION_DENIED if the text has such a join, and names a table that a query may not read.
Status CheckJoinsOfQuery(std::string_view sql);
// The same for a write, which may not read what differs between nodes either.
Status CheckJoinsOfWrite(std::string_view sql);

// What the views and triggers of a schema name.
class NamesOfSchema {
 public:
  void Clear();
  // `lower_name` is that of a view or trigger, and `sql` its text.
  void Add(const std::string& lower_name, std::string_view sql);
  // True if a text of the schema may have such a join.
  bool joins_by_name() const { return joins_by_name_; }

  // What a statement names, by itself, by the views that it names, at any depth, and by these
  // triggers. `refusal`: not OK if one of these texts may not be part of a write (CheckJoinsOfWrite).
  struct Reached {
    std::set<std::string> names;
    Status refusal;
  };
  Reached From(std::string_view sql, const std::set<std::string>& triggers) const;

 private:
  struct Text {
    std::set<std::string> names;
    Status refusal;
  };
  std::map<std::string, Text> texts_;
  bool joins_by_name_ = false;
};

}  // namespace cairn::state_machine
