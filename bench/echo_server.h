// The bare gRPC echo: the cost of a call when the server does nothing.
#pragma once

#include <string>

namespace cairn::bench {

// Serves until the process is killed. Returns false if the address is in use.
bool RunEchoServer(const std::string& address);

}  // namespace cairn::bench
