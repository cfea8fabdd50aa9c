// The starts of a data directory, counted in a file of their own.
//
// A data directory that was copied, or set back to an older state, looks like the member that it
// was taken from. So every start has a number and a random nonce. The directory keeps them, and the
// member tells them to its peers. Of two processes that started from two copies, neither has the
// other's start among its earlier ones. This tells a copy from the member, however often the copy
// is started.
//
// The file has two slots with the same contents, which are written in place, one after the other.
// So a start needs no room on a full disk, and a torn write, or a bit that rots, leaves one slot
// intact. docs/internals/data_directory.md specifies the bytes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "base/result.h"
#include "raft/types.h"

namespace cairn::node {

// How many earlier starts the file keeps. A peer that has missed more of them cannot tell a copy
// from the member, and takes the copy for the member.
inline constexpr size_t kEarlierBootsMax = 24;

struct BootRecord {
  raft::Boot boot;                  // this start
  std::vector<raft::Boot> earlier;  // earlier starts of this directory, oldest first
};

// Counts one start under `nonce`, which is not 0. The record is durable when this returns.
// DATA_LOSS if the file is not one of Cairn's.
Result<BootRecord> CountBoot(FileSystem& fs, const std::string& data_directory, uint64_t nonce);

// Writes the note in the data directory that it is a copy, or was set back, so that no process
// takes part with it any more. The note is durable when the call returns.
Status RememberCopy(FileSystem& fs, const std::string& data_directory, const std::string& why);
// Whether the data directory has this note.
Result<bool> IsCopy(FileSystem& fs, const std::string& data_directory);

// Writes the note in an empty data directory that its node was a member before. The node may then
// join a cluster, and never founds one: perhaps the data of all members were put aside, and empty
// members would found a second cluster. The note is durable when the call returns.
Status RememberToJoin(FileSystem& fs, const std::string& data_directory);
Result<bool> MustJoin(FileSystem& fs, const std::string& data_directory);

}  // namespace cairn::node
