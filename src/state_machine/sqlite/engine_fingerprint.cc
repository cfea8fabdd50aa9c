// EngineFingerprint: the properties on which the effects of statements depend, in words.
#include <apply_sources.h>
#include <sqlite3.h>

#include <string>

#include "base/engine_id.h"
#include "state_machine/sqlite/sqlite_state_machine.h"

namespace cairn::state_machine {

EngineId EngineFingerprint(const std::string& cairn_version) {
  EngineId engine;
  engine.build = "cairn " + cairn_version + "+" CAIRN_APPLY_SOURCES " sqlite " + sqlite3_sourceid();
  for (int i = 0; const char* option = sqlite3_compileoption_get(i); ++i) {
    engine.build += std::string(" ") + option;
  }
#if defined(__x86_64__)
  engine.machine = "x86_64";
#elif defined(__aarch64__)
  engine.machine = "aarch64";
#else
#error "name the architecture: arithmetic on floating point numbers may differ between them"
#endif
  // The steps of a DELETE without WHERE, and what the sums are made of.
  engine.machine += " digest=2";
  return engine;
}

}  // namespace cairn::state_machine
