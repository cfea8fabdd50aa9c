// How old a stale read may be: one core, whose peers the test plays.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "node/replica_core.h"
#include "raft/configuration_codec.h"

namespace cairn::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// The disk and the state machine do at once what they are told. Messages are kept.
class PromptEffects final : public ReplicaEffects {
 public:
  void PersistLog(std::vector<raft::Persist> batches) override {
    for (raft::Persist& p : batches) persists.push_back(std::move(p));
  }
  void FetchLog(const raft::Fetch&) override {}
  void CompactLog(CompactionPoint) override {}
  void SaveIdentity(const IdentityRecord&) override {}
  void Apply(ApplyJob job, bool) override { applies.push_back(std::move(job)); }
  void WakeApply() override {}
  void Checkpoint() override {}
  void Fence(const Status&) override {}
  void ResumeApply(uint64_t) override {}
  void InstallSnapshot(const std::string&, const raft::SnapshotMeta&) override {}
  void RemoveFile(const std::string&) override {}
  void Send(std::vector<raft::Message> messages) override {
    for (raft::Message& m : messages) sent.push_back(std::move(m));
  }
  void StreamSnapshot(MemberId, MemberId, LogIndex) override {}
  void SetIdentity(const transport::Identity&) override {}
  void SetPeers(const transport::Peers&) override {}
  void RememberCopy(const Status&) override {}
  void Probe(const std::string&, std::function<void(Result<transport::ProbeReply>)>) override {}
  void Join(const std::string&, const transport::JoinRequest&,
            std::function<void(Result<transport::JoinReply>)>) override {}

  std::vector<raft::Persist> persists;
  std::vector<ApplyJob> applies;
  std::vector<raft::Message> sent;
};

class StalenessTest : public ::testing::Test {
 protected:
  void Start(const std::set<uint64_t>& voters, const std::set<uint64_t>& learners = {},
             uint64_t member = 1) {
    StartState start;
    start.identity.node_id = options_.node_id;
    start.identity.nonce = 1;
    start.identity.stage = transport::LifeStage::kStarted;
    start.identity.cluster_id = 9;
    start.identity.member = MemberId(member);
    start.identity.config = Config(voters, learners);
    self_ = MemberId(member);
    core_ = std::make_unique<ReplicaCore>(options_, std::move(start), &clock_, &rng_, &effects_);
    core_->Start();
    Settle();
  }
  static raft::Configuration Config(const std::set<uint64_t>& voters,
                                    const std::set<uint64_t>& learners) {
    raft::Configuration config;
    for (const auto* members : {&voters, &learners}) {
      for (const uint64_t id : *members) {
        (members == &voters ? config.voters : config.learners).insert(MemberId(id));
        config.info[MemberId(id)] = {id, "node" + std::to_string(id), id};
        config.next_member_id = std::max(config.next_member_id, id + 1);
      }
    }
    return config;
  }
  // The disk finishes all that it was given, and so does the state machine unless the test holds
  // it.
  void Settle() {
    core_->Flush();
    for (int round = 0; round < 5; ++round) {
      for (const raft::Persist& p : std::exchange(effects_.persists, {})) {
        for (const raft::Message& m : p.send_after) effects_.sent.push_back(m);
        core_->OnPersisted(p.ticket);
      }
      core_->Flush();
      if (hold_apply_) continue;
      for (const ApplyJob& job : std::exchange(effects_.applies, {})) {
        applied_.index = job.batch.entries.back().index;
        applied_.term = job.batch.entries.back().term;
        core_->OnApplied(applied_);
      }
      core_->Flush();
    }
  }
  void Pass(SteadyTime time) {
    for (SteadyTime gone{0}; gone < time; gone += options_.tick) {
      clock_.Advance(options_.tick);
      core_->OnTick(1);
      Settle();
    }
  }
  // The answers of a healthy peer to what it was sent since the last call.
  std::vector<raft::Message> AnswersOf(uint64_t peer) {
    std::vector<raft::Message> answers;
    for (const raft::Message& m : effects_.sent) {
      if (m.to != MemberId(peer)) continue;
      raft::Message answer{m.to, m.from, m.term, {}};
      if (std::holds_alternative<raft::PreVoteRequest>(m.body)) {
        answer.body = raft::PreVoteReply{true};
      } else if (std::holds_alternative<raft::VoteRequest>(m.body)) {
        answer.body = raft::VoteReply{true};
      } else if (const auto* append = std::get_if<raft::AppendRequest>(&m.body)) {
        answer.body = raft::AppendReply{true, append->prev_index + append->entries.size(),
                                        LogIndex(), Term()};
      } else if (const auto* heartbeat = std::get_if<raft::Heartbeat>(&m.body)) {
        raft::HeartbeatReply reply{heartbeat->read_id};
        reply.timing.answers = heartbeat->timing.sent;
        answer.body = reply;
      } else {
        continue;
      }
      answers.push_back(std::move(answer));
    }
    std::erase_if(effects_.sent, [&](const auto& m) { return m.to == MemberId(peer); });
    return answers;
  }
  void Deliver(std::vector<raft::Message> messages) {
    core_->OnMessages({}, std::move(messages));
    Settle();
  }
  // A second in which these peers answer at once.
  void LiveWith(const std::vector<uint64_t>& peers, SteadyTime time = seconds(1)) {
    for (SteadyTime gone{0}; gone < time; gone += options_.tick) {
      Pass(options_.tick);
      for (const uint64_t peer : peers) Deliver(AnswersOf(peer));
    }
  }
  void LeadThree() {
    Start({1, 2, 3});
    LiveWith({2, 3});
    ASSERT_TRUE(core_->is_leader());
  }

  // A heartbeat of member 2, the leader of term 3.
  raft::Message HeartbeatOf(const raft::Stamp& answers, LogIndex fresh, SteadyTime age) {
    raft::Heartbeat heartbeat;
    heartbeat.timing = {{77, 1}, answers};
    heartbeat.fresh_index = fresh;
    heartbeat.fresh_age_ns = static_cast<uint64_t>(age.count());
    return {MemberId(2), self_, Term(3), heartbeat};
  }
  // The stamp of the last question that this node has sent to member 2.
  raft::Stamp Question() {
    raft::Stamp stamp;
    for (const raft::Message& m : std::exchange(effects_.sent, {})) {
      if (const auto* reply = std::get_if<raft::HeartbeatReply>(&m.body)) {
        stamp = reply->timing.sent;
      }
    }
    return stamp;
  }
  void FollowTwo() {
    Start({1, 2, 3});
    Append({});
  }
  // The leader sends entries that are committed at once.
  void Append(std::vector<raft::Entry> entries) {
    raft::AppendRequest request{log_last_, log_last_.is_none() ? Term() : Term(3), LogIndex(), {}};
    if (entries.empty()) {
      entries.push_back(
          {Term(3), log_last_ + 1, raft::EntryType::kNoop, std::make_shared<const std::string>()});
    }
    log_last_ = entries.back().index;
    request.commit = log_last_;
    request.entries = std::move(entries);
    Deliver({raft::Message{MemberId(2), self_, Term(3), std::move(request)}});
    Deliver({HeartbeatOf({}, LogIndex(), SteadyTime(0))});
  }
  StatusCode Read(std::optional<milliseconds> bound) {
    ReadOptions options;
    options.level = ReadLevel::kStale;
    options.staleness_max = bound;
    StatusCode code = StatusCode::kUnknown;
    core_->ReadBarrier(options, clock_.SteadyNow() + seconds(1),
                       [&](const Result<LogIndex>& index) { code = index.status().code(); });
    return code;
  }

  ReplicaOptions options_;
  ManualClock clock_;
  Rng rng_{42};
  PromptEffects effects_;
  std::unique_ptr<ReplicaCore> core_;
  MemberId self_;
  AppliedReport applied_;
  LogIndex log_last_;
  bool hold_apply_ = false;
};

constexpr milliseconds kBound{500};

TEST_F(StalenessTest, ALeaderCountsFromWhenItAskedAndNotFromWhenItReadTheAnswer) {
  LeadThree();
  EXPECT_EQ(Read(kBound), StatusCode::kOk);
  Pass(milliseconds(50));
  const std::vector<raft::Message> in_the_socket = AnswersOf(2);
  ASSERT_FALSE(in_the_socket.empty());
  clock_.Advance(seconds(5));  // stopped
  Deliver(in_the_socket);
  EXPECT_EQ(Read(kBound), StatusCode::kFailedPrecondition);
  EXPECT_EQ(Read(seconds(6)), StatusCode::kOk);
  LiveWith({2}, milliseconds(100));
  EXPECT_EQ(Read(kBound), StatusCode::kOk);
}

TEST_F(StalenessTest, ALeaderNeedsAMajority) {
  Start({1, 2, 3, 4, 5});
  LiveWith({2, 3, 4, 5});
  ASSERT_TRUE(core_->is_leader());
  EXPECT_EQ(Read(kBound), StatusCode::kOk);
  LiveWith({2}, milliseconds(200));
  EXPECT_EQ(Read(milliseconds(100)), StatusCode::kFailedPrecondition);
  EXPECT_EQ(Read(kBound), StatusCode::kOk);
}

TEST_F(StalenessTest, ASleepingMachineGrowsOld) {
  LeadThree();
  clock_.Suspend(seconds(5));
  EXPECT_EQ(Read(kBound), StatusCode::kFailedPrecondition);
}

TEST_F(StalenessTest, AFollowerCountsFromItsOwnQuestion) {
  FollowTwo();
  const raft::Stamp question = Question();
  Deliver({HeartbeatOf(question, log_last_, SteadyTime(0))});
  EXPECT_EQ(Read(kBound), StatusCode::kOk);
  const raft::Message in_the_socket = HeartbeatOf(Question(), log_last_, SteadyTime(0));
  clock_.Advance(seconds(5));  // stopped
  Deliver({in_the_socket});
  EXPECT_EQ(Read(kBound), StatusCode::kFailedPrecondition);
  Deliver({HeartbeatOf(Question(), log_last_, SteadyTime(0))});
  EXPECT_EQ(Read(kBound), StatusCode::kOk);
}

TEST_F(StalenessTest, AFollowerIsAsOldAsItsLeaderAndTheTimeSinceItAsked) {
  FollowTwo();
  const raft::Stamp question = Question();
  clock_.Advance(milliseconds(200));
  Deliver({HeartbeatOf(question, log_last_, milliseconds(400))});
  EXPECT_EQ(Read(milliseconds(599)), StatusCode::kFailedPrecondition);
  EXPECT_EQ(Read(milliseconds(600)), StatusCode::kOk);
}

TEST_F(StalenessTest, AnOlderHeartbeatThatComesLaterProvesOnlyWhatItAnswers) {
  FollowTwo();
  const raft::Message older = HeartbeatOf(Question(), log_last_ + 1, SteadyTime(0));
  clock_.Advance(seconds(1));
  Deliver({HeartbeatOf({}, LogIndex(), SteadyTime(0))});
  Append({});
  Deliver({HeartbeatOf(Question(), LogIndex(), SteadyTime(0)), older});
  EXPECT_EQ(Read(kBound), StatusCode::kFailedPrecondition);
}

TEST_F(StalenessTest, AFollowerIsFreshOnceItHasAppliedWhatTheLeaderHadCommitted) {
  FollowTwo();
  const raft::Stamp question = Question();
  hold_apply_ = true;
  Append({});
  Deliver({HeartbeatOf(question, log_last_, SteadyTime(0))});
  EXPECT_EQ(Read(kBound), StatusCode::kFailedPrecondition);
  hold_apply_ = false;
  Settle();
  core_->OnTick(1);
  Settle();
  EXPECT_EQ(Read(kBound), StatusCode::kOk);
}

TEST_F(StalenessTest, AStampOfTheProcessBeforeProvesNothing) {
  FollowTwo();
  raft::Stamp question = Question();
  ++question.life;
  Deliver({HeartbeatOf(question, log_last_, SteadyTime(0))});
  EXPECT_EQ(Read(kBound), StatusCode::kFailedPrecondition);
}

TEST_F(StalenessTest, ANodeThatWasLetInShowsNothingBeforeItHasAppliedItsAdmission) {
  Start({2, 3, 4}, {5}, 5);
  EXPECT_EQ(Read(std::nullopt), StatusCode::kUnavailable) << "not: no such table";
  Append({});
  EXPECT_EQ(Read(std::nullopt), StatusCode::kUnavailable);
  EXPECT_FALSE(core_->serves_local_reads());
  const std::string admission = raft::EncodeConfiguration(Config({2, 3, 4}, {5}));
  Append({{Term(3), log_last_ + 1, raft::EntryType::kConfig,
           std::make_shared<const std::string>(admission)}});
  EXPECT_EQ(Read(std::nullopt), StatusCode::kOk);
  EXPECT_TRUE(core_->serves_local_reads());
}

TEST_F(StalenessTest, AFounderShowsTheEmptyDatabaseItBeganWith) {
  Start({1, 2, 3});
  EXPECT_EQ(Read(std::nullopt), StatusCode::kOk);
}

}  // namespace
}  // namespace cairn::node
