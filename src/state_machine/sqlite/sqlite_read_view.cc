#include "state_machine/sqlite/sqlite_read_view.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "state_machine/sqlite/audit_reader.h"
#include "state_machine/sqlite/query_sources.h"
#include "state_machine/sqlite/retained_reader.h"
#include "state_machine/sqlite/schema_catalog.h"
#include "state_machine/sqlite/transactions.h"

namespace cairn::state_machine {
namespace {

// Keeps the only row of an internal query.
class OneRow final : public RowSink {
 public:
  Status OnColumns(const std::vector<Column>& /*columns*/) override { return OkStatus(); }
  Status OnRow(Row row) override {
    row_ = std::move(row);
    return OkStatus();
  }
  bool found() const { return !row_.empty(); }
  int64_t Int(size_t column) const {
    const auto* value = std::get_if<int64_t>(&row_.at(column));
    return value == nullptr ? 0 : *value;
  }
  std::string Text(size_t column) const {
    const auto* value = std::get_if<std::string>(&row_.at(column));
    return value == nullptr ? "" : *value;
  }

 private:
  Row row_;
};

class SqliteReadView final : public ReadView {
 public:
  explicit SqliteReadView(std::unique_ptr<ReadTransaction> read) : read_(std::move(read)) {}

  LogIndex applied() const override { return read_->applied(); }
  Status Query(const Statement& statement, const QueryLimits& limits, RowSink* sink) override {
    return read_->Query(statement, limits, sink);
  }
  std::unique_ptr<QueryRun> BeginQuery(const Statement& statement) override {
    return read_->BeginQuery(statement);
  }
  Result<int64_t> Version(const std::string& table) override {
    OneRow row;
    RETURN_IF_ERROR(read_->QueryInternal(
        {"SELECT version FROM _cairn_versions WHERE name = ?1", {LowerCase(table)}, {}}, &row));
    return row.found() ? row.Int(0) : 0;
  }
  Result<int64_t> SchemaVersion() override {
    OneRow row;
    RETURN_IF_ERROR(read_->QueryInternal({"PRAGMA schema_version", {}, {}}, &row));
    return row.Int(0);
  }
  Result<QuerySources> SourcesOf(const std::string& sql, const QueryLimits& limits) override {
    ASSIGN_OR_RETURN(QuerySources sources, ReadQuerySources(read_.get(), sql, limits));
    ASSIGN_OR_RETURN(sources.schema_version, SchemaVersion());
    return sources;
  }
  Result<std::set<std::string>> TablesNamed(const std::string& sql,
                                            const QueryLimits& limits) override {
    return ReadTablesNamed(read_.get(), sql, limits);
  }
  Result<TxInfo> Transaction(const std::string& tx_id) override {
    OneRow row;
    RETURN_IF_ERROR(read_->QueryInternal({kTransactionInfoSql, {tx_id}, {}}, &row));
    if (!row.found()) return TxInfo{};
    TxInfo info = MakeTxInfo(row.Int(0), row.Int(1), row.Int(2), row.Int(3));
    info.owner = row.Text(4);
    return info;
  }
  Result<std::vector<RetainedSetting>> RetainedSettings() override {
    return ReadRetainedSettings(read_.get());
  }
  Result<AuditPage> Audit(const AuditQuery& query) override {
    return ReadAuditPage(read_.get(), query);
  }
  Result<RetainedPage> Retained(const RetainedQuery& query) override {
    return ReadRetainedPage(read_.get(), query);
  }

 private:
  std::unique_ptr<ReadTransaction> read_;
};

}  // namespace

std::unique_ptr<ReadView> MakeReadView(std::unique_ptr<ReadTransaction> read) {
  return std::make_unique<SqliteReadView>(std::move(read));
}

}  // namespace cairn::state_machine
