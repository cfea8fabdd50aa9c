// The bare gRPC echo: what a call costs when the server does nothing.
#pragma once

#include <string>

namespace cairn::bench {

// Serves until the process is killed. False if the address is busy.
bool RunEchoServer(const std::string& address);

}  // namespace cairn::bench
