// What a replica starts from, read and reconciled from identity, log and state machine.
#pragma once

#include <string>

#include "base/file_system.h"
#include "base/result.h"
#include "log_store/log_store.h"
#include "node/identity_file.h"
#include "node/replica.h"
#include "raft/core.h"
#include "state_machine/state_machine.h"

namespace cairn::node {

struct StartState {
  IdentityRecord identity;
  transport::Start start;
  raft::InitialState raft;
  state_machine::AppliedState applied;
  LogIndex durable_state;
  uint64_t log_bytes = 0;
  std::string fenced;  // why; empty: it is not (fence_file.h)
};

// Loads (or makes) the identity and reads the log's index. A state machine that is ahead of the log
// is an install of a snapshot that a crash cut short after the file was in its place: the log is
// reset to the state, durably, before this returns. Any other disagreement is FAILED_PRECONDITION
// or DATA_LOSS, in words for the operator, and nothing is changed. What is left to start from is
// counted as a start (boot_file.h), under `nonce`, before this returns.
Result<StartState> LoadStartState(const ReplicaOptions& options, uint64_t nonce, FileSystem& fs,
                                  log_store::LogStore& log,
                                  const state_machine::StateMachine& state);

// FAILED_PRECONDITION, with advice, if the log holds entries that Cairn 0.1 wrote and the database,
// which stands at `applied`, has not applied: this version cannot. To be asked before a database of
// 0.1 is converted, since 0.1 has to open it once more then. Changes nothing.
Status CheckLogOf01(GroupId group, LogIndex applied, log_store::LogStore& log);

}  // namespace cairn::node
