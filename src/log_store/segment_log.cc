#include "log_store/segment_log.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/directory.h"
#include "base/rng.h"
#include "log_store/group_write.h"
#include "log_store/segment_preparer.h"
#include "log_store/segment_recovery.h"
#include "log_store/segment_scan.h"

namespace cairn::log_store {
namespace {

// Room in bytes at the end of each segment that batches with entries must leave free. The bad
// schedule without it: the disk is full, so neither a vote nor the Compact that frees a segment can
// be stored, and a full log can never be made smaller.
constexpr uint64_t kKeptBackBytes = 4096;
constexpr uint64_t kBlockBytes = 4096;
constexpr size_t kReadWindowBytes = 1 << 20;

class SegmentLog final : public LogStore {
 public:
  SegmentLog(FileSystem& fs, std::string directory, const SegmentLogOptions& options,
             LogState state)
      : fs_(fs),
        directory_(std::move(directory)),
        options_(options),
        kept_back_bytes_(std::min(kKeptBackBytes, options.segment_bytes / 8)),
        state_(std::move(state)),
        preparer_(fs, directory_, options.prepare_in_background) {}

  Status Start();

  std::map<GroupId, GroupState> Groups() const override;
  Result<std::vector<raft::Entry>> LoadIndex(GroupId group) override;
  Status Write(const std::vector<GroupWrite>& writes) override;
  Status Sync() override;
  Result<std::vector<raft::Entry>> Read(GroupId group, LogIndex from, LogIndex to,
                                        size_t bytes_max) override;
  Status Compact(GroupId group, LogIndex index, Term term) override;
  Status SealIdle() override;
  uint64_t SizeBytes() const override;

 private:
  bool BuildRecords(const std::vector<GroupWrite>& writes);
  Status WriteRecords(uint64_t keep_back);
  Status OpenNextSegment(uint64_t batch_bytes);
  Status PublishSegment(SegmentPreparer::Prepared next, const std::vector<Record>& head);
  Status SyncLast();
  Status FreeSegments();
  Status Poison(const Status& error);
  Segment& last_segment() { return state_.segments.rbegin()->second; }
  uint64_t last_sequence() const { return state_.segments.rbegin()->first; }
  FileWindow WindowFor(const GroupIndex& index, LogIndex from, LogIndex to, size_t bytes_max) const;
  Result<raft::Entry> ReadEntry(GroupId group, const GroupIndex& index, LogIndex at,
                                FileWindow& window) const;

  FileSystem& fs_;
  const std::string directory_;
  // Held open, so that nothing can fail for lack of a descriptor once a segment has its name.
  std::unique_ptr<Directory> open_directory_;
  const SegmentLogOptions options_;
  const uint64_t kept_back_bytes_;
  LogState state_;
  SegmentPreparer preparer_;
  Status failed_;
  bool may_free_ = true;         // a segment may have become unneeded since FreeSegments last
                                 // looked
  std::vector<Record> records_;  // records of the batch being written; reused to save allocations
  std::string buffer_;
};

Status SegmentLog::Start() {
  ASSIGN_OR_RETURN(open_directory_, OpenDirectory(fs_, directory_));
  if (state_.segments.empty()) {
    state_.log_id = options_.new_log_id != 0 ? options_.new_log_id : SystemEntropy();
    state_.chain = static_cast<uint32_t>(state_.log_id);
    return OpenNextSegment(0);
  }
  RETURN_IF_ERROR(FreeSegments());  // a crash may have prevented an earlier FreeSegments
  preparer_.Start(options_.segment_bytes);
  return OkStatus();
}

std::map<GroupId, GroupState> SegmentLog::Groups() const {
  std::map<GroupId, GroupState> out;
  for (const auto& [group, index] : state_.groups) out[group] = index.state();
  return out;
}

Status SegmentLog::Poison(const Status& error) {
  // RESOURCE_EXHAUSTED promises that the caller may retry, which is no longer true here.
  const StatusCode code =
      error.code() == StatusCode::kResourceExhausted ? StatusCode::kInternal : error.code();
  failed_ = Status(code, "the log failed for good: " + error.message());
  return failed_;
}

// Converts the writes into records_. False if the writes hold entries, which may not use the room
// kept back.
bool SegmentLog::BuildRecords(const std::vector<GroupWrite>& writes) {
  records_.clear();
  bool without_entries = true;
  std::map<GroupId, GroupState> states;  // a group may occur twice
  for (const GroupWrite& write : writes) {
    auto [state, added] = states.try_emplace(write.group);
    const auto known = state_.groups.find(write.group);
    if (added && known != state_.groups.end()) state->second = known->second.state();
    CheckAndAdvance(write, &state->second);
    if (write.reset_to.has_value()) {
      records_.push_back({.type = RecordType::kReset,
                          .group = write.group,
                          .term = write.reset_to->term,
                          .index = write.reset_to->index});
    }
    if (write.truncate_from.has_value()) {
      records_.push_back(
          {.type = RecordType::kTruncate, .group = write.group, .index = *write.truncate_from});
    }
    for (const raft::Entry& entry : write.entries) {
      without_entries = false;
      records_.push_back({.type = RecordType::kEntry,
                          .entry_type = static_cast<uint8_t>(entry.type),
                          .group = write.group,
                          .term = entry.term,
                          .index = entry.index,
                          .view = *entry.payload});
    }
    if (write.hard_state.has_value()) {
      Record& record = records_.emplace_back(Record{.type = RecordType::kHardState,
                                                    .group = write.group,
                                                    .term = write.hard_state->term,
                                                    .index = write.hard_state->commit});
      ByteWriter(&record.owned).U64(write.hard_state->vote.value());
    }
  }
  return without_entries;
}

Status SegmentLog::Write(const std::vector<GroupWrite>& writes) {
  RETURN_IF_ERROR(failed_);
  const bool without_entries = BuildRecords(writes);
  if (records_.empty()) return OkStatus();
  return WriteRecords(without_entries ? 0 : kept_back_bytes_);
}

// Writes records_ as one batch and applies the records. Leaves `keep_back` bytes of the segment
// free.
Status SegmentLog::WriteRecords(uint64_t keep_back) {
  const uint64_t bytes = EncodedBatchBytes(records_);
  if (bytes > options_.batch_bytes_max) {
    return InvalidArgument("a log batch of " + std::to_string(bytes) + " bytes; at most " +
                           std::to_string(options_.batch_bytes_max) + " are allowed");
  }
  if (state_.end + bytes + keep_back > last_segment().bytes) {
    RETURN_IF_ERROR(OpenNextSegment(bytes + keep_back));
  }
  EncodeBatch(records_, {state_.log_id, last_sequence(), state_.end}, state_.next_batch,
              state_.durable, &state_.chain, &buffer_);
  if (Status s = last_segment().file->WriteAt(state_.end, buffer_); !s.ok()) {
    return Poison(s);
  }
  uint64_t offset = state_.end + kBatchHeaderBytes;
  for (const Record& record : records_) {
    if (record.type != RecordType::kSeal) {
      const Status applied = state_.groups[record.group].Apply(record, last_sequence(), offset);
      CHECK(applied.ok()) << applied.ToString();
    }
    if (record.type != RecordType::kEntry && record.type != RecordType::kHardState)
      may_free_ = true;
    offset += record.encoded_bytes();
  }
  state_.end += buffer_.size();
  ++state_.next_batch;
  state_.sealed = false;
  return OkStatus();
}

// Opens a new segment with room for a batch of this size. RESOURCE_EXHAUSTED leaves everything as
// it was.
Status SegmentLog::OpenNextSegment(uint64_t batch_bytes) {
  // The new segment's head repeats the state of all groups, so that older segments are needed only
  // for their entries.
  std::vector<Record> head;
  for (const auto& [group, index] : state_.groups) head.push_back(index.HeadRecord(group));
  const uint64_t head_bytes = head.empty() ? 0 : EncodedBatchBytes(head);
  const uint64_t needed = kSegmentHeaderBytes + head_bytes + batch_bytes;
  const uint64_t rounded = (needed + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
  const uint64_t file_bytes = std::max(options_.segment_bytes, rounded);
  if (file_bytes > kSegmentBytesMax) {
    return InvalidArgument("a log segment of " + std::to_string(file_bytes) + " bytes");
  }
  Result<SegmentPreparer::Prepared> next = preparer_.Take(file_bytes);
  if (!next.ok() && next.status().code() == StatusCode::kResourceExhausted) return next.status();
  if (!next.ok()) return Poison(next.status());
  // The existence of the new segment says that this segment is durable to its end.
  if (!state_.segments.empty()) RETURN_IF_ERROR(SyncLast());
  if (Status s = PublishSegment(std::move(*next), head); !s.ok()) return Poison(s);
  preparer_.Start(options_.segment_bytes);
  return OkStatus();
}

// Writes header and head, and gives the file its name only when both are durable: a segment never
// has a torn beginning.
Status SegmentLog::PublishSegment(SegmentPreparer::Prepared next, const std::vector<Record>& head) {
  const uint64_t sequence = state_.segments.empty() ? 1 : last_sequence() + 1;
  SegmentHeader header{.chain = state_.chain,
                       .log_id = state_.log_id,
                       .sequence = sequence,
                       .file_bytes = next.bytes,
                       .previous_end = state_.segments.empty() ? 0 : state_.end,
                       .first_batch = state_.next_batch,
                       .head_end = kSegmentHeaderBytes};
  buffer_.clear();
  if (!head.empty()) {
    EncodeBatch(head, {state_.log_id, sequence, kSegmentHeaderBytes}, state_.next_batch,
                kSegmentHeaderBytes, &state_.chain, &buffer_);
    header.head_end += buffer_.size();
    ++state_.next_batch;
  }
  const std::string path = directory_ + "/" + SegmentName(sequence);
  RETURN_IF_ERROR(next.file->WriteAt(0, EncodeSegmentHeader(header) + buffer_));
  RETURN_IF_ERROR(next.file->Sync());
  RETURN_IF_ERROR(fs_.Rename(next.path, path));
  RETURN_IF_ERROR(open_directory_->Sync());
  state_.segments[sequence] = {std::move(next.file), path, next.bytes};
  state_.end = state_.durable = header.head_end;
  state_.sealed = true;
  may_free_ = true;  // perhaps the previous segment, which was in use until now
  return OkStatus();
}

Status SegmentLog::SyncLast() {
  if (state_.durable == state_.end) return OkStatus();
  if (Status s = last_segment().file->Sync(); !s.ok()) return Poison(s);
  state_.durable = state_.end;
  return OkStatus();
}

Status SegmentLog::Sync() {
  RETURN_IF_ERROR(failed_);
  RETURN_IF_ERROR(SyncLast());
  return FreeSegments();
}

// Removes the oldest segments that hold no entry of any group. Runs only after a sync. The bad
// schedule otherwise: the file is gone before the record that released its entries is durable, and
// a crash leaves a log with a hole. Removes the oldest segment first and makes each removal durable
// before the next, so that the names never have a gap.
Status SegmentLog::FreeSegments() {
  if (!std::exchange(may_free_, false)) return OkStatus();
  uint64_t needed = last_sequence();
  for (const auto& [group, index] : state_.groups) {
    needed = std::min(needed, index.OldestSegment().value_or(needed));
  }
  while (state_.segments.begin()->first < needed) {
    if (Status s = fs_.Remove(state_.segments.begin()->second.path); !s.ok()) {
      return Poison(s);
    }
    if (Status s = open_directory_->Sync(); !s.ok()) return Poison(s);
    state_.segments.erase(state_.segments.begin());
  }
  return OkStatus();
}

Status SegmentLog::Compact(GroupId group, LogIndex index, Term term) {
  RETURN_IF_ERROR(failed_);
  const auto it = state_.groups.find(group);
  if (!CheckCompaction(it == state_.groups.end() ? GroupState{} : it->second.state(), index)) {
    return OkStatus();
  }
  CHECK(it->second.TermOf(index) == term) << "group " << ToString(group) << " compacts to "
                                          << ToString(index) << " in term " << ToString(term);
  records_.clear();
  records_.push_back({.type = RecordType::kCompact, .group = group, .term = term, .index = index});
  return WriteRecords(0);
}

Status SegmentLog::SealIdle() {
  RETURN_IF_ERROR(failed_);
  if (state_.sealed) return OkStatus();
  RETURN_IF_ERROR(SyncLast());
  records_.clear();
  records_.push_back({.type = RecordType::kSeal});
  RETURN_IF_ERROR(WriteRecords(0));
  RETURN_IF_ERROR(Sync());
  state_.sealed = true;
  return OkStatus();
}

uint64_t SegmentLog::SizeBytes() const {
  uint64_t bytes = 0;
  for (const auto& [sequence, segment] : state_.segments) bytes += segment.bytes;
  return bytes;
}

// A window on the segment of entry `from`. The window is just wide enough for the wanted entries if
// they are few.
FileWindow SegmentLog::WindowFor(const GroupIndex& index, LogIndex from, LogIndex to,
                                 size_t bytes_max) const {
  const EntryRef first = index.RefOf(from);
  const EntryRef last = index.RefOf(to - 1);
  const Segment& segment = state_.segments.at(first.segment);
  const uint64_t span =
      last.segment == first.segment ? last.offset - first.offset : segment.bytes - first.offset;
  const uint64_t wanted = std::min<uint64_t>(span, bytes_max) + kBlockBytes;
  return FileWindow(*segment.file, segment.bytes,
                    static_cast<size_t>(std::min<uint64_t>(wanted, kReadWindowBytes)));
}

Result<raft::Entry> SegmentLog::ReadEntry(GroupId group, const GroupIndex& index, LogIndex at,
                                          FileWindow& window) const {
  const EntryRef ref = index.RefOf(at);
  const Segment& segment = state_.segments.at(ref.segment);
  const auto damaged = [&] {
    return DataLoss(segment.path + " offset " + std::to_string(ref.offset) + ": entry " +
                    ToString(at) + " of group " + ToString(group) + " is damaged");
  };
  ASSIGN_OR_RETURN(const std::string_view head, window.View(ref.offset, kRecordHeaderBytes));
  if (head.size() < kRecordHeaderBytes) return damaged();
  const uint64_t bytes = kRecordHeaderBytes + PeekPayloadBytes(head);
  if (bytes > segment.bytes - ref.offset) return damaged();
  ASSIGN_OR_RETURN(const std::string_view whole, window.View(ref.offset, bytes));
  const std::optional<DecodedRecord> decoded = DecodeRecord(whole, std::nullopt);
  if (!decoded.has_value()) return damaged();
  const Record& record = decoded->record;
  // The record is valid in itself, but is not the record that was written here: a misdirected
  // write.
  if (record.type != RecordType::kEntry || record.group != group || record.index != at ||
      record.term != index.TermOf(at) || record.entry_type != ref.type) {
    return damaged();
  }
  return raft::Entry{.term = record.term,
                     .index = at,
                     .type = static_cast<raft::EntryType>(record.entry_type),
                     .payload = std::make_shared<const std::string>(record.payload())};
}

Result<std::vector<raft::Entry>> SegmentLog::Read(GroupId group, LogIndex from, LogIndex to,
                                                  size_t bytes_max) {
  RETURN_IF_ERROR(failed_);
  std::vector<raft::Entry> out;
  const auto it = state_.groups.find(group);
  if (it == state_.groups.end() || !it->second.Holds(from)) return out;
  const GroupIndex& index = it->second;
  to = std::min(to, index.last() + 1);
  size_t bytes = 0;
  for (LogIndex at = from; at < to;) {
    const uint64_t segment = index.RefOf(at).segment;
    FileWindow window = WindowFor(index, at, to, bytes_max - bytes);
    for (; at < to && index.RefOf(at).segment == segment; ++at) {
      ASSIGN_OR_RETURN(raft::Entry entry, ReadEntry(group, index, at, window));
      if (!out.empty() && entry.payload->size() > bytes_max - bytes) return out;
      bytes = std::min(bytes_max, bytes + entry.payload->size());
      out.push_back(std::move(entry));
    }
  }
  return out;
}

Result<std::vector<raft::Entry>> SegmentLog::LoadIndex(GroupId group) {
  RETURN_IF_ERROR(failed_);
  std::vector<raft::Entry> out;
  const auto it = state_.groups.find(group);
  if (it == state_.groups.end()) return out;
  const GroupIndex& index = it->second;
  out.reserve(index.last() - index.snapshot_index());
  for (LogIndex at = index.first(); at <= index.last(); ++at) {
    const auto type = static_cast<raft::EntryType>(index.RefOf(at).type);
    if (type == raft::EntryType::kConfig) {
      FileWindow window = WindowFor(index, at, at + 1, 0);
      ASSIGN_OR_RETURN(raft::Entry entry, ReadEntry(group, index, at, window));
      out.push_back(std::move(entry));
    } else {
      out.push_back({.term = index.TermOf(at), .index = at, .type = type, .payload = nullptr});
    }
  }
  return out;
}

}  // namespace

Result<std::unique_ptr<LogStore>> OpenSegmentLog(FileSystem& fs, const std::string& directory,
                                                 SegmentLogOptions options) {
  if (options.segment_bytes < kBlockBytes || options.segment_bytes > kSegmentBytesMax) {
    return InvalidArgument("log segments of " + std::to_string(options.segment_bytes) + " bytes");
  }
  RETURN_IF_ERROR(fs.CreateDirectories(directory));
  ASSIGN_OR_RETURN(LogState state, RecoverLog(fs, directory));
  auto log = std::make_unique<SegmentLog>(fs, directory, options, std::move(state));
  RETURN_IF_ERROR(log->Start());
  return std::unique_ptr<LogStore>(std::move(log));
}

}  // namespace cairn::log_store
