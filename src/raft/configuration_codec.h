// The bytes of a Configuration: the payload of kConfig entries, and part of snapshots and of the
// SQLite file. docs/internals/wire_format.md specifies the bytes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "raft/types.h"

namespace cairn::raft {

std::string EncodeConfiguration(const Configuration& config);
// None if the bytes are malformed, or if the sets and `info` disagree.
std::optional<Configuration> DecodeConfiguration(std::string_view bytes);

}  // namespace cairn::raft
