// The starts of a data directory, counted in a file of their own.
//
// A data directory that was copied, or set back to an older state, looks like the member that it
// was taken from. So every start has a number and a random nonce, which the directory keeps and the
// member tells its peers. Of two processes that started from two copies, neither has the other's
// start among its earlier ones: that is how a copy is known, however often it is started.
//
// The file has two slots with the same in each, which are written one after the other, in place: a
// start needs no room on a full disk, and a torn write, or a bit that rots, leaves the other slot.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "base/result.h"
#include "raft/types.h"

namespace cairn::node {

// As many earlier starts are kept. A peer that missed more of them than this cannot tell a copy
// from the member, and takes it for the member.
inline constexpr size_t kEarlierBootsMax = 24;

struct BootRecord {
  raft::Boot boot;                  // this start
  std::vector<raft::Boot> earlier;  // from this directory, oldest first
};

// Counts one start under `nonce`, which is not 0. The record is durable when this returns.
// DATA_LOSS if the file is not one of Cairn's.
Result<BootRecord> CountBoot(FileSystem& fs, const std::string& data_directory, uint64_t nonce);

// The note in the data directory that it is a copy, or was set back, and that no process may take
// part with it any more. Durable when it returns.
Status RememberCopy(FileSystem& fs, const std::string& data_directory, const std::string& why);
// Whether there is such a note.
Result<bool> IsCopy(FileSystem& fs, const std::string& data_directory);

// The note in an empty data directory that its node was a member before, so that it may join a
// cluster and never found one: all members may have been put aside. Durable when it returns.
Status RememberToJoin(FileSystem& fs, const std::string& data_directory);
Result<bool> MustJoin(FileSystem& fs, const std::string& data_directory);

}  // namespace cairn::node
