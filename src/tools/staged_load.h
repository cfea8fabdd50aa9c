// A load by many commands into a stage, all or nothing (bulk_load.h).
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "tools/load_checks.h"
#include "tools/load_commands.h"

namespace cairn::tools {

// CREATE VIRTUAL TABLE under the name, and its settings.
void AddVirtualTable(const LoadTable& table, const std::string& name, CommandMaker* maker);

// What follows the rows of the new tables, before indexes, views and triggers.
std::vector<Statement> EndOfLoad(const LoadContext& load, const ClusterSchema& schema);

// `end`: statements for the last command, under the final names. `end_keys`: what it does about
// foreign keys.
Status LoadStaged(LoadContext* load, std::vector<Statement> end, ForeignKeys end_keys);

}  // namespace cairn::tools
