// Rot: bits that flip on a disk by themselves, in what has lain there for a while.
#pragma once

#include <string>

#include "base/fault_file_system.h"
#include "base/rng.h"

namespace cairn::sim {

// Flips one bit of the node's log, identity, or of a snapshot that lies ready or comes in. In the
// log only where it knows that all is durable: what lies behind that cannot be told from a write
// that a power cut tore, by anybody. False if there was nothing to flip.
bool FlipColdBit(FaultFileSystem& disk, const std::string& data_directory, Rng& rng);

}  // namespace cairn::sim
