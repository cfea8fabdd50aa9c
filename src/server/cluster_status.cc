#include "server/cluster_status.h"

#include <chrono>

#include "rpc/proto_convert.h"

namespace cairn::server {
namespace {

v1::Role RoleOf(const raft::CoreStatus& core) {
  if (core.role == raft::Role::kLeader) return v1::ROLE_LEADER;
  if (core.config.IsLearner(core.self)) return v1::ROLE_LEARNER;
  return core.role == raft::Role::kFollower ? v1::ROLE_FOLLOWER : v1::ROLE_CANDIDATE;
}

const char* StageName(transport::LifeStage stage) {
  switch (stage) {
    case transport::LifeStage::kEmpty: return "empty";
    case transport::LifeStage::kFounding: return "founding";
    case transport::LifeStage::kStarted: break;
  }
  return "started";
}

const char* ProgressName(raft::PeerStatus::State state) {
  switch (state) {
    case raft::PeerStatus::State::kProbe: return "probe";
    case raft::PeerStatus::State::kReplicate: return "replicate";
    case raft::PeerStatus::State::kSnapshot: break;
  }
  return "snapshot";
}

void AddMember(const raft::CoreStatus& core, MemberId id, const raft::MemberInfo& info,
               v1::StatusResponse* out) {
  v1::Member* member = out->add_members();
  member->set_node_id(info.node_id);
  member->set_member_id(id.value());
  member->set_address(info.address);
  member->set_voter(core.config.IsVoter(id));
  if (core.role != raft::Role::kLeader) return;
  if (id == core.self) {
    member->set_match_index(core.durable.value());
    member->set_active(true);
    member->set_progress("leader");
  } else if (const auto peer = core.peers.find(id); peer != core.peers.end()) {
    member->set_match_index(peer->second.match.value());
    member->set_active(peer->second.recently_active);
    member->set_progress(ProgressName(peer->second.state));
  }
}

void AddBusy(const node::BusyApply& busy, SteadyTime now, v1::StatusResponse* out) {
  v1::BusyApply* const to = out->mutable_busy_apply();
  to->set_index(busy.command.index.value());
  to->set_command(busy.command.number + 1);
  to->set_session(rpc::Utf8OrQuestionMarks(busy.command.id.session));
  to->set_sequence(busy.command.id.sequence);
  to->set_principal(rpc::Utf8OrQuestionMarks(busy.command.principal));
  to->set_statement(rpc::Utf8OrQuestionMarks(busy.command.statement));
  const auto for_ms = std::chrono::duration_cast<std::chrono::milliseconds>(now - busy.since);
  to->set_for_ms(static_cast<uint64_t>(for_ms.count()));
}

}  // namespace

v1::StatusResponse StatusOf(const node::ReplicaStatus& status, const NodeInfo& info,
                            SteadyTime now) {
  const raft::CoreStatus& core = status.core;
  v1::StatusResponse out;
  out.set_cluster_id(status.cluster_id);
  out.set_node_id(info.node_id);
  out.set_member_id(core.self.value());
  out.set_address(info.address);
  out.set_stage(StageName(status.stage));
  out.set_waiting_for(rpc::Utf8OrQuestionMarks(status.waiting_for));
  if (status.stage == transport::LifeStage::kStarted) out.set_role(RoleOf(core));
  out.set_term(core.term.value());
  if (const auto leader = core.config.info.find(core.leader); leader != core.config.info.end()) {
    out.set_leader_node_id(leader->second.node_id);
    out.set_leader_address(leader->second.address);
  }
  out.set_commit_index(core.commit.value());
  out.set_applied_index(core.applied.value());
  out.set_first_index(core.first.value());
  out.set_last_index(core.last.value());
  out.set_durable_state_index(status.durable_state.value());
  out.set_log_bytes(status.log_bytes);
  for (const auto& [id, member] : core.config.info) AddMember(core, id, member, &out);
  out.set_config_in_progress(core.config_in_progress);
  if (!status.trouble.ok()) out.set_trouble(rpc::Utf8OrQuestionMarks(status.trouble.ToString()));
  out.set_fenced(status.fenced);
  v1::Digests* const digests = out.mutable_digests();
  digests->set_right_index(status.digests.right_index.value());
  digests->set_made(status.digests.made);
  digests->set_differences(status.digests.differences);
  digests->set_scrubs(status.digests.scrubs);
  digests->set_scrubs_failed(status.digests.scrubs_failed);
  digests->set_fences(status.digests.fences);
  digests->set_doubt(rpc::Utf8OrQuestionMarks(status.digests.doubt));
  out.set_level(status.level);
  out.set_level_max(status.level_max);
  if (status.busy_apply) AddBusy(*status.busy_apply, now, &out);
  out.set_version(info.version);
  out.set_engine(info.engine);
  return out;
}

void LeaveOutClients(v1::StatusResponse* status) {
  if (!status->has_busy_apply()) return;
  v1::BusyApply* const busy = status->mutable_busy_apply();
  busy->clear_statement();
  busy->clear_session();
  busy->clear_principal();
}

}  // namespace cairn::server
