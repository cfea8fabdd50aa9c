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
  std::string fenced;  // the reason; empty if the node is not fenced (fence_file.h)
};

// Loads (or makes) the identity and reads the log's index. If the state machine is ahead of the
// log, a crash has cut an install of a snapshot short after the file was in its place. The log is
// then reset to the state, durably, before the call returns. Any other disagreement is
// FAILED_PRECONDITION or DATA_LOSS, in words for the operator, and nothing is changed. A directory
// that can be started from counts the start (boot_file.h), under `nonce`, before the call returns.
Result<StartState> LoadStartState(const ReplicaOptions& options, uint64_t nonce, FileSystem& fs,
                                  log_store::LogStore& log,
                                  const state_machine::StateMachine& state);

// FAILED_PRECONDITION, with advice, if the log holds entries that Cairn 0.1 wrote and that the
// database, which stands at `applied`, has not applied. This version cannot apply them. Call this
// before a database of 0.1 is converted, because 0.1 then has to open the database once more.
// Changes nothing.
Status CheckLogOf01(GroupId group, LogIndex applied, log_store::LogStore& log);

}  // namespace cairn::node
