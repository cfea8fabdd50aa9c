#include "server/operations.h"

#include <gtest/gtest.h>

#include <set>

#include "server/fake_replica_test_util.h"
#include "server/operations_service.h"

namespace cairn::server {
namespace {

class OperationsTest : public testing::Test {
 protected:
  OperationsTest() {
    watched_.figures.counts = &counts_;
    watched_.figures.requests = &requests_;
    watched_.figures.door = &door_;
    watched_.figures.has_leader = true;
  }

  node::ReplicaCounts counts_;
  RequestCounts requests_;
  http::DoorCounts door_;
  Watched watched_;
  Operations operations_{&SystemClock(), [this] { return watched_; }};
};

TEST_F(OperationsTest, ABackupThatFailsIsAnEventUntilOneIsGood) {
  operations_.NoteBackup("what was read back differs", "/backups/a.db");
  operations_.Look();
  std::vector<NodeEvent> events = operations_.events().Events();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].kind, "backup_failed");
  EXPECT_NE(events[0].text.find("/backups/a.db"), std::string::npos);
  operations_.NoteBackup("", "/backups/b.db");
  operations_.Look();
  events = operations_.events().Events();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_FALSE(events[0].active);
  EXPECT_EQ(operations_.backups().verified, 1u);
  EXPECT_EQ(operations_.backups().failed, 1u);
  EXPECT_GT(operations_.backups().last_verified_s, 0);
}

TEST_F(OperationsTest, WhatAClientTellsIsBounded) {
  operations_.NoteBackup(std::string(100'000, 'x'), std::string(100'000, 'y'));
  EXPECT_EQ(operations_.backups().failure.size(), Operations::kTextBytesMax);
  EXPECT_EQ(operations_.backups().place.size(), Operations::kTextBytesMax);
}

TEST_F(OperationsTest, StartedItLooksByItselfUntilItIsStopped) {
  std::atomic<int> looks{0};
  Operations operations(&SystemClock(), [&] {
    ++looks;
    return watched_;
  });
  EXPECT_FALSE(operations.started());
  operations.Start();
  operations.Stop();
  const int until_stop = looks;
  EXPECT_GE(until_stop, 1);
  operations.Stop();
  EXPECT_EQ(looks, until_stop);
}

TEST_F(OperationsTest, ADiagnosisHoldsNothingThatAClientSent) {
  FakeReplica replica(&SystemClock());
  const v1::DiagnoseResponse told = Diagnose({&operations_,
                                              &replica,
                                              &SystemClock(),
                                              {1, "node1:50051", "0.2.0", "engine"},
                                              "port = 1\n",
                                              [this] { return watched_.figures; }});
  std::set<std::string> names;
  for (const v1::DiagnosticFile& file : told.files()) {
    names.insert(file.name());
    if (file.name() == "settings.toml") EXPECT_EQ(file.contents(), "port = 1\n");
    if (file.name() == "versions.txt") EXPECT_EQ(file.contents().find("cairn 0.2.0\n"), 0u);
  }
  EXPECT_EQ(names, (std::set<std::string>{"versions.txt", "settings.toml", "status.json",
                                          "health.txt", "events.json", "metrics.txt", "log.txt"}));
}

TEST(WithoutStatement, CutsOffWhatTheLogRepeats) {
  EXPECT_EQ(
      WithoutStatement("t [node 1] apply is busy for 1.0 s with command 1 of entry 5, of "
                       "session 'abc', number 7: INSERT INTO p VALUES ('Ann,\n of session')\n"),
      "t [node 1] apply is busy for 1.0 s with command 1 of entry 5 (what the client sent is "
      "left out)\n");
  EXPECT_EQ(WithoutStatement("t [node 1] became leader, of session\n"),
            "t [node 1] became leader, of session\n");
}

}  // namespace
}  // namespace cairn::server
