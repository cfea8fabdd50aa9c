// A state machine with its own file, made quickly: for targets that need a fresh one, or two, for
// each input.
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

// The replica's files are in memory (/dev/shm), under a directory of this process.
class SqliteReplica {
 public:
  // `contents` is the content of a database file; empty means a new database.
  SqliteReplica(const std::string& name, const std::string& contents);
  ~SqliteReplica();
  SqliteReplica(const SqliteReplica&) = delete;
  SqliteReplica& operator=(const SqliteReplica&) = delete;

  Status Open();
  void MustOpen();
  void Close() { machine_.reset(); }
  // Returns false if this node itself failed; then there are no results.
  Status Apply(std::span<const raft::Entry> entries,
               std::vector<state_machine::EntryResults>* results);
  state_machine::StateMachine& machine() { return *machine_; }

  // Call it when closed: everything is in the one file.
  std::string Contents() const;
  // Call it when closed: returns every row of every table, and the schema.
  std::string Dump() const;
  // Call it when closed: runs SQL that bypasses the state machine.
  void Tamper(const std::string& sql, const std::vector<std::string>& blobs = {});
  std::string path() const { return directory_ + "/data.db"; }

 private:
  void RemoveFiles();

  const std::string directory_;
  std::unique_ptr<state_machine::StateMachine> machine_;
};

raft::Entry EntryOf(LogIndex index, const state_machine::BatchHeader& header,
                    const std::vector<state_machine::Command>& commands);
// All answers to the entries, as bytes.
std::string Bytes(const std::vector<state_machine::EntryResults>& results);

}  // namespace cairn::fuzz
