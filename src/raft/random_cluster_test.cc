// Whole clusters under random schedules: lost, late and repeated messages, partitions, power cuts
// that lose what was not synced, slow disks, changes of membership, compaction and snapshots. A
// failing run prints its seed; CAIRN_RAFT_SEED=n runs only seed n.
#include <gtest/gtest.h>

#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "raft/cluster_test_util.h"
#include "raft/random_seeds_test_util.h"
#include "testing/sanitized.h"

namespace cairn::raft {
namespace {

// Limits are so small that paging, fetching and flow control happen all the time.
Options SmallOptions(Rng* rng) {
  Options options;
  options.election_ticks = 10;
  options.heartbeat_ticks = 2;
  options.append_bytes_max = 50 + rng->Below(400);
  options.append_entries_max = 1 + rng->Below(8);
  options.inflight_messages_max = 1 + rng->Below(4);
  options.inflight_bytes_max = 100 + rng->Below(1000);
  options.uncommitted_bytes_max = 500 + rng->Below(2000);
  options.apply_inflight_bytes_max = 50 + rng->Below(600);
  options.cache_bytes_max = 1 + rng->Below(500);
  options.pending_reads_max = 1 + rng->Below(20);
  return options;
}

// How often each kind of trouble happens, out of 1000 steps. Each seed draws the weights anew, and
// many are zero, so that some runs see much of one kind of trouble and none of another.
struct Weights {
  uint64_t drop, duplicate, reorder, crash, partition, config, compact, transfer, lag, machine;

  explicit Weights(Rng* rng) {
    const auto some = [&](uint64_t max) { return rng->Below(3) == 0 ? 0 : rng->Below(max + 1); };
    drop = some(200);
    duplicate = some(100);
    reorder = some(300);
    crash = some(8);
    partition = some(8);
    config = some(20);
    compact = some(30);
    transfer = some(6);
    lag = some(800);
    machine = some(20);
  }
};

class RandomRun {
 public:
  explicit RandomRun(uint64_t seed)
      : rng_(seed), weights_(&rng_), cluster_(SmallOptions(&rng_), rng_.Next()) {
    const uint64_t founders = 1 + rng_.Below(5);
    std::set<uint64_t> voters;
    for (uint64_t id = 1; id <= founders; ++id) voters.insert(id);
    for (uint64_t id : voters) Add(id, MakeConfig(voters));
    next_node_ = founders + 1;
  }

  std::string Run(int steps) {
    for (int i = 0; i < steps && cluster_.breach().empty(); ++i) OneStep();
    if (!cluster_.breach().empty()) return cluster_.breach();
    cluster_.network().clear();
    for (MemberId id : ids_) cluster_.Step(id, Fitness{});
    const bool healed = cluster_.Heal(/*ticks_max=*/500);
    if (!cluster_.breach().empty()) return cluster_.breach();
    if (!healed) return "did not converge after healing" + Describe();
    return CheckProgress();
  }

  LogIndex committed() { return cluster_.invariants().committed_last(); }

 private:
  void Add(uint64_t id, const Configuration& founding) {
    cluster_.AddNode(MemberId(id), founding);
    ids_.push_back(MemberId(id));
  }
  bool Chance(uint64_t per_mille) { return rng_.Below(1000) < per_mille; }
  MemberId Any() { return ids_[rng_.Below(ids_.size())]; }

  // One line per node, for the reader who must find the cause.
  std::string Describe() {
    std::ostringstream out;
    for (MemberId id : ids_) {
      const CoreStatus s = cluster_.node(id).core->status();
      out << "\n  node " << id.value() << " role " << static_cast<int>(s.role) << " term "
          << s.term.value() << " leader " << s.leader.value() << " log " << s.first.value() << ".."
          << s.last.value() << " durable " << s.durable.value() << " commit " << s.commit.value()
          << " applied " << s.applied.value() << " config " << s.config_index.value() << " voters";
      for (MemberId voter : s.config.voters) out << " " << voter.value();
      out << " outgoing";
      for (MemberId voter : s.config.outgoing) out << " " << voter.value();
      out << " learners";
      for (MemberId voter : s.config.learners) out << " " << voter.value();
      for (const auto& [peer, p] : s.peers) {
        out << "\n    peer " << peer.value() << " state " << static_cast<int>(p.state) << " match "
            << p.match.value() << " next " << p.next.value();
      }
    }
    return out.str();
  }

  // After healing, a write and reads on every member must go through.
  std::string CheckProgress() {
    const MemberId leader = cluster_.leader();
    const uint64_t id = ++next_id_;
    cluster_.Propose(leader, id, "final");
    TickAll(3);  // a probe that was lost before healing waits for a heartbeat
    if (!cluster_.node(leader).accepted.contains(id)) return "a healthy leader refused a proposal";
    const LogIndex index = cluster_.node(leader).accepted.at(id);
    if (cluster_.node(leader).core->commit() < index) return "a healthy cluster did not commit";
    TickAll(10);  // old waiting reads make room
    for (const auto& [member, info] : cluster_.node(leader).core->status().config.info) {
      cluster_.Read(member, ++next_id_);
      TickAll(10);
      if (!cluster_.node(member).reads_granted.contains(next_id_)) return "a read was not granted";
    }
    return cluster_.breach();
  }

  void TickAll(int ticks) {
    for (int tick = 0; tick < ticks; ++tick) {
      cluster_.Stabilize();
      for (MemberId id : ids_) cluster_.Step(id, Tick{});
    }
  }

  void OneStep() {
    switch (rng_.Below(12)) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4: DeliverOne(); break;
      case 5: TickOne(); break;
      case 6: Disk(Any()); break;
      case 7: Machine(Any()); break;
      case 8: Client(); break;
      default: Trouble(); break;
    }
  }

  void TickOne() {
    if (const MemberId id = Any(); id != asleep_) cluster_.Step(id, Tick{});
  }

  void DeliverOne() {
    auto& network = cluster_.network();
    if (network.empty()) {
      TickOne();
      return;
    }
    const size_t at = Chance(weights_.reorder) ? rng_.Below(network.size()) : 0;
    Message message = network[at];
    if (!Chance(weights_.duplicate)) network.erase(network.begin() + static_cast<ptrdiff_t>(at));
    if (network.size() > 400) network.erase(network.begin(), network.begin() + 100);
    if (Chance(weights_.drop) || blocked_.contains({message.from, message.to})) {
      if (Chance(100)) cluster_.Step(message.from, Unreachable{message.to});
      // The news may be true or false; neither may do harm.
      if (Chance(50)) cluster_.Step(message.from, PeerGone{message.to});
      return;
    }
    cluster_.Deliver(std::move(message));
  }

  void Disk(MemberId id) {
    if (!cluster_.alive(id) || Chance(weights_.lag)) return;
    cluster_.SyncDisk(id, 1 + rng_.Below(4), rng_.Below(2) == 0);
    if (rng_.Below(2) == 0) cluster_.AnswerFetch(id);
  }

  void Machine(MemberId id) {
    if (!cluster_.alive(id)) return;
    switch (rng_.Below(4)) {
      case 0: cluster_.AnswerFetch(id); break;
      case 1: Snapshots(id); break;
      default: cluster_.ApplyBatch(id); break;
    }
  }

  void Snapshots(MemberId id) {
    auto& node = cluster_.node(id);
    if (!node.snapshots_wanted.empty() && rng_.Below(4) == 0) {
      const MemberId peer = node.snapshots_wanted.front().peer;
      node.snapshots_wanted.erase(node.snapshots_wanted.begin());
      cluster_.Step(id, SnapshotSent{peer, false, LogIndex()});
      return;
    }
    cluster_.OfferSnapshot(id);
    if (rng_.Below(5) == 0) {
      cluster_.FailSnapshot(id);
    } else {
      cluster_.ReceiveSnapshot(id);
    }
  }

  void Client() {
    // Reads go to any node, so that deposed leaders are asked too.
    if (rng_.Below(2) == 0) {
      const MemberId id = Any();
      if (cluster_.alive(id)) cluster_.Read(id, ++next_id_);
      return;
    }
    const MemberId leader = cluster_.leader();
    const MemberId id = leader.is_none() || rng_.Below(4) == 0 ? Any() : leader;
    if (!cluster_.alive(id)) return;
    ++next_id_;
    cluster_.Propose(id, next_id_, std::string(rng_.Below(60), 'x') + std::to_string(next_id_));
  }

  void Trouble() {
    const MemberId id = Any();
    if (Chance(weights_.crash)) {
      if (cluster_.alive(id)) cluster_.Crash(id, rng_.Below(4));
    } else if (Chance(15)) {
      cluster_.Restart(id);
    }
    if (Chance(weights_.partition)) Partition();
    if (Chance(weights_.config)) ChangeMembers();
    if (Chance(weights_.compact) && cluster_.alive(id)) {
      cluster_.Checkpoint(id);
      cluster_.CompactTo(
          id, cluster_.node(id).machine.index -
                  std::min<uint64_t>(cluster_.node(id).machine.index.value(), rng_.Below(5)));
    }
    if (Chance(weights_.transfer)) {
      cluster_.Step(id, TransferLeader{rng_.Below(2) == 0 ? MemberId() : Any()});
    }
    if (Chance(weights_.transfer)) cluster_.Step(id, StepDown{rng_.Below(20)});
    if (Chance(weights_.machine)) MachineTrouble(id);
  }

  void MachineTrouble(MemberId id) {
    switch (rng_.Below(4)) {
      case 0: cluster_.ReopenMachine(id); break;
      case 1: cluster_.ReplaceMachine(id, Any()); break;
      case 2: cluster_.Step(id, Fitness{}); break;
      default: {
        const auto least = cluster_.node(id).machine_durable.index;
        cluster_.Step(id, Fitness{rng_.Below(2) == 0, rng_.Below(2) == 0,
                                  rng_.Below(3) == 0 ? least + 1 : LogIndex()});
      }
    }
  }

  void Partition() {
    blocked_.clear();
    asleep_ = MemberId();
    const uint64_t kind = rng_.Below(4);
    if (kind == 0) return;
    if (kind == 1) {
      // One node is cut off and its clock stands still: a leader that does not notice that it was
      // replaced.
      const MemberId one = cluster_.leader().is_none() ? Any() : cluster_.leader();
      for (MemberId id : ids_) blocked_.insert({{id, one}, {one, id}});
      if (rng_.Below(2) == 0) asleep_ = one;
      return;
    }
    // Each directed link is blocked on its own: partial and one-way partitions are the hardest.
    for (MemberId a : ids_) {
      for (MemberId b : ids_) {
        if (a != b && rng_.Below(3) == 0) blocked_.insert({a, b});
      }
    }
  }

  void ChangeMembers() {
    const MemberId leader = cluster_.leader();
    if (leader.is_none()) return;
    Configuration target = cluster_.node(leader).core->status().config;
    if (target.joint()) return;
    if (rng_.Below(3) == 0 && next_node_ <= 9) {
      const MemberId id(std::max(next_node_, target.next_member_id));
      next_node_ = id.value() + 1;
      Add(id.value(), Configuration());
      target.learners.insert(id);
      target.info[id] = {id.value(), "late:1", 7};
      target.next_member_id = id.value() + 1;
    }
    for (auto it = target.info.begin(); it != target.info.end();) {
      const MemberId id = it->first;
      const uint64_t dice = rng_.Below(6);
      if (dice == 0 && target.learners.erase(id) != 0) {
        target.voters.insert(id);
      } else if (dice == 1 && target.voters.size() > 1 && target.voters.erase(id) != 0) {
        target.learners.insert(id);
      } else if (dice == 2 && target.info.size() > 2 &&
                 (target.voters.size() > 1 || !target.voters.contains(id))) {
        target.voters.erase(id);
        target.learners.erase(id);
        it = target.info.erase(it);
        continue;
      }
      ++it;
    }
    cluster_.Step(leader, ProposeConfig{++next_id_, target});
  }

  Rng rng_;
  Weights weights_;
  TestCluster cluster_;
  std::vector<MemberId> ids_;
  uint64_t next_node_ = 1;
  uint64_t next_id_ = 0;
  std::set<std::pair<MemberId, MemberId>> blocked_;
  MemberId asleep_;  // gets no ticks
};

TEST(RandomCluster, KeepsEveryInvariantAndConvergesOnceHealed) {
  uint64_t committed = 0;
  const uint64_t count = ForEachSeed(Samples(1000), [&](uint64_t seed) {
    RandomRun run(seed);
    std::string failure = run.Run(/*steps=*/4000);
    committed += run.committed().value();
    return failure;
  });
  if (HasFailure()) return;
  // Runs in which nothing is committed prove nothing.
  EXPECT_GT(committed, count * 20);
}

}  // namespace
}  // namespace cairn::raft
