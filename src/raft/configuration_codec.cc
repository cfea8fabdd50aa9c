#include "raft/configuration_codec.h"

#include "base/bytes.h"
#include "raft/configuration.h"

namespace cairn::raft {
namespace {

// Format 1, of version 0.1, has no boots: the boots of all its members are read as not recorded.
constexpr uint8_t kFormat = 2;
constexpr uint8_t kFormatWithoutBoots = 1;

void PutSet(const std::set<MemberId>& ids, ByteWriter* out) {
  out->Varint(ids.size());
  for (MemberId id : ids) out->Varint(id.value());
}

// False unless the ids are in ascending order. The order gives each configuration exactly one
// encoding.
bool GetSet(ByteReader* in, std::set<MemberId>* ids) {
  const uint64_t count = in->Varint();
  if (count > in->remaining()) return false;
  for (uint64_t i = 0; i < count; ++i) {
    const MemberId id(in->Varint());
    if (!in->ok() || (!ids->empty() && id <= *ids->rbegin())) return false;
    ids->insert(ids->end(), id);
  }
  return true;
}

bool GetInfo(ByteReader* in, bool with_boots, std::map<MemberId, MemberInfo>* members) {
  const uint64_t count = in->Varint();
  if (count > in->remaining()) return false;
  for (uint64_t i = 0; i < count; ++i) {
    const MemberId id(in->Varint());
    MemberInfo info;
    info.node_id = in->Varint();
    info.address = std::string(in->String());
    info.nonce = in->U64();
    if (with_boots) info.boot.count = in->Varint();
    if (with_boots) info.boot.nonce = in->U64();
    if (!in->ok() || (!members->empty() && id <= members->rbegin()->first)) return false;
    members->emplace_hint(members->end(), id, std::move(info));
  }
  return true;
}

}  // namespace

std::string EncodeConfiguration(const Configuration& config) {
  std::string bytes;
  ByteWriter out(&bytes);
  out.U8(kFormat);
  PutSet(config.voters, &out);
  PutSet(config.outgoing, &out);
  PutSet(config.learners, &out);
  PutSet(config.learners_next, &out);
  out.Varint(config.info.size());
  for (const auto& [id, info] : config.info) {
    out.Varint(id.value());
    out.Varint(info.node_id);
    out.String(info.address);
    out.U64(info.nonce);
    out.Varint(info.boot.count);
    out.U64(info.boot.nonce);
  }
  out.Varint(config.next_member_id);
  return bytes;
}

std::optional<Configuration> DecodeConfiguration(std::string_view bytes) {
  ByteReader in(bytes);
  Configuration config;
  const uint8_t format = in.U8();
  if (format != kFormat && format != kFormatWithoutBoots) return std::nullopt;
  if (!GetSet(&in, &config.voters) || !GetSet(&in, &config.outgoing) ||
      !GetSet(&in, &config.learners) || !GetSet(&in, &config.learners_next) ||
      !GetInfo(&in, format == kFormat, &config.info)) {
    return std::nullopt;
  }
  config.next_member_id = in.Varint();
  if (!in.done()) return std::nullopt;
  // A node that waits to be admitted stores the empty configuration.
  if (config == Configuration{}) return config;
  if (CheckConfiguration(config)) return std::nullopt;
  return config;
}

}  // namespace cairn::raft
