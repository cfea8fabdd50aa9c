// The identity of a node: who the node is, which cluster it belongs to, and how far it is in its
// life. The identity is a small file in the data directory that is replaced atomically;
// docs/internals/data_directory.md specifies the bytes.
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
  uint64_t nonce = 0;  // random, of this data directory; never 0
  transport::LifeStage stage = transport::LifeStage::kEmpty;
  uint64_t cluster_id = 0;  // 0 while empty
  MemberId member;          // none until started
  // The configuration of the founding members, or the one by which the node was let in. The core
  // starts from it until the state machine holds a configuration of its own.
  raft::Configuration config;
  bool operator==(const IdentityRecord&) const = default;
};

inline constexpr size_t kIdentityBytesMax = 1 << 20;  // of the file

std::string EncodeIdentity(const IdentityRecord& record);
// DATA_LOSS on malformed bytes, FAILED_PRECONDITION on a format of a later version.
Result<IdentityRecord> DecodeIdentity(std::string_view bytes);

std::string IdentityPath(const std::string& data_directory);
// Loads `data_directory`/identity, or makes the directory and a first record with `nonce`. A record
// of another node id is FAILED_PRECONDITION, and nothing is changed.
Result<IdentityRecord> LoadOrCreateIdentity(FileSystem& fs, const std::string& data_directory,
                                            uint64_t node_id, uint64_t nonce);
// The record is durable when the call returns.
Status SaveIdentity(FileSystem& fs, const std::string& data_directory,
                    const IdentityRecord& record);

}  // namespace cairn::node
