#include "node/boot_file.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/bytes.h"
#include "base/crc32c.h"

namespace cairn::node {
namespace {

constexpr uint32_t kVersion = 1;
constexpr uint64_t kSlotBytes = 4096;  // far apart, so that one torn write never damages both
constexpr size_t kUsedBytesMax = 512;  // of a slot: one sector

std::string Encode(const std::vector<raft::Boot>& boots) {
  std::string bytes;
  ByteWriter out(&bytes);
  out.U32(kVersion);
  out.U8(static_cast<uint8_t>(boots.size()));
  for (const raft::Boot& boot : boots) {
    out.U64(boot.count);
    out.U64(boot.nonce);
  }
  out.U32(Crc32c(bytes));
  return bytes;
}

// All starts, the last one at the end. None: the slot was never written, or a write was torn.
std::optional<std::vector<raft::Boot>> Decode(std::string_view slot) {
  ByteReader in(slot);
  std::vector<raft::Boot> boots;
  const bool known = in.U32() == kVersion;
  const size_t count = in.U8();
  if (!known || count == 0 || count > kEarlierBootsMax + 1) return std::nullopt;
  for (size_t i = 0; i < count; ++i) {
    raft::Boot boot;
    boot.count = in.U64();
    boot.nonce = in.U64();
    boots.push_back(boot);
  }
  if (!in.ok()) return std::nullopt;
  const std::string_view body = slot.substr(0, slot.size() - in.remaining());
  if (in.U32() != Crc32c(body) || !in.ok()) return std::nullopt;
  return boots;
}

bool Blank(std::string_view slot) {
  return std::all_of(slot.begin(), slot.end(), [](char byte) { return byte == 0; });
}

struct Slots {
  std::vector<raft::Boot> boots;  // up to the last start that is known
  int used = 1;                   // the slot that has it; the other slot is written first
  bool torn = false;
};

Result<Slots> ReadSlots(const File& file, const std::string& path) {
  Slots slots;
  bool blank = true;
  for (int i = 0; i < 2; ++i) {
    ASSIGN_OR_RETURN(const std::string bytes,
                     file.ReadAt(static_cast<uint64_t>(i) * kSlotBytes, kUsedBytesMax));
    const auto boots = Decode(bytes);
    if (boots && (slots.boots.empty() || boots->back().count > slots.boots.back().count)) {
      slots.boots = *boots;
      slots.used = i;
    }
    if (!boots && !Blank(bytes)) slots.torn = true;
    blank = blank && Blank(bytes);
  }
  if (slots.boots.empty() && !blank) {
    return DataLoss(path + " does not hold the starts of this data directory: it is damaged");
  }
  return slots;
}

}  // namespace

Result<BootRecord> CountBoot(FileSystem& fs, const std::string& data_directory, uint64_t nonce) {
  const std::string path = data_directory + "/boots";
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(path, /*create=*/true));
  ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  if (size < 2 * kSlotBytes) {
    // Allocates all blocks while there is room, because later starts write in place.
    RETURN_IF_ERROR(file->WriteAt(size, std::string(2 * kSlotBytes - size, '\0')));
  }
  ASSIGN_OR_RETURN(Slots slots, ReadSlots(*file, path));
  // A slot that cannot be read may hold a start that others know. Its number is left out.
  const uint64_t last = slots.boots.empty() ? 0 : slots.boots.back().count;
  BootRecord record;
  record.boot = {last + (slots.torn ? 2 : 1), nonce};
  record.earlier = std::move(slots.boots);
  if (record.earlier.size() > kEarlierBootsMax) record.earlier.erase(record.earlier.begin());
  std::vector<raft::Boot> all = record.earlier;
  all.push_back(record.boot);
  // Writes both slots, one after the other. If the last start were in one slot only, a bit that
  // rots there would make a copy of a sound member: others would know a start that the directory
  // does not know.
  for (const int slot : {1 - slots.used, slots.used}) {
    RETURN_IF_ERROR(file->WriteAt(static_cast<uint64_t>(slot) * kSlotBytes, Encode(all)));
    RETURN_IF_ERROR(file->Sync());
  }
  if (size < 2 * kSlotBytes) RETURN_IF_ERROR(fs.SyncDirectory(data_directory));
  return record;
}

namespace {
std::string NotePath(const std::string& data_directory) { return data_directory + "/copy"; }
}  // namespace

Status RememberCopy(FileSystem& fs, const std::string& data_directory, const std::string& why) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                   fs.Open(NotePath(data_directory), /*create=*/true));
  RETURN_IF_ERROR(file->WriteAt(0, why + "\n"));
  RETURN_IF_ERROR(file->Sync());
  return fs.SyncDirectory(data_directory);
}

Result<bool> IsCopy(FileSystem& fs, const std::string& data_directory) {
  return fs.Exists(NotePath(data_directory));
}

Status RememberToJoin(FileSystem& fs, const std::string& data_directory) {
  return WriteFileAtomically(fs, data_directory + "/joins",
                             "This node was a member before. It joins, and founds no cluster.\n");
}

Result<bool> MustJoin(FileSystem& fs, const std::string& data_directory) {
  return fs.Exists(data_directory + "/joins");
}

}  // namespace cairn::node
