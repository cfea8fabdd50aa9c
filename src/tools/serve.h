// What `cairn server` does once its settings are known.
#pragma once

#include "tools/server_settings.h"

namespace cairn::tools {

// Runs a server until SIGINT or SIGTERM (a clean end: 0), or until it fails by itself (1; standard
// error says why). A second signal ends the process at once. Prints one line on standard output
// when the node listens. Call it before any other thread exists.
int Serve(const ServeOptions& options);

// True for addresses that only this machine can reach.
bool IsLoopback(const std::string& host);

}  // namespace cairn::tools
