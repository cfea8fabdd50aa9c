#include "server/http_pages.h"

#include <string>
#include <utility>
#include <vector>

#include "metrics/process.h"
#include "server/cluster_status.h"
#include "server/json_text.h"
#include "server/operations_service.h"
#include "server/readiness.h"

namespace cairn::server {
namespace {

constexpr char kPages[] = "/livez, /readyz, /metrics, /v1/status and /v1/events";

http::Response Json(const google::protobuf::Message& message) {
  Result<std::string> json = JsonText(message);
  if (!json.ok()) return http::TextResponse(500, json.status().message());
  http::Response response;
  response.content_type = "application/json";
  response.body = *std::move(json);
  return response;
}

}  // namespace

HttpPages::HttpPages(const node::Replica* replica, Clock* clock, NodeInfo info,
                     std::function<NodeFigures()> figures, const EventRing* events)
    : replica_(replica),
      clock_(clock),
      info_(std::move(info)),
      figures_(std::move(figures)),
      events_(events) {}

http::Response HttpPages::Answer(const http::Request& request) const {
  struct Page {
    const char* path;
    http::Response (*answer)(const HttpPages& pages);
  };
  static constexpr Page kAll[] = {
      {"/livez", [](const HttpPages& pages) { return pages.Live(); }},
      {"/readyz", [](const HttpPages& pages) { return pages.Ready(); }},
      {"/metrics", [](const HttpPages& pages) { return pages.Metrics(); }},
      {"/v1/status", [](const HttpPages& pages) { return pages.Status(); }},
      {"/v1/events", [](const HttpPages& pages) { return pages.Events(); }},
      {"/", [](const HttpPages&) {
         return http::TextResponse(200, std::string("Cairn; there are ") + kPages);
       }}};
  for (const Page& page : kAll) {
    if (request.path != page.path) continue;
    if (request.method == "GET" || request.method == "HEAD") return page.answer(*this);
    http::Response refusal =
        http::TextResponse(405, "this page is read with GET or HEAD; nothing is changed here");
    refusal.allow = "GET, HEAD";
    return refusal;
  }
  return http::TextResponse(404, std::string("there is no such page; there are ") + kPages);
}

http::Response HttpPages::Live() const {
  const SteadyTime ago = HealthOf(*replica_, *clock_).turned_ago;
  if (ago < kStuckAfter) return http::TextResponse(200, "alive");
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(ago);
  return http::TextResponse(503, "the core thread has been stuck for " +
                                     std::to_string(seconds.count()) +
                                     " s: end this process and start it again");
}

http::Response HttpPages::Ready() const {
  const std::vector<std::string> reasons = WhyNotReady(replica_->status(), replica_->leader_hint());
  if (reasons.empty()) return http::TextResponse(200, "ready");
  std::string lines;
  for (const std::string& reason : reasons) lines += (lines.empty() ? "" : "\n") + reason;
  return http::TextResponse(503, lines);
}

http::Response HttpPages::Metrics() const {
  http::Response response;
  response.content_type = metrics::kTextFormat;
  response.body = MetricsText(figures_(), metrics::ReadProcessFigures());
  return response;
}

http::Response HttpPages::Status() const {
  v1::StatusResponse status = StatusOf(replica_->status(), info_, clock_->SteadyNow());
  // The door asks nobody who they are.
  LeaveOutClients(&status);
  return Json(status);
}

http::Response HttpPages::Events() const { return Json(EventsMessage(*events_)); }

}  // namespace cairn::server
