// The definitions of tables, as watches send them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "state_machine/change.h"

namespace cairn::server {

struct TableDefinition {
  uint64_t id = 0;
  std::string name;   // in lower case
  std::string field;  // of a WatchResponse, encoded
  std::shared_ptr<const state_machine::ChangedTable> table;
};
using TableDefinitionPtr = std::shared_ptr<const TableDefinition>;

// Gives equal definitions one id, so that what is encoded for one watch serves another.
// Thread-safe.
class WatchTables {
 public:
  TableDefinitionPtr Of(const std::shared_ptr<const state_machine::ChangedTable>& table);

 private:
  // Past this number all are forgotten, and tables get new ids.
  static constexpr size_t kDefinitionsMax = 1024;

  Mutex mutex_;
  uint64_t last_id_ CAIRN_GUARDED_BY(mutex_) = 0;
  std::map<std::string, TableDefinitionPtr> by_content_ CAIRN_GUARDED_BY(mutex_);
  // The definition keeps the table of its own alive; `pin` keeps the key.
  struct Known {
    std::shared_ptr<const state_machine::ChangedTable> pin;
    TableDefinitionPtr definition;
  };
  std::map<const state_machine::ChangedTable*, Known> by_address_ CAIRN_GUARDED_BY(mutex_);
};

// The definitions that one stream has sent. One thread at a time.
class SentTables {
 public:
  // The fields that a response with events of these tables begins with.
  std::string FieldsFor(const std::vector<TableDefinitionPtr>& tables);

 private:
  std::map<std::string, uint64_t> ids_;  // by name
};

}  // namespace cairn::server
