#include "client/streamed_query.h"

#include <utility>

#include "rpc/deadline.h"
#include "rpc/endpoint.h"
#include "rpc/proto_convert.h"

namespace cairn::client {

StreamedQuery::StreamedQuery(const std::string& endpoint, const security::TlsPtr& tls,
                             v1::QueryRequest request, size_t bytes_max, Done done)
    : stub_(v1::Database::NewStub(rpc::NewChannel(endpoint, tls))),
      bytes_max_(bytes_max),
      done_(std::move(done)),
      request_(std::move(request)) {}

void StreamedQuery::Start(std::shared_ptr<StreamedQuery> query, SteadyTime timeout) {
  StreamedQuery* const q = query.get();
  q->self_ = std::move(query);
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(timeout);
  q->request_.set_timeout_ms(static_cast<uint32_t>(left.count()));
  q->context_.set_deadline(rpc::DeadlineAfter(left));
  q->stub_->async()->Query(&q->context_, &q->request_, q);
  q->StartRead(&q->response_);
  q->StartCall();
}

void StreamedQuery::OnReadDone(bool ok) {
  if (!ok) return;
  bytes_ += response_.ByteSizeLong();
  if (bytes_ > bytes_max_) {
    Cancel();
    return;
  }
  if (response_.index() != 0) result_.index = response_.index();
  for (v1::Column& column : *response_.mutable_columns()) {
    result_.columns.push_back(rpc::FromProto(&column));
  }
  for (v1::Row& row : *response_.mutable_rows()) result_.rows.push_back(rpc::FromProto(&row));
  response_.Clear();
  StartRead(&response_);
}

void StreamedQuery::OnDone(const grpc::Status& status) {
  const std::shared_ptr<StreamedQuery> self = std::move(self_);
  const Done done = std::move(done_);
  if (bytes_ > bytes_max_) {
    done(ResourceExhausted("the result is larger than result_bytes_max, " +
                           std::to_string(bytes_max_) + " bytes"));
  } else if (!status.ok()) {
    done(rpc::FromGrpc(status, context_.GetServerTrailingMetadata(), Outcome::kNone));
  } else {
    done(std::move(result_));
  }
}

}  // namespace cairn::client
