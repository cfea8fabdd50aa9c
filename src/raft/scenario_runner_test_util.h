// Runs scenario files (testdata/scenarios/*.txt): one command per line, `#` begins a comment.
//
// Set-up
//   limit NAME VALUE               sets a field of Options; before the nodes start
//   nodes 1 2 3                    founding voters, all started
//   members voters=1,2 learners=3  founding members, none started
//   start 1 [log=1,1,2] [term=3]   starts a node; `log` gives the terms of the entries it holds
//   spare 4                        a node with an empty disk that waits to be admitted
// Time and network. Messages wait until `deliver` or `stabilize`.
//   tick 1 5 | tick all 5          ticks only; nothing is delivered
//   campaign 1                     ticks until the node asks for pre-votes
//   elect 1                        campaign, then stabilize; expects the node to lead
//   deliver [1->2]                 delivers what is queued now (on that link), once
//   stabilize                      delivers, writes, applies until nothing moves
//   run 20                         20 times: ticks every live node, stabilizes
//   drop 1->2 | isolate 1 | heal   loses messages from now on; both ways; ends all losses and holds
//   hold 1->2 | release 1->2       keeps messages of a link back; lets them go
//   lose                           forgets all messages in flight
//   delay 1->2 | arrive            takes what is queued on the link out; puts it back, behind all
//                                  other messages
// Disk, state machine, crashes
//   hold-disk 1 | release-disk 1 | sync 1 2      nothing becomes durable; the oldest 2 writes do
//   fetch 1                        answers the oldest fetch of entries from the node's log
//   hold-apply 1 | release-apply 1
//   crash 1 lose-unsynced | crash 1 keep 2       keep: that many writes had reached the disk
//   restart 1
//   checkpoint 1 | compact 1 5                   compacts up to 5, or what is durably applied
//   hold-snapshot 1 | release-snapshot 1 | fail-snapshot 1    receiving of an offered snapshot
// Inputs
//   propose 1 x | read 1 r1 | transfer 1 2 | transfer 1 best | stepdown 1 10 | unreachable 1 2
//   gone 2 1                                     node 2 is told that the process of 1 has ended
//   config 1 voters=1,2,3 learners=4             the entry's name is "config"
// Expectations
//   expect leader 1 | expect leader none         the leader of the highest term
//   expect role 1 follower|pre-candidate|candidate|leader
//   expect term|vote|last|first|durable|commit|applied|knows 1 5      knows: whom node 1 takes for
//                                                                    the leader
//   expect logterm 1 5 2                         entry 5 of node 1's durable log has term 2
//   expect read r1 granted|waiting|dropped
//   expect proposal x accepted|dropped
//   expect config 1 voters=1,2 outgoing= learners=
//   expect progress 1 2 probe|replicate|snapshot
//   expect ready 1 | expect not-ready 1
//   expect in-flight TYPE 2                      number of messages of a type in the network
//
// The invariants of the cluster must hold after each line. At the end the runner heals everything,
// and the cluster must converge.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "raft/cluster_test_util.h"

namespace cairn::raft {

class ScenarioRunner {
 public:
  ScenarioRunner();
  // The first thing that went wrong, with its line; empty if nothing went wrong.
  std::string Run(const std::string& text);

 private:
  using Words = std::vector<std::string>;
  using Link = std::pair<MemberId, MemberId>;

  std::string RunLine(const Words& words);
  bool RunSetUp(const Words& words);
  bool RunNetwork(const Words& words);
  bool RunDisk(const Words& words);
  bool RunInput(const Words& words);
  std::string Expect(const Words& words);
  std::string ExpectNumber(const Words& words);
  std::string Finish();

  TestCluster& cluster();
  void Start(MemberId id, const Words& words);
  void Tick(MemberId id);
  void Campaign(MemberId id);
  void DeliverOnce(std::optional<Link> link);
  bool Work();
  void Stabilize();

  Options options_;
  std::optional<TestCluster> cluster_;
  Configuration members_;
  std::set<Link> dropped_;
  std::set<Link> held_;
  std::vector<Message> delayed_;
  std::set<MemberId> disk_held_, apply_held_, snapshot_held_;
  uint64_t last_id_ = 0;
  std::map<std::string, std::pair<MemberId, uint64_t>> names_;  // names of reads and proposals
  std::string failure_;
};

}  // namespace cairn::raft
