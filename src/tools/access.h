// `cairn grant`, `cairn revoke` and `cairn access`: who may do what.
#pragma once

#include <chrono>
#include <ostream>
#include <string>

#include "base/status.h"
#include "tools/node_client.h"
#include "tools/result_printer.h"

namespace cairn::tools {

// Each command goes to `node`, which passes it on to the leader. `privilege` is a role or a privilege,
// and `principal` the name in a certificate, or *. `pattern`: of tables; empty: everything.
Status ChangeAccess(NodeClient* node, v1::AccessChange::Kind kind, const std::string& principal,
                    const std::string& privilege, const std::string& pattern,
                    std::chrono::milliseconds timeout, std::ostream* out);
// The grants that the caller may see; in the mode kAuto also who the caller is.
Status ListAccess(NodeClient* node, OutputMode mode, std::chrono::milliseconds timeout,
                  std::ostream* out);

}  // namespace cairn::tools
