// Whether a node may talk to this one: the same rules for every kind of transport.
#pragma once

#include <cstdint>

#include "base/ids.h"
#include "base/status.h"
#include "transport/transport.h"

namespace cairn::transport {

// FAILED_PRECONDITION, naming both sides' values, unless the caller speaks this protocol version.
// (Only the simulator has nodes of another one.)
Status CheckProtocolVersion(uint32_t caller_version, uint32_t own_version = kProtocolVersion);
// The same unless the engines of caller and this node are of the same machine. Their builds may
// differ (node/result_agreement.h).
Status CheckEngine(const EngineId& caller_engine, const EngineId& own_engine);
// The same unless the caller is a member of this node's cluster, runs the same engine, and means
// this member: after a wipe another member may live at the same address, and must not be handed
// what was meant for the old one. UNAVAILABLE while this node does not know who it is: that passes.
Status CheckCaller(uint32_t caller_version, const Identity& caller, MemberId target,
                   const Identity& self, uint32_t own_version = kProtocolVersion);

}  // namespace cairn::transport
