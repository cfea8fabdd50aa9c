#include "log_store/segment_recovery.h"

#include <algorithm>
#include <vector>

#include "log_store/segment_preparer.h"
#include "log_store/segment_scan.h"

namespace cairn::log_store {
namespace {

std::string At(const std::string& path, uint64_t offset) {
  return path + " offset " + std::to_string(offset);
}

class Recovery {
 public:
  Recovery(FileSystem& fs, const std::string& directory) : fs_(fs), directory_(directory) {}

  Result<LogState> Run() {
    ASSIGN_OR_RETURN(const std::vector<std::string> names, fs_.List(directory_));
    RETURN_IF_ERROR(OpenSegments(names));
    if (!state_.segments.empty()) {
      for (auto it = state_.segments.begin(); std::next(it) != state_.segments.end(); ++it) {
        RETURN_IF_ERROR(ScanClosed(it->first));
      }
      RETURN_IF_ERROR(ScanLast());
      RETURN_IF_ERROR(CheckNothingIsMissing());
      RETURN_IF_ERROR(MakeTailDurable());
    }
    RETURN_IF_ERROR(RemoveTemporaries(names));
    return std::move(state_);
  }

 private:
  Status OpenSegments(const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      const std::optional<uint64_t> sequence = ParseSegmentName(name);
      if (!sequence.has_value()) continue;
      const std::string path = directory_ + "/" + name;
      if (!headers_.empty() && headers_.rbegin()->first + 1 != *sequence) {
        return DataLoss(directory_ + "/" + SegmentName(headers_.rbegin()->first + 1) +
                        " is missing, but " + name + " is there");
      }
      ASSIGN_OR_RETURN(std::unique_ptr<File> file, fs_.Open(path, /*create=*/false));
      ASSIGN_OR_RETURN(const std::string block, file->ReadAt(0, kSegmentHeaderBytes));
      ASSIGN_OR_RETURN(const SegmentHeader header, DecodeSegmentHeader(block, path));
      if (header.sequence != *sequence) {
        return DataLoss(At(path, 0) + ": holds segment " + std::to_string(header.sequence));
      }
      if (header.file_bytes < kSegmentHeaderBytes || header.file_bytes > kSegmentBytesMax) {
        return DataLoss(At(path, 0) + ": claims to have " + std::to_string(header.file_bytes) +
                        " bytes");
      }
      if (!headers_.empty() && headers_.rbegin()->second.log_id != header.log_id) {
        return DataLoss(At(path, 0) + ": belongs to another log than the segment before it");
      }
      headers_[*sequence] = header;
      state_.log_id = header.log_id;
      state_.segments[*sequence] = {std::move(file), path, header.file_bytes};
    }
    return OkStatus();
  }

  Result<SegmentScan> Scan(uint64_t sequence, uint64_t limit, bool search_tail) {
    const Segment& segment = state_.segments.at(sequence);
    return ScanSegment(*segment.file, segment.path, headers_.at(sequence), limit, search_tail,
                       [&](const Record& record, uint64_t offset) {
                         if (record.type == RecordType::kSeal) return OkStatus();
                         if (record.group.is_none()) return DataLoss("a record of no group");
                         return state_.groups[record.group].Apply(record, sequence, offset);
                       });
  }

  // A segment that has a successor was synced before the successor got its name: all of the segment
  // must be whole.
  Status ScanClosed(uint64_t sequence) {
    const SegmentHeader& next = headers_.at(sequence + 1);
    const std::string& path = state_.segments.at(sequence).path;
    ASSIGN_OR_RETURN(const SegmentScan scan, Scan(sequence, next.previous_end, false));
    if (scan.end != next.previous_end) {
      return DataLoss(At(path, scan.end) + ": " + scan.stopped_by + ", but all below offset " +
                      std::to_string(next.previous_end) + " was durable");
    }
    if (scan.chain != next.chain || scan.next_batch != next.first_batch) {
      return DataLoss(At(state_.segments.at(sequence + 1).path, 0) + ": does not continue " + path);
    }
    return OkStatus();
  }

  Status ScanLast() {
    const auto& [sequence, segment] = *state_.segments.rbegin();
    ASSIGN_OR_RETURN(file_bytes_, segment.file->Size());
    ASSIGN_OR_RETURN(tail_, Scan(sequence, std::min(file_bytes_, segment.bytes), true));
    if (tail_.durable > tail_.end) {
      return DataLoss(At(segment.path, tail_.end) + ": " + tail_.stopped_by +
                      ", but all below offset " + std::to_string(tail_.durable) + " was durable");
    }
    state_.end = tail_.end;
    state_.next_batch = tail_.next_batch;
    state_.chain = tail_.chain;
    state_.sealed = tail_.sealed;
    return OkStatus();
  }

  Status CheckNothingIsMissing() {
    for (const auto& [group, index] : state_.groups) {
      if (index.first() == index.snapshot_index() + 1) continue;
      return DataLoss(directory_ + ": entries " + ToString(index.snapshot_index() + 1) + " to " +
                      ToString(index.first() - 1) + " of group " + ToString(group) +
                      " stood in a segment that is gone");
    }
    return OkStatus();
  }

  // The data that recovery just read may be only in the page cache. The process that wrote it was
  // killed before its sync, or the sync failed, after which the kernel may hold pages as clean that
  // never reached the disk. The bad schedule: recovery takes the data as durable, this node
  // remembers a vote from it, and the next power cut loses the vote. So recovery writes the part
  // not known durable again, which makes the pages dirty, and syncs it. Before that sync, recovery
  // also zeroes the remains of torn batches after the end; otherwise a later crash could bring them
  // back.
  Status MakeTailDurable() {
    const Segment& segment = state_.segments.rbegin()->second;
    RETURN_IF_ERROR(Rewrite(*segment.file, tail_.durable, tail_.end));
    RETURN_IF_ERROR(WriteZeros(*segment.file, tail_.end, tail_.dirty_end));
    if (file_bytes_ < segment.bytes) {
      RETURN_IF_ERROR(WriteZeros(*segment.file, std::max(tail_.end, file_bytes_), segment.bytes));
    }
    RETURN_IF_ERROR(segment.file->Sync());
    state_.durable = state_.end;
    // The rename that named the last segment may not be durable either.
    return fs_.SyncDirectory(directory_);
  }

  static constexpr uint64_t kPieceBytes = 1 << 20;

  static Status Rewrite(File& file, uint64_t from, uint64_t to) {
    for (uint64_t at = from; at < to; at += kPieceBytes) {
      ASSIGN_OR_RETURN(const std::string piece,
                       file.ReadAt(at, static_cast<size_t>(std::min(kPieceBytes, to - at))));
      RETURN_IF_ERROR(file.WriteAt(at, piece));
    }
    return OkStatus();
  }

  static Status WriteZeros(File& file, uint64_t from, uint64_t to) {
    if (from >= to) return OkStatus();
    const std::string zeros(static_cast<size_t>(std::min(kPieceBytes, to - from)), '\0');
    for (uint64_t at = from; at < to; at += zeros.size()) {
      const size_t size = static_cast<size_t>(std::min<uint64_t>(zeros.size(), to - at));
      RETURN_IF_ERROR(file.WriteAt(at, std::string_view(zeros).substr(0, size)));
    }
    return OkStatus();
  }

  Status RemoveTemporaries(const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      if (!SegmentPreparer::IsTemporary(name)) continue;
      RETURN_IF_ERROR(fs_.Remove(directory_ + "/" + name));
    }
    return OkStatus();
  }

  FileSystem& fs_;
  const std::string& directory_;
  LogState state_;
  std::map<uint64_t, SegmentHeader> headers_;
  uint64_t file_bytes_ = 0;  // actual size of the last segment's file
  SegmentScan tail_;
};

}  // namespace

Result<LogState> RecoverLog(FileSystem& fs, const std::string& directory) {
  return Recovery(fs, directory).Run();
}

}  // namespace cairn::log_store
