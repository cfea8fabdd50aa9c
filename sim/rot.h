// Rot: spontaneous bit flips on a disk, in data that has been there for a while.
#pragma once

#include <string>

#include "base/fault_file_system.h"
#include "base/rng.h"

namespace cairn::sim {

// Flips one bit of the node's log or identity, or of a snapshot that is ready or incoming. In the
// log, flips only bits below the end that the log knows to be durable, because damage above it
// cannot be told from a write that a power cut tore. Returns false if there was nothing to flip.
bool FlipColdBit(FaultFileSystem& disk, const std::string& data_directory, Rng& rng);

// Flips one bit at a place in the file at `path` that holds `text`. Returns false if no place holds
// `text`, or if SQLite reads that page from the WAL; then the flip would not be seen, and is
// undone.
bool FlipBitOfText(FaultFileSystem& disk, const std::string& path, const std::string& text,
                   Rng& rng);

}  // namespace cairn::sim
