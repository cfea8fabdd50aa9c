// A state machine on a file of its own, made quickly: for targets that need a fresh one, or two,
// for every input.
#pragma once

#include <sqlite3.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "raft/types.h"
#include "state_machine/command.h"
#include "state_machine/state_machine.h"

namespace cairn::fuzz {

// Its files are in memory (/dev/shm), under a directory of this process.
class SqliteReplica {
 public:
  // With `contents` of a database file (empty: a new one).
  SqliteReplica(const std::string& name, const std::string& contents);
  ~SqliteReplica();
  SqliteReplica(const SqliteReplica&) = delete;
  SqliteReplica& operator=(const SqliteReplica&) = delete;

  Status Open();
  void MustOpen();
  void Close() { machine_.reset(); }
  // False: this node's own trouble, and no results.
  Status Apply(std::span<const raft::Entry> entries,
               std::vector<state_machine::EntryResults>* results);
  state_machine::StateMachine& machine() { return *machine_; }

  // Closed, with everything in the one file.
  std::string Contents() const;
  // Closed: every row of every table, and the schema.
  std::string Dump() const;
  // Closed: SQL past the state machine.
  void Tamper(const std::string& sql, const std::vector<std::string>& blobs = {});
  std::string path() const { return directory_ + "/data.db"; }

 private:
  void RemoveFiles();

  const std::string directory_;
  std::unique_ptr<state_machine::StateMachine> machine_;
};

raft::Entry EntryOf(LogIndex index, const state_machine::BatchHeader& header,
                    const std::vector<state_machine::Command>& commands);
// All that entries were answered, as bytes.
std::string Bytes(const std::vector<state_machine::EntryResults>& results);

}  // namespace cairn::fuzz
