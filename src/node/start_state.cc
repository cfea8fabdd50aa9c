#include "node/start_state.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "node/boot_file.h"
#include "node/fence_file.h"
#include "raft/configuration_codec.h"

namespace cairn::node {
namespace {

std::string At(LogIndex index, Term term) {
  return "index " + ToString(index) + " (term " + ToString(term) + ")";
}

// Makes the log begin at what the state machine holds.
Status ResetLogToState(log_store::LogStore& log, GroupId group, const log_store::GroupState& found,
                       const state_machine::AppliedState& applied) {
  LOG_WARN(
      "the database is ahead of the log: an interrupted snapshot install is completed state={}"
      " log_last={}",
      applied.index.value(), found.last.value());
  raft::HardState hard_state = found.hard_state;
  if (applied.term > hard_state.term) {
    hard_state.term = applied.term;
    hard_state.vote = MemberId();
  }
  hard_state.commit = applied.index;
  log_store::GroupWrite write;
  write.group = group;
  write.hard_state = hard_state;
  write.reset_to = log_store::GroupWrite::ResetTo{applied.index, applied.term};
  RETURN_IF_ERROR(log.Write({write}));
  return log.Sync();
}

// The file of a snapshot took its place, and the log was not reset yet: the log ends before the
// snapshot, or holds entries of a deposed leader where the snapshot's are. What is known to be
// committed is never of that kind.
bool InstallWasInterrupted(const log_store::GroupState& group, const raft::InitialState& raft,
                           const state_machine::AppliedState& applied) {
  if (applied.index > group.last) return true;
  if (applied.index <= group.snapshot_index || applied.index <= group.hard_state.commit) {
    return false;
  }
  return raft.log.at(applied.index - group.snapshot_index - 1).term != applied.term;
}

// A configuration names each member with the nonce of the data directory with which it was
// admitted, so it tells whether a file is of this directory. This is checked before anything is
// written: a database of another cluster that is ahead of this log would pass for an interrupted
// install, and end the log.
Status CheckIsOurs(const raft::Configuration& config, const IdentityRecord& identity,
                   const std::string& what) {
  const auto self = config.info.find(identity.member);
  if (self == config.info.end()) return OkStatus();
  // 0: the founder that made this configuration had never heard from this founder.
  if (self->second.nonce == 0 || self->second.nonce == identity.nonce) return OkStatus();
  return FailedPrecondition(what + " is of another node or cluster: it names member " +
                            ToString(identity.member) +
                            " by another data directory than this one. Put the right file back");
}

Status CheckAllIsOurs(const StartState& start) {
  RETURN_IF_ERROR(CheckIsOurs(start.applied.config, start.identity, "the database"));
  for (const raft::Entry& entry : start.raft.log) {
    if (entry.type != raft::EntryType::kConfig) continue;
    const auto config = raft::DecodeConfiguration(*entry.payload);
    if (!config)
      return DataLoss("cannot read the configuration in the log at " + At(entry.index, entry.term));
    RETURN_IF_ERROR(CheckIsOurs(*config, start.identity, "the log"));
  }
  return OkStatus();
}

Status CheckStateAgainstLog(const raft::InitialState& raft,
                            const state_machine::AppliedState& applied) {
  if (applied.index < raft.snapshot_index) {
    return FailedPrecondition(
        "the database stands at " + At(applied.index, applied.term) +
        " but the log begins only after " + At(raft.snapshot_index, raft.snapshot_term) +
        ": the database file was replaced by an older one or removed. Wipe this node's data, or "
        "put the right file back");
  }
  Term term = raft.snapshot_term;
  if (applied.index > raft.snapshot_index) {
    term = raft.log.at(applied.index - raft.snapshot_index - 1).term;
  }
  if (applied.index.value() != 0 && term != applied.term) {
    return DataLoss("the database stands at " + At(applied.index, applied.term) +
                    " but the log holds term " + ToString(term) +
                    " there: database and log are not of the same node");
  }
  return OkStatus();
}

// The certificate of the node names its cluster.
Status CheckIsNamed(const ReplicaOptions& options, uint64_t held) {
  if (options.cluster_id == 0 || held == 0 || held == options.cluster_id) return OkStatus();
  return FailedPrecondition(options.data_directory + " belongs to cluster " + ClusterIdText(held) +
                            ", and this node's certificate to cluster " +
                            ClusterIdText(options.cluster_id) +
                            ": it needs one of an authority that was made for its cluster (cairn "
                            "cert init --cluster " +
                            ClusterIdText(held) + ")");
}

}  // namespace

// The first such entry is enough: a version that writes after 0.1 has applied all that 0.1 left.
Status CheckLogOf01(GroupId group, LogIndex applied, log_store::LogStore& log) {
  if (!log.Groups().contains(group)) return OkStatus();
  ASSIGN_OR_RETURN(const std::vector<raft::Entry> entries, log.LoadIndex(group));
  const auto first = std::find_if(entries.begin(), entries.end(), [applied](const auto& entry) {
    return entry.index > applied && entry.type == raft::EntryType::kNormal;
  });
  if (first == entries.end()) return OkStatus();
  ASSIGN_OR_RETURN(const std::vector<raft::Entry> read,
                   log.Read(group, first->index, first->index + 1, 0));
  if (read.empty()) return OkStatus();
  Status status = state_machine::DecodeBatch(*read.front().payload).status();
  if (status.code() != StatusCode::kUnimplemented) return OkStatus();
  return FailedPrecondition("the log, entry " + ToString(first->index) + ": " + status.message());
}

Result<StartState> LoadStartState(const ReplicaOptions& options, uint64_t nonce, FileSystem& fs,
                                  log_store::LogStore& log,
                                  const state_machine::StateMachine& state) {
  StartState start;
  ASSIGN_OR_RETURN(start.identity,
                   LoadOrCreateIdentity(fs, options.data_directory, options.node_id, nonce));
  RETURN_IF_ERROR(CheckIsNamed(options, start.identity.cluster_id));
  ASSIGN_OR_RETURN(const bool copy, IsCopy(fs, options.data_directory));
  if (copy) {
    return FailedPrecondition(
        options.data_directory +
        " is a copy of a member's data, or was set back, and takes part in nothing any more: move "
        "this node's data aside and start it empty, and it is let in anew by the cluster");
  }
  start.applied = state.applied_state();
  start.durable_state = state.durable_index();
  const std::map<GroupId, log_store::GroupState> groups = log.Groups();
  const auto found = groups.find(options.group);
  const bool has_log = found != groups.end();
  if (start.identity.stage != transport::LifeStage::kStarted &&
      (has_log || !start.applied.index.is_none())) {
    return FailedPrecondition(
        options.data_directory +
        " holds data, but its identity says that this node has never taken part in a cluster: the "
        "identity file was removed or belongs to another directory");
  }
  if (!has_log && !start.applied.index.is_none()) {
    // This is not an interrupted install: an install begins only when the log durably holds the
    // leader's term.
    return FailedPrecondition("the database stands at " +
                              At(start.applied.index, start.applied.term) + " but " +
                              options.data_directory +
                              " holds no log: it was removed. Without it this node may have "
                              "forgotten its votes; wipe all of the node's data, and it is let in "
                              "anew by the cluster");
  }
  log_store::GroupState group = has_log ? found->second : log_store::GroupState{};
  if (has_log) {
    ASSIGN_OR_RETURN(start.raft.log, log.LoadIndex(options.group));
  }
  RETURN_IF_ERROR(CheckAllIsOurs(start));
  if (InstallWasInterrupted(group, start.raft, start.applied)) {
    RETURN_IF_ERROR(ResetLogToState(log, options.group, group, start.applied));
    group = log.Groups().at(options.group);
    ASSIGN_OR_RETURN(start.raft.log, log.LoadIndex(options.group));
  }
  start.raft.hard_state = group.hard_state;
  start.raft.snapshot_index = group.snapshot_index;
  start.raft.snapshot_term = group.snapshot_term;
  RETURN_IF_ERROR(CheckStateAgainstLog(start.raft, start.applied));
  start.raft.applied = start.applied.index;
  start.raft.config = start.applied.config;
  start.raft.config_index = start.applied.config_index;
  if (start.raft.config.info.empty()) start.raft.config = start.identity.config;
  start.log_bytes = log.SizeBytes();
  ASSIGN_OR_RETURN(start.fenced, ReadFence(fs, options.data_directory));
  ASSIGN_OR_RETURN(BootRecord counted, CountBoot(fs, options.data_directory, nonce));
  start.start.boot = counted.boot;
  start.start.earlier = std::move(counted.earlier);
  start.start.term = group.hard_state.term;
  start.start.last = has_log ? group.last : start.raft.snapshot_index;
  return start;
}

}  // namespace cairn::node
