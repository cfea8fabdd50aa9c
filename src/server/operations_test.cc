#include "server/operations.h"

#include <gtest/gtest.h>

#include <set>

#include "base/log.h"
#include "base/log_control.h"
#include "node/busy_watch.h"
#include "server/cluster_status.h"
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

// A newline made a line of its own in the log, and half a character made the event unreadable.
TEST_F(OperationsTest, WhatAClientTellsIsOneLineOfWholeCharacters) {
  operations_.NoteBackup("a\nb\x7F", std::string(1023, 'x') + "\u00e4");
  EXPECT_EQ(operations_.backups().failure, "a b ");
  EXPECT_EQ(operations_.backups().place, std::string(1023, 'x'));
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
    if (file.name() == "settings.toml") {
      EXPECT_EQ(file.contents(), "port = 1\n");
    }
    if (file.name() == "versions.txt") {
      EXPECT_TRUE(file.contents().starts_with("cairn 0.2.0\n"));
    }
  }
  EXPECT_EQ(names, (std::set<std::string>{"versions.txt", "settings.toml", "status.json",
                                          "health.txt", "events.json", "metrics.txt", "log.txt"}));
}

// The words of the line changed once, and the statement was in every bundle: so this is the real line.
TEST(WithoutStatement, CutsOffWhatTheLogRepeats) {
  const auto former = spdlog::default_logger();
  ASSERT_TRUE(InitLog("node 1", "info"));
  node::BusyWatch watch;
  state_machine::ApplyingCommand command;
  command.principal = "principal:ann";
  command.id.session = "session-of-ann";
  command.statement = "INSERT INTO patients VALUES ('Ann')\n; of session ";
  watch.Look(command, std::chrono::seconds(0));
  ASSERT_TRUE(watch.Look(command, std::chrono::seconds(2)));
  const std::vector<std::string> log = RecentLog();
  spdlog::set_default_logger(former);
  ASSERT_EQ(log.size(), 1u);
  EXPECT_NE(log[0].find("patients"), std::string::npos) << "the log has it";
  const std::string told = WithoutStatement(log[0]);
  EXPECT_TRUE(told.ends_with("apply is busy (what a client sent is left out)\n")) << told;
  for (const char* secret : {"patients", "Ann", "ann"}) {
    EXPECT_EQ(told.find(secret), std::string::npos) << told;
  }
  EXPECT_EQ(WithoutStatement("became leader\n"), "became leader\n");
}

TEST(LeaveOutClients, TakesAllThatNamesOne) {
  v1::StatusResponse status;
  status.mutable_busy_apply()->set_statement("INSERT");
  status.mutable_busy_apply()->set_session("s");
  status.mutable_busy_apply()->set_principal("principal:ann");
  status.mutable_busy_apply()->set_for_ms(5);
  LeaveOutClients(&status);
  v1::BusyApply want;
  want.set_for_ms(5);
  EXPECT_EQ(status.busy_apply().SerializeAsString(), want.SerializeAsString());
}

}  // namespace
}  // namespace cairn::server
