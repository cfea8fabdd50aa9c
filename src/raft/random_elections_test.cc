// Whole clusters in which little happens except elections and changes of membership, each time
// among different nodes: the next leader continues what a leader began, or does not. Random
// schedules of single messages (random_cluster_test.cc) seldom produce such rounds: Figure 8 of the
// paper across a change of membership, for example. A failing run prints its seed;
// CAIRN_RAFT_SEED=n runs only seed n.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "base/rng.h"
#include "raft/cluster_test_util.h"
#include "raft/random_seeds_test_util.h"
#include "testing/sanitized.h"

namespace cairn::raft {
namespace {

Options QuickOptions() {
  Options options;
  options.election_ticks = 10;
  options.heartbeat_ticks = 1;
  return options;
}

class ElectionsRun {
 public:
  explicit ElectionsRun(uint64_t seed) : rng_(seed), cluster_(QuickOptions(), rng_.Next()) {
    const uint64_t voters = 2 + rng_.Below(2);
    std::set<uint64_t> founders;
    std::set<uint64_t> learners;
    for (uint64_t id = 1; id <= voters + 2; ++id) {
      (id <= voters ? founders : learners).insert(id);
      ids_.push_back(MemberId(id));
    }
    const Configuration founding = MakeConfig(founders, learners);
    for (MemberId id : ids_) cluster_.AddNode(id, founding);
    near_percent_ = 40 + rng_.Below(50);
    work_max_ = 3 + rng_.Below(20);
    ask_percent_ = 2 + rng_.Below(30);
    lose_percent_ = rng_.Below(101);
    crash_percent_ = rng_.Below(2) * rng_.Below(20);
  }

  std::string Run(int rounds) {
    for (int i = 0; i < rounds && cluster_.breach().empty(); ++i) Round();
    if (!cluster_.breach().empty()) return cluster_.breach();
    cluster_.network().clear();
    const bool healed = cluster_.Heal(/*ticks_max=*/500);
    if (!cluster_.breach().empty()) return cluster_.breach();
    return healed ? "" : "did not converge after healing";
  }

  LogIndex committed() { return cluster_.invariants().committed_last(); }

 private:
  bool Chance(uint64_t percent) { return rng_.Below(100) < percent; }

  // Some nodes hear each other for a while, and one of them campaigns.
  void Round() {
    group_.clear();
    for (MemberId id : ids_) {
      if (Chance(near_percent_)) group_.insert(id);
      if (!cluster_.alive(id) && Chance(50)) cluster_.Restart(id);
    }
    if (group_.empty()) return;
    const MemberId candidate = OneOfGroup();
    if (Chance(80)) Campaign(candidate);
    for (uint64_t left = rng_.Below(work_max_); left > 0; --left) {
      Work();
      if (Chance(ask_percent_)) Ask(cluster_.leader());
    }
    if (Chance(lose_percent_)) cluster_.network().clear();
    if (Chance(crash_percent_) && cluster_.alive(candidate))
      cluster_.Crash(candidate, rng_.Below(3));
  }

  MemberId OneOfGroup() { return *std::next(group_.begin(), rng_.Below(group_.size())); }

  void Campaign(MemberId candidate) {
    // The other nodes forget their leader, so that they are free to vote.
    for (MemberId id : group_) {
      for (int tick = 0; tick < 10 && id != candidate; ++tick) cluster_.Step(id, Tick{});
    }
    if (Chance(80)) cluster_.network().clear();
    for (int tick = 0; tick < 20 && cluster_.alive(candidate); ++tick) {
      if (cluster_.node(candidate).core->role() == Role::kPreCandidate) return;
      cluster_.Step(candidate, Tick{});
    }
  }

  // Delivers every waiting message within the group, once; the messages that result wait for the
  // next time.
  void Work() {
    std::deque<Message> messages;
    messages.swap(cluster_.network());
    for (Message& message : messages) {
      if (!cluster_.breach().empty()) return;
      if (!group_.contains(message.from) || !group_.contains(message.to)) continue;
      cluster_.Deliver(std::move(message));
    }
    for (MemberId id : group_) {
      if (!cluster_.alive(id) || Chance(10)) continue;
      cluster_.SyncDisk(id, 10);
      cluster_.AnswerFetch(id);
      cluster_.ApplyBatch(id);
      cluster_.OfferSnapshot(id);
      cluster_.ReceiveSnapshot(id);
    }
  }

  void Ask(MemberId leader) {
    if (leader.is_none()) return;
    const Configuration config = cluster_.node(leader).core->status().config;
    if (Chance(50) || config.joint()) return cluster_.Propose(leader, ++next_id_, "x");
    Configuration target = config;
    // A learner replaces a voter, or only one of the two happens.
    const auto any = [&](const std::set<MemberId>& of) {
      return *std::next(of.begin(), rng_.Below(of.size()));
    };
    if (!config.learners.empty() && Chance(70)) {
      const MemberId in = any(config.learners);
      target.learners.erase(in);
      target.voters.insert(in);
    }
    if (config.voters.size() > 1 && Chance(70)) {
      const MemberId out = any(config.voters);
      target.voters.erase(out);
      if (Chance(50)) {
        target.learners.insert(out);
      } else {
        target.info.erase(out);
      }
    }
    cluster_.Step(leader, ProposeConfig{++next_id_, target});
  }

  Rng rng_;
  TestCluster cluster_;
  std::vector<MemberId> ids_;
  std::set<MemberId> group_;
  uint64_t next_id_ = 0;
  // Drawn once for each seed. The percentages are of the rounds, except the second.
  uint64_t near_percent_;   // a node is in the group of nodes that hear each other
  uint64_t ask_percent_;    // the leader is asked for something, per delivery
  uint64_t lose_percent_;   // all messages in flight are lost at the end
  uint64_t crash_percent_;  // the candidate crashes at the end
  uint64_t work_max_;       // deliveries
};

TEST(RandomElections, NoLeaderLacksWhatWasCommittedBeforeIt) {
  uint64_t committed = 0;
  const uint64_t count = ForEachSeed(Samples(8000), [&](uint64_t seed) {
    ElectionsRun run(seed);
    std::string failure = run.Run(/*rounds=*/60);
    committed += run.committed().value();
    return failure;
  });
  if (HasFailure()) return;
  EXPECT_GT(committed, count * 5);
}

}  // namespace
}  // namespace cairn::raft
