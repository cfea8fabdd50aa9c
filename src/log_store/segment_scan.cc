#include "log_store/segment_scan.h"

#include <algorithm>

namespace cairn::log_store {
namespace {

constexpr size_t kWindowBytes = 1 << 20;

// The records of a batch body, or why the body is not a whole batch.
struct Body {
  std::vector<DecodedRecord> records;
  std::string fault;
};

Body DecodeBody(std::string_view bytes, const BatchHeader& header, uint32_t chain) {
  Body out;
  std::string_view rest = bytes.substr(0, header.body_bytes);
  while (!rest.empty()) {
    std::optional<DecodedRecord> record = DecodeRecord(rest, chain);
    if (!record.has_value()) {
      out.fault = "record " + std::to_string(out.records.size()) + " of the batch is damaged";
      return out;
    }
    chain = record->crc;
    rest.remove_prefix(record->record.encoded_bytes());
    out.records.push_back(std::move(*record));
  }
  if (out.records.size() != header.records) out.fault = "the batch lacks records";
  const std::string_view padding = bytes.substr(header.body_bytes);
  if (padding.find_first_not_of('\0') != padding.npos) out.fault = "the padding is not zero";
  return out;
}

class Scanner {
 public:
  Scanner(const File& file, const std::string& path, const SegmentHeader& header, uint64_t limit)
      : path_(path), header_(header), limit_(limit), window_(file, limit, kWindowBytes) {
    scan_.end = kSegmentHeaderBytes;
    scan_.next_batch = header.first_batch;
    scan_.chain = header.chain;
    scan_.durable = header.head_end;
  }

  Result<SegmentScan> Run(bool search_tail, const RecordVisitor& visit) {
    for (;;) {
      ASSIGN_OR_RETURN(const bool more, NextBatch(visit));
      if (!more) break;
    }
    scan_.sealed = scan_.sealed || scan_.end == header_.head_end;
    scan_.dirty_end = scan_.end;
    if (search_tail) RETURN_IF_ERROR(SearchTail());
    return scan_;
  }

 private:
  Result<bool> Stop(std::string why) {
    scan_.stopped_by = std::move(why);
    return false;
  }
  BatchPlace Place(uint64_t offset) const { return {header_.log_id, header_.sequence, offset}; }

  Result<bool> NextBatch(const RecordVisitor& visit) {
    const uint64_t start = scan_.end;
    if (start + kBatchHeaderBytes > limit_) return Stop("the file ends");
    ASSIGN_OR_RETURN(const std::string_view head, window_.View(start, kBatchHeaderBytes));
    const std::optional<BatchHeader> batch = DecodeBatchHeader(head, Place(start));
    if (!batch.has_value()) return Stop("no valid batch header");
    scan_.durable = std::max(scan_.durable, batch->durable);
    if (batch->sequence != scan_.next_batch) return Stop("batch out of sequence");
    const uint64_t body = start + kBatchHeaderBytes;
    const uint64_t padded = AlignUp(batch->body_bytes);
    if (padded > limit_ - body) return Stop("the file ends inside the batch");
    ASSIGN_OR_RETURN(const std::string_view bytes, window_.View(body, padded));
    if (bytes.size() < padded) return Stop("the file ends inside the batch");
    Body decoded = DecodeBody(bytes, *batch, scan_.chain);
    if (!decoded.fault.empty()) return Stop(std::move(decoded.fault));

    uint64_t offset = body;
    for (const DecodedRecord& record : decoded.records) {
      if (Status s = visit(record.record, offset); !s.ok()) {
        return std::move(s).Prefixed(path_ + " offset " + std::to_string(offset));
      }
      offset += record.record.encoded_bytes();
      scan_.chain = record.crc;
    }
    scan_.sealed =
        decoded.records.size() == 1 && decoded.records.front().record.type == RecordType::kSeal;
    ++scan_.next_batch;
    scan_.end = body + padded;
    return true;
  }

  // A header behind the damage says that the damaged part was durable once. Then the damage is rot,
  // because a torn write touches only what was not yet synced. The length in a damaged batch cannot
  // be trusted, so SearchTail tries every place where a header could be.
  Status SearchTail() {
    static const std::string kZeros(4096, '\0');
    for (uint64_t at = scan_.end; at < limit_;) {
      ASSIGN_OR_RETURN(const std::string_view piece, window_.View(at, kZeros.size()));
      if (piece.empty()) break;
      if (piece != std::string_view(kZeros).substr(0, piece.size())) {
        const uint64_t piece_end = at + piece.size();
        scan_.dirty_end = at + piece.find_last_not_of('\0') + 1;
        RETURN_IF_ERROR(SearchHeaders(at, piece_end));
        at = piece_end;
      } else {
        at += piece.size();
      }
    }
    return OkStatus();
  }

  Status SearchHeaders(uint64_t from, uint64_t to) {
    for (uint64_t at = AlignUp(from); at < to; at += kBatchAlignment) {
      ASSIGN_OR_RETURN(const std::string_view bytes, window_.View(at, kBatchHeaderBytes));
      const std::optional<BatchHeader> batch = DecodeBatchHeader(bytes, Place(at));
      if (batch.has_value()) scan_.durable = std::max(scan_.durable, batch->durable);
    }
    return OkStatus();
  }

  const std::string& path_;
  const SegmentHeader& header_;
  const uint64_t limit_;
  FileWindow window_;
  SegmentScan scan_;
};

}  // namespace

Result<std::string_view> FileWindow::View(uint64_t offset, size_t size) {
  if (offset >= limit_) return std::string_view();
  size = static_cast<size_t>(std::min<uint64_t>(size, limit_ - offset));
  if (offset < start_ || offset + size > start_ + bytes_.size()) {
    const uint64_t want = std::min<uint64_t>(std::max(size, window_bytes_), limit_ - offset);
    ASSIGN_OR_RETURN(bytes_, file_.ReadAt(offset, static_cast<size_t>(want)));
    start_ = offset;
  }
  return std::string_view(bytes_).substr(offset - start_, size);
}

Result<SegmentScan> ScanSegment(const File& file, const std::string& path,
                                const SegmentHeader& header, uint64_t limit, bool search_tail,
                                const RecordVisitor& visit) {
  return Scanner(file, path, header, limit).Run(search_tail, visit);
}

}  // namespace cairn::log_store
