// OperationsClient: what operators ask of one node (cairn.v1.Operations).
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/result.h"
#include "cairn/v1/operations.grpc.pb.h"

namespace cairn::tools {

// Each call waits for its answer and is bounded in time. Nothing is tried again.
class OperationsClient {
 public:
  using Timeout = std::chrono::milliseconds;

  explicit OperationsClient(const std::string& address);

  Result<v1::ListEventsResponse> ListEvents(Timeout timeout);
  // An empty level asks only.
  Result<v1::SetLogLevelResponse> SetLogLevel(const std::string& level, Timeout timeout);
  Result<v1::DiagnoseResponse> Diagnose(Timeout timeout);
  // An empty failure: the backup is good.
  Status NoteBackup(const std::string& failure, const std::string& place, Timeout timeout);

 private:
  const std::unique_ptr<v1::Operations::Stub> stub_;
};

// A table for people: the events that hold, then those that are over.
std::string EventsText(const v1::ListEventsResponse& events);
// Whether an event that is more than a note holds.
bool NeedsSomebody(const v1::ListEventsResponse& events);

}  // namespace cairn::tools
