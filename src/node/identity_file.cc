#include "node/identity_file.h"

#include <optional>
#include <utility>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "raft/configuration_codec.h"

namespace cairn::node {
namespace {

constexpr std::string_view kMagic = "CAIRNID\n";
constexpr uint32_t kVersion = 1;

}  // namespace

std::string EncodeIdentity(const IdentityRecord& record) {
  std::string out;
  ByteWriter w(&out);
  w.Raw(kMagic);
  w.U32(kVersion);
  w.U64(record.node_id);
  w.U64(record.nonce);
  w.U8(static_cast<uint8_t>(record.stage));
  w.U64(record.cluster_id);
  w.U64(record.member.value());
  w.String(record.config.info.empty() ? "" : raft::EncodeConfiguration(record.config));
  w.U32(Crc32c(out));
  return out;
}

Result<IdentityRecord> DecodeIdentity(std::string_view bytes) {
  if (bytes.size() < kMagic.size() + 8 || bytes.substr(0, kMagic.size()) != kMagic) {
    return DataLoss("the identity file is not one of Cairn's, or was cut short");
  }
  const std::string_view body = bytes.substr(0, bytes.size() - 4);
  const uint32_t crc = ByteReader(bytes.substr(bytes.size() - 4)).U32();
  if (Crc32c(body) != crc) return DataLoss("the identity file fails its checksum");
  ByteReader r(body.substr(kMagic.size()));
  if (const uint32_t version = r.U32(); version != kVersion) {
    return FailedPrecondition("the identity file has format " + std::to_string(version) +
                              "; this program knows format " + std::to_string(kVersion));
  }
  IdentityRecord record;
  record.node_id = r.U64();
  record.nonce = r.U64();
  const uint8_t stage = r.U8();
  record.cluster_id = r.U64();
  record.member = MemberId(r.U64());
  std::optional<raft::Configuration> config = raft::Configuration{};
  if (const std::string_view encoded = r.String(); !encoded.empty()) {
    config = raft::DecodeConfiguration(encoded);
  }
  if (!r.done() || !config || stage > static_cast<uint8_t>(transport::LifeStage::kStarted)) {
    return DataLoss("the identity file is malformed");
  }
  record.stage = static_cast<transport::LifeStage>(stage);
  record.config = *std::move(config);
  return record;
}

std::string IdentityPath(const std::string& data_directory) { return data_directory + "/identity"; }

Status SaveIdentity(FileSystem& fs, const std::string& data_directory,
                    const IdentityRecord& record) {
  return WriteFileAtomically(fs, IdentityPath(data_directory), EncodeIdentity(record));
}

Result<IdentityRecord> LoadOrCreateIdentity(FileSystem& fs, const std::string& data_directory,
                                            uint64_t node_id, uint64_t nonce) {
  const std::string path = IdentityPath(data_directory);
  ASSIGN_OR_RETURN(const bool exists, fs.Exists(path));
  if (!exists) {
    IdentityRecord record;
    record.node_id = node_id;
    record.nonce = nonce;
    RETURN_IF_ERROR(fs.CreateDirectories(data_directory));
    RETURN_IF_ERROR(SaveIdentity(fs, data_directory, record));
    return record;
  }
  ASSIGN_OR_RETURN(const std::string bytes, ReadWholeFile(fs, path, kIdentityBytesMax));
  Result<IdentityRecord> record = DecodeIdentity(bytes);
  if (!record.ok()) return Status(record.status()).Prefixed(path);
  if (record->node_id != node_id) {
    return FailedPrecondition(data_directory + " belongs to node " +
                              std::to_string(record->node_id) + ", not to node " +
                              std::to_string(node_id));
  }
  // What was read may not be durable: the process that renamed the file may have ended, or its sync
  // of the directory failed, before that was known. A node that acts on the identity (founds,
  // votes) and loses it in the next power cut would have promised things under a name that is gone.
  RETURN_IF_ERROR(fs.SyncDirectory(data_directory));
  return record;
}

}  // namespace cairn::node
