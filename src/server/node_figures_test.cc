#include "server/node_figures.h"

#include <gtest/gtest.h>

#include <cctype>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

namespace cairn::server {
namespace {

// The figures of a leader of three, each with a value of its own.
class Scrape {
 public:
  Scrape() {
    raft::CoreStatus& core = figures.status.core;
    core.self = MemberId(11);
    core.role = raft::Role::kLeader;
    core.term = Term(7);
    core.leader = core.self;
    core.first = LogIndex(100);
    core.last = LogIndex(205);
    core.durable = LogIndex(204);
    core.commit = LogIndex(203);
    core.applied = LogIndex(200);
    for (uint64_t node = 1; node <= 4; ++node) {
      core.config.info[MemberId(10 + node)] = {node, "node" + std::to_string(node), {}};
    }
    core.config.voters = {MemberId(11), MemberId(12), MemberId(13)};
    core.config.learners = {MemberId(14)};
    core.peers[MemberId(12)] = {raft::PeerStatus::State::kReplicate, LogIndex(203), {}, true};
    core.peers[MemberId(13)] = {raft::PeerStatus::State::kSnapshot, LogIndex(50), {}, false};
    core.peers[MemberId(13)].inflight_bytes = 4096;
    figures.now = std::chrono::seconds(100);
    figures.info = {1, "node1:50051", "0.2.0", "engine"};
    figures.is_leader = figures.has_leader = figures.ready = true;
    figures.counts = &counts;
    figures.requests = &requests;
    figures.door = &door;
    figures.connected = {{2, true}, {3, false}};
    figures.memory = {{"requests", 10, 100}, {"held_results", 20, 200}};
    figures.status.stage = transport::LifeStage::kStarted;
    figures.status.age = std::chrono::milliseconds(1500);
    figures.status.digests.scrubs = 5;
    figures.status.digests.fences = 1;
    figures.status.busy_apply = node::BusyApply{{}, std::chrono::seconds(97)};
    figures.state.sessions = 31;
    figures.state.prepared = 2;
    figures.wal_bytes = 8192;
    requests.Begin(Method::kWrite);
    requests.End(Method::kWrite, std::chrono::milliseconds(4),
                 Unavailable("").With(Outcome::kUnknown));
    requests.Begin(Method::kQuery);
    counts.log_sync.Observe(std::chrono::microseconds(300));
    counts.batch_commands.Observe(40);
    counts.Refuse(node::WriteRefusal::kDiskFull);
    counts.elections.Add(3);
    counts.free_bytes.Set(1 << 30);
    counts.snapshots_not_sent.Add(2);
    door.connections_late.Add(6);
  }

  std::string Text() const { return MetricsText(figures, metrics::ReadProcessFigures()); }

  NodeFigures figures;
  node::ReplicaCounts counts;
  RequestCounts requests;
  http::DoorCounts door;
};

TEST(NodeFigures, EachNumberIsToldUnderItsName) {
  const std::string text = "\n" + Scrape().Text();
  for (const char* line : {
           "cairn_node_info{node=\"1\",version=\"0.2.0\"} 1",
           "cairn_ready 1",
           "cairn_is_leader 1",
           "cairn_members{kind=\"voter\"} 3",
           "cairn_members{kind=\"learner\"} 1",
           "cairn_voters_needed 2",
           "cairn_voters_active 2",
           "cairn_peer_connected{peer=\"2\"} 1",
           "cairn_peer_connected{peer=\"3\"} 0",
           "cairn_peer_active{peer=\"3\"} 0",
           "cairn_peer_match_index{peer=\"2\"} 203",
           "cairn_peer_inflight_bytes{peer=\"3\"} 4096",
           "cairn_peer_awaits_snapshot{peer=\"3\"} 1",
           "cairn_term 7",
           "cairn_commit_index 203",
           "cairn_apply_lag_entries 3",
           "cairn_log_durable_index 204",
           "cairn_scrubs_total{result=\"right\"} 5",
           "cairn_fences_total 1",
           "cairn_request_seconds_bucket{method=\"write\",outcome=\"unknown\",le=\"0.005\"} 1",
           "cairn_requests_total{method=\"write\",code=\"UNAVAILABLE\"} 1",
           "cairn_requests_in_flight{method=\"query\"} 1",
           "cairn_log_sync_seconds_count 1",
           "cairn_batch_commands_bucket{le=\"64\"} 1",
           "cairn_batch_commands_bucket{le=\"32\"} 0",
           "cairn_state_age_seconds 1.5",
           "cairn_apply_busy_seconds 3",
           "cairn_memory_bytes{share=\"held_results\"} 20",
           "cairn_memory_limit_bytes{share=\"requests\"} 100",
           "cairn_disk_free_bytes 1073741824",
           "cairn_wal_bytes 8192",
           "cairn_sessions 31",
           "cairn_prepared_transactions 2",
           "cairn_refused_writes_total{reason=\"disk_full\"} 1",
           "cairn_refused_writes_total{reason=\"not_leader\"} 0",
           "cairn_elections_total 3",
           "cairn_snapshots_sent_total{result=\"failed\"} 2",
           "cairn_http_connections_ended_total{reason=\"late\"} 6",
       }) {
    EXPECT_NE(text.find("\n" + std::string(line) + "\n"), std::string::npos) << line;
  }
}

TEST(NodeFigures, AFollowerTellsNothingThatTheLeaderAloneKnows) {
  Scrape scrape;
  scrape.figures.is_leader = false;
  const std::string text = scrape.Text();
  for (const char* name : {"cairn_voters_active ", "cairn_peer_active", "cairn_peer_match_index"}) {
    EXPECT_EQ(text.find(name), std::string::npos) << name;
  }
}

TEST(NodeFigures, TwoMembersOfOneNodeAreOneSeries) {
  Scrape scrape;
  raft::CoreStatus& core = scrape.figures.status.core;
  core.config.info[MemberId(23)] = {3, "node3", 9};
  core.peers[MemberId(23)] = {raft::PeerStatus::State::kReplicate, LogIndex(190), {}, true};
  const std::string text = scrape.Text();
  const std::string series = "\ncairn_peer_match_index{peer=\"3\"} ";
  const size_t first = text.find(series);
  ASSERT_NE(first, std::string::npos);
  EXPECT_EQ(text.find(series, first + 1), std::string::npos);
  EXPECT_NE(text.find(series + "190\n"), std::string::npos);
}

TEST(NodeFigures, NamesFollowTheConventionsOfPrometheus) {
  std::set<std::string> names;
  for (const metrics::Info& info : AllMetrics()) {
    const std::string name = info.name;
    EXPECT_TRUE(names.insert(name).second) << name;
    EXPECT_TRUE(name.rfind("cairn_", 0) == 0 || name.rfind("process_", 0) == 0) << name;
    EXPECT_EQ(name.ends_with("_total"), info.type == metrics::Type::kCounter) << name;
    for (const char c : name) EXPECT_TRUE(std::islower(c) != 0 || c == '_') << name;
    EXPECT_FALSE(std::string(info.help).empty()) << name;
    EXPECT_FALSE(std::string(info.help).ends_with('.')) << name;
  }
  EXPECT_GE(names.size(), 80u);
}

// Labels are of closed sets. The values of `version` and `share` are this program's.
TEST(NodeFigures, NoLabelTakesAClientsText) {
  const std::set<std::string> closed = {"code", "end",    "kind",   "method",   "node",  "outcome",
                                        "peer", "reason", "result", "severity", "share", "version"};
  for (const metrics::Info& info : AllMetrics()) {
    for (const char* label : info.labels) EXPECT_TRUE(closed.contains(label)) << info.name;
  }
}

TEST(NodeFigures, TheHandbookListsEachMetric) {
  std::string table;
  for (const metrics::Info& info : AllMetrics()) {
    static constexpr const char* kTypes[] = {"counter", "gauge", "histogram"};
    std::string labels;
    for (const char* label : info.labels) {
      labels += (labels.empty() ? "`" : ", `") + std::string(label) + "`";
    }
    table += "| `" + std::string(info.name) + "` | " + kTypes[static_cast<size_t>(info.type)] +
             " | " + labels + " | " + info.help + " |\n";
  }
  std::ifstream file(CAIRN_SOURCE_DIR "/docs/operations/metrics.md");
  const std::string page(std::istreambuf_iterator<char>(file), {});
  std::string rows;
  size_t begin = 0;
  while ((begin = page.find("| `", begin)) != std::string::npos) {
    const size_t end = page.find('\n', begin) + 1;
    const std::string row = page.substr(begin, end - begin);
    if (row[3] != '/') rows += row;  // the paths have a table, too
    begin = end;
  }
  EXPECT_EQ(rows, table) << "the tables of the page should hold these rows, in this order:\n"
                         << table;
}

}  // namespace
}  // namespace cairn::server
