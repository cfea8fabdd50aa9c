// The bytes of the segment log. docs/internals/log_format.md specifies the format; this file
// implements it.
//
//   segment file = segment header (one 512 byte block), then batches, then zeros
//   batch        = batch header, records, zeros up to a multiple of 8 bytes
//   record       = record header, payload
//
// All functions are pure functions over byte strings; none touches a file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"

namespace cairn::log_store {

inline constexpr uint32_t kFormatVersion = 1;
inline constexpr size_t kSegmentHeaderBytes = 512;
inline constexpr size_t kBatchHeaderBytes = 32;
inline constexpr size_t kRecordHeaderBytes = 40;
inline constexpr size_t kBatchAlignment = 8;
// The index (GroupIndex) keeps an offset in 30 bits.
inline constexpr uint64_t kSegmentBytesMax = 1ULL << 30;

struct SegmentHeader {
  uint32_t version = kFormatVersion;
  // CRC of the last record of the previous segment: this segment's chain starts from it.
  uint32_t chain = 0;
  // Random, one per log, so that remains of another log are never read as data.
  uint64_t log_id = 0;
  uint64_t sequence = 0;
  uint64_t file_bytes = 0;
  // Where the batches of the previous segment end (0: there is no previous segment). All bytes
  // below this offset are durable, because the previous segment is synced before this segment gets
  // its name.
  uint64_t previous_end = 0;
  uint64_t first_batch = 0;
  // End of the batch that repeats the state of all groups; the batch is durable before the file
  // gets its name.
  uint64_t head_end = 0;
};

// The first block of a segment file.
std::string EncodeSegmentHeader(const SegmentHeader& header);
// DATA_LOSS if the header is damaged; FAILED_PRECONDITION if the header is intact but of another
// format version. `path` names the file in the error.
Result<SegmentHeader> DecodeSegmentHeader(std::string_view block, const std::string& path);

struct BatchHeader {
  uint64_t sequence = 0;
  // All bytes of this segment below this offset were known durable when the batch was written.
  uint64_t durable = 0;
  uint32_t body_bytes = 0;
  uint32_t records = 0;
};

// The place of a batch. It seeds the CRC of the batch header, so that a header is valid in one
// place only.
struct BatchPlace {
  uint64_t log_id = 0;
  uint64_t segment = 0;
  uint64_t offset = 0;
};

// Nothing if `bytes` is not a whole, undamaged header that belongs at `place`.
std::optional<BatchHeader> DecodeBatchHeader(std::string_view bytes, const BatchPlace& place);

enum class RecordType : uint8_t {
  kEntry = 1,      // term, index, entry type, payload
  kHardState = 2,  // term, index = commit, payload = vote (8 bytes)
  kTruncate = 3,   // index = first entry dropped
  kReset = 4,      // index, term: the log is empty and begins after this point
  kCompact = 5,    // index, term: the log begins after this point; later entries are kept
  kSeal = 6,       // no fields; its batch header carries the durable offset
  kGroupHead = 7,  // index, term = where the log begins; payload = term, vote, commit, last index
};

struct Record {
  RecordType type = RecordType::kSeal;
  uint8_t entry_type = 0;
  GroupId group{};
  Term term{};
  LogIndex index{};
  // The payload of an entry is `view`: a view of bytes that somebody else keeps alive. The payload
  // of any other record is in `owned`: up to 32 bytes.
  std::string_view view{};
  std::string owned{};

  std::string_view payload() const { return owned.empty() ? view : std::string_view(owned); }
  size_t encoded_bytes() const { return kRecordHeaderBytes + payload().size(); }
};

// The bytes that a batch of these records takes in the file, padding included.
uint64_t EncodedBatchBytes(const std::vector<Record>& records);
// Replaces `*out` by the encoded batch. On entry `*chain` is the CRC of the previous record; on
// return it is the CRC of the last record.
void EncodeBatch(const std::vector<Record>& records, const BatchPlace& place, uint64_t sequence,
                 uint64_t durable, uint32_t* chain, std::string* out);

// The record at the head of `bytes`; its payload is a view into `bytes`. Nothing if the record is
// cut off or its CRC is wrong. With `chain`, the record must also follow the record with that CRC.
struct DecodedRecord {
  Record record;
  uint32_t crc = 0;
};
std::optional<DecodedRecord> DecodeRecord(std::string_view bytes, std::optional<uint32_t> chain);
// The payload length that a record header claims. `bytes` holds at least a header. The length is
// not yet verified.
uint32_t PeekPayloadBytes(std::string_view bytes);

inline uint64_t AlignUp(uint64_t n) { return (n + kBatchAlignment - 1) & ~(kBatchAlignment - 1); }

// "log-0000000000000001.seg": the names sort like their sequences.
std::string SegmentName(uint64_t sequence);
// Nothing for any other name.
std::optional<uint64_t> ParseSegmentName(const std::string& name);

}  // namespace cairn::log_store
