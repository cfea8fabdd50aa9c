#include "node/callers.h"

#include <gtest/gtest.h>

#include <chrono>

namespace cairn::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Member 3, as its process introduces itself. Start N has the nonce 10 N, except for the last
// start.
transport::Identity Process(uint64_t count, uint64_t nonce, const std::string& address = "a:1") {
  transport::Identity identity;
  identity.member = MemberId(3);
  identity.address = address;
  for (uint64_t i = 1; i < count; ++i) identity.start.earlier.push_back({i, 10 * i});
  identity.start.boot = {count, nonce};
  return identity;
}

raft::Configuration Recording(const raft::Boot& boot) {
  raft::Configuration config;
  config.voters = {MemberId(1), MemberId(2), MemberId(3)};
  for (uint64_t id = 1; id <= 3; ++id) config.info[MemberId(id)] = {id, "", id};
  config.info[MemberId(3)].boot = boot;
  config.next_member_id = 4;
  return config;
}

class CallersTest : public testing::Test {
 protected:
  StatusCode Admit(const transport::Identity& caller, SteadyTime now = seconds(1)) {
    return callers_.Admit(caller, now).code();
  }
  Callers callers_{milliseconds(300)};
};

TEST_F(CallersTest, TheNextStartTakesThePlaceOfTheOneBefore) {
  EXPECT_EQ(Admit(Process(1, 10)), StatusCode::kOk);
  EXPECT_TRUE(callers_.Counts(MemberId(3), {1, 10}));
  callers_.Leave(Process(1, 10), seconds(0));
  EXPECT_EQ(Admit(Process(2, 20, "b:2"), milliseconds(300)), StatusCode::kAborted)
      << "the connection may only have broken";
  EXPECT_EQ(Admit(Process(2, 20, "b:2")), StatusCode::kOk);
  EXPECT_FALSE(callers_.Counts(MemberId(3), {1, 10}));
  EXPECT_TRUE(callers_.Counts(MemberId(3), {2, 20}));
  EXPECT_EQ(callers_.known().at(MemberId(3)).address, "b:2");
  // The process before it is refused now.
  EXPECT_EQ(Admit(Process(1, 10)), StatusCode::kAlreadyExists);
}

TEST_F(CallersTest, OfTwoProcessesFromOneCopyOnlyTheFirstIsAdmittedHoweverOftenTheOtherStarts) {
  EXPECT_EQ(Admit(Process(5, 50)), StatusCode::kOk);
  callers_.Leave(Process(5, 50), seconds(0));
  EXPECT_EQ(Admit(Process(5, 51)), StatusCode::kAborted);
  transport::Identity again = Process(7, 71);
  again.start.earlier[4] = {5, 51};
  again.start.earlier[5] = {6, 61};
  EXPECT_EQ(Admit(again, seconds(100)), StatusCode::kAborted);
  EXPECT_EQ(Admit(Process(6, 60)), StatusCode::kOk);
  callers_.OnLogged(Recording({6, 60}));
  EXPECT_EQ(Admit(again, seconds(100)), StatusCode::kAlreadyExists);
}

// The bad schedule: a copy that was started more often than the member reaches this node first. The
// member, of which this node knows nothing, leaves for good because this node says so.
TEST_F(CallersTest, WhatNoLogRecordsProvesNobodyACopy) {
  transport::Identity copy = Process(7, 71, "b:2");
  copy.start.earlier[4] = {5, 51};
  copy.start.earlier[5] = {6, 61};
  EXPECT_EQ(Admit(copy), StatusCode::kOk);
  EXPECT_EQ(Admit(Process(6, 60)), StatusCode::kAborted);
  EXPECT_EQ(Admit(Process(6, 60), seconds(100)), StatusCode::kAborted)
      << "the copy has spoken here";
  // Another voter heard the member, and a leader has recorded it.
  callers_.OnLogged(Recording({6, 60}));
  EXPECT_FALSE(callers_.Counts(MemberId(3), {7, 71}));
  EXPECT_EQ(Admit(Process(6, 60), seconds(100)), StatusCode::kOk);
  EXPECT_EQ(Admit(copy, seconds(100)), StatusCode::kAlreadyExists);
}

TEST_F(CallersTest, ACopyWaitsWhileTheOriginalRuns) {
  callers_.OnConfig(Recording({5, 50}));
  EXPECT_EQ(Admit(Process(5, 50)), StatusCode::kOk);
  // The copy was taken while the original ran, so the copy knows that start.
  const transport::Identity copy = Process(6, 60, "b:2");
  EXPECT_EQ(Admit(copy, seconds(1)), StatusCode::kAborted);
  EXPECT_FALSE(callers_.MayReach(MemberId(3), {6, 60}));
  EXPECT_TRUE(callers_.OnMessage(MemberId(3), {5, 50}, seconds(5)));
  EXPECT_FALSE(callers_.OnMessage(MemberId(3), {6, 60}, seconds(5)));
  EXPECT_EQ(Admit(copy, seconds(5)), StatusCode::kAborted);
  EXPECT_TRUE(callers_.Counts(MemberId(3), {5, 50}));
  // The original was silent for longer than two election timeouts, where it should have spoken.
  EXPECT_EQ(Admit(copy, seconds(6)), StatusCode::kOk);
  EXPECT_TRUE(callers_.MayReach(MemberId(3), {6, 60}));
  EXPECT_EQ(Admit(Process(5, 50), seconds(6)), StatusCode::kAlreadyExists);
}

// The bad schedule: a follower has heard nothing from another follower, which is as it should be.
// It takes the other for gone, and admits a copy of it, which the leader refuses.
TEST_F(CallersTest, SilenceBetweenFollowersProvesNothing) {
  callers_.OnRole(/*all_speak=*/false);
  EXPECT_EQ(Admit(Process(5, 50)), StatusCode::kOk);
  EXPECT_EQ(Admit(Process(6, 60), seconds(10)), StatusCode::kAborted);
  // If the leader knows better, the configuration says so.
  callers_.OnConfig(Recording({6, 60}));
  EXPECT_EQ(Admit(Process(6, 60), seconds(10)), StatusCode::kOk);
}

TEST_F(CallersTest, WhatTheConfigurationRecordsCounts) {
  EXPECT_EQ(Admit(Process(5, 50)), StatusCode::kOk);
  callers_.OnConfig(Recording({7, 70}));
  EXPECT_FALSE(callers_.Counts(MemberId(3), {5, 50}));
  EXPECT_TRUE(callers_.Counts(MemberId(3), {7, 70}));
  EXPECT_TRUE(callers_.known().empty());
  // A directory that was set back to the sixth start, and was started twice since.
  transport::Identity set_back = Process(8, 80);
  set_back.start.earlier[6] = {7, 71};
  EXPECT_EQ(Admit(set_back), StatusCode::kAlreadyExists);
  EXPECT_EQ(Admit(Process(8, 80)), StatusCode::kOk);
}

// The bad schedule: a voter that restarted has not applied the entry yet. It counts a process from
// before that start, and elects with that process's vote a leader that lacks what the member
// acknowledged.
TEST_F(CallersTest, WhatIsLoggedAndNotYetCommittedIsKnownToo) {
  callers_.OnConfig(Recording({5, 50}));
  callers_.OnLogged(Recording({7, 70}));
  transport::Identity set_back = Process(6, 61);
  EXPECT_EQ(Admit(set_back), StatusCode::kAlreadyExists);
  // An older configuration that is applied meanwhile takes nothing back.
  callers_.OnConfig(Recording({6, 60}));
  EXPECT_EQ(Admit(set_back), StatusCode::kAlreadyExists);
  EXPECT_EQ(Admit(Process(7, 70)), StatusCode::kOk);
}

TEST_F(CallersTest, ALogThatEndsBeforeWhatWasAcknowledgedWasSetBack) {
  EXPECT_EQ(Admit(Process(5, 50)), StatusCode::kOk);
  callers_.Leave(Process(5, 50), seconds(0));
  callers_.OnAcknowledged(Term(4), {{MemberId(3), LogIndex(100)}});
  transport::Identity next = Process(6, 60);
  next.start.term = Term(4);
  next.start.last = LogIndex(99);
  EXPECT_EQ(Admit(next), StatusCode::kAlreadyExists);
  next.start.last = LogIndex(100);
  EXPECT_EQ(Admit(next), StatusCode::kOk);
}

// A leader of a later term may have cut the log.
TEST_F(CallersTest, ALogOfALaterTermMayBeShorter) {
  EXPECT_EQ(Admit(Process(5, 50)), StatusCode::kOk);
  callers_.Leave(Process(5, 50), seconds(0));
  callers_.OnAcknowledged(Term(4), {{MemberId(3), LogIndex(100)}});
  transport::Identity next = Process(6, 60);
  next.start.term = Term(5);
  next.start.last = LogIndex(99);
  EXPECT_EQ(Admit(next), StatusCode::kOk);
}

TEST_F(CallersTest, AStartBeforeAllThatTheDirectoryRemembersIsNotHeldAgainstIt) {
  callers_.OnConfig(Recording({2, 20}));
  transport::Identity later = Process(90, 900);
  later.start.earlier.erase(later.start.earlier.begin(), later.start.earlier.begin() + 60);
  EXPECT_EQ(Admit(later), StatusCode::kOk);
}

TEST_F(CallersTest, MembersOfVersion01HaveNoStartsOnRecord) {
  callers_.OnConfig(Recording({0, 0}));
  EXPECT_EQ(Admit(Process(1, 10)), StatusCode::kOk);
  EXPECT_TRUE(callers_.Counts(MemberId(3), {1, 10}));
}

TEST_F(CallersTest, KeepsFewOfThoseThatNoConfigurationNames) {
  callers_.OnConfig(Recording({0, 0}));
  for (uint64_t id = 4; id < 100; ++id) {
    transport::Identity caller = Process(1, 10);
    caller.member = MemberId(id);
    EXPECT_EQ(Admit(caller), StatusCode::kOk);
  }
  EXPECT_EQ(callers_.known().size(), 16u);
}

}  // namespace
}  // namespace cairn::node
