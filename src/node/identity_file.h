// The identity of a node: who it is, of which cluster, and how far in its life. A small file in the
// data directory, replaced atomically.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/file_system.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/status.h"
#include "raft/types.h"
#include "transport/transport.h"

namespace cairn::node {

struct IdentityRecord {
  uint64_t node_id = 0;
  uint64_t nonce = 0;  // of this data directory; never 0
  transport::LifeStage stage = transport::LifeStage::kEmpty;
  uint64_t cluster_id = 0;  // 0 while empty
  MemberId member;          // none until started
  // Of the founding members, or as it was when the node was let in: what the core starts from until
  // the state machine holds a configuration of its own.
  raft::Configuration config;
  bool operator==(const IdentityRecord&) const = default;
};

inline constexpr size_t kIdentityBytesMax = 1 << 20;  // of the file

std::string EncodeIdentity(const IdentityRecord& record);
// DATA_LOSS on malformed bytes, FAILED_PRECONDITION on a format of a later version.
Result<IdentityRecord> DecodeIdentity(std::string_view bytes);

std::string IdentityPath(const std::string& data_directory);
// Loads `data_directory`/identity, or makes the directory and a first record with `nonce`. A record
// of another node id is FAILED_PRECONDITION and nothing is touched.
Result<IdentityRecord> LoadOrCreateIdentity(FileSystem& fs, const std::string& data_directory,
                                            uint64_t node_id, uint64_t nonce);
// On return it is durable.
Status SaveIdentity(FileSystem& fs, const std::string& data_directory,
                    const IdentityRecord& record);

}  // namespace cairn::node
