#include "tools/cluster_view.h"

#include <algorithm>

#include "base/ids.h"

namespace cairn::tools {
namespace {

Value Number(uint64_t number) { return static_cast<int64_t>(number); }

Row MemberRow(const v1::Member& member, const Result<v1::StatusResponse>& status) {
  Row row = {Number(member.node_id()), Number(member.member_id()), member.address(),
             std::string(member.voter() ? "voter" : "learner")};
  if (!status.ok()) {
    row.insert(row.end(), {std::string("unreachable"), {}, {}, {}, {}, status.status().message()});
    return row;
  }
  std::string note = status->trouble();
  if (note.empty()) note = status->digests().doubt();
  if (note.empty() && status->stage() != "started") note = status->waiting_for();
  if (note.empty() && !member.progress().empty()) note = member.progress();
  row.insert(row.end(), {std::string(RoleName(status->role())), Number(status->term()),
                         Number(status->commit_index()), Number(status->applied_index()),
                         Number(status->log_bytes()), note});
  return row;
}

// The command that all writes wait for; empty if apply has not been at one command for long.
std::string BusyText(const v1::StatusResponse& status) {
  if (!status.has_busy_apply()) return "";
  const v1::BusyApply& busy = status.busy_apply();
  std::string text = "for " + std::to_string(busy.for_ms() / 1000) + " s with command " +
                     std::to_string(busy.command()) + " of entry " + std::to_string(busy.index());
  if (!busy.principal().empty()) text += ", of " + busy.principal();
  if (!busy.session().empty()) {
    text += ", request " + busy.session() + "/" + std::to_string(busy.sequence());
  }
  text += ": " + busy.statement();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

}  // namespace

const char* RoleName(v1::Role role) {
  switch (role) {
    case v1::ROLE_LEADER: return "leader";
    case v1::ROLE_FOLLOWER: return "follower";
    case v1::ROLE_CANDIDATE: return "candidate";
    case v1::ROLE_LEARNER: return "learner";
    default: return "none";
  }
}

const std::vector<Column>& MembersColumns() {
  static const auto* const kColumns = new std::vector<Column>{
      {"node", ""}, {"member", ""}, {"address", ""}, {"votes", ""},     {"role", ""},
      {"term", ""}, {"commit", ""}, {"applied", ""}, {"log_bytes", ""}, {"note", ""}};
  return *kColumns;
}

Result<std::vector<Row>> MembersTable(NodeClient* node, std::chrono::milliseconds timeout) {
  ASSIGN_OR_RETURN(v1::StatusResponse asked, node->ClusterStatus(timeout));
  const v1::StatusResponse itself = asked;
  // Only the leader knows how far its peers are.
  if (asked.role() != v1::ROLE_LEADER && !asked.leader_address().empty()) {
    NodeClient leader(asked.leader_address());
    const Result<v1::StatusResponse> better = leader.ClusterStatus(timeout);
    if (better.ok() && better->role() == v1::ROLE_LEADER) asked = *better;
  }
  std::vector<Row> rows;
  for (const v1::Member& member : asked.members()) {
    NodeClient other(member.address());
    rows.push_back(MemberRow(member, other.ClusterStatus(timeout)));
  }
  // A removed node is no member, but it says so when it is asked itself.
  const bool listed = std::any_of(
      asked.members().begin(), asked.members().end(),
      [&](const v1::Member& member) { return member.member_id() == itself.member_id(); });
  if (!listed && itself.member_id() != 0) {
    v1::Member self;
    self.set_node_id(itself.node_id());
    self.set_member_id(itself.member_id());
    self.set_address(itself.address());
    rows.push_back(MemberRow(self, itself));
    rows.back()[3] = std::string("no member");
  }
  return rows;
}

Result<std::vector<std::string>> OtherMembers(const std::string& address,
                                              std::chrono::milliseconds timeout) {
  ASSIGN_OR_RETURN(const v1::StatusResponse asked, NodeClient(address).ClusterStatus(timeout));
  if (asked.members().empty()) {
    return Unavailable(address + " has not joined a cluster yet: " + asked.waiting_for());
  }
  std::vector<std::string> others;
  for (const v1::Member& member : asked.members()) {
    if (member.node_id() != asked.node_id()) others.push_back(member.address());
  }
  return others;
}

const std::vector<Column>& StatusColumns() {
  static const auto* const kColumns = new std::vector<Column>{{"node", ""},
                                                              {"address", ""},
                                                              {"cluster", ""},
                                                              {"member", ""},
                                                              {"stage", ""},
                                                              {"role", ""},
                                                              {"term", ""},
                                                              {"leader", ""},
                                                              {"leader_address", ""},
                                                              {"commit", ""},
                                                              {"applied", ""},
                                                              {"log_first", ""},
                                                              {"log_last", ""},
                                                              {"log_bytes", ""},
                                                              {"durable_state", ""},
                                                              {"waiting_for", ""},
                                                              {"trouble", ""},
                                                              {"fenced", ""},
                                                              {"digest_right", ""},
                                                              {"digest_differences", ""},
                                                              {"scrubs", ""},
                                                              {"scrubs_failed", ""},
                                                              {"fences", ""},
                                                              {"doubt", ""},
                                                              {"level", ""},
                                                              {"level_max", ""},
                                                              {"version", ""},
                                                              {"engine", ""},
                                                              {"busy", ""}};
  return *kColumns;
}

Row StatusRow(const v1::StatusResponse& status) {
  return {Number(status.node_id()),
          status.address(),
          status.cluster_id() == 0 ? "" : ClusterIdText(status.cluster_id()),
          Number(status.member_id()),
          status.stage(),
          std::string(RoleName(status.role())),
          Number(status.term()),
          Number(status.leader_node_id()),
          status.leader_address(),
          Number(status.commit_index()),
          Number(status.applied_index()),
          Number(status.first_index()),
          Number(status.last_index()),
          Number(status.log_bytes()),
          Number(status.durable_state_index()),
          status.waiting_for(),
          status.trouble(),
          Number(status.fenced() ? 1 : 0),
          Number(status.digests().right_index()),
          Number(status.digests().differences()),
          Number(status.digests().scrubs()),
          Number(status.digests().scrubs_failed()),
          Number(status.digests().fences()),
          status.digests().doubt(),
          Number(status.level()),
          Number(status.level_max()),
          status.version(),
          status.engine(),
          BusyText(status)};
}

void PrintRows(const PrintStyle& style, const std::vector<Column>& columns,
               const std::vector<Row>& rows, std::ostream* out) {
  const std::unique_ptr<ResultPrinter> printer = NewResultPrinter(style, out);
  Status status = printer->OnColumns(columns);
  for (const Row& row : rows) {
    if (status.ok()) status = printer->OnRow(row);
  }
  printer->Finish();
}

namespace {

// Whether the error may be gone the next time. An error in the request itself would not.
bool MayPass(const Status& status) {
  switch (status.code()) {
    case StatusCode::kUnavailable:
    case StatusCode::kDeadlineExceeded:
    case StatusCode::kResourceExhausted:
    case StatusCode::kAborted:
    case StatusCode::kCancelled: return true;
    default: return false;
  }
}

// Whether a write that ended with an error and the outcome "applied" took effect. Most such errors
// are the result of the write itself, and nothing of the write took effect. With this reason the
// write succeeded, and its result is not in the answer (docs/internals/api.md, "Outcomes").
bool TookEffect(const Status& status) { return status.reason() == Reason::kResultTooLarge; }

}  // namespace

std::string ErrorInWords(const Status& status) {
  std::string words = status.ToString();
  switch (status.outcome()) {
    case Outcome::kApplied:
      words += TookEffect(status) ? " (applied: do not run it again)"
                                  : " (the statement's own result: it changed nothing)";
      break;
    case Outcome::kNotApplied:
      words += MayPass(status) ? " (not applied: safe to try again)" : " (not applied)";
      break;
    case Outcome::kUnknown: words += " (unknown: it may or may not have been applied)"; break;
    case Outcome::kNone: break;
  }
  if (status.leader_hint() && !status.leader_hint()->address.empty()) {
    words += "; the leader is node " + std::to_string(status.leader_hint()->node_id) + " at " +
             status.leader_hint()->address;
  }
  return words;
}

}  // namespace cairn::tools
