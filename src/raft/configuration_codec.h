// Bytes of a Configuration: payload of kConfig entries, part of snapshots and of the SQLite file.
// docs/internals/wire_format.md specifies them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "raft/types.h"

namespace cairn::raft {

std::string EncodeConfiguration(const Configuration& config);
// None if the bytes are malformed or the sets and `info` disagree.
std::optional<Configuration> DecodeConfiguration(std::string_view bytes);

}  // namespace cairn::raft
