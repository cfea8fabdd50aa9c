#include "log_store/log_format.h"

#include <cstring>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"

namespace cairn::log_store {
namespace {

constexpr std::string_view kSegmentMagic = "CAIRNLOG";
constexpr uint32_t kBatchMagic = 0x48435442;  // "BTCH"
constexpr std::string_view kNamePrefix = "log-";
constexpr std::string_view kNameSuffix = ".seg";
constexpr size_t kNameDigits = 16;

uint32_t PlaceSeed(const BatchPlace& place) {
  std::string bytes;
  ByteWriter w(&bytes);
  w.U64(place.log_id);
  w.U64(place.segment);
  w.U64(place.offset);
  return Crc32c(bytes);
}

void PutU32(uint32_t v, char* out) {
  for (size_t i = 0; i < sizeof v; ++i) out[i] = static_cast<char>(v >> (8 * i));
}

bool IsKnownType(uint8_t type) {
  return type >= static_cast<uint8_t>(RecordType::kEntry) &&
         type <= static_cast<uint8_t>(RecordType::kGroupHead);
}

void AppendRecord(const Record& record, uint32_t* chain, std::string* out) {
  const size_t start = out->size();
  ByteWriter w(out);
  w.U32(0);  // the CRC, filled in below
  w.U32(*chain);
  w.U32(static_cast<uint32_t>(record.payload().size()));
  w.U8(static_cast<uint8_t>(record.type));
  w.U8(record.entry_type);
  w.U16(0);
  w.U64(record.group.value());
  w.U64(record.term.value());
  w.U64(record.index.value());
  w.Raw(record.payload());
  *chain = Crc32c(std::string_view(*out).substr(start + 4));
  PutU32(*chain, out->data() + start);
}

}  // namespace

std::string EncodeSegmentHeader(const SegmentHeader& header) {
  std::string block;
  block.reserve(kSegmentHeaderBytes);
  ByteWriter w(&block);
  w.Raw(kSegmentMagic);
  w.U32(header.version);
  w.U32(header.chain);
  w.U64(header.log_id);
  w.U64(header.sequence);
  w.U64(header.file_bytes);
  w.U64(header.previous_end);
  w.U64(header.first_batch);
  w.U64(header.head_end);
  block.resize(kSegmentHeaderBytes - 4, '\0');
  w.U32(Crc32c(block));
  return block;
}

Result<SegmentHeader> DecodeSegmentHeader(std::string_view block, const std::string& path) {
  const auto damaged = [&](const char* what) {
    return DataLoss(path + " offset 0: segment header: " + what);
  };
  if (block.size() < kSegmentHeaderBytes) return damaged("the file ends inside it");
  ByteReader r(block.substr(0, kSegmentHeaderBytes));
  if (r.Raw(kSegmentMagic.size()) != kSegmentMagic) return damaged("not a Cairn log segment");
  ByteReader crc(block.substr(kSegmentHeaderBytes - 4, 4));
  if (crc.U32() != Crc32c(block.substr(0, kSegmentHeaderBytes - 4)))
    return damaged("wrong checksum");
  SegmentHeader header;
  header.version = r.U32();
  // The checksum is in the same place in every version, so a valid checksum means that another
  // version wrote the header, not that the header is damaged.
  if (header.version != kFormatVersion) {
    return FailedPrecondition(path + " has log format version " + std::to_string(header.version) +
                              "; this program reads version " + std::to_string(kFormatVersion) +
                              ": start the version of Cairn that wrote it, or a newer one");
  }
  header.chain = r.U32();
  header.log_id = r.U64();
  header.sequence = r.U64();
  header.file_bytes = r.U64();
  header.previous_end = r.U64();
  header.first_batch = r.U64();
  header.head_end = r.U64();
  return header;
}

std::optional<BatchHeader> DecodeBatchHeader(std::string_view bytes, const BatchPlace& place) {
  if (bytes.size() < kBatchHeaderBytes) return std::nullopt;
  ByteReader r(bytes);
  if (r.U32() != kBatchMagic) return std::nullopt;
  if (r.U32() != Crc32c(bytes.substr(8, kBatchHeaderBytes - 8), PlaceSeed(place)))
    return std::nullopt;
  BatchHeader header;
  header.sequence = r.U64();
  header.durable = r.U64();
  header.body_bytes = r.U32();
  header.records = r.U32();
  return header;
}

uint64_t EncodedBatchBytes(const std::vector<Record>& records) {
  uint64_t bytes = kBatchHeaderBytes;
  for (const Record& record : records) bytes += record.encoded_bytes();
  return AlignUp(bytes);
}

void EncodeBatch(const std::vector<Record>& records, const BatchPlace& place, uint64_t sequence,
                 uint64_t durable, uint32_t* chain, std::string* out) {
  out->assign(kBatchHeaderBytes, '\0');
  for (const Record& record : records) AppendRecord(record, chain, out);
  const size_t body_bytes = out->size() - kBatchHeaderBytes;
  CHECK(body_bytes < kSegmentBytesMax) << "batch of " << body_bytes << " bytes";
  out->resize(AlignUp(out->size()), '\0');

  std::string header;
  header.reserve(kBatchHeaderBytes);
  ByteWriter w(&header);
  w.U32(kBatchMagic);
  w.U32(0);
  w.U64(sequence);
  w.U64(durable);
  w.U32(static_cast<uint32_t>(body_bytes));
  w.U32(static_cast<uint32_t>(records.size()));
  PutU32(Crc32c(std::string_view(header).substr(8), PlaceSeed(place)), header.data() + 4);
  std::memcpy(out->data(), header.data(), kBatchHeaderBytes);
}

std::optional<DecodedRecord> DecodeRecord(std::string_view bytes, std::optional<uint32_t> chain) {
  if (bytes.size() < kRecordHeaderBytes) return std::nullopt;
  ByteReader r(bytes);
  DecodedRecord out;
  out.crc = r.U32();
  const uint32_t previous = r.U32();
  const uint32_t length = r.U32();
  if (bytes.size() - kRecordHeaderBytes < length) return std::nullopt;
  if (out.crc != Crc32c(bytes.substr(4, kRecordHeaderBytes - 4 + length))) return std::nullopt;
  if (chain.has_value() && previous != *chain) return std::nullopt;
  const uint8_t type = r.U8();
  if (!IsKnownType(type)) return std::nullopt;
  out.record.type = static_cast<RecordType>(type);
  out.record.entry_type = r.U8();
  r.U16();
  out.record.group = GroupId(r.U64());
  out.record.term = Term(r.U64());
  out.record.index = LogIndex(r.U64());
  out.record.view = r.Raw(length);
  return out;
}

uint32_t PeekPayloadBytes(std::string_view bytes) {
  ByteReader r(bytes.substr(8, 4));
  return r.U32();
}

std::string SegmentName(uint64_t sequence) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string name(kNamePrefix);
  for (size_t i = kNameDigits; i-- > 0;) name.push_back(kHex[(sequence >> (4 * i)) & 0xf]);
  return name.append(kNameSuffix);
}

std::optional<uint64_t> ParseSegmentName(const std::string& name) {
  if (name.size() != kNamePrefix.size() + kNameDigits + kNameSuffix.size()) return std::nullopt;
  uint64_t sequence = 0;
  for (size_t i = 0; i < kNameDigits; ++i) {
    const char c = name[kNamePrefix.size() + i];
    const bool digit = c >= '0' && c <= '9';
    if (!digit && !(c >= 'a' && c <= 'f')) return std::nullopt;
    sequence = sequence * 16 + static_cast<uint64_t>(digit ? c - '0' : c - 'a' + 10);
  }
  if (SegmentName(sequence) != name) return std::nullopt;
  return sequence;
}

}  // namespace cairn::log_store
