#include "raft/cluster_test_util.h"

#include <algorithm>
#include <functional>

#include "base/check.h"

namespace cairn::raft {
namespace {

uint64_t Mix(uint64_t digest, const Entry& entry) {
  const uint64_t parts[] = {entry.index.value(), entry.term.value(),
                            static_cast<uint64_t>(entry.type),
                            std::hash<std::string>()(*entry.payload)};
  for (uint64_t part : parts) digest = (digest ^ part) * 0x100000001b3ULL + (digest >> 29);
  return digest;
}

}  // namespace

Configuration MakeConfig(const std::set<uint64_t>& voters, const std::set<uint64_t>& learners) {
  Configuration config;
  const auto add = [&](uint64_t id, std::set<MemberId>* set) {
    set->insert(MemberId(id));
    config.info[MemberId(id)] = {id, "node" + std::to_string(id) + ":1", id * 1000};
    config.next_member_id = std::max(config.next_member_id, id + 1);
  };
  for (uint64_t id : voters) add(id, &config.voters);
  for (uint64_t id : learners) add(id, &config.learners);
  return config;
}

void TestCluster::AddNode(MemberId id, const Configuration& founding) {
  AddNode(id, founding, LogImage());
}

void TestCluster::AddNode(MemberId id, const Configuration& founding, LogImage disk) {
  Node& node = nodes_[id];
  node.disk = std::move(disk);
  node.machine.config = founding;
  node.machine_durable = node.machine;
  Start(id);
}

void TestCluster::Start(MemberId id) {
  Node& node = nodes_.at(id);
  InitialState initial;
  initial.hard_state = node.disk.hard_state;
  initial.snapshot_index = node.disk.snapshot_index;
  initial.snapshot_term = node.disk.snapshot_term;
  initial.log = node.disk.entries;
  for (Entry& entry : initial.log) {
    if (entry.type != EntryType::kConfig) entry.payload = nullptr;
  }
  initial.applied = node.machine.index;
  initial.config = node.machine.config;
  initial.config_index = node.machine.config_index;
  Options options = base_;
  options.self = id;
  node.rng = std::make_unique<Rng>(rng_.Next());
  node.core = std::make_unique<RaftCore>(options, initial, node.rng.get());
  Check(invariants_.OnStart(initial, node.core->status()));
  Collect(id);
}

MemberId TestCluster::leader() {
  MemberId best;
  for (auto& [id, node] : nodes_) {
    if (!node.core || node.core->role() != Role::kLeader) continue;
    if (best.is_none() || node.core->term() > nodes_.at(best).core->term()) best = id;
  }
  return best;
}

void TestCluster::Step(MemberId id, Input input) {
  Node& node = nodes_.at(id);
  if (!node.core) return;
  node.core->Step(std::move(input));
  Collect(id);
}

void TestCluster::Read(MemberId id, uint64_t read_id) {
  nodes_.at(id).reads_waiting[read_id] = invariants_.committed_last();
  Step(id, ReadBarrier{read_id});
}

void TestCluster::Propose(MemberId id, uint64_t proposal_id, std::string payload) {
  raft::Propose propose;
  propose.proposals.push_back({proposal_id, MakePayload(std::move(payload))});
  Step(id, std::move(propose));
}

void TestCluster::Collect(MemberId id) {
  Node& node = nodes_.at(id);
  while (node.core->HasOutput()) TakeOutputOf(id);
  if (!node.core->commit_untold()) return;
  node.core->Step(TellCommit{});
  TakeOutputOf(id);
}

void TestCluster::TakeOutputOf(MemberId id) {
  Node& node = nodes_.at(id);
  Output output = node.core->TakeOutput();
  Check(invariants_.OnOutput(output, node.core->status()));
  for (Message& message : output.send_now) network_.push_back(std::move(message));
  for (Persist& persist : output.persists) {
    // The snapshot contains the batches that are queued for the state machine.
    if (persist.reset_to) node.batches.clear();
    node.writes.push_back(std::move(persist));
  }
  if (output.committed) node.batches.push_back(std::move(*output.committed));
  for (const ReadGrant& grant : output.reads) {
    auto waiting = node.reads_waiting.find(grant.id);
    if (waiting == node.reads_waiting.end()) {
      Check("read " + std::to_string(grant.id) + " was granted twice");
      continue;
    }
    if (grant.index < waiting->second) {
      Check("stale read at node " + ToString(id) + ": granted at " + ToString(grant.index) +
            " though " + ToString(waiting->second) + " was committed before it was asked");
    }
    node.reads_waiting.erase(waiting);
    node.reads_granted[grant.id] = grant.index;
  }
  for (const Dropped& dropped : output.dropped) {
    if (dropped.detail.empty()) Check("dropped without saying what to do");
    node.dropped[dropped.id] = dropped.reason;
    node.reads_waiting.erase(dropped.id);
  }
  for (const Accepted& accepted : output.accepted) node.accepted[accepted.id] = accepted.index;
  for (const Fetch& fetch : output.fetches) node.fetches.push_back(fetch);
  for (const SendSnapshot& send : output.send_snapshots) node.snapshots_wanted.push_back(send);
  if (output.install_snapshot) {
    auto image = images_.find({id, output.install_snapshot->meta.index});
    CHECK(image != images_.end());
    node.offered = {output.install_snapshot->leader, image->second};
  }
}

void TestCluster::Deliver(Message message) {
  const MemberId to = message.to;
  Step(to, Received{std::move(message)});
}

void TestCluster::WriteToDisk(Node* node, const Persist& persist) {
  LogImage& disk = node->disk;
  if (persist.hard_state) disk.hard_state = *persist.hard_state;
  if (persist.reset_to) {
    disk.snapshot_index = persist.reset_to->index;
    disk.snapshot_term = persist.reset_to->term;
    disk.entries.clear();
    if (node->incoming && node->incoming->index == persist.reset_to->index) {
      node->machine = node->machine_durable = *node->incoming;
      node->incoming.reset();
    }
    CHECK(node->machine_durable.index >= persist.reset_to->index);
  }
  if (persist.truncate_from) {
    CHECK(*persist.truncate_from > disk.snapshot_index);
    disk.entries.resize(*persist.truncate_from - disk.snapshot_index - 1);
  }
  for (const Entry& entry : persist.entries) {
    CHECK(entry.index == disk.last() + 1);
    disk.entries.push_back(entry);
  }
  if (disk.hard_state.commit > disk.last()) Check("stored commit is past the end of the log");
}

void TestCluster::SyncDisk(MemberId id, size_t count, bool one_report) {
  Node& node = nodes_.at(id);
  count = std::min(count, node.writes.size());
  std::vector<AppendTicket> tickets;
  for (size_t i = 0; i < count; ++i) {
    Persist persist = std::move(node.writes.front());
    node.writes.pop_front();
    WriteToDisk(&node, persist);
    for (Message& message : persist.send_after) network_.push_back(std::move(message));
    if (one_report) tickets.clear();
    tickets.push_back(persist.ticket);
  }
  for (const AppendTicket& ticket : tickets) Step(id, Persisted{ticket});
}

void TestCluster::ApplyBatch(MemberId id) {
  Node& node = nodes_.at(id);
  if (!node.core || node.batches.empty()) return;
  const CommittedBatch batch = std::move(node.batches.front());
  node.batches.pop_front();
  MachineImage& machine = node.machine;
  for (const Entry& entry : batch.entries) {
    // A state machine that was ahead after a restart must see no entry twice.
    if (entry.index != machine.index + 1) {
      Check("node " + ToString(id) + " is to apply " + ToString(entry.index) + " after " +
            ToString(machine.index));
      return;
    }
    if (entry.index > node.disk.last()) Check("applied what is not on disk");
    machine.index = entry.index;
    machine.term = entry.term;
    machine.digest = Mix(machine.digest, entry);
    const auto [it, is_new] = digests_.try_emplace(entry.index, machine.digest);
    if (it->second != machine.digest) Check("state machines differ at " + ToString(entry.index));
  }
  machine.config = batch.config;
  machine.config_index = batch.config_index;
  Step(id, Applied{machine.index});
}

void TestCluster::AnswerFetch(MemberId id) {
  Node& node = nodes_.at(id);
  if (!node.core || node.fetches.empty()) return;
  const Fetch fetch = node.fetches.front();
  node.fetches.pop_front();
  Fetched fetched;
  fetched.fetch_id = fetch.fetch_id;
  const LogImage& disk = node.disk;
  size_t bytes = 0;
  for (LogIndex i = fetch.from; i > disk.snapshot_index && i <= disk.last() && i < fetch.to; ++i) {
    const Entry& entry = disk.entries[i - disk.snapshot_index - 1];
    bytes += entry.payload->size();
    if (!fetched.entries.empty() && bytes > fetch.bytes_max) break;
    fetched.entries.push_back(entry);
  }
  Step(id, std::move(fetched));
}

void TestCluster::CompactTo(MemberId id, LogIndex index) {
  Node& node = nodes_.at(id);
  LogImage& disk = node.disk;
  index = std::min({index, node.machine_durable.index, disk.last()});
  if (index <= disk.snapshot_index) return;
  Step(id, Compact{index});
  const size_t gone = index - disk.snapshot_index;
  disk.snapshot_term = disk.entries[gone - 1].term;
  disk.snapshot_index = index;
  disk.entries.erase(disk.entries.begin(), disk.entries.begin() + static_cast<ptrdiff_t>(gone));
}

bool TestCluster::OfferSnapshot(MemberId from) {
  Node& node = nodes_.at(from);
  if (!node.core || node.snapshots_wanted.empty()) return false;
  const auto [to, term, index_min] = node.snapshots_wanted.front();
  node.snapshots_wanted.erase(node.snapshots_wanted.begin());
  if (node.machine.index < index_min) {
    Step(from, SnapshotSent{to, false, LogIndex()});
    return true;
  }
  const MachineImage& image = node.machine;
  images_[{to, image.index}] = image;
  const SnapshotMeta meta{image.index, image.term, image.config, image.config_index};
  network_.push_back({from, to, term, SnapshotOffer{meta}});
  Step(from, SnapshotSent{to, true, image.index});
  return true;
}

void TestCluster::ReceiveSnapshot(MemberId id) {
  Node& node = nodes_.at(id);
  if (!node.core || !node.offered) return;
  const MachineImage image = node.offered->second;
  node.offered.reset();
  // A reset in progress comes first: the owner installs one snapshot at a time.
  if (node.incoming) return Step(id, SnapshotFailed{});
  node.incoming = image;
  const size_t writes = node.writes.size();
  Step(id, SnapshotReady{{image.index, image.term, image.config, image.config_index}});
  const bool reset = node.writes.size() > writes && node.writes.back().reset_to.has_value();
  if (!reset) node.incoming.reset();
}

void TestCluster::FailSnapshot(MemberId id) {
  Node& node = nodes_.at(id);
  if (!node.core || !node.offered) return;
  node.offered.reset();
  Step(id, SnapshotFailed{});
}

void TestCluster::ReopenMachine(MemberId id) {
  Node& node = nodes_.at(id);
  // While a snapshot is being installed, the log already begins after the snapshot.
  if (!node.core || node.incoming) return;
  node.machine = node.machine_durable;
  node.batches.clear();
  const MachineImage& m = node.machine;
  invariants_.OnRestored(id, m.index);
  Step(id, Restored{{m.index, m.term, m.config, m.config_index}});
}

void TestCluster::ReplaceMachine(MemberId id, MemberId donor) {
  Node& node = nodes_.at(id);
  const MachineImage image = nodes_.at(donor).machine;
  // A node that has not joined yet has no data to give.
  if (!node.core || node.incoming || image.index.is_none()) return;
  if (image.index < node.machine_durable.index) return;
  node.machine = node.machine_durable = image;
  node.batches.clear();
  invariants_.OnRestored(id, image.index);
  Step(id, Restored{{image.index, image.term, image.config, image.config_index}});
}

void TestCluster::Crash(MemberId id, size_t writes_kept) {
  Node& node = nodes_.at(id);
  for (size_t i = 0; i < std::min(writes_kept, node.writes.size()); ++i) {
    WriteToDisk(&node, node.writes[i]);
  }
  node.core.reset();
  node.writes.clear();
  node.batches.clear();
  node.fetches.clear();
  node.incoming.reset();
  node.offered.reset();
  node.snapshots_wanted.clear();
  node.reads_waiting.clear();
  node.machine = node.machine_durable;
}

// Completes an install: a state machine that is ahead of the log was replaced before the log was
// reset.
void TestCluster::CompleteInstall(Node* node) {
  LogImage& disk = node->disk;
  const MachineImage& machine = node->machine;
  const bool inside = machine.index <= disk.last();
  if (machine.index <= disk.snapshot_index ||
      (inside && disk.entries[machine.index - disk.snapshot_index - 1].term == machine.term)) {
    return;
  }
  CHECK(machine.index > disk.hard_state.commit);
  if (machine.term > disk.hard_state.term) disk.hard_state = {machine.term, MemberId(), {}};
  disk.hard_state.commit = machine.index;
  disk.snapshot_index = machine.index;
  disk.snapshot_term = machine.term;
  disk.entries.clear();
}

void TestCluster::Restart(MemberId id) {
  if (nodes_.at(id).core) return;
  CompleteInstall(&nodes_.at(id));
  Start(id);
}

void TestCluster::Stabilize(const std::set<std::pair<MemberId, MemberId>>& blocked, int rounds) {
  for (int round = 0; round < rounds && breach_.empty(); ++round) {
    bool busy = !network_.empty();
    for (size_t left = network_.size(); left > 0; --left) {
      Message message = std::move(network_.front());
      network_.pop_front();
      if (!blocked.contains({message.from, message.to}) && alive(message.to)) {
        Deliver(std::move(message));
      }
    }
    for (auto& [id, node] : nodes_) {
      if (!node.core) continue;
      busy = busy || !node.writes.empty() || !node.batches.empty() || !node.fetches.empty();
      SyncDisk(id, node.writes.size());
      while (!node.fetches.empty()) AnswerFetch(id);
      while (!node.batches.empty() && breach_.empty()) ApplyBatch(id);
      while (OfferSnapshot(id)) busy = true;
      busy = busy || node.offered.has_value();
      ReceiveSnapshot(id);
    }
    if (!busy) return;
  }
}

bool TestCluster::Converged() {
  const MemberId lead = leader();
  if (lead.is_none()) return false;
  const CoreStatus status = node(lead).core->status();
  if (!status.leader_ready || status.config_in_progress || status.commit != status.last ||
      !status.transfer_target.is_none()) {
    return false;
  }
  for (const auto& [id, info] : status.config.info) {
    const CoreStatus other = node(id).core->status();
    if (other.term != status.term || other.commit != status.commit || other.last != status.last ||
        other.applied != status.commit || other.config != status.config) {
      return false;
    }
  }
  return true;
}

bool TestCluster::Heal(int ticks_max) {
  for (auto& [id, node] : nodes_) Restart(id);
  for (int tick = 0; tick < ticks_max && breach_.empty(); ++tick) {
    Stabilize();
    if (Converged()) return true;
    for (auto& [id, node] : nodes_) Step(id, Tick{});
  }
  return false;
}

void TestCluster::Check(const std::optional<std::string>& breach) {
  if (breach && breach_.empty()) breach_ = *breach;
}

}  // namespace cairn::raft
