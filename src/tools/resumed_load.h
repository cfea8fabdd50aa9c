// A load into tables of the cluster by many commands, which goes on where it ended.
#pragma once

#include <string>

#include "base/result.h"
#include "tools/load_commands.h"

namespace cairn::tools {

// Each command takes effect as a whole, and writes into the table kMarksTable how many rows are
// loaded. So the same load goes on behind them. A load is known by `digest`, which is of its rows and
// of where they go, and not by the name of its file: two files may have one name, and a file may
// change. An input that differs from an unfinished one of the same name for the same tables is
// refused, because some of its rows may be loaded already.
//
// The mark stays when all rows are loaded. So the same call sends nothing if only its answer was
// lost.
Status LoadResuming(LoadContext* load, const std::string& digest);

}  // namespace cairn::tools
