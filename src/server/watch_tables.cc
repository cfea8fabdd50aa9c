#include "server/watch_tables.h"

#include <utility>

#include "cairn/v1/database.pb.h"
#include "rpc/proto_convert.h"
#include "server/wire_encoding.h"
#include "state_machine/sqlite/schema_catalog.h"

namespace cairn::server {
namespace {

// Past this number a stream forgets what it has sent, and tells its client to forget it.
constexpr size_t kSentMax = 1024;

v1::WatchTable ToMessage(const state_machine::ChangedTable& table) {
  v1::WatchTable message;
  message.set_name(rpc::Utf8OrQuestionMarks(table.name));
  for (const Column& column : table.columns) {
    rpc::ToProto(Column(column), message.add_columns());
  }
  for (const uint32_t place : table.key) message.add_key(place);
  return message;
}

}  // namespace

TableDefinitionPtr WatchTables::Of(
    const std::shared_ptr<const state_machine::ChangedTable>& table) {
  MutexLock lock(mutex_);
  if (const auto known = by_address_.find(table.get()); known != by_address_.end()) {
    return known->second.definition;
  }
  if (by_content_.size() >= kDefinitionsMax) by_content_.clear();
  if (by_address_.size() >= kDefinitionsMax) by_address_.clear();
  v1::WatchTable message = ToMessage(*table);
  // The bytes of a definition, before it has an id, say whether it is another one. Clients are not
  // told what STRICT changes, but conditions are.
  TableDefinitionPtr& definition =
      by_content_[(table->is_strict ? "s" : "n") + message.SerializeAsString()];
  if (definition == nullptr) {
    auto made = std::make_shared<TableDefinition>();
    made->id = ++last_id_;
    made->name = state_machine::LowerCase(table->name);
    made->table = table;
    message.set_id(made->id);
    AppendField(v1::WatchResponse::kTablesFieldNumber, message, &made->field);
    definition = std::move(made);
  }
  by_address_[table.get()] = {table, definition};
  return definition;
}

std::string SentTables::FieldsFor(const std::vector<TableDefinitionPtr>& tables) {
  std::string fields;
  if (ids_.size() >= kSentMax) {
    ids_.clear();
    v1::WatchResponse forget;
    forget.set_forget_tables(true);
    fields = forget.SerializeAsString();
  }
  for (const TableDefinitionPtr& table : tables) {
    uint64_t& id = ids_[table->name];
    if (std::exchange(id, table->id) != table->id) fields.append(table->field);
  }
  return fields;
}

}  // namespace cairn::server
