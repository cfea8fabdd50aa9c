// What the text of a statement names, for those who may read and write some tables alone.
//
// The text and the schema decide alone, and not what SQLite tells an authorizer. That differs between
// builds of SQLite, and members may run different ones. SQLite also tells nothing of a view whose
// columns are not used, nor of a join by USING, and says that the subqueries of an UPDATE of a view are
// within the view. A table can only be reached if a text names it. Views, triggers and foreign key
// actions work by the rights of who made them.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>

namespace cairn::state_machine {

struct NamedTables {
  std::set<std::string> reads;  // every table or view that is named, but a target that is not read
  std::string target;           // what the statement writes; empty: not known
  // The text reads the schema, the connection, or an index of any table: that needs all tables.
  bool reads_more = false;
};

// `is_object`: whether a name in lower case is that of a table or view. INSERT alone can write what it
// does not read.
NamedTables TablesNamedBy(std::string_view sql,
                          const std::function<bool(const std::string&)>& is_object);

}  // namespace cairn::state_machine
