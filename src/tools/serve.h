// What `cairn server` does once its settings are known.
#pragma once

#include "tools/server_settings.h"

namespace cairn::tools {

// Runs a server until SIGINT or SIGTERM (clean end, 0) or trouble of its own (1, said on standard
// error). A second signal ends the process at once. Prints one line on standard output when the
// node listens. To be called before any other thread exists.
int Serve(const ServeOptions& options);

}  // namespace cairn::tools
