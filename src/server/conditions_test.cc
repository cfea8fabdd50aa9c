#include "server/conditions.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <set>

namespace cairn::server {
namespace {

using std::chrono::seconds;

// A sound node, whose figures a test makes worse.
class ConditionsTest : public testing::Test {
 protected:
  ConditionsTest() {
    NodeFigures& f = watched_.figures;
    f.counts = &counts_;
    f.status.stage = transport::LifeStage::kStarted;
    f.status.level = f.status.level_max = 3;
    f.has_leader = true;
    f.connected = {{2, true}, {3, true}};
    f.memory = {{"requests", 10, 100}};
    f.free_bytes_min = 64 << 20;
    counts_.free_bytes.Set(10ull << 30);
    watched_.wall_s = 1'800'000'000;
  }
  // "kind/subject/severity" of each condition.
  std::multiset<std::string> Found() {
    std::multiset<std::string> found;
    for (const Condition& condition : ConditionsOf(watched_)) {
      EXPECT_FALSE(condition.text.empty()) << condition.kind;
      EXPECT_FALSE(condition.advice.empty()) << condition.kind;
      found.insert(condition.kind + "/" + condition.subject + "/" +
                   SeverityName(condition.severity));
    }
    return found;
  }
  using Set = std::multiset<std::string>;

  node::ReplicaCounts counts_;
  Watched watched_;
};

TEST_F(ConditionsTest, ASoundNodeHasNone) { EXPECT_EQ(Found(), Set()); }

TEST_F(ConditionsTest, ADiskIsToldBeforeWritesAreRefused) {
  counts_.free_bytes.Set(500 << 20);
  EXPECT_EQ(Found(), Set{"disk_low//warning"});
  counts_.free_bytes.Set(10 << 20);
  EXPECT_EQ(Found(), Set{"disk_low//critical"});
  counts_.free_bytes.Set(0);  // nobody has looked yet
  EXPECT_EQ(Found(), Set());
}

TEST_F(ConditionsTest, MemoryIsToldByItsShare) {
  watched_.figures.memory = {{"requests", 80, 100}, {"results", 79, 100}, {"none", 0, 0}};
  EXPECT_EQ(Found(), Set{"memory_high/requests/warning"});
}

TEST_F(ConditionsTest, ACertificateIsToldAMonthAhead) {
  constexpr int64_t kDay = 86'400;
  watched_.figures.certificate_expires_s = watched_.wall_s + 40 * kDay;
  EXPECT_EQ(Found(), Set());
  watched_.figures.certificate_expires_s = watched_.wall_s + 20 * kDay;
  EXPECT_EQ(Found(), Set{"certificate_expires//warning"});
  watched_.figures.certificate_expires_s = watched_.wall_s - kDay;
  EXPECT_EQ(Found(), Set{"certificate_expires//critical"});
  // A clock that was never set says 1970; the replicated time knows better.
  watched_.figures.status.wall_ms = watched_.wall_s * 1000;
  watched_.wall_s = 0;
  EXPECT_EQ(Found(), Set{"certificate_expires//critical"});
}

// The private key of a renewed certificate was readable by root alone. The node went on, and the next
// upgrade did not start.
TEST_F(ConditionsTest, TlsFilesThatDoNotCountAreTold) {
  watched_.figures.tls_refusal = "tls.key: Permission denied";
  EXPECT_EQ(Found(), Set{"tls_files_refused//warning"});
}

TEST_F(ConditionsTest, TheClusterIsTold) {
  watched_.figures.connected[3] = false;
  watched_.figures.status.level = 2;
  watched_.figures.has_leader = false;
  EXPECT_EQ(Found(),
            (Set{"member_away/node 3/warning", "level_not_raised//note", "no_leader//critical"}));
}

TEST_F(ConditionsTest, ANodeThatTakesNoPartIsTold) {
  watched_.figures.status.stage = transport::LifeStage::kEmpty;
  watched_.figures.status.waiting_for = "node 2 does not answer";
  watched_.figures.has_leader = false;
  EXPECT_EQ(Found(), Set{"not_started//critical"});
}

TEST_F(ConditionsTest, TheNodeIsTold) {
  watched_.turned_ago = seconds(20);
  watched_.figures.status.trouble = Unavailable("disk I/O error");
  watched_.figures.status.clock_doubt = true;
  watched_.figures.status.digests.doubt = "members differ";
  watched_.figures.status.busy_apply = node::BusyApply{};
  EXPECT_EQ(Found(), (Set{"core_stuck//critical", "in_trouble//warning", "clock_behind//warning",
                          "in_doubt//warning", "apply_busy//warning"}));
  watched_.figures.status.fenced = true;
  EXPECT_TRUE(Found().contains("fenced//critical"));
}

TEST_F(ConditionsTest, ABackupThatFailedIsToldUntilOneIsGood) {
  watched_.backups.failure = "what was read back differs";
  EXPECT_EQ(Found(), Set{"backup_failed//warning"});
  watched_.backups.failure.clear();
  EXPECT_EQ(Found(), Set());
}

TEST_F(ConditionsTest, WhatAClientSentIsNotRepeated) {
  watched_.figures.status.busy_apply = node::BusyApply{};
  watched_.figures.status.busy_apply->command.statement = "INSERT INTO patients VALUES ('Ann')";
  for (const Condition& condition : ConditionsOf(watched_)) {
    EXPECT_EQ(condition.text.find("Ann"), std::string::npos);
  }
}

// The runbook has each part that an advice names, and the page of events each kind.
TEST_F(ConditionsTest, ThePagesHaveEachKindAndEachPart) {
  const auto read = [](const std::string& name) {
    std::ifstream file(std::string(CAIRN_SOURCE_DIR) + "/docs/operations/" + name);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const std::string events = read("events.md");
  const std::string runbook = read("runbook.md");
  counts_.free_bytes.Set(1);
  watched_.figures.memory = {{"requests", 100, 100}};
  watched_.figures.certificate_expires_s = 1;
  watched_.backups.failure = "x";
  for (const bool fenced : {false, true}) {
    watched_.figures.status.fenced = fenced;
    watched_.turned_ago = seconds(20);
    watched_.figures.status.trouble = Unavailable("x");
    watched_.figures.status.clock_doubt = true;
    watched_.figures.status.digests.doubt = "x";
    watched_.figures.status.busy_apply = node::BusyApply{};
    watched_.figures.connected[3] = false;
    watched_.figures.status.level = 2;
    watched_.figures.has_leader = false;
    for (const Condition& condition : ConditionsOf(watched_)) {
      EXPECT_NE(events.find("| `" + condition.kind + "` |"), std::string::npos) << condition.kind;
      const size_t from = condition.advice.rfind('(');
      ASSERT_NE(from, std::string::npos) << condition.advice;
      const std::string part =
          condition.advice.substr(from + 1, condition.advice.size() - from - 2);
      EXPECT_NE(runbook.find("## " + part + "\n"), std::string::npos) << part;
    }
  }
}

}  // namespace
}  // namespace cairn::server
