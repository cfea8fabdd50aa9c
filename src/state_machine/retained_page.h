// What is asked of, and answered from, the changes that are retained in the database.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "state_machine/change.h"

namespace cairn::state_machine {

// A table whose changes are retained.
struct RetainedSetting {
  std::string table;  // in lower case
  uint64_t retain_ms = 0;
  uint64_t bytes_max = 0;
  ChangePosition since;  // changes after it are retained
  uint64_t bytes = 0;    // that they take now
};

// Asks for the next page of changes of some tables.
struct RetainedQuery {
  std::vector<std::string> tables;  // in lower case, each once
  // The changes after this position are wanted.
  ChangePosition after;
  // What was read up to here was given by earlier pages. {}: no page was read.
  ChangePosition cursor;
  // The end of the command that the last page ended in.
  std::optional<ChangePosition> open;
  size_t bytes = 0;  // about so many; a slice of a command at least
};

struct RetainedPage {
  // All tables are retained, and hold what follows `oldest`. Otherwise, and if `oldest` is later than
  // what is asked for, nothing else is given.
  bool retained = false;
  ChangePosition oldest;
  // In order. The first may continue the command of the last page (`continues`), or begin before the
  // position that was asked for. The last may lack its kCommandEnd: the next page goes on with it.
  std::vector<std::shared_ptr<const CommandChanges>> commands;
  bool continues = false;
  // For the next page.
  ChangePosition cursor;
  std::optional<ChangePosition> open;
  // The commands are all that these tables have between the position asked for and this one.
  ChangePosition through;
  bool whole = false;  // nothing follows in this state of the database
};

}  // namespace cairn::state_machine
