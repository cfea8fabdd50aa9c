#include "server/http_pages.h"

#include <gtest/gtest.h>

#include <string>

#include "server/fake_replica_test_util.h"

namespace cairn::server {
namespace {

class Pages {
 public:
  http::Response Get(const std::string& path, const std::string& method = "GET") {
    http::Request request;
    request.method = method;
    request.path = path;
    return pages_.Answer(request);
  }
  FakeReplica& replica() { return replica_; }
  EventRing& events() { return events_; }

 private:
  NodeFigures Figures() {
    NodeFigures figures;
    figures.status = replica_.status();
    figures.counts = &counts_;
    figures.requests = &requests_;
    figures.door = &door_;
    return figures;
  }

  FakeReplica replica_{&SystemClock()};
  node::ReplicaCounts counts_;
  RequestCounts requests_;
  http::DoorCounts door_;
  EventRing events_;
  HttpPages pages_{&replica_,
                   &SystemClock(),
                   {1, "node1:50051", "0.2.0", "engine"},
                   [this] { return Figures(); },
                   &events_};
};

TEST(HttpPages, ANodeThatServesIsAliveAndReady) {
  Pages pages;
  pages.replica().SetAge(std::chrono::milliseconds(20));
  EXPECT_EQ(pages.Get("/livez").status, 200);
  const http::Response ready = pages.Get("/readyz");
  EXPECT_EQ(ready.status, 200) << ready.body;
  EXPECT_EQ(ready.body, "ready\n");
}

TEST(HttpPages, ANodeWithoutALeaderIsAliveAndSaysWhyItIsNotReady) {
  Pages pages;
  pages.replica().SetLeader(false, std::nullopt);
  EXPECT_EQ(pages.Get("/livez").status, 200);
  const http::Response ready = pages.Get("/readyz");
  EXPECT_EQ(ready.status, 503);
  EXPECT_NE(ready.body.find("no leader is known"), std::string::npos) << ready.body;
}

TEST(HttpPages, ANodeWhoseCoreThreadIsStuckIsNotAlive) {
  Pages pages;
  pages.replica().SetTurnedAgo(std::chrono::seconds(5));
  EXPECT_EQ(pages.Get("/livez").status, 200);
  pages.replica().SetTurnedAgo(std::chrono::seconds(75));
  const http::Response live = pages.Get("/livez");
  EXPECT_EQ(live.status, 503);
  EXPECT_NE(live.body.find("the core thread has been stuck for 75 s"), std::string::npos);
}

TEST(HttpPages, MetricsAreInTheFormatOfPrometheus) {
  Pages pages;
  const http::Response metrics = pages.Get("/metrics");
  EXPECT_EQ(metrics.status, 200);
  EXPECT_EQ(metrics.content_type, "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_NE(metrics.body.find("# TYPE cairn_commit_index gauge\n"), std::string::npos);
}

TEST(HttpPages, TheStatusIsJson) {
  Pages pages;
  const http::Response status = pages.Get("/v1/status");
  EXPECT_EQ(status.status, 200);
  EXPECT_EQ(status.content_type, "application/json");
  EXPECT_NE(status.body.find("\"node_id\":\"1\""), std::string::npos) << status.body;
  EXPECT_NE(status.body.find("\"fenced\":false"), std::string::npos) << status.body;
}

TEST(HttpPages, TheEventsAreJson) {
  Pages pages;
  EXPECT_EQ(pages.Get("/v1/events").body, "{\"events\":[]}\n");
  pages.events().Look({{"disk_low", "", EventSeverity::kWarning, "little is free", "free some"}},
                      SteadyTime(0), 1000);
  const http::Response events = pages.Get("/v1/events");
  EXPECT_EQ(events.content_type, "application/json");
  EXPECT_NE(events.body.find("\"kind\":\"disk_low\""), std::string::npos) << events.body;
  EXPECT_NE(events.body.find("\"severity\":\"EVENT_SEVERITY_WARNING\""), std::string::npos);
  EXPECT_NE(events.body.find("\"active\":true"), std::string::npos) << events.body;
}

TEST(HttpPages, OtherPathsAndMethodsAreToldWhatThereIs) {
  Pages pages;
  const http::Response missing = pages.Get("/v1/statistics");
  EXPECT_EQ(missing.status, 404);
  EXPECT_NE(missing.body.find("/v1/status"), std::string::npos);
  EXPECT_EQ(missing.body.find("statistics"), std::string::npos) << "what was asked is not repeated";
  const http::Response refused = pages.Get("/metrics", "POST");
  EXPECT_EQ(refused.status, 405);
  EXPECT_EQ(refused.allow, "GET, HEAD");
  EXPECT_EQ(pages.Get("/metrics", "HEAD").status, 200);
  EXPECT_EQ(pages.Get("/", "GET").status, 200);
}

}  // namespace
}  // namespace cairn::server
