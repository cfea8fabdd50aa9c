// How the segment log treats files that are cut, rotten, foreign, or of a future version.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/bytes.h"
#include "log_store/log_format.h"
#include "log_store/log_store_test_util.h"

namespace cairn::log_store {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string Picture(LogStore& store) { return StateOf(store) + " [" + Dump(store) + "]"; }

// Where the batches of a whole segment file begin; the last element is where they end.
std::vector<uint64_t> BatchOffsets(const std::string& contents) {
  const SegmentHeader header = DecodeSegmentHeader(contents, "file").value();
  std::vector<uint64_t> out{kSegmentHeaderBytes};
  while (const auto batch = DecodeBatchHeader(std::string_view(contents).substr(out.back()),
                                              {header.log_id, header.sequence, out.back()})) {
    out.push_back(out.back() + kBatchHeaderBytes + AlignUp(batch->body_bytes));
  }
  return out;
}

std::vector<uint64_t> RecordOffsets(const std::string& contents) {
  std::vector<uint64_t> out;
  const std::vector<uint64_t> batches = BatchOffsets(contents);
  for (size_t i = 0; i + 1 < batches.size(); ++i) {
    uint64_t at = batches[i] + kBatchHeaderBytes;
    out.push_back(batches[i]);
    while (const auto record =
               DecodeRecord(std::string_view(contents).substr(at, batches[i + 1] - at), {})) {
      out.push_back(at);
      at += record->record.encoded_bytes();
    }
  }
  return out;
}

class SegmentLogDamage : public testing::Test {
 protected:
  static constexpr uint64_t kSegmentBytes = 8192;

  // Writes one segment with batches of several shapes, each synced before the next is written.
  // pictures_[i] is the log after i batches.
  void WriteLog() {
    store_ = MustOpen(fs_);
    pictures_.push_back(Picture(*store_));
    const auto write = [&](const std::vector<GroupWrite>& writes) {
      ASSERT_OK(store_->Write(writes));
      ASSERT_OK(store_->Sync());
      pictures_.push_back(Picture(*store_));
    };
    write({Vote(1, 1)});
    write({Append(1, 4, 1), Vote(1, 1, 0)});
    GroupWrite large{.group = kGroup, .entries = {MakeEntry(4, 1, std::string(1100, 'L'))}};
    write({large});
    write({Truncate(4), Append(4, 9, 2), Vote(2, 3, 3)});
    write({Append(9, 10, 2)});
    path_ = SegmentPaths(fs_).at(0);
    original_ = fs_.Contents(path_);
    offsets_ = BatchOffsets(original_);
    ASSERT_EQ(offsets_.size(), pictures_.size());
  }

  // Replaces the segment by `contents` and opens the log.
  Result<std::unique_ptr<LogStore>> OpenWith(const std::string& contents) {
    store_.reset();
    fs_.SetContents(path_, contents);
    return OpenSegmentLog(fs_, kDirectory, TestOptions());
  }

  void ExpectOpensAs(const std::string& contents, const std::string& picture) {
    auto store = OpenWith(contents);
    ASSERT_TRUE(store.ok()) << store.status().ToString();
    EXPECT_EQ(Picture(**store), picture);
    const std::string repaired = fs_.Contents(path_);
    EXPECT_EQ(repaired.size(), kSegmentBytes) << "the file is whole again";
    const uint64_t end = BatchOffsets(repaired).back();
    EXPECT_EQ(repaired.find_first_not_of('\0', end), std::string::npos) << "the rest is zero";
  }

  // Expects that the log is refused with file and offset, and that not a byte is changed.
  void ExpectRefusedAt(const std::string& contents, uint64_t offset) {
    const auto store = OpenWith(contents);
    ASSERT_FALSE(store.ok());
    EXPECT_EQ(store.status().code(), StatusCode::kDataLoss);
    EXPECT_THAT(store.status().message(),
                AllOf(HasSubstr(path_), HasSubstr("offset " + std::to_string(offset) + ":")));
    EXPECT_EQ(fs_.Contents(path_), contents);
  }

  // The number of batches that are whole in the first `size` bytes of the file.
  size_t WholeBatches(uint64_t size) const {
    return static_cast<size_t>(std::upper_bound(offsets_.begin(), offsets_.end(), size) -
                               offsets_.begin()) -
           1;
  }

  // Expects that a file cut after `size` bytes, or zero after them, keeps its whole batches.
  void ExpectPrefixIsLeft(uint64_t size) {
    ExpectOpensAs(original_.substr(0, size), pictures_[WholeBatches(size)]);
    std::string zeroed = original_.substr(0, size);
    zeroed.resize(original_.size(), '\0');
    const uint64_t next_byte = std::min(original_.find_first_not_of('\0', size), offsets_.back());
    ExpectOpensAs(zeroed, pictures_[WholeBatches(next_byte)]);
  }

  FaultFileSystem fs_{1};
  std::unique_ptr<LogStore> store_;
  std::vector<std::string> pictures_;
  std::string path_;
  std::string original_;
  std::vector<uint64_t> offsets_;
};

TEST_F(SegmentLogDamage, ACutAtEverySectorLeavesThePrefix) {
  WriteLog();
  for (uint64_t size = 512; size <= original_.size(); size += 512) {
    SCOPED_TRACE(size);
    ExpectPrefixIsLeft(size);
  }
  ExpectRefusedAt("", 0);
}

TEST_F(SegmentLogDamage, ACutAtEveryRecordBoundaryLeavesThePrefix) {
  WriteLog();
  const std::vector<uint64_t> records = RecordOffsets(original_);
  ASSERT_GT(records.size(), 15U);
  for (const uint64_t offset : records) {
    for (const uint64_t size : {offset - 1, offset, offset + 1}) {
      SCOPED_TRACE(size);
      if (size >= kSegmentHeaderBytes) ExpectPrefixIsLeft(size);
    }
  }
}

TEST_F(SegmentLogDamage, AFlippedByteInAnyBatchButTheLastIsRefusedWithFileAndOffset) {
  WriteLog();
  const size_t last = offsets_.size() - 2;
  for (size_t batch = 0; batch < last; ++batch) {
    for (uint64_t at = offsets_[batch]; at < offsets_[batch + 1]; ++at) {
      SCOPED_TRACE(at);
      std::string rotten = original_;
      rotten[at] = static_cast<char>(rotten[at] ^ 0x10);
      ExpectRefusedAt(rotten, offsets_[batch]);
      if (HasFailure()) return;
    }
  }
}

TEST_F(SegmentLogDamage, AnyByteOfTheSegmentHeaderThatFlipsIsRefused) {
  WriteLog();
  for (uint64_t at = 0; at < kSegmentHeaderBytes; ++at) {
    std::string rotten = original_;
    rotten[at] = static_cast<char>(rotten[at] ^ 0x01);
    ExpectRefusedAt(rotten, 0);
  }
}

TEST_F(SegmentLogDamage, ALastBatchWithAnyByteWrongIsTakenAsTornAndCut) {
  WriteLog();
  const uint64_t start = offsets_[offsets_.size() - 2];
  for (uint64_t at = start; at < offsets_.back(); ++at) {
    SCOPED_TRACE(at);
    std::string torn = original_;
    torn[at] = static_cast<char>(torn[at] ^ 0xff);
    ExpectOpensAs(torn, pictures_[pictures_.size() - 2]);
    if (HasFailure()) return;
  }
}

TEST_F(SegmentLogDamage, ATornLastBatchIsCutAndTheVoteKept) {
  WriteLog();
  std::string torn = original_;
  torn[offsets_.back() - 3] = 'X';
  auto store = OpenWith(torn);
  ASSERT_TRUE(store.ok()) << store.status().ToString();
  EXPECT_EQ(StateOf(**store), "term=2 vote=3 commit=3 snapshot=0@0 last=8");
  ASSERT_OK((*store)->Write({Append(9, 11, 3)}));
  ASSERT_OK((*store)->Sync());
  const std::string picture = Picture(**store);
  store->reset();
  fs_.Crash(FaultFileSystem::Unsynced::kDrop);
  EXPECT_EQ(Picture(*MustOpen(fs_)), picture);
}

TEST_F(SegmentLogDamage, AfterASealRotOfTheLastBatchIsToldFromATornWrite) {
  WriteLog();
  ASSERT_OK(store_->SealIdle());
  const std::string sealed = fs_.Contents(path_);
  const uint64_t last_batch = offsets_[offsets_.size() - 2];
  for (uint64_t at = last_batch; at < offsets_.back(); ++at) {
    std::string rotten = sealed;
    rotten[at] = static_cast<char>(rotten[at] ^ 0x04);
    ExpectRefusedAt(rotten, last_batch);
    if (HasFailure()) return;
  }
  // A torn seal damages nothing else.
  std::string torn = sealed;
  torn[offsets_.back() + 5] ^= 0x04;
  ExpectOpensAs(torn, pictures_.back());
}

TEST_F(SegmentLogDamage, ASealIsWrittenOnceAndSurvivesReopening) {
  WriteLog();
  ASSERT_OK(store_->SealIdle());
  const std::string sealed = fs_.Contents(path_);
  const uint64_t syncs = fs_.syncs();
  ASSERT_OK(store_->SealIdle());
  EXPECT_EQ(fs_.syncs(), syncs);
  auto store = OpenWith(sealed);
  ASSERT_TRUE(store.ok());
  ASSERT_OK((*store)->SealIdle());
  EXPECT_EQ(fs_.Contents(path_), sealed);
}

TEST_F(SegmentLogDamage, ASectorLostInTheMiddleIsRefused) {
  WriteLog();
  const uint64_t last_batch = offsets_[offsets_.size() - 2];
  for (uint64_t sector = kSegmentHeaderBytes; sector + 512 <= last_batch; sector += 512) {
    std::string rotten = original_;
    rotten.replace(sector, 512, 512, '\0');
    ExpectRefusedAt(rotten, offsets_[WholeBatches(sector)]);
  }
}

TEST_F(SegmentLogDamage, ABatchThatOutlivedATornOneBeforeItDoesNotComeBack) {
  WriteLog();
  ASSERT_OK(store_->Write({Append(10, 11, 2)}));
  ASSERT_OK(store_->Write({Append(11, 12, 2)}));
  std::string disk = fs_.Contents(path_);
  disk[offsets_.back() + 40] ^= 0x01;  // the first of the two batches is torn, the second is whole
  ExpectOpensAs(disk, pictures_.back());
  // Writes the same batch again: the bytes that the second batch would follow.
  std::unique_ptr<LogStore> store = MustOpen(fs_);
  ASSERT_OK(store->Write({Append(10, 11, 2)}));
  ASSERT_OK(store->Sync());
  const std::string picture = Picture(*store);
  store.reset();
  fs_.Crash(FaultFileSystem::Unsynced::kDrop);
  EXPECT_EQ(Picture(*MustOpen(fs_)), picture);
}

TEST_F(SegmentLogDamage, WhatIsLeftOverFromAnotherLogOrSegmentIsNeverReadAsData) {
  WriteLog();
  // The same writes to a log of another identity: same offsets, same batch sequence.
  FaultFileSystem other_fs(2);
  SegmentLogOptions options = TestOptions();
  options.new_log_id = 0x9999;
  std::unique_ptr<LogStore> other = MustOpen(other_fs, options);
  ASSERT_OK(other->Write({Vote(1, 1)}));
  ASSERT_OK(other->Sync());
  ASSERT_OK(other->Write({Append(1, 4, 1), Vote(1, 1, 0)}));
  ASSERT_OK(other->Write({Append(4, 5, 1)}));
  ASSERT_OK(other->SealIdle());
  const std::string foreign = other_fs.Contents(SegmentPaths(other_fs).at(0));
  for (size_t batch = 0; batch < 3; ++batch) {
    std::string recycled = original_.substr(0, offsets_[batch]) + foreign.substr(offsets_[batch]);
    ExpectOpensAs(recycled, pictures_[batch]);
  }
}

TEST_F(SegmentLogDamage, AFormatVersionFromTheFutureIsRefusedWithAClearMessage) {
  WriteLog();
  SegmentHeader header = DecodeSegmentHeader(original_, path_).value();
  header.version = 7;
  const std::string future = EncodeSegmentHeader(header) + original_.substr(kSegmentHeaderBytes);
  const auto store = OpenWith(future);
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(store.status().message(),
              AllOf(HasSubstr(path_), HasSubstr("format version 7"), HasSubstr("version 1")));
  EXPECT_EQ(fs_.Contents(path_), future);
}

TEST_F(SegmentLogDamage, ReadVerifiesWhatItReads) {
  WriteLog();
  const std::string& bytes = original_;
  const uint64_t payload = bytes.rfind("e9t2");
  ASSERT_NE(payload, std::string::npos);
  fs_.FlipByte(path_, payload);
  const auto entries = store_->Read(kGroup, LogIndex(8), LogIndex(10), 1000);
  ASSERT_FALSE(entries.ok());
  EXPECT_EQ(entries.status().code(), StatusCode::kDataLoss);
  EXPECT_THAT(entries.status().message(),
              AllOf(HasSubstr(path_), HasSubstr("offset " + std::to_string(payload - 40)),
                    HasSubstr("entry 9")));
  EXPECT_EQ(store_->Read(kGroup, LogIndex(8), LogIndex(9), 1000).value().size(), 1U);
  // A length that rot made huge is not trusted.
  fs_.FlipByte(path_, payload - 40 + 11);
  EXPECT_EQ(store_->Read(kGroup, LogIndex(9), LogIndex(10), 1000).status().code(),
            StatusCode::kDataLoss);
}

// Found by fuzzing: opening such a segment filled the disk with zeros up to the claimed size.
TEST_F(SegmentLogDamage, ASegmentThatClaimsAnImpossibleSizeIsRefused) {
  for (const uint64_t claimed : {uint64_t{0}, kSegmentBytesMax + 1, UINT64_MAX}) {
    SegmentHeader header{.log_id = 5, .sequence = 1, .file_bytes = claimed, .first_batch = 1};
    header.head_end = kSegmentHeaderBytes;
    path_ = std::string(kDirectory) + "/" + SegmentName(1);
    const auto store = OpenWith(EncodeSegmentHeader(header));
    ASSERT_FALSE(store.ok()) << claimed;
    EXPECT_EQ(store.status().code(), StatusCode::kDataLoss);
    EXPECT_THAT(store.status().message(), HasSubstr("claims to have " + std::to_string(claimed)));
  }
}

// Found by fuzzing: the log opened, and the first write to that group aborted the process.
TEST_F(SegmentLogDamage, ARecordOfNoGroupIsRefused) {
  SegmentHeader header{.log_id = 5, .sequence = 1, .file_bytes = kSegmentBytes, .first_batch = 1};
  header.head_end = kSegmentHeaderBytes;
  std::string contents = EncodeSegmentHeader(header);
  std::string batch;
  uint32_t chain = 0;
  EncodeBatch(
      {{.type = RecordType::kEntry, .entry_type = 1, .term = Term(1), .index = LogIndex(1)}},
      {header.log_id, header.sequence, contents.size()}, 1, contents.size(), &chain, &batch);
  contents += batch;
  contents.resize(kSegmentBytes);
  path_ = std::string(kDirectory) + "/" + SegmentName(1);
  const auto store = OpenWith(contents);
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.status().code(), StatusCode::kDataLoss);
  EXPECT_THAT(store.status().message(), AllOf(HasSubstr(path_), HasSubstr("a record of no group")));
}

// Records under valid checksums that no writer writes.
TEST_F(SegmentLogDamage, RecordsThatContradictEachOtherAreRefusedInWords) {
  const auto words = [](std::initializer_list<uint64_t> numbers) {
    std::string out;
    for (uint64_t each : numbers) ByteWriter(&out).U64(each);
    return out;
  };
  const auto record = [](RecordType type, uint64_t index, std::string payload = "") {
    return Record{.type = type,
                  .entry_type = 1,
                  .group = kGroup,
                  .term = Term(1),
                  .index = LogIndex(index),
                  .owned = std::move(payload)};
  };
  Record odd = record(RecordType::kEntry, 1);
  odd.entry_type = 9;
  const Record entry = record(RecordType::kEntry, 1);
  const Record reset = record(RecordType::kReset, 5);
  const Record head = record(RecordType::kGroupHead, 0, words({1, 1, 0, 3}));
  struct Case {
    std::vector<Record> records;
    const char* why;
  };
  const std::vector<Case> cases = {
      {{record(RecordType::kEntry, 2)}, "entry 2 after entry 0"},
      {{odd}, "unknown entry type 9"},
      {{record(RecordType::kHardState, 0, "short")}, "hard state of 5 bytes"},
      {{reset, record(RecordType::kTruncate, 5)}, "but the log begins after 5"},
      {{entry, record(RecordType::kCompact, 2)}, "compaction to 2 of a log of 1 to 1"},
      {{reset, record(RecordType::kCompact, 4)}, "compaction to 4"},
      {{record(RecordType::kGroupHead, 0, "x")}, "group head of 1 bytes"},
      {{record(RecordType::kGroupHead, 7, words({1, 1, 0, 3}))}, "ends before it begins"},
      {{entry, head}, "contradicts the segment before it"},
      {{head}, "entries 1 to 3 of group 1 stood in a segment that is gone"},
  };
  path_ = std::string(kDirectory) + "/" + SegmentName(1);
  for (const Case& each : cases) {
    SegmentHeader header{.log_id = 5, .sequence = 1, .file_bytes = kSegmentBytes, .first_batch = 1};
    header.head_end = kSegmentHeaderBytes;
    std::string contents = EncodeSegmentHeader(header);
    std::string batch;
    uint32_t chain = 0;
    EncodeBatch(each.records, {header.log_id, header.sequence, contents.size()}, 1, contents.size(),
                &chain, &batch);
    contents += batch;
    contents.resize(kSegmentBytes);
    const auto store = OpenWith(contents);
    ASSERT_FALSE(store.ok()) << each.why;
    EXPECT_EQ(store.status().code(), StatusCode::kDataLoss);
    EXPECT_THAT(store.status().message(), HasSubstr(each.why));
  }
}

// Logs of several segments.
class SegmentLogFiles : public testing::Test {
 protected:
  void Fill(uint64_t from, uint64_t to) {
    for (uint64_t i = from; i < to; ++i) {
      GroupWrite write{.group = kGroup, .entries = {MakeEntry(i, 1, std::string(700, 'f'))}};
      ASSERT_OK(store_->Write({write}));
      ASSERT_OK(store_->Sync());
    }
  }
  Status Reopen() {
    store_.reset();
    auto store = OpenSegmentLog(fs_, kDirectory, TestOptions());
    if (store.ok()) store_ = std::move(*store);
    return store.status();
  }

  FaultFileSystem fs_{1};
  std::unique_ptr<LogStore> store_ = MustOpen(fs_);
};

TEST_F(SegmentLogFiles, RotAnywhereInAnEarlierSegmentIsRefused) {
  Fill(1, 30);
  const std::string first = SegmentPaths(fs_).at(0);
  const std::vector<uint64_t> offsets = BatchOffsets(fs_.Contents(first));
  ASSERT_GE(SegmentPaths(fs_).size(), 3U);
  fs_.FlipByte(first, offsets[offsets.size() - 2] + 50);
  const Status status = Reopen();
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_THAT(
      status.message(),
      AllOf(HasSubstr(first), HasSubstr("offset " + std::to_string(offsets[offsets.size() - 2]))));
}

TEST_F(SegmentLogFiles, AMissingSegmentIsNoticed) {
  Fill(1, 30);
  const std::vector<std::string> paths = SegmentPaths(fs_);
  ASSERT_OK(fs_.Remove(paths[1]));
  EXPECT_EQ(Reopen().code(), StatusCode::kDataLoss);
  EXPECT_THAT(Reopen().message(), HasSubstr(paths[1] + " is missing"));
}

TEST_F(SegmentLogFiles, AMissingFirstSegmentThatIsNeededIsNoticed) {
  Fill(1, 30);
  ASSERT_OK(fs_.Remove(SegmentPaths(fs_).at(0)));
  EXPECT_EQ(Reopen().code(), StatusCode::kDataLoss);
  EXPECT_THAT(Reopen().message(), HasSubstr("entries 1 to"));
}

TEST_F(SegmentLogFiles, ASegmentOfAnotherLogIsRefused) {
  Fill(1, 30);
  FaultFileSystem other_fs(2);
  SegmentLogOptions options = TestOptions();
  options.new_log_id = 5;
  std::unique_ptr<LogStore> other = MustOpen(other_fs, options);
  const std::string foreign = other_fs.Contents(SegmentPaths(other_fs).at(0));
  fs_.SetContents(SegmentPaths(fs_).at(1), foreign);
  EXPECT_EQ(Reopen().code(), StatusCode::kDataLoss);
}

TEST_F(SegmentLogFiles, CompactionFreesWholeSegmentsOnlyAfterTheNextSync) {
  Fill(1, 60);
  const size_t before = SegmentPaths(fs_).size();
  const uint64_t bytes_before = store_->SizeBytes();
  ASSERT_GE(before, 5U);
  ASSERT_OK(store_->Compact(kGroup, LogIndex(55), Term(1)));
  EXPECT_EQ(SegmentPaths(fs_).size(), before);
  ASSERT_OK(store_->Sync());
  EXPECT_LE(SegmentPaths(fs_).size(), 2U);
  EXPECT_LT(store_->SizeBytes(), bytes_before);
  ASSERT_OK(Reopen());
  EXPECT_EQ(StateOf(*store_), "term=0 vote=0 commit=0 snapshot=55@1 last=59");
  EXPECT_EQ(store_->Read(kGroup, LogIndex(56), LogIndex(60), 1 << 20).value().size(), 4U);
}

TEST_F(SegmentLogFiles, AVoteOutlivesTheSegmentItWasWrittenIn) {
  const GroupId idle(9);
  ASSERT_OK(store_->Write({Vote(4, 2, 0, idle)}));
  Fill(1, 60);
  ASSERT_OK(store_->Compact(kGroup, LogIndex(59), Term(1)));
  ASSERT_OK(store_->Sync());
  ASSERT_EQ(SegmentPaths(fs_).size(), 1U);
  ASSERT_OK(Reopen());
  EXPECT_EQ(StateOf(*store_, idle), "term=4 vote=2 commit=0 snapshot=0@0 last=0");
}

TEST_F(SegmentLogFiles, ATornBeginningOfASegmentNeverGetsItsName) {
  Fill(1, 3);
  const std::string picture = Picture(*store_);
  store_.reset();
  fs_.SetContents(std::string(kDirectory) + "/next.tmp", "CAIRNLOGhalf a header");
  ASSERT_OK(Reopen());
  EXPECT_EQ(Picture(*store_), picture);
  Fill(3, 30);
  ASSERT_OK(Reopen());
}

TEST_F(SegmentLogFiles, ABatchLargerThanASegmentGetsOneOfItsSize) {
  Fill(1, 3);
  GroupWrite large{.group = kGroup, .entries = {MakeEntry(3, 1, std::string(100'000, 'L'))}};
  ASSERT_OK(store_->Write({large}));
  ASSERT_OK(store_->Sync());
  ASSERT_OK(Reopen());
  EXPECT_EQ(store_->Read(kGroup, LogIndex(3), LogIndex(4), 10).value().at(0).payload->size(),
            100'000U);
  Fill(4, 30);
  ASSERT_OK(Reopen());
  EXPECT_EQ(store_->Groups().at(kGroup).last, LogIndex(29));
}

TEST_F(SegmentLogFiles, ABatchAboveTheLimitIsRefusedAndNothingWritten) {
  Fill(1, 3);
  const std::string picture = Picture(*store_);
  GroupWrite large{.group = kGroup, .entries = {MakeEntry(3, 1, std::string(2 << 20, 'L'))}};
  EXPECT_EQ(store_->Write({large}).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Picture(*store_), picture);
  Fill(3, 5);
  ASSERT_OK(Reopen());
}

TEST_F(SegmentLogFiles, OneSyncServesAllBatchesAndNothingElseWaitsForTheDisk) {
  const uint64_t operations = fs_.operations();
  for (uint64_t i = 1; i <= 10; ++i) ASSERT_OK(store_->Write({Append(i, i + 1, 1), Vote(1, 1, i)}));
  ASSERT_OK(store_->Sync());
  EXPECT_EQ(fs_.operations() - operations, 11U) << "ten writes and one sync";
  ASSERT_OK(store_->Sync());
  EXPECT_EQ(fs_.operations() - operations, 11U) << "nothing new to sync";
}

TEST_F(SegmentLogFiles, AFullDiskRefusesTheWriteBeforeAnythingIsWrittenAndRecovers) {
  Fill(1, 3);
  fs_.SetCapacity(2 * 8192);  // the current segment and the prepared one
  Status status;
  uint64_t last = 2;
  while (status.ok()) {
    GroupWrite write{.group = kGroup, .entries = {MakeEntry(last + 1, 1, std::string(700, 'f'))}};
    status = store_->Write({write});
    if (status.ok()) ASSERT_OK(store_->Sync());
    if (status.ok()) ++last;
    ASSERT_LT(last, 100U);
  }
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(store_->Groups().at(kGroup).last, LogIndex(last));
  // A vote can still be stored, a restart works, and compaction makes room.
  ASSERT_OK(store_->Write({Vote(8, 2)}));
  ASSERT_OK(store_->Sync());
  ASSERT_OK(Reopen());
  EXPECT_EQ(store_->Groups().at(kGroup).hard_state.vote, MemberId(2));
  for (int round = 0; round < 10; ++round) {
    ASSERT_OK(store_->Compact(kGroup, LogIndex(last), Term(1)));
    ASSERT_OK(store_->Sync());
    Fill(last + 1, last + 6);
    last += 5;
  }
  ASSERT_OK(Reopen());
  EXPECT_EQ(store_->Groups().at(kGroup).last, LogIndex(last));
}

}  // namespace
}  // namespace cairn::log_store
