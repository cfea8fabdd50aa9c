// Nemesis: injects the faults of a plan, and heals them.
//
// The nemesis stays within what Cairn promises to survive. Any number of nodes may be down, cut
// off, stopped or slow, but no more disks are lost than a minority of the voters in force.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "sim/checker.h"
#include "sim/network.h"
#include "sim/node.h"
#include "sim/plan.h"
#include "sim/world.h"

namespace cairn::sim {

class Nemesis {
 public:
  Nemesis(World* world, Network* network, Nodes* nodes, Checker* checker, const Plan& plan);

  void Begin();
  // Injects no more faults. Existing faults stay.
  void End() { ended_ = true; }
  // Repairs the links, clocks, disks and processes of all nodes except `left_out`. Each node of
  // `left_out` is cut off, stopped, without a responding disk, or dead, until Heal({}).
  void Heal(const std::set<uint64_t>& left_out);
  // The node's process ended itself.
  void OnDied(uint64_t node);

  // The configuration in force, according to the node with the longest log.
  const raft::Configuration& config();
  // The leader of the latest term; null if there is none.
  Process* Leader();
  // Draws a minority of the voters in force. Empty while another configuration is on its way.
  std::set<uint64_t> DrawMinority();
  // How often each fault was injected.
  const std::map<Fault, uint64_t>& brought() const { return brought_; }
  // The number of nodes that refused to start on a rotten disk.
  uint64_t rot_refused() const { return rot_refused_; }
  // The number of copies and set-back nodes that found out what they are.
  uint64_t copies_told() const { return copies_told_; }

 private:
  bool ChangeUnderWay();
  void Schedule(Fault fault);
  void Bring(Fault fault);
  void BringToNetwork(Fault fault);
  void BringToNode(Fault fault, uint64_t node);
  void After(SteadyTime delay, std::function<void()> run);
  SteadyTime Duration() { return std::min<SteadyTime>(Exponential(rng_, seconds(4)), seconds(15)); }

  void Stop(uint64_t node, Node::End end, SteadyTime down_for);
  void StopGently(uint64_t node);
  void StartLater(uint64_t node, SteadyTime after);
  void Start(uint64_t node);
  Node::End DrawPowerCut();
  void Partition();
  void CutSome(bool both_ways);
  void SetCutBetween(const std::set<uint64_t>& side, bool both_ways, bool cut);
  bool HasRot(uint64_t node) const;
  bool IsLost(const raft::Configuration& now, MemberId voter) const;
  bool MayLoseDisk(uint64_t node);
  void Wipe(uint64_t node);
  void Rot(uint64_t node);
  void RotRow(uint64_t node);
  void FailRead(uint64_t node);
  void Upgrade();
  // Addresses and identities (nemesis_moves.cc).
  void ReturnEmptyNodes();
  void Move();
  std::string NewAddress(uint64_t node);
  // The address of each node, as the operators know it.
  std::map<uint64_t, std::string> ListNow() const;
  void CopyNode(uint64_t node);
  void StartCopy(uint64_t node, int attempts);
  void EndCopy();
  void SetBack(uint64_t node);
  void WatchSetBack(uint64_t node);
  bool AllKnowTheStart(uint64_t node);
  void RunWrongBuild();
  void AwaitAgreement(uint64_t node);
  void RaiseLevel();
  void CheckLevel(uint64_t level);
  void HandLeadTo(uint64_t node);
  void SetVersionBack();
  void LeaveOut(uint64_t node);
  void ChangeMembership();
  void TransferLead();
  uint64_t AnyNode();
  std::vector<uint64_t> Ids() const;

  World* const world_;
  Network* const network_;
  Nodes* const nodes_;
  Checker* const checker_;
  const Plan& plan_;
  Rng rng_;
  bool ended_ = false;
  // A heal cancels the pending ends of earlier cuts, so that what is cut after the heal stays cut.
  // Otherwise a leader that is left out would get its follower back, but not its clients, and no
  // node would replace it.
  int heals_ = 0;
  bool changing_ = false;  // a change of membership is under way
  std::set<uint64_t> stopping_;
  // Nodes on whose disks a bit has flipped, and that have not started since. Their disks count as
  // lost.
  std::set<uint64_t> rotten_;
  std::set<uint64_t> fails_to_read_;  // nodes whose next start meets failing reads
  Version version_;                   // the newest version
  bool upgrading_ = false;
  uint32_t wrong_builds_ = 0;
  std::set<uint64_t> versions_back_;  // nodes whose operator went back to the version before
  std::set<uint64_t> kept_down_;
  uint64_t moves_ = 0;
  // A node's disk as it was at an earlier start.
  struct Image {
    std::unique_ptr<FaultFileSystem> disk;
    raft::Boot boot;  // the last start in the image
    MemberId member;
  };
  std::map<uint64_t, Image> images_;
  // Nodes that run from such an image. Their members' disks count as lost.
  std::set<uint64_t> set_back_;
  std::unique_ptr<Node> copy_;
  std::vector<std::unique_ptr<Node>> ended_copies_;  // events still name them
  std::unique_ptr<FaultFileSystem> copied_disk_;     // of copy_, which is not started yet
  uint64_t copies_told_ = 0;
  std::map<Fault, uint64_t> brought_;
  uint64_t rot_refused_ = 0;
  raft::Configuration config_;
  LogIndex config_index_;
};

}  // namespace cairn::sim
