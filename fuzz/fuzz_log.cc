// Opening a log: whatever its files hold, the log is refused with a message or opened, and never
// crashes. A log that opens can be read, written and opened again. There are two inputs: records
// that no writer would write, with correct checksums; and logs that were written correctly and then
// damaged.
#include <algorithm>
#include <set>

#include "base/bytes.h"
#include "base/check.h"
#include "base/fault_file_system.h"
#include "fuzz_input.h"
#include "log_store/log_format.h"
#include "log_store/segment_log.h"

namespace cairn::log_store {
namespace {

using fuzz::Decisions;

constexpr char kDirectory[] = "log";
constexpr uint64_t kSegmentBytes = 4096;

Result<std::unique_ptr<LogStore>> Open(FaultFileSystem* fs) {
  SegmentLogOptions options;
  options.segment_bytes = kSegmentBytes;
  options.batch_bytes_max = 1 << 20;
  options.prepare_in_background = false;
  options.new_log_id = 77;
  return OpenSegmentLog(*fs, kDirectory, options);
}

// The state and entries of all groups. Nothing if an entry cannot be read.
std::optional<std::string> Picture(LogStore* store) {
  std::string out;
  ByteWriter w(&out);
  for (const auto& [group, state] : store->Groups()) {
    for (uint64_t each :
         {group.value(), state.hard_state.term.value(), state.hard_state.vote.value(),
          state.hard_state.commit.value(), state.snapshot_index.value(),
          state.snapshot_term.value(), state.last.value()}) {
      w.U64(each);
    }
    const Result<std::vector<raft::Entry>> index = store->LoadIndex(group);
    if (!index.ok()) return std::nullopt;
    for (LogIndex at = state.snapshot_index + 1; at <= state.last;) {
      const auto entries = store->Read(group, at, state.last + 1, 1 << 16);
      if (!entries.ok()) return std::nullopt;
      CHECK(!entries->empty());
      for (const raft::Entry& entry : *entries) {
        const raft::Entry& indexed = index->at(entry.index - state.snapshot_index - 1);
        CHECK(indexed.term == entry.term && indexed.type == entry.type);
        w.U64(entry.index.value());
        w.U64(entry.term.value());
        w.U8(static_cast<uint8_t>(entry.type));
        w.String(*entry.payload);
      }
      at = entries->back().index + 1;
    }
  }
  return out;
}

bool IsRefusal(const Status& status) {
  return status.code() == StatusCode::kDataLoss || status.code() == StatusCode::kFailedPrecondition;
}

// Does what every log that opened must be able to do.
void UseAndReopen(FaultFileSystem* fs, std::unique_ptr<LogStore> store) {
  const std::optional<std::string> before = Picture(store.get());
  CHECK(before.has_value()) << "opened, but cannot be read";
  const auto groups = store->Groups();
  for (const auto& [group, state] : groups) {
    if (state.last.value() > (1ULL << 62)) return;  // no cluster reaches this index
    GroupWrite write;
    write.group = group;
    write.entries.push_back({Term(state.hard_state.term.value()), state.last + 1,
                             raft::EntryType::kNormal,
                             std::make_shared<const std::string>("after")});
    CHECK(store->Write({write}).ok());
  }
  CHECK(store->Sync().ok());
  const std::optional<std::string> after = Picture(store.get());
  store.reset();
  fs->Crash(FaultFileSystem::Unsynced::kDrop);
  auto again = Open(fs);
  CHECK(again.ok()) << again.status().ToString();
  CHECK(Picture(again->get()) == after);
}

// ---- Records that no writer would write

Record DrawRecord(Decisions* draw) {
  Record record;
  record.type = static_cast<RecordType>(1 + draw->Below(7));
  record.entry_type = static_cast<uint8_t>(draw->Below(5));
  record.group = GroupId(draw->Below(3));
  const auto number = [&] { return draw->Below(8) == 0 ? draw->Word() : draw->Below(16); };
  record.term = Term(number());
  record.index = LogIndex(number());
  switch (draw->Below(3)) {
    case 0: record.owned = draw->Bytes(40); break;
    case 1: {  // the content of hard states and group heads
      ByteWriter w(&record.owned);
      for (uint64_t left = draw->Below(6); left > 0; --left) w.U64(number());
      break;
    }
    default: break;
  }
  return record;
}

void TryRecords(Decisions* draw) {
  FaultFileSystem fs(1);
  CHECK(fs.CreateDirectories(kDirectory).ok());
  SegmentHeader header;
  header.log_id = 77;
  header.sequence = 1;
  header.file_bytes = draw->Below(8) == 0 ? draw->Word() | 1ULL << 31 : kSegmentBytes;
  header.first_batch = draw->Below(4) == 0 ? draw->Below(3) : 1;
  header.head_end = draw->Below(4) == 0 ? draw->Below(4096) : kSegmentHeaderBytes;
  std::string file = EncodeSegmentHeader(header);
  uint32_t chain = header.chain;
  for (uint64_t sequence = header.first_batch; !draw->empty() && file.size() < 3000; ++sequence) {
    std::vector<Record> records;
    for (uint64_t left = 1 + draw->Below(4); left > 0; --left) records.push_back(DrawRecord(draw));
    std::string batch;
    const uint64_t durable = draw->Below(4) == 0 ? draw->Word() : file.size();
    EncodeBatch(records, {header.log_id, header.sequence, file.size()}, sequence, durable, &chain,
                &batch);
    file += batch;
  }
  file.resize(std::max<size_t>(file.size(), kSegmentBytes));
  fs.SetContents(std::string(kDirectory) + "/" + SegmentName(1), file);
  auto store = Open(&fs);
  if (!store.ok()) {
    CHECK(IsRefusal(store.status())) << store.status().ToString();
    return;
  }
  UseAndReopen(&fs, std::move(*store));
}

// ---- Logs that were damaged

std::vector<raft::Entry> DrawEntries(Decisions* draw, LogIndex after, Term term) {
  std::vector<raft::Entry> entries;
  for (uint64_t left = draw->Below(4); left > 0; --left) {
    const size_t size = draw->Below(8) == 0 ? 1500 : draw->Below(40);
    entries.push_back({term, after + entries.size() + 1, raft::EntryType::kNormal,
                       std::make_shared<const std::string>(size, 'e')});
  }
  return entries;
}

void WriteSomething(Decisions* draw, LogStore* store) {
  const GroupId group(1 + draw->Below(2));
  const auto groups = store->Groups();
  const GroupState state = groups.contains(group) ? groups.at(group) : GroupState{};
  GroupWrite write;
  write.group = group;
  write.hard_state = state.hard_state;
  write.hard_state->term = write.hard_state->term + draw->Below(2);
  write.hard_state->vote = MemberId(draw->Below(4));
  LogIndex last = state.last;
  switch (draw->Below(8)) {
    case 0:
      last = last + draw->Below(5);
      write.reset_to = {{last, write.hard_state->term}};
      break;
    case 1:
      if (last == state.snapshot_index) break;
      last = state.snapshot_index + draw->Below(last - state.snapshot_index);
      write.truncate_from = last + 1;
      break;
    case 2: {
      if (last == state.snapshot_index) break;
      const LogIndex to = state.snapshot_index + 1 + draw->Below(last - state.snapshot_index);
      const auto entry = store->Read(group, to, to + 1, 1);
      CHECK(entry.ok() && store->Compact(group, to, entry->at(0).term).ok());
      return;
    }
    case 3: CHECK(store->SealIdle().ok()); return;
    default: break;
  }
  write.entries = DrawEntries(draw, last, write.hard_state->term);
  CHECK(store->Write({write}).ok());
}

void Damage(Decisions* draw, FaultFileSystem* fs) {
  const std::vector<std::string> names = fs->List(kDirectory).value();
  const std::string path =
      std::string(kDirectory) + "/" + names[draw->Below(std::min<size_t>(names.size(), 256))];
  std::string contents = fs->Contents(path);
  if (contents.empty()) return;
  const uint64_t offset = (draw->Byte() << 8 | draw->Byte()) % contents.size();
  switch (draw->Below(4)) {
    case 0: CHECK(fs->Remove(path).ok()); return;
    case 1: contents.resize(offset); break;
    case 2:
      std::fill_n(contents.begin() + static_cast<ptrdiff_t>(offset),
                  std::min<size_t>(512, contents.size() - offset), '\0');
      break;
    default: contents[offset] = static_cast<char>(contents[offset] ^ (1 + draw->Below(255)));
  }
  fs->SetContents(path, contents);
}

void TryDamage(Decisions* draw) {
  FaultFileSystem fs(1);
  std::set<std::string> pictures = {""};
  {
    auto store = Open(&fs);
    CHECK(store.ok());
    for (uint64_t steps = 1 + draw->Below(40); steps > 0; --steps) {
      WriteSomething(draw, store->get());
      pictures.insert(*Picture(store->get()));
      const bool sync = draw->Below(3) == 0;
      CHECK(!sync || (*store)->Sync().ok());
    }
  }
  const bool keep_all = draw->Below(2) == 0;
  fs.Crash(keep_all ? FaultFileSystem::Unsynced::kKeepAll : FaultFileSystem::Unsynced::kTorn);
  for (uint64_t left = draw->Below(3); left > 0; --left) Damage(draw, &fs);
  auto store = Open(&fs);
  if (!store.ok()) {
    CHECK(IsRefusal(store.status())) << store.status().ToString();
    return;
  }
  const std::optional<std::string> picture = Picture(store->get());
  CHECK(picture.has_value()) << "opened, but cannot be read";
  CHECK(pictures.contains(*picture)) << "opened as something it never was";
  UseAndReopen(&fs, std::move(*store));
}

}  // namespace
}  // namespace cairn::log_store

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cairn::fuzz::Decisions draw(data, std::min<size_t>(size, 4096));
  if (draw.Below(2) == 0) {
    cairn::log_store::TryRecords(&draw);
  } else {
    cairn::log_store::TryDamage(&draw);
  }
  return 0;
}
