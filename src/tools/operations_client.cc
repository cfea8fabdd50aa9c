#include "tools/operations_client.h"

#include "rpc/deadline.h"
#include "rpc/endpoint.h"
#include "rpc/proto_convert.h"
#include "tools/process_tls.h"
#include "tools/utc_time.h"

namespace cairn::tools {
namespace {

template <class Response, class Method>
Result<Response> Call(std::chrono::milliseconds timeout, Method method) {
  grpc::ClientContext context;
  context.set_deadline(rpc::DeadlineAfter(timeout));
  Response response;
  const grpc::Status status = method(&context, &response);
  if (status.ok()) return response;
  if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
    return Unimplemented("this node runs a version of Cairn that does not know this command");
  }
  return rpc::FromGrpc(status, context.GetServerTrailingMetadata(), Outcome::kUnknown);
}

const char* NameOf(v1::EventSeverity severity) {
  switch (severity) {
    case v1::EVENT_SEVERITY_CRITICAL: return "critical";
    case v1::EVENT_SEVERITY_WARNING: return "warning";
    default: return "note";
  }
}

}  // namespace

OperationsClient::OperationsClient(const std::string& address)
    : stub_(v1::Operations::NewStub(rpc::NewChannel(address, ProcessTls()))) {}

Result<v1::ListEventsResponse> OperationsClient::ListEvents(Timeout timeout) {
  return Call<v1::ListEventsResponse>(
      timeout, [&](auto* context, auto* out) { return stub_->ListEvents(context, {}, out); });
}

Result<v1::SetLogLevelResponse> OperationsClient::SetLogLevel(const std::string& level,
                                                              Timeout timeout) {
  v1::SetLogLevelRequest request;
  request.set_level(level);
  return Call<v1::SetLogLevelResponse>(
      timeout, [&](auto* context, auto* out) { return stub_->SetLogLevel(context, request, out); });
}

Result<v1::DiagnoseResponse> OperationsClient::Diagnose(Timeout timeout) {
  return Call<v1::DiagnoseResponse>(
      timeout, [&](auto* context, auto* out) { return stub_->Diagnose(context, {}, out); });
}

Status OperationsClient::NoteBackup(const std::string& failure, const std::string& place,
                                    Timeout timeout) {
  v1::NoteBackupRequest request;
  request.set_failure(failure);
  request.set_place(place);
  return Call<v1::NoteBackupResponse>(
             timeout,
             [&](auto* context, auto* out) { return stub_->NoteBackup(context, request, out); })
      .status();
}

std::string EventsText(const v1::ListEventsResponse& events) {
  if (events.events().empty()) return "no events\n";
  std::string text;
  for (const v1::Event& event : events.events()) {
    text += std::string(event.active() ? NameOf(event.severity()) : "over") + ": " + event.kind();
    if (!event.subject().empty()) text += " " + event.subject();
    text += ": " + event.text() + "\n    first " + UtcText(event.first_ms()) + ", last " +
            UtcText(event.last_ms()) + ", times: " + std::to_string(event.count()) + "\n";
    if (event.active()) text += "    " + event.advice() + "\n";
  }
  return text;
}

bool NeedsSomebody(const v1::ListEventsResponse& events) {
  for (const v1::Event& event : events.events()) {
    if (event.active() && event.severity() > v1::EVENT_SEVERITY_NOTE) return true;
  }
  return false;
}

}  // namespace cairn::tools
