#include "raft/scenario_runner_test_util.h"

#include <algorithm>
#include <sstream>

#include "base/check.h"

namespace cairn::raft {
namespace {

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) {
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

uint64_t Number(const std::string& word) {
  CHECK(!word.empty() && word.find_first_not_of("0123456789") == std::string::npos)
      << "not a number: '" << word << "'";
  return std::stoull(word);
}

MemberId Id(const std::string& word) { return MemberId(Number(word)); }

std::pair<MemberId, MemberId> ParseLink(const std::string& word) {
  const size_t arrow = word.find("->");
  CHECK(arrow != std::string::npos) << "not a link: " << word;
  return {Id(word.substr(0, arrow)), Id(word.substr(arrow + 2))};
}

// The value of `key=...` among the words; empty if there is none.
std::string Value(const std::vector<std::string>& words, const std::string& key) {
  for (const std::string& word : words) {
    if (word.rfind(key + "=", 0) == 0) return word.substr(key.size() + 1);
  }
  return "";
}

std::set<uint64_t> Ids(const std::vector<std::string>& words, const std::string& key) {
  std::set<uint64_t> ids;
  for (const std::string& part : Split(Value(words, key), ',')) ids.insert(Number(part));
  return ids;
}

std::string Join(const std::set<MemberId>& ids) {
  std::string text;
  for (MemberId id : ids) text += (text.empty() ? "" : ",") + ToString(id);
  return text;
}

std::string Differ(const std::string& what, const std::string& found) {
  return what + ", but it is " + found;
}

const char* const kRoles[] = {"follower", "pre-candidate", "candidate", "leader"};
const char* const kStates[] = {"probe", "replicate", "snapshot"};
const char* const kTypes[] = {"PreVoteRequest", "PreVoteReply",     "VoteRequest",
                              "VoteReply",      "AppendRequest",    "AppendReply",
                              "Heartbeat",      "HeartbeatReply",   "SnapshotOffer",
                              "TimeoutNow",     "ReadIndexRequest", "ReadIndexReply"};

}  // namespace

ScenarioRunner::ScenarioRunner() {
  options_.election_ticks = 10;
  options_.heartbeat_ticks = 1;
}

TestCluster& ScenarioRunner::cluster() {
  if (!cluster_) cluster_.emplace(options_, /*seed=*/1);
  return *cluster_;
}

std::string ScenarioRunner::Run(const std::string& text) {
  std::istringstream in(text);
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    const Words words = Split(line.substr(0, line.find('#')), ' ');
    if (words.empty()) continue;
    std::string failure = RunLine(words);
    if (failure.empty() && cluster_) failure = cluster_->breach();
    if (!failure.empty()) return "line " + std::to_string(number) + ": " + line + ": " + failure;
  }
  return Finish();
}

std::string ScenarioRunner::Finish() {
  const bool healed = cluster().Heal(/*ticks_max=*/500);
  if (!cluster().breach().empty()) return "while healing: " + cluster().breach();
  return healed ? "" : "the healed cluster did not converge";
}

std::string ScenarioRunner::RunLine(const Words& words) {
  failure_.clear();
  if (words[0] == "expect") return Expect(words);
  if (!RunSetUp(words) && !RunNetwork(words) && !RunDisk(words) && !RunInput(words)) {
    return "unknown command";
  }
  return failure_;
}

bool ScenarioRunner::RunSetUp(const Words& words) {
  const std::string& command = words[0];
  if (command == "limit") {
    const uint64_t value = Number(words[2]);
    const std::map<std::string, size_t*> limits{
        {"append_bytes_max", &options_.append_bytes_max},
        {"append_entries_max", &options_.append_entries_max},
        {"inflight_messages_max", &options_.inflight_messages_max},
        {"inflight_bytes_max", &options_.inflight_bytes_max},
        {"uncommitted_bytes_max", &options_.uncommitted_bytes_max},
        {"apply_inflight_bytes_max", &options_.apply_inflight_bytes_max},
        {"cache_bytes_max", &options_.cache_bytes_max},
        {"pending_reads_max", &options_.pending_reads_max},
        {"heartbeat_ticks", &options_.heartbeat_ticks}};
    *limits.at(words[1]) = value;
  } else if (command == "nodes") {
    std::set<uint64_t> voters;
    for (size_t i = 1; i < words.size(); ++i) voters.insert(Number(words[i]));
    members_ = MakeConfig(voters);
    for (uint64_t id : voters) cluster().AddNode(MemberId(id), members_);
  } else if (command == "members") {
    members_ = MakeConfig(Ids(words, "voters"), Ids(words, "learners"));
  } else if (command == "start") {
    Start(Id(words[1]), words);
  } else if (command == "spare") {
    cluster().AddNode(Id(words[1]), Configuration());
  } else {
    return false;
  }
  return true;
}

void ScenarioRunner::Start(MemberId id, const Words& words) {
  TestCluster::LogImage disk;
  for (const std::string& term : Split(Value(words, "log"), ',')) {
    const Entry entry{Term(Number(term)), disk.last() + 1, EntryType::kNormal,
                      MakePayload(ToString(disk.last()) + "@" + term)};
    disk.entries.push_back(entry);
    disk.hard_state.term = entry.term;
  }
  if (const std::string term = Value(words, "term"); !term.empty()) {
    disk.hard_state.term = Term(Number(term));
  }
  cluster().AddNode(id, members_, std::move(disk));
}

void ScenarioRunner::Tick(MemberId id) { cluster().Step(id, raft::Tick{}); }

void ScenarioRunner::Campaign(MemberId id) {
  const auto& core = cluster().node(id).core;
  for (uint64_t i = 0; i < 2 * options_.election_ticks; ++i) {
    Tick(id);
    if (core->role() != Role::kFollower) return;
  }
  failure_ = "the node did not ask for pre-votes";
}

void ScenarioRunner::DeliverOnce(std::optional<Link> link) {
  auto& network = cluster().network();
  std::deque<Message> queued;
  queued.swap(network);
  std::deque<Message> kept;
  for (Message& message : queued) {
    const Link on{message.from, message.to};
    if (dropped_.contains(on) || !cluster().alive(message.to)) continue;
    if (held_.contains(on) || (link && *link != on)) {
      kept.push_back(std::move(message));
    } else {
      cluster().Deliver(std::move(message));
    }
  }
  network.insert(network.begin(), std::make_move_iterator(kept.begin()),
                 std::make_move_iterator(kept.end()));
}

// One round of everything that is not held back. False if nothing changed.
bool ScenarioRunner::Work() {
  TestCluster& all = cluster();
  bool busy = std::any_of(all.network().begin(), all.network().end(), [&](const Message& message) {
    return !held_.contains({message.from, message.to});
  });
  DeliverOnce(std::nullopt);
  for (auto& [id, node] : all.nodes()) {
    if (!node.core) continue;
    if (!disk_held_.contains(id)) {
      busy = busy || !node.writes.empty() || !node.fetches.empty();
      all.SyncDisk(id, node.writes.size());
      while (!node.fetches.empty()) all.AnswerFetch(id);
    }
    if (!apply_held_.contains(id)) {
      busy = busy || !node.batches.empty();
      while (!node.batches.empty() && all.breach().empty()) all.ApplyBatch(id);
    }
    while (all.OfferSnapshot(id)) busy = true;
    if (!snapshot_held_.contains(id) && node.offered) {
      busy = true;
      all.ReceiveSnapshot(id);
    }
  }
  return busy;
}

void ScenarioRunner::Stabilize() {
  for (int round = 0; round < 10000 && cluster().breach().empty(); ++round) {
    if (!Work()) return;
  }
  failure_ = "the cluster does not come to rest";
}

bool ScenarioRunner::RunNetwork(const Words& words) {
  const std::string& command = words[0];
  TestCluster& all = cluster();
  if (command == "tick") {
    for (uint64_t i = 0; i < Number(words[2]); ++i) {
      for (auto& [id, node] : all.nodes()) {
        if (words[1] == "all" || Id(words[1]) == id) Tick(id);
      }
    }
  } else if (command == "campaign" || command == "elect") {
    Campaign(Id(words[1]));
    if (command == "campaign") return true;
    Stabilize();
    if (all.leader() != Id(words[1])) failure_ = "it was not elected";
  } else if (command == "deliver") {
    DeliverOnce(words.size() > 1 ? std::optional(ParseLink(words[1])) : std::nullopt);
  } else if (command == "stabilize") {
    Stabilize();
  } else if (command == "run") {
    for (uint64_t i = 0; i < Number(words[1]); ++i) {
      for (auto& [id, node] : all.nodes()) Tick(id);
      Stabilize();
    }
  } else if (command == "drop") {
    dropped_.insert(ParseLink(words[1]));
  } else if (command == "isolate") {
    for (auto& [id, node] : all.nodes()) {
      dropped_.insert({id, Id(words[1])});
      dropped_.insert({Id(words[1]), id});
    }
  } else if (command == "heal") {
    dropped_.clear();
    held_.clear();
  } else if (command == "hold") {
    held_.insert(ParseLink(words[1]));
  } else if (command == "release") {
    held_.erase(ParseLink(words[1]));
  } else if (command == "lose") {
    all.network().clear();
  } else if (command == "delay") {
    std::erase_if(all.network(), [&](Message& message) {
      if (Link{message.from, message.to} != ParseLink(words[1])) return false;
      delayed_.push_back(std::move(message));
      return true;
    });
  } else if (command == "arrive") {
    for (Message& message : delayed_) all.network().push_back(std::move(message));
    delayed_.clear();
  } else {
    return false;
  }
  return true;
}

bool ScenarioRunner::RunDisk(const Words& words) {
  if (words.size() < 2) return false;
  const std::string& command = words[0];
  TestCluster& all = cluster();
  const auto id = [&] { return Id(words[1]); };
  if (command == "hold-disk") {
    disk_held_.insert(id());
  } else if (command == "release-disk") {
    disk_held_.erase(id());
  } else if (command == "sync") {
    all.SyncDisk(id(), Number(words[2]));
  } else if (command == "fetch") {
    all.AnswerFetch(id());
  } else if (command == "hold-apply") {
    apply_held_.insert(id());
  } else if (command == "release-apply") {
    apply_held_.erase(id());
  } else if (command == "hold-snapshot") {
    snapshot_held_.insert(id());
  } else if (command == "release-snapshot") {
    snapshot_held_.erase(id());
  } else if (command == "fail-snapshot") {
    all.FailSnapshot(id());
  } else if (command == "crash") {
    all.Crash(id(), words[2] == "keep" ? Number(words[3]) : 0);
  } else if (command == "restart") {
    all.Restart(id());
  } else if (command == "checkpoint") {
    all.Checkpoint(id());
  } else if (command == "compact") {
    all.Checkpoint(id());
    all.CompactTo(id(), LogIndex(Number(words[2])));
  } else {
    return false;
  }
  return true;
}

bool ScenarioRunner::RunInput(const Words& words) {
  if (words.size() < 3) return false;
  const std::string& command = words[0];
  TestCluster& all = cluster();
  const MemberId id = Id(words[1]);
  if (command == "propose") {
    names_[words[2]] = {id, ++last_id_};
    all.Propose(id, last_id_, words[2]);
  } else if (command == "read") {
    names_[words[2]] = {id, ++last_id_};
    all.Read(id, last_id_);
  } else if (command == "transfer") {
    all.Step(id, TransferLeader{words[2] == "best" ? MemberId() : Id(words[2])});
  } else if (command == "stepdown") {
    all.Step(id, StepDown{Number(words[2])});
  } else if (command == "unreachable") {
    all.Step(id, Unreachable{Id(words[2])});
  } else if (command == "gone") {
    all.Step(id, PeerGone{Id(words[2])});
  } else if (command == "config") {
    names_["config"] = {id, ++last_id_};
    Configuration target = MakeConfig(Ids(words, "voters"), Ids(words, "learners"));
    const Configuration now = all.node(id).core->status().config;
    target.next_member_id = std::max(target.next_member_id, now.next_member_id);
    all.Step(id, ProposeConfig{last_id_, std::move(target)});
  } else {
    return false;
  }
  return true;
}

std::string ScenarioRunner::Expect(const Words& words) {
  const std::string& what = words.at(1);
  TestCluster& all = cluster();
  if (what == "leader") {
    const MemberId wanted = words[2] == "none" ? MemberId() : Id(words[2]);
    return all.leader() == wanted ? "" : Differ("another leader", ToString(all.leader()));
  }
  if (what == "read" || what == "proposal") {
    const auto& [id, number] = names_.at(words[2]);
    const auto& node = all.node(id);
    const std::string now = node.dropped.contains(number)         ? "dropped"
                            : node.reads_granted.contains(number) ? "granted"
                            : node.accepted.contains(number)      ? "accepted"
                                                                  : "waiting";
    return now == words[3] ? "" : Differ("expected " + words[3], now);
  }
  if (what == "in-flight") {
    const auto count = std::count_if(
        all.network().begin(), all.network().end(),
        [&](const Message& message) { return words[2] == kTypes[message.body.index()]; });
    return count == static_cast<int64_t>(Number(words[3])) ? "" : Differ("", std::to_string(count));
  }
  if (what == "logterm") {
    const auto& disk = all.node(Id(words[2])).disk;
    const LogIndex index(Number(words[3]));
    if (index <= disk.snapshot_index || index > disk.last()) return "there is no such entry";
    const Term term = disk.entries[index - disk.snapshot_index - 1].term;
    return term == Term(Number(words[4])) ? "" : Differ("another term", ToString(term));
  }
  if (!all.alive(Id(words[2]))) return "the node is down";
  const CoreStatus status = all.node(Id(words[2])).core->status();
  if (what == "role") {
    const std::string role = kRoles[static_cast<int>(status.role)];
    return role == words[3] ? "" : Differ("another role", role);
  }
  if (what == "config") {
    const Configuration& c = status.config;
    const std::string now = "voters=" + Join(c.voters) + " outgoing=" + Join(c.outgoing) +
                            " learners=" + Join(c.learners);
    std::string wanted;
    for (size_t i = 3; i < words.size(); ++i) wanted += (i == 3 ? "" : " ") + words[i];
    return now == wanted ? "" : Differ("another configuration", now);
  }
  if (what == "progress") {
    auto peer = status.peers.find(Id(words[3]));
    if (peer == status.peers.end()) return "it has no such peer";
    const std::string state = kStates[static_cast<int>(peer->second.state)];
    return state == words[4] ? "" : Differ("another state", state);
  }
  if (what == "ready") return status.leader_ready ? "" : "it is not";
  if (what == "not-ready") return status.leader_ready ? "it is" : "";
  return ExpectNumber(words);
}

std::string ScenarioRunner::ExpectNumber(const Words& words) {
  const CoreStatus s = cluster().node(Id(words[2])).core->status();
  const std::map<std::string, uint64_t> numbers{
      {"term", s.term.value()},       {"vote", s.vote.value()},     {"last", s.last.value()},
      {"first", s.first.value()},     {"commit", s.commit.value()}, {"durable", s.durable.value()},
      {"applied", s.applied.value()}, {"knows", s.leader.value()}};
  auto it = numbers.find(words[1]);
  if (it == numbers.end()) return "unknown expectation";
  return it->second == Number(words.at(3)) ? ""
                                           : Differ("another value", std::to_string(it->second));
}

}  // namespace cairn::raft
