// A client of Watch, and changes to commit by hand, over a fake replica.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cairn/v1/database.grpc.pb.h"
#include "rpc/deadline.h"
#include "rpc/proto_convert.h"
#include "server/service_harness_test_util.h"
#include "state_machine/change.h"

namespace cairn::server {

using state_machine::Change;
using state_machine::ChangedTable;
using state_machine::ChangeKind;
using state_machine::ChangePosition;

inline std::shared_ptr<const ChangedTable> TableOf(const std::string& name,
                                                   std::vector<Column> columns = {{"id", "INTEGER"},
                                                                                  {"v", "TEXT"}}) {
  auto table = std::make_shared<ChangedTable>();
  table->name = name;
  table->columns = std::move(columns);
  table->key = {0};
  return table;
}

inline Change Insert(const std::shared_ptr<const ChangedTable>& table, int64_t id, std::string v) {
  Change change;
  change.kind = ChangeKind::kInsert;
  change.table = table;
  change.new_rowid = id;
  change.new_row = {id, std::move(v)};
  return change;
}
inline Change Delete(const std::shared_ptr<const ChangedTable>& table, int64_t id, std::string v) {
  Change change;
  change.kind = ChangeKind::kDelete;
  change.table = table;
  change.old_rowid = id;
  change.old_row = {id, std::move(v)};
  return change;
}
inline Change Update(const std::shared_ptr<const ChangedTable>& table, int64_t id,
                     std::string old_v, std::string new_v) {
  Change change = Insert(table, id, std::move(new_v));
  change.kind = ChangeKind::kUpdate;
  change.old_rowid = id;
  change.old_row = {id, std::move(old_v)};
  return change;
}
inline Change Created(const std::string& table) {
  Change change;
  change.kind = ChangeKind::kSchema;
  change.schema = {state_machine::SchemaChange::Kind::kCreated, "table", table, table,
                   "CREATE TABLE " + table + "(id)"};
  return change;
}

// A column in the answer to the question for the tables of a snapshot.
inline Row ColumnAnswer(const std::string& table, const std::string& name,
                        const std::string& type = "", int64_t key = 0, int64_t hidden = 0,
                        Value virtual_sql = {}) {
  return {table, int64_t{0}, name, type, key, hidden, int64_t{0}, std::move(virtual_sql)};
}

inline std::string Text(const v1::ChangePosition& position) {
  return std::to_string(position.index()) + "." + std::to_string(position.ordinal());
}

// The client of one watch.
class WatchClient {
 public:
  WatchClient(v1::Database::Stub* stub, const v1::WatchRequest& request) {
    context_.set_deadline(rpc::DeadlineAfter(kPatience));
    reader_ = stub->Watch(&context_, request);
  }
  ~WatchClient() {
    if (ended_) return;
    context_.TryCancel();
    reader_->Finish();
  }

  // The next response. Nothing at the end.
  std::optional<v1::WatchResponse> Read() {
    v1::WatchResponse response;
    if (!reader_->Read(&response)) return std::nullopt;
    if (response.has_position()) position_ = response.position();
    if (response.forget_tables()) tables_.clear();
    for (const v1::WatchTable& table : response.tables()) {
      ++definitions_;
      tables_[table.id()] = table;
    }
    for (const v1::WatchEvent& event : response.events()) events_.push_back(InWords(event));
    return response;
  }
  // Reads until so many events have come, and takes them.
  std::vector<std::string> Events(size_t n) {
    while (events_.size() < n && Read()) {
    }
    return std::exchange(events_, {});
  }
  void ReadTo(uint64_t index) {
    while (position_.index() < index && Read()) {
    }
  }
  Status End() {
    while (Read()) {
    }
    ended_ = true;
    const grpc::Status status = reader_->Finish();
    const auto& metadata = context_.GetServerTrailingMetadata();
    if (const auto found = metadata.find(rpc::kErrorMetadata); found != metadata.end()) {
      detail_.ParseFromArray(found->second.data(), static_cast<int>(found->second.size()));
    }
    return rpc::FromGrpc(status, metadata, Outcome::kNone);
  }
  const v1::ErrorDetail& detail() const { return detail_; }
  const v1::ChangePosition& position() const { return position_; }
  int definitions() const { return definitions_; }

 private:
  static std::string InWords(v1::Row row) {
    std::string out;
    for (const Value& value : rpc::FromProto(&row)) {
      if (const auto* number = std::get_if<int64_t>(&value)) out += std::to_string(*number);
      if (const auto* text = std::get_if<std::string>(&value))
        out += "'" + text->substr(0, 9) + "'";
      out += ",";
    }
    if (!out.empty()) out.pop_back();
    return "(" + out + ")";
  }
  // "+t(1,'a')" of an INSERT, "." of the end of a command.
  std::string InWords(const v1::WatchEvent& event) {
    const std::string table = tables_[event.table()].name();
    const std::string large = event.too_large() ? "!" : "";
    switch (event.kind()) {
      case v1::CHANGE_KIND_INSERT: return "+" + table + InWords(event.new_row()) + large;
      case v1::CHANGE_KIND_DELETE: return "-" + table + InWords(event.old_row()) + large;
      case v1::CHANGE_KIND_ROW: return "=" + table + InWords(event.new_row());
      case v1::CHANGE_KIND_SCHEMA: return "#" + event.schema().name();
      case v1::CHANGE_KIND_COMMAND_END: return ".";
      case v1::CHANGE_KIND_UPDATE: {
        std::string changed;
        for (const uint32_t place : event.changed()) changed += ":" + std::to_string(place);
        return "~" + table + InWords(event.old_row()) + InWords(event.new_row()) + changed;
      }
      default: return "?";
    }
  }

  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::WatchResponse>> reader_;
  std::map<uint64_t, v1::WatchTable> tables_;
  std::vector<std::string> events_;
  v1::ChangePosition position_;
  v1::ErrorDetail detail_;
  int definitions_ = 0;
  bool ended_ = false;
};

class WatchServiceTest : public ::testing::Test {
 protected:
  ~WatchServiceTest() override {
    replica_.Shutdown(SteadyTime(0));
    harness_.Stop();
  }

  std::unique_ptr<WatchClient> Watch(const v1::WatchRequest& request = {}) {
    return std::make_unique<WatchClient>(stub_.get(), request);
  }
  // A watch that has begun.
  std::unique_ptr<WatchClient> Begun(const v1::WatchRequest& request = {}) {
    auto watch = Watch(request);
    EXPECT_TRUE(watch->Read()) << watch->End();
    return watch;
  }
  static v1::WatchRequest RequestFor(const std::string& table, const std::string& condition = "",
                                     std::vector<v1::ChangeKind> operations = {}) {
    v1::WatchRequest request;
    v1::WatchFilter* filter = request.add_filters();
    filter->set_table(table);
    filter->set_condition(condition);
    for (const v1::ChangeKind operation : operations) filter->add_operations(operation);
    return request;
  }
  static v1::WatchRequest After(uint64_t index, uint64_t ordinal) {
    v1::WatchRequest request;
    request.mutable_after()->set_index(index);
    request.mutable_after()->set_ordinal(ordinal);
    return request;
  }
  // An answer to the question for the columns of a table.
  void HasColumns(const std::string& table, const std::vector<Column>& columns) {
    std::vector<Row> rows;
    for (const Column& column : columns) {
      rows.push_back({table, column.name, column.decl_type, int64_t{0}, Value()});
    }
    state_.Answer("WITH asked", std::move(rows));
  }
  // Commits fillers until the ring has lost its first changes.
  void Overflow() {
    for (int i = 0; i < 12; ++i) state_.Commit({{Insert(t_, i, std::string(100'000, 'x'))}});
  }

  const std::shared_ptr<const ChangedTable> t_ = TableOf("t");
  const std::shared_ptr<const ChangedTable> other_ = TableOf("Other");
  FakeReplica replica_{&SystemClock()};
  FakeState& state_ = replica_.fake_state();
  ServiceHarness harness_{&replica_};
  std::unique_ptr<v1::Database::Stub> stub_ = v1::Database::NewStub(harness_.channel());
};

}  // namespace cairn::server
