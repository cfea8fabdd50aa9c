// Conversion, continued: reads and their answers.
#include <utility>

#include "rpc/proto_convert.h"
#include "server/convert.h"

namespace cairn::server {
namespace {

node::ReadOptions OptionsOf(v1::VersionLevel level, uint64_t index_min) {
  node::ReadOptions options;
  if (level == v1::VERSION_LEVEL_LOCAL) options.level = node::ReadLevel::kStale;
  options.index_min = LogIndex(index_min);
  return options;
}

}  // namespace

Status ToResponse(const VersionAnswer& answer, v1::GetVersionResponse* out) {
  out->set_version(answer.version);
  out->set_index(answer.index.value());
  return OkStatus();
}
Status ToResponse(const TransactionAnswer& answer, v1::GetTransactionResponse* out) {
  out->set_state(static_cast<v1::TransactionState>(answer.info.state));
  out->set_statements(answer.info.statements);
  out->set_finished_index(answer.info.finished_index.value());
  out->set_index(answer.index.value());
  return OkStatus();
}

Status ToResponse(const RetainedAnswer& answer, v1::ListRetainedResponse* out) {
  for (const state_machine::RetainedSetting& setting : answer.settings) {
    v1::RetainedTable* const table = out->add_tables();
    table->set_table(rpc::Utf8OrQuestionMarks(setting.table));
    table->set_retain_ms(setting.retain_ms);
    table->set_bytes_max(setting.bytes_max);
    table->mutable_since()->set_index(setting.since.index.value());
    table->mutable_since()->set_ordinal(setting.since.ordinal);
    table->set_bytes(setting.bytes);
  }
  out->set_index(answer.index.value());
  return OkStatus();
}

VersionRequest FromProto(v1::GetVersionRequest* request, uint32_t timeout_ms) {
  return {std::move(*request->mutable_table()), OptionsOf(request->level(), request->index_min()),
          timeout_ms};
}
TransactionRequest FromProto(v1::GetTransactionRequest* request, uint32_t timeout_ms) {
  return {std::move(*request->mutable_tx_id()), OptionsOf(request->level(), request->index_min()),
          timeout_ms};
}

RetainedRequest FromProto(const v1::ListRetainedRequest& request) {
  return {FromProto(request.read()), request.timeout_ms()};
}

node::ReadOptions FromProto(const v1::ReadOptions& options) {
  node::ReadOptions out;
  out.index_min = LogIndex(options.index_min());
  if (options.level() != v1::READ_LEVEL_STALE) return out;
  out.level = node::ReadLevel::kStale;
  if (options.staleness_max_ms() != 0) {
    out.staleness_max = std::chrono::milliseconds(options.staleness_max_ms());
  }
  return out;
}

}  // namespace cairn::server
