// Schedules of a cluster: which message is delivered, lost, late or repeated, which write becomes
// durable, and who crashes. Every output is checked against the invariants of Raft. At the end the
// cluster is healed and must converge. The random tests draw such schedules blindly; here coverage
// guides them.
#include <algorithm>
#include <set>

#include "base/check.h"
#include "fuzz_input.h"
#include "raft/cluster_test_util.h"

namespace cairn::raft {
namespace {

using fuzz::Decisions;

class Schedule {
 public:
  explicit Schedule(Decisions* draw) : draw_(*draw), cluster_(SmallOptions(draw), 1) {
    const uint64_t founders = 1 + draw_.Below(4);
    std::set<uint64_t> voters;
    for (uint64_t id = 1; id <= founders; ++id) voters.insert(id);
    for (uint64_t id : voters) Add(id, MakeConfig(voters));
  }

  void Run() {
    for (int steps = 0; steps < 1000 && !draw_.empty() && cluster_.breach().empty(); ++steps) {
      Step();
      if (cluster_.network().size() > 300) cluster_.network().clear();
    }
    CHECK(cluster_.breach().empty()) << cluster_.breach();
    const bool healed = cluster_.Heal(/*ticks_max=*/300);
    CHECK(cluster_.breach().empty()) << cluster_.breach();
    CHECK(healed) << "did not converge after healing";
  }

 private:
  static Options SmallOptions(Decisions* draw) {
    Options options;
    options.election_ticks = 6;
    options.heartbeat_ticks = 2;
    options.append_bytes_max = 50 + draw->Below(200);
    options.append_entries_max = 1 + draw->Below(4);
    options.inflight_messages_max = 1 + draw->Below(4);
    options.inflight_bytes_max = 100 + draw->Below(256);
    options.uncommitted_bytes_max = 500;
    options.apply_inflight_bytes_max = 50 + draw->Below(256);
    options.cache_bytes_max = 1 + draw->Below(256);
    options.pending_reads_max = 1 + draw->Below(10);
    return options;
  }

  void Add(uint64_t id, const Configuration& founding) {
    cluster_.AddNode(MemberId(id), founding);
    ids_.push_back(MemberId(id));
  }
  MemberId Any() { return ids_[draw_.Below(ids_.size())]; }

  void Step() {
    switch (draw_.Below(20)) {
      case 0:
      case 1:
      case 2: Deliver(); break;
      case 3: Lose(); break;
      case 4:
      case 5: cluster_.Step(Any(), Tick{}); break;
      case 6: Elapse(); break;
      case 7: Disk(Any(), 1 + draw_.Below(3)); break;
      case 8: cluster_.Stabilize({}, 1 + static_cast<int>(draw_.Below(20))); break;
      case 9: Partitioned(); break;
      case 10: Apply(Any()); break;
      case 11: Propose(); break;
      case 12: Read(); break;
      case 13: Crash(); break;
      case 14: cluster_.Restart(Any()); break;
      case 15: Compact(Any()); break;
      case 16: ChangeMembers(); break;
      case 17:
        cluster_.Step(Any(), TransferLeader{draw_.Below(2) == 0 ? MemberId() : Any()});
        break;
      case 18: Snapshot(Any()); break;
      default: cluster_.Step(Any(), StepDown{draw_.Below(10)}); break;
    }
  }

  void Deliver() {
    auto& network = cluster_.network();
    if (network.empty()) return;
    const size_t at = draw_.Below(std::min<size_t>(network.size(), 8));
    Message message = network[at];
    if (draw_.Below(8) != 0) network.erase(network.begin() + static_cast<ptrdiff_t>(at));
    cluster_.Deliver(std::move(message));
  }
  void Lose() {
    auto& network = cluster_.network();
    if (network.empty()) return;
    const Message message = network.front();
    network.pop_front();
    if (draw_.Below(2) == 0) cluster_.Step(message.from, Unreachable{message.to});
  }
  void Elapse() {
    const MemberId id = Any();
    for (int ticks = 0; ticks < 12; ++ticks) cluster_.Step(id, Tick{});
  }
  void Disk(MemberId id, size_t writes) {
    if (cluster_.alive(id)) cluster_.SyncDisk(id, writes, draw_.Below(2) == 0);
  }
  void Partitioned() {
    const MemberId one = Any();
    std::set<std::pair<MemberId, MemberId>> blocked;
    const uint64_t ways = 1 + draw_.Below(3);
    for (MemberId id : ids_) {
      if ((ways & 1) != 0) blocked.insert({id, one});
      if ((ways & 2) != 0) blocked.insert({one, id});
    }
    cluster_.Stabilize(blocked, 10);
  }
  void Apply(MemberId id) {
    if (!cluster_.alive(id)) return;
    cluster_.AnswerFetch(id);
    cluster_.ApplyBatch(id);
  }
  void Propose() {
    const MemberId leader = cluster_.leader();
    const MemberId id = leader.is_none() || draw_.Below(4) == 0 ? Any() : leader;
    if (cluster_.alive(id)) cluster_.Propose(id, ++next_id_, std::string(draw_.Below(60), 'x'));
  }
  void Read() {
    const MemberId id = Any();
    if (cluster_.alive(id)) cluster_.Read(id, ++next_id_);
  }
  void Crash() {
    const MemberId id = Any();
    if (cluster_.alive(id)) cluster_.Crash(id, draw_.Below(4));
  }
  void Compact(MemberId id) {
    if (!cluster_.alive(id)) return;
    cluster_.Checkpoint(id);
    const LogIndex applied = cluster_.node(id).machine.index;
    cluster_.CompactTo(id, applied - std::min<uint64_t>(applied.value(), draw_.Below(5)));
  }
  void Snapshot(MemberId id) {
    if (!cluster_.alive(id)) return;
    cluster_.OfferSnapshot(id);
    if (draw_.Below(5) == 0) {
      cluster_.FailSnapshot(id);
    } else {
      cluster_.ReceiveSnapshot(id);
    }
  }

  void ChangeMembers() {
    const MemberId leader = cluster_.leader();
    if (leader.is_none()) return;
    Configuration target = cluster_.node(leader).core->status().config;
    if (target.joint() || target.info.empty()) return;
    auto it = target.info.begin();
    std::advance(it, draw_.Below(target.info.size()));
    const MemberId id = it->first;
    switch (draw_.Below(4)) {
      case 0:
        if (ids_.size() < 7) AddLearner(&target);
        break;
      case 1:
        if (target.learners.erase(id) != 0) target.voters.insert(id);
        break;
      case 2:
        if (target.voters.size() > 1 && target.voters.erase(id) != 0) target.learners.insert(id);
        break;
      default:
        if (target.voters.contains(id) && target.voters.size() == 1) break;
        target.voters.erase(id);
        target.learners.erase(id);
        target.info.erase(id);
    }
    cluster_.Step(leader, ProposeConfig{++next_id_, target});
  }
  void AddLearner(Configuration* target) {
    const MemberId id(std::max<uint64_t>(ids_.back().value() + 1, target->next_member_id));
    Add(id.value(), Configuration());
    target->learners.insert(id);
    target->info[id] = {id.value(), "late:1", 7};
    target->next_member_id = id.value() + 1;
  }

  Decisions& draw_;
  TestCluster cluster_;
  std::vector<MemberId> ids_;
  uint64_t next_id_ = 0;
};

}  // namespace
}  // namespace cairn::raft

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cairn::fuzz::Decisions draw(data, size);
  cairn::raft::Schedule(&draw).Run();
  return 0;
}
