#include "tools/doctor.h"

#include <algorithm>
#include <set>
#include <utility>

namespace cairn::tools {
namespace {

// A member that lags by so many entries will not catch up within moments.
constexpr uint64_t kLagMax = 10'000;

std::string NameOf(const ClusterLook::Node& node) {
  return "node " + std::to_string(node.node_id) + " at " + node.address;
}

// Adds up what the parts below find.
class Findings {
 public:
  void Add(Severity severity, std::string what, std::string advice) {
    all_.push_back({severity, std::move(what), std::move(advice)});
  }
  std::vector<Finding> Take() {
    std::stable_sort(all_.begin(), all_.end(),
                     [](const Finding& a, const Finding& b) { return a.severity > b.severity; });
    return std::move(all_);
  }

 private:
  std::vector<Finding> all_;
};

void FindQuorum(const ClusterLook& look, Findings* findings) {
  size_t voters = 0;
  size_t answer = 0;
  for (const ClusterLook::Node& node : look.nodes) {
    voters += node.voter ? 1 : 0;
    answer += node.voter && node.status ? 1 : 0;
  }
  const size_t needed = voters / 2 + 1;
  const std::string count = std::to_string(answer) + " of " + std::to_string(voters) + " voters";
  if (answer < needed) {
    findings->Add(Severity::kCritical,
                  count + " answer, and " + std::to_string(needed) +
                      " are a majority: nothing is written, and no read is linearizable",
                  "start the missing nodes on their old data, never empty (No leader)");
  } else if (look.asked.leader_node_id() == 0) {
    findings->Add(Severity::kCritical, "no leader is known, although " + count + " answer",
                  "look whether the nodes reach each other; an election takes less than a second "
                  "(No leader)");
  } else if (answer == needed && answer < voters) {
    findings->Add(Severity::kWarning, count + " answer: one more loss stops the cluster",
                  "bring the missing nodes back (A node does not start)");
  }
  if (voters > 1 && voters % 2 == 0) {
    findings->Add(Severity::kNote,
                  std::to_string(voters) + " voters survive no more losses than " +
                      std::to_string(voters - 1) + " do",
                  "add or remove one (Growing and shrinking)");
  }
  if (look.asked.config_in_progress()) {
    findings->Add(Severity::kNote, "a change of the members is not finished",
                  "see `cairn member list` (Growing and shrinking)");
  }
}

void FindHealth(const ClusterLook::Node& node, Findings* findings) {
  const v1::StatusResponse& status = *node.status;
  const std::string name = NameOf(node);
  const std::string part = status.fenced() ? "(A node does not hold what it should)"
                                           : "(A node has stopped applying; A full disk)";
  if (!status.trouble().empty()) {
    findings->Add(Severity::kWarning, name + ": " + status.trouble(),
                  "the trouble says whether the node helps itself " + part);
  }
  if (!status.digests().doubt().empty()) {
    findings->Add(Severity::kWarning, name + ": " + status.digests().doubt(),
                  "(A node does not hold what it should; Upgrading; A full disk)");
  }
  if (status.stage() != "started") {
    findings->Add(Severity::kWarning, name + " takes no part yet: " + status.waiting_for(),
                  "start the nodes that it waits for, or correct its --peers (A node does not "
                  "start)");
  }
  if (status.has_busy_apply() && status.busy_apply().for_ms() > 0) {
    findings->Add(Severity::kWarning,
                  name + " has been at one command for " +
                      std::to_string(status.busy_apply().for_ms() / 1000) +
                      " s; writes wait behind it",
                  "it ends by itself (Writers wait)");
  }
  if (status.digests().scrubs_failed() > 0 || status.digests().fences() > 0) {
    findings->Add(Severity::kWarning,
                  name + " has found damage since it was started: " +
                      std::to_string(status.digests().scrubs_failed()) + " scrubs, " +
                      std::to_string(status.digests().fences()) + " fences",
                  "look at its disk and its memory (A node does not hold what it should)");
  }
}

void FindNode(const ClusterLook& look, const ClusterLook::Node& node, Findings* findings) {
  if (!node.status) {
    findings->Add(Severity::kWarning, NameOf(node) + " does not answer",
                  "start it; its log says why it does not (A node does not start)");
    return;
  }
  const v1::StatusResponse& status = *node.status;
  if (status.cluster_id() != 0 && status.cluster_id() != look.asked.cluster_id()) {
    findings->Add(Severity::kCritical, NameOf(node) + " belongs to another cluster",
                  "stop it, and correct its --peers (Growing and shrinking)");
    return;
  }
  FindHealth(node, findings);
  if (!node.voter) {
    findings->Add(Severity::kNote, NameOf(node) + " is a learner: it has no vote yet",
                  "it votes once it has caught up (Growing and shrinking)");
  }
  const uint64_t commit = look.asked.commit_index();
  if (status.stage() == "started" && status.applied_index() + kLagMax < commit) {
    findings->Add(
        Severity::kWarning,
        NameOf(node) + " is " + std::to_string(commit - status.applied_index()) + " entries behind",
        "it catches up by itself unless its disk or network is slow (Slow writes)");
  }
}

void FindVersions(const ClusterLook& look, Findings* findings) {
  std::set<std::string> versions;
  std::set<std::string> engines;
  bool all_know_more = true;
  for (const ClusterLook::Node& node : look.nodes) {
    if (!node.status) {
      all_know_more = false;
      continue;
    }
    versions.insert(node.status->version());
    engines.insert(node.status->engine());
    all_know_more = all_know_more && node.status->level_max() > look.asked.level();
  }
  if (versions.size() > 1 || engines.size() > 1) {
    findings->Add(Severity::kNote, "the nodes run different builds",
                  "go on with the upgrade, node by node (Upgrading)");
  } else if (all_know_more && look.asked.level() > 0) {
    findings->Add(Severity::kNote,
                  "the cluster is at feature level " + std::to_string(look.asked.level()) +
                      ", and all nodes know a higher one",
                  "`cairn member upgrade ADDR`, if you do not want to go back (Upgrading)");
  }
}

const char* NameOf(Severity severity) {
  switch (severity) {
    case Severity::kCritical: return "critical";
    case Severity::kWarning: return "warning";
    case Severity::kNote: break;
  }
  return "note";
}

}  // namespace

std::vector<Finding> Diagnose(const ClusterLook& look) {
  Findings findings;
  FindQuorum(look, &findings);
  for (const ClusterLook::Node& node : look.nodes) FindNode(look, node, &findings);
  FindVersions(look, &findings);
  return findings.Take();
}

Result<ClusterLook> LookAt(NodeClient* node, std::chrono::milliseconds timeout) {
  ClusterLook look;
  ASSIGN_OR_RETURN(look.asked, node->ClusterStatus(timeout));
  const v1::StatusResponse itself = look.asked;
  if (itself.role() != v1::ROLE_LEADER && !itself.leader_address().empty()) {
    const Result<v1::StatusResponse> leader =
        NodeClient(itself.leader_address()).ClusterStatus(timeout);
    if (leader.ok() && leader->role() == v1::ROLE_LEADER) look.asked = *leader;
  }
  bool listed = false;
  for (const v1::Member& member : look.asked.members()) {
    ClusterLook::Node known{member.node_id(), member.address(), member.voter(), {}};
    if (member.member_id() == itself.member_id()) {
      known.status = itself;
      listed = true;
    } else if (Result<v1::StatusResponse> status =
                   NodeClient(member.address()).ClusterStatus(timeout);
               status.ok()) {
      known.status = *std::move(status);
    }
    look.nodes.push_back(std::move(known));
  }
  // A node that is no member, or not yet, says so itself.
  if (!listed) look.nodes.push_back({itself.node_id(), node->address(), false, itself});
  std::sort(look.nodes.begin(), look.nodes.end(),
            [](const auto& a, const auto& b) { return a.node_id < b.node_id; });
  return look;
}

Result<bool> RunDoctor(NodeClient* node, std::chrono::milliseconds timeout, std::ostream* out) {
  ASSIGN_OR_RETURN(const ClusterLook look, LookAt(node, timeout));
  const std::vector<Finding> findings = Diagnose(look);
  *out << look.nodes.size() << (look.nodes.size() == 1 ? " node" : " nodes");
  if (look.asked.leader_node_id() != 0) {
    *out << ", node " << look.asked.leader_node_id() << " leads in term " << look.asked.term();
  }
  *out << ", feature level " << look.asked.level() << "\n";
  bool healthy = true;
  for (const Finding& finding : findings) {
    healthy = healthy && finding.severity == Severity::kNote;
    *out << NameOf(finding.severity) << ": " << finding.what << "\n    " << finding.advice << "\n";
  }
  if (healthy) *out << "nothing is wrong\n";
  if (!findings.empty()) *out << "The words in brackets are parts of docs/operations/runbook.md.\n";
  out->flush();
  return healthy;
}

}  // namespace cairn::tools
