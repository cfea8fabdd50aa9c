// Checks whether a node may talk to this one. Every kind of transport uses the same rules.
#pragma once

#include <cstdint>

#include "base/ids.h"
#include "base/status.h"
#include "transport/transport.h"

namespace cairn::transport {

// Returns FAILED_PRECONDITION, naming both versions, unless the caller speaks this protocol
// version. (Nodes of another version exist only in the simulator.)
Status CheckProtocolVersion(uint32_t caller_version, uint32_t own_version = kProtocolVersion);
// Returns FAILED_PRECONDITION, naming both engines, unless the caller's engine and this node's
// engine are of the same machine. Their builds may differ (node/result_agreement.h).
Status CheckEngine(const EngineId& caller_engine, const EngineId& own_engine);
// Returns FAILED_PRECONDITION, naming both values, unless the caller is a member of this node's
// cluster, has an engine of the same machine, and addresses this member. The target is checked
// because after a wipe another member may live at the same address, and that member must not
// receive what was meant for the old one. Returns UNAVAILABLE while this node does not know its own
// identity; that is temporary.
Status CheckCaller(uint32_t caller_version, const Identity& caller, MemberId target,
                   const Identity& self, uint32_t own_version = kProtocolVersion);

}  // namespace cairn::transport
