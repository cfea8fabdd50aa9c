#include "server/operations_service.h"

#include <sys/utsname.h>

#include <utility>

#include "base/log.h"
#include "base/log_control.h"
#include "cairn/v1/operations.grpc.pb.h"
#include "metrics/process.h"
#include "node/busy_watch.h"
#include "server/cluster_status.h"
#include "server/json_text.h"
#include "server/raw_call.h"
#include "server/readiness.h"

namespace cairn::server {
namespace {

using V1Operations = v1::Operations;
using RawOperations = V1Operations::WithRawCallbackMethod_ListEvents<
    V1Operations::WithRawCallbackMethod_SetLogLevel<V1Operations::WithRawCallbackMethod_Diagnose<
        V1Operations::WithRawCallbackMethod_NoteBackup<V1Operations::Service>>>>;
using Bytes = grpc::ByteBuffer;

v1::EventSeverity ToProto(EventSeverity severity) {
  switch (severity) {
    case EventSeverity::kCritical: return v1::EVENT_SEVERITY_CRITICAL;
    case EventSeverity::kWarning: return v1::EVENT_SEVERITY_WARNING;
    case EventSeverity::kNote: break;
  }
  return v1::EVENT_SEVERITY_NOTE;
}

std::string VersionsText(const NodeInfo& info) {
  std::string text = "cairn " + info.version + "\nengine " + info.engine + "\n";
  utsname system{};
  if (::uname(&system) == 0) {
    text += std::string("kernel ") + system.sysname + " " + system.release + " " + system.machine +
            "\n";
  }
  return text;
}

std::string StatusText(const Diagnosis& of) {
  v1::StatusResponse status = StatusOf(of.replica->status(), of.info, of.clock->SteadyNow());
  LeaveOutClients(&status);
  const Result<std::string> json = JsonText(status);
  return json.ok() ? *json : json.status().message() + "\n";
}

std::string LogText() {
  std::string text;
  for (const std::string& message : RecentLog()) text += WithoutStatement(message);
  return text;
}

class OperationsService final : public RawOperations {
 public:
  OperationsService(const ServiceHost& host, Operations* operations, Diagnosis diagnosis)
      : host_(host), operations_(*operations), diagnosis_(std::move(diagnosis)) {}

  grpc::ServerUnaryReactor* ListEvents(grpc::CallbackServerContext* context, const Bytes* bytes,
                                       Bytes* response) override {
    return RunUnary<v1::ListEventsRequest, v1::ListEventsResponse>(
        context, host_, bytes, response,
        [this](auto*, const auto&, auto done) { done(EventsMessage(operations_.events())); });
  }

  grpc::ServerUnaryReactor* SetLogLevel(grpc::CallbackServerContext* context, const Bytes* bytes,
                                        Bytes* response) override {
    return RunUnary<v1::SetLogLevelRequest, v1::SetLogLevelResponse>(
        context, host_, bytes, response, [](auto* request, const auto&, auto done) {
          v1::SetLogLevelResponse answer;
          answer.set_previous(LogLevel());
          if (!request->level().empty()) {
            if (!IsLogLevel(request->level())) {
              return done(
                  InvalidArgument("the level is none of trace, debug, info, warn, error, off"));
            }
            // Before: a level that hides the line is in the log, too.
            LOG_WARN("log level changes from {} to {}", answer.previous(), request->level());
            cairn::SetLogLevel(request->level());
          }
          answer.set_level(LogLevel());
          done(std::move(answer));
        });
  }

  grpc::ServerUnaryReactor* Diagnose(grpc::CallbackServerContext* context, const Bytes* bytes,
                                     Bytes* response) override {
    return RunUnary<v1::DiagnoseRequest, v1::DiagnoseResponse>(
        context, host_, bytes, response, [this](auto*, const auto&, auto done) {
          if (!operations_.started()) return done(Unavailable("this node is starting"));
          done(server::Diagnose(diagnosis_));
        });
  }

  grpc::ServerUnaryReactor* NoteBackup(grpc::CallbackServerContext* context, const Bytes* bytes,
                                       Bytes* response) override {
    return RunUnary<v1::NoteBackupRequest, v1::NoteBackupResponse>(
        context, host_, bytes, response, [this](auto* request, const auto&, auto done) {
          operations_.NoteBackup(request->failure(), request->place());
          done(v1::NoteBackupResponse());
        });
  }

 private:
  const ServiceHost host_;
  Operations& operations_;
  const Diagnosis diagnosis_;
};

}  // namespace

v1::ListEventsResponse EventsMessage(const EventRing& events) {
  v1::ListEventsResponse message;
  for (NodeEvent& event : events.Events()) {
    v1::Event* out = message.add_events();
    out->set_kind(std::move(event.kind));
    out->set_subject(std::move(event.subject));
    out->set_severity(ToProto(event.severity));
    out->set_text(std::move(event.text));
    out->set_advice(std::move(event.advice));
    out->set_first_ms(event.first_ms);
    out->set_last_ms(event.last_ms);
    out->set_count(event.count);
    out->set_active(event.active);
  }
  return message;
}

std::string WithoutStatement(const std::string& message) {
  const size_t repeats = message.find(node::BusyWatch::kRepeatsStatement);
  if (repeats == std::string::npos) return message;
  return message.substr(0, repeats) + "apply is busy (what a client sent is left out)\n";
}

v1::DiagnoseResponse Diagnose(const Diagnosis& of) {
  v1::DiagnoseResponse message;
  const auto add = [&message](const char* name, std::string contents) {
    v1::DiagnosticFile* file = message.add_files();
    file->set_name(name);
    file->set_contents(std::move(contents));
  };
  add("versions.txt", VersionsText(of.info));
  add("settings.toml", of.settings);
  add("status.json", StatusText(of));
  add("health.txt", HealthOf(*of.replica, *of.clock).words + "\n");
  const Result<std::string> events = JsonText(EventsMessage(of.operations->events()));
  add("events.json", events.ok() ? *events : events.status().message() + "\n");
  add("metrics.txt", MetricsText(of.figures(), metrics::ReadProcessFigures()));
  add("log.txt", LogText());
  return message;
}

std::unique_ptr<grpc::Service> NewOperationsService(const ServiceHost& host, Operations* operations,
                                                    Diagnosis diagnosis) {
  return std::make_unique<OperationsService>(host, operations, std::move(diagnosis));
}

}  // namespace cairn::server
