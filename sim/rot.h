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

// Flips one bit of a place in the file at `path` where `text` stands. False if it stands nowhere,
// or SQLite reads that page from the WAL, so that the flip would not be seen, and is taken back.
bool FlipBitOfText(FaultFileSystem& disk, const std::string& path, const std::string& text,
                   Rng& rng);

}  // namespace cairn::sim
