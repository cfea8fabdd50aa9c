// The invariants detect what they are for: a status, a step or an output that is wrong in one way.
#include "raft/invariants.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "raft/cluster_test_util.h"

namespace cairn::raft {
namespace {

CoreStatus Follower(uint64_t self = 1) {
  CoreStatus s;
  s.self = MemberId(self);
  s.role = Role::kFollower;
  s.term = Term(3);
  s.vote = MemberId(2);
  s.leader = MemberId(2);
  s.config = MakeConfig({1, 2, 3});
  s.first = LogIndex(1);
  s.last = s.durable = LogIndex(9);
  s.commit = s.applied = LogIndex(5);
  s.config_index = LogIndex(1);
  return s;
}

CoreStatus Leader(uint64_t self = 1) {
  CoreStatus s = Follower(self);
  s.role = Role::kLeader;
  s.vote = s.leader = s.self;
  s.peers[MemberId(self == 2 ? 1 : 2)] = {PeerStatus::State::kReplicate, LogIndex(8), LogIndex(10)};
  return s;
}

struct Wrong {
  const char* breach;
  std::function<void(CoreStatus*)> change;
};

TEST(Invariants, SeeAStatusThatIsWrong) {
  EXPECT_EQ(CheckStatus(Follower()), std::nullopt);
  EXPECT_EQ(CheckStatus(Leader()), std::nullopt);
  const std::vector<Wrong> of_a_leader = {
      {"> last", [](CoreStatus* s) { s->commit = LogIndex(10); }},
      {"> commit", [](CoreStatus* s) { s->applied = LogIndex(6); }},
      {"begins after what is applied", [](CoreStatus* s) { s->first = LogIndex(7); }},
      {"durable", [](CoreStatus* s) { s->durable = LogIndex(10); }},
      {"not committed", [](CoreStatus* s) { s->config_index = LogIndex(6); }},
      {"without its own vote", [](CoreStatus* s) { s->vote = MemberId(3); }},
      {"without being a voter",
       [](CoreStatus* s) {
         s->config = MakeConfig({2, 3}, {1});
       }},
      {"role and leader disagree", [](CoreStatus* s) { s->leader = MemberId(2); }},
      {"match >= next", [](CoreStatus* s) { s->peers.begin()->second.match = LogIndex(10); }},
      {"matches past the end",
       [](CoreStatus* s) {
         s->peers.begin()->second = {PeerStatus::State::kReplicate, LogIndex(11), LogIndex(12)};
       }},
  };
  for (const Wrong& each : of_a_leader) {
    CoreStatus status = Leader();
    each.change(&status);
    const auto breach = CheckStatus(status);
    ASSERT_TRUE(breach.has_value()) << each.breach;
    EXPECT_NE(breach->find(each.breach), std::string::npos) << *breach;
  }
  CoreStatus ready = Follower();
  ready.leader_ready = true;
  EXPECT_TRUE(CheckStatus(ready).has_value());
}

TEST(Invariants, SeeAStepThatGoesBack) {
  EXPECT_EQ(CheckDelta(Follower(), Follower()), std::nullopt);
  const std::vector<Wrong> wrongs = {
      {"the term fell", [](CoreStatus* s) { s->term = Term(2); }},
      {"the commit index fell", [](CoreStatus* s) { s->commit = LogIndex(4); }},
      {"the applied index fell", [](CoreStatus* s) { s->applied = LogIndex(4); }},
      {"grew at its beginning", [](CoreStatus* s) { s->first = LogIndex(0); }},
      {"an older configuration", [](CoreStatus* s) { s->config_index = LogIndex(0); }},
      {"", [](CoreStatus* s) { s->vote = MemberId(3); }},
      {"", [](CoreStatus* s) { s->leader = MemberId(3); }},
  };
  for (const Wrong& each : wrongs) {
    CoreStatus after = Follower();
    each.change(&after);
    const auto breach = CheckDelta(Follower(), after);
    ASSERT_TRUE(breach.has_value()) << each.breach;
    EXPECT_NE(breach->find(each.breach), std::string::npos) << *breach;
  }
  CoreStatus shorter = Leader();
  shorter.last = LogIndex(8);
  EXPECT_TRUE(CheckDelta(Leader(), shorter).has_value()) << "a leader never cuts its log";
}

Entry NoopAt(uint64_t index, uint64_t term, const std::string& payload = "") {
  return {Term(term), LogIndex(index), EntryType::kNormal, MakePayload(payload)};
}

// One group of three whose nodes hold entries 1 to 5 of term 1 and have committed `commit` of them.
class ClusterBreach : public ::testing::Test {
 protected:
  CoreStatus Start(uint64_t self, uint64_t commit = 3) {
    InitialState initial;
    initial.hard_state = {Term(1), MemberId(), LogIndex(commit)};
    for (uint64_t i = 1; i <= 5; ++i) initial.log.push_back(NoopAt(i, 1));
    initial.applied = LogIndex(commit);
    initial.config = MakeConfig({1, 2, 3});
    CoreStatus s = Follower(self);
    s.term = Term(1);
    s.vote = s.leader = MemberId();
    s.last = s.durable = LogIndex(5);
    s.commit = s.applied = LogIndex(commit);
    s.config_index = LogIndex(0);
    EXPECT_EQ(invariants_.OnStart(initial, s), std::nullopt);
    return s;
  }
  // An output in term 2 whose one persist is `persist`.
  std::optional<std::string> Write(CoreStatus status, Persist persist, uint64_t last) {
    status.term = Term(2);
    status.last = LogIndex(last);
    status.durable = std::min(status.durable, status.last);
    persist.ticket.last = LogIndex(last);
    Output output;
    output.persists.push_back(std::move(persist));
    return invariants_.OnOutput(output, status);
  }
  static void Expect(const std::optional<std::string>& breach, const std::string& words) {
    ASSERT_TRUE(breach.has_value()) << words;
    EXPECT_NE(breach->find(words), std::string::npos) << *breach;
  }
  ClusterInvariants invariants_;
};

TEST_F(ClusterBreach, AHole) {
  Persist persist;
  persist.entries.push_back(NoopAt(7, 2));
  Expect(Write(Start(1), persist, 7), "hole before entry 7");
}

TEST_F(ClusterBreach, TermsThatFall) {
  Persist persist;
  persist.entries.push_back(NoopAt(6, 0));
  Expect(Write(Start(1), persist, 6), "terms fall at 6");
}

TEST_F(ClusterBreach, ACommittedEntryIsCut) {
  Persist persist;
  persist.truncate_from = LogIndex(3);
  Expect(Write(Start(1), persist, 2), "");
}

TEST_F(ClusterBreach, ACutPastTheEnd) {
  Persist persist;
  persist.truncate_from = LogIndex(8);
  Expect(Write(Start(1), persist, 7), "cuts past the end");
}

TEST_F(ClusterBreach, AHardStateThatGoesBack) {
  Persist persist;
  persist.hard_state = HardState{Term(0), MemberId(), LogIndex(3)};
  Expect(Write(Start(1), persist, 5), "hard state went back");
}

TEST_F(ClusterBreach, ASecondVoteInATerm) {
  const CoreStatus status = Start(1);
  Persist first;
  first.hard_state = HardState{Term(2), MemberId(2), LogIndex(3)};
  CoreStatus voted = status;
  voted.vote = MemberId(2);
  EXPECT_EQ(Write(voted, first, 5), std::nullopt);
  Persist second;
  second.hard_state = HardState{Term(2), MemberId(3), LogIndex(3)};
  voted.vote = MemberId(3);
  EXPECT_TRUE(Write(voted, second, 5).has_value());
}

TEST_F(ClusterBreach, ATicketThatDisagreesWithItsBatch) {
  Persist persist;
  persist.entries.push_back(NoopAt(6, 2));
  Expect(Write(Start(1), persist, 9), "ticket and batch disagree");
}

TEST_F(ClusterBreach, OneEntryWithTwoContents) {
  Persist one;
  one.entries.push_back(NoopAt(6, 2, "this"));
  EXPECT_EQ(Write(Start(1), one, 6), std::nullopt);
  Persist other;
  other.entries.push_back(NoopAt(6, 2, "that"));
  EXPECT_TRUE(Write(Start(2), other, 6).has_value());
}

TEST_F(ClusterBreach, TwoLeadersOfATerm) {
  const auto lead = [&](uint64_t self) {
    CoreStatus s = Start(self);
    s.role = Role::kLeader;
    s.term = Term(2);
    s.vote = s.leader = s.self;
    Output output;
    return invariants_.OnOutput(output, s);
  };
  EXPECT_EQ(lead(1), std::nullopt);
  Expect(lead(2), "leads this term too");
}

class LeaderBreach : public ClusterBreach {
 protected:
  LeaderBreach() {
    status_ = Start(1);
    status_.role = Role::kLeader;
    status_.term = Term(2);
    status_.vote = status_.leader = status_.self;
    status_.last = LogIndex(6);
    Persist first;
    first.entries.push_back(NoopAt(6, 2));
    EXPECT_EQ(Write(status_, first, 6), std::nullopt);
  }
  std::optional<std::string> Commit(uint64_t index) {
    status_.commit = LogIndex(index);
    return invariants_.OnOutput(Output(), status_);
  }
  CoreStatus status_;
};

TEST_F(LeaderBreach, AnEntryOfAnEarlierTermIsCommittedByCount) {
  Expect(Commit(5), "commits entry 5 of term 1 by count");
}

TEST_F(LeaderBreach, OneOfItsOwnTermCommitsThoseBeforeIt) { EXPECT_EQ(Commit(6), std::nullopt); }

// Entry 6 of term 2 is committed in term 4. A leader of term 3 may lack the entry, even if slow
// votes make it leader only after that. A leader of term 5 must hold the entry.
TEST_F(LeaderBreach, AnEntryIsMissedByLeadersAfterTheTermItWasCommittedIn) {
  status_.term = Term(4);
  status_.last = LogIndex(7);
  Output output;
  Persist persist;
  persist.entries.push_back(NoopAt(7, 4));
  persist.ticket.last = LogIndex(7);
  output.persists.push_back(std::move(persist));
  ASSERT_EQ(invariants_.OnOutput(output, status_), std::nullopt);
  ASSERT_EQ(Commit(7), std::nullopt);
  const auto lead = [&](uint64_t self, uint64_t term) {
    CoreStatus s = Start(self);
    s.role = Role::kLeader;
    s.term = Term(term);
    s.vote = s.leader = s.self;
    return invariants_.OnOutput(Output(), s);
  };
  EXPECT_EQ(lead(2, 3), std::nullopt);
  Expect(lead(3, 5), "elected without the committed entry 6");
}

TEST_F(LeaderBreach, TwoChangesOfMembershipAtOnce) {
  const auto change = [&](uint64_t index) {
    Persist persist;
    persist.entries.push_back(NoopAt(index, 2));
    persist.entries.back().type = EntryType::kConfig;
    return Write(status_, persist, index);
  };
  EXPECT_EQ(change(7), std::nullopt);
  Expect(change(8), "two changes of membership at once, in entries 7 and 8");
}

TEST_F(ClusterBreach, HandedOutOfOrderOrBeforeItIsSafe) {
  const CoreStatus status = Start(1);
  const auto hand = [&](uint64_t index, uint64_t commit, uint64_t durable) {
    CoreStatus s = status;
    s.commit = LogIndex(commit);
    s.durable = LogIndex(durable);
    Output output;
    output.committed.emplace();
    output.committed->entries.push_back(NoopAt(index, 1));
    return invariants_.OnOutput(output, s);
  };
  Expect(hand(5, 5, 5), "handed out of order");
  ClusterBreach::invariants_ = ClusterInvariants();
  Start(1);
  Expect(hand(4, 5, 3), "handed out what may be lost");
}

}  // namespace
}  // namespace cairn::raft
