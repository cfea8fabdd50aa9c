#include "state_machine/sqlite/snapshot_file.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "base/crc32c.h"
#include "base/crc32c_join.h"
#include "base/log.h"
#include "state_machine/sqlite/pinned_database.h"

namespace cairn::state_machine {
namespace {

// A reader keeps pace if it reads this much. Meanwhile the state is not copied.
constexpr std::chrono::milliseconds kLookEvery(100);
constexpr int kLooksOfPace = 20;
constexpr uint64_t kBytesOfPaceMin = 64 << 20;
// How long a reader has to begin, and how long the owner has to drop the state after the last
// reader has gone.
constexpr int kLooksToBegin = 10;
constexpr int kLooksToDrop = 5;
// A receiver that has all bytes reads them again before its transfer ends.
constexpr int kLooksForVerdict = 50;
constexpr uint64_t kVerdictBytesPerLook = 32 << 20;

// Removes a file that is no longer needed. If that fails, the next start removes the file.
void RemoveQuietly(FileSystem& fs, const std::string& path) {
  if (Status removed = fs.Remove(path); !removed.ok()) LOG_WARN("{}", removed.message());
}

}  // namespace

// One state, and the copy of it. Thread-safe. The last owner removes the file.
//
// As long as the state is pinned, readers read it past the copy, so a transfer that goes well needs
// no copy. The copy is made from its first byte on. It is not synced: no copy outlives the process,
// and its receiver compares the CRC.
class SnapshotCopy {
 public:
  SnapshotCopy(FileSystem& fs, std::string path, std::unique_ptr<PinnedDatabase> source,
               raft::SnapshotMeta meta, size_t step_bytes,
               std::shared_ptr<std::atomic<uint64_t>> pinned_bytes)
      : fs_(fs),
        path_(std::move(path)),
        meta_(std::move(meta)),
        size_bytes_(source->size_bytes()),
        step_bytes_(std::max(source->page_bytes(),
                             step_bytes / source->page_bytes() * source->page_bytes())),
        pinned_bytes_(std::move(pinned_bytes)),
        source_(std::move(source)) {
    *pinned_bytes_ = size_bytes_;
    sqlite3_randomness(sizeof id_, &id_);
  }
  ~SnapshotCopy() {
    {
      const MutexLock lock(source_mutex_);
      CloseSource();
    }
    RemoveQuietly(fs_, path_);
  }
  SnapshotCopy(const SnapshotCopy&) = delete;
  SnapshotCopy& operator=(const SnapshotCopy&) = delete;

  const raft::SnapshotMeta& meta() const { return meta_; }
  uint64_t size_bytes() const { return size_bytes_; }
  uint64_t id() const { return id_; }
  bool failed() const {
    const MutexLock lock(mutex_);
    return !failure_.ok();
  }

  Result<std::unique_ptr<File>> Open() { return fs_.Open(path_, /*create=*/false); }

  // Does nothing if the copy was made before.
  Status Make(const std::function<bool()>& proceed) {
    const MutexLock making(making_);
    if (Status made = MakeRest(proceed); !made.ok()) {
      End(made);
      RemoveQuietly(fs_, path_);  // the disk may be full
      return made;
    }
    return OkStatus();
  }

  // Returns true once the copy has to be made, or is made. False if nobody needs it any more.
  bool AwaitNeed(const std::function<bool()>& proceed) {
    uint64_t before = 0;
    for (int looks = 1; proceed(); ++looks) {
      MutexLock lock(mutex_);
      const auto decided = [this]() CAIRN_REQUIRES(mutex_) {
        return is_whole_ || hurry_ || !failure_.ok() || (readers_ <= 1 && !began_);
      };
      if (changed_.WaitFor(lock, kLookEvery, decided)) return !dropped_;
      if (looks < Patience()) continue;
      if (reading_ == at_end_ || read_ - before < kBytesOfPaceMin) return true;
      before = read_;
      looks = 0;
    }
    return true;
  }
  bool dropped() const {
    const MutexLock lock(mutex_);
    return dropped_;
  }
  // Makes AwaitNeed return.
  void Hurry() {
    const MutexLock lock(mutex_);
    hurry_ = true;
    changed_.NotifyAll();
  }
  // No new reader begins. A whole copy stays for the present readers.
  void Drop() {
    {
      const MutexLock lock(mutex_);
      dropped_ = true;
    }
    EndSoon(Cancelled("the snapshot is not needed any more"));
  }

  // Ends the copy: its readers get `why`. On return the database is closed.
  void End(Status why) {
    EndSoon(std::move(why));
    const MutexLock lock(source_mutex_);
    CloseSource();
  }
  // Ends the copy too, but does not wait: the thread that makes the copy notices.
  void EndSoon(Status why) {
    {
      const MutexLock lock(mutex_);
      if (is_whole_ || !failure_.ok()) return;
      failure_ = std::move(why);
    }
    changed_.NotifyAll();
    if (!source_mutex_.TryLock()) return;
    CloseSource();
    source_mutex_.Unlock();
  }

  // Called when a reader comes, begins to read, has read, has read to the end, and goes.
  void OnReader() {
    const MutexLock lock(mutex_);
    ++readers_;
  }
  void OnFirstRead() {
    const MutexLock lock(mutex_);
    ++reading_;
    began_ = true;
  }
  void OnRead(uint64_t offset, const SummedBytes& piece) {
    const MutexLock lock(mutex_);
    read_ += piece.bytes.size();
    if (offset == summed_) {
      crc_ = JoinCrc32c(crc_, piece.crc, piece.bytes.size());
      summed_ += piece.bytes.size();
      if (summed_ == size_bytes_) changed_.NotifyAll();
    } else {
      AddToSum(offset, piece.bytes);
    }
  }
  void OnReaderAtEnd() {
    const MutexLock lock(mutex_);
    ++at_end_;
  }
  void OnReaderGone(bool has_read, bool was_at_end) {
    const MutexLock lock(mutex_);
    --readers_;
    if (has_read) --reading_;
    if (was_at_end) --at_end_;
  }

  // Reads from the pinned state. False: the state is not pinned any more, or its bytes are in the
  // copy.
  Result<bool> ReadPinned(uint64_t offset, size_t size, std::string* bytes) {
    {
      const MutexLock lock(mutex_);
      if (offset + size <= made_) return false;
    }
    Status read;
    {
      const MutexLock lock(source_mutex_);
      if (source_ == nullptr) return false;
      read = ReadAligned(offset, size, bytes);
    }
    // EndSoon may have found the source in use.
    if (Status failed = failure(); !failed.ok()) {
      const MutexLock lock(source_mutex_);
      CloseSource();
      return failed;
    }
    RETURN_IF_ERROR(read);
    return true;
  }
  // Waits until all bytes before `end` are copied.
  Status Await(uint64_t end) {
    MutexLock lock(mutex_);
    changed_.Wait(lock, [&]() CAIRN_REQUIRES(mutex_) { return made_ >= end || !failure_.ok(); });
    return made_ >= end ? OkStatus() : failure_;
  }
  // A transfer that resumes an earlier one skips bytes. The copy then gives the CRC.
  Result<uint32_t> AwaitCrc() {
    MutexLock lock(mutex_);
    if (summed_ < size_bytes_) {
      hurry_ = true;
      changed_.NotifyAll();
    }
    changed_.Wait(
        lock, [&]() CAIRN_REQUIRES(mutex_) { return summed_ == size_bytes_ || !failure_.ok(); });
    if (summed_ < size_bytes_) return failure_;
    return crc_;
  }

 private:
  Status failure() const {
    const MutexLock lock(mutex_);
    return failure_;
  }
  // The looks that AwaitNeed takes before it decides.
  int Patience() const CAIRN_REQUIRES(mutex_) {
    if (!began_) return kLooksToBegin;
    if (reading_ == 0) return kLooksToDrop;
    if (at_end_ < reading_) return kLooksOfPace;
    return kLooksForVerdict + static_cast<int>(size_bytes_ / kVerdictBytesPerLook);
  }
  void CloseSource() CAIRN_REQUIRES(source_mutex_) {
    if (source_ == nullptr) return;
    source_.reset();
    *pinned_bytes_ = 0;
  }

  Status MakeRest(const std::function<bool()>& proceed) CAIRN_REQUIRES(making_) {
    {
      const MutexLock lock(mutex_);
      if (is_whole_) return OkStatus();
    }
    RETURN_IF_ERROR(failure());
    ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs_.Open(path_, /*create=*/true));
    std::string bytes;
    for (uint64_t at = 0; at < size_bytes_; at += bytes.size()) {
      if (!proceed()) return Cancelled("the copy of the database was stopped");
      RETURN_IF_ERROR(ReadSource(at, &bytes));
      RETURN_IF_ERROR(file->WriteAt(at, bytes));
      file->StartSync(at, bytes.size());
      const MutexLock lock(mutex_);
      made_ = at + bytes.size();
      AddToSum(at, bytes);
      changed_.NotifyAll();
    }
    const MutexLock lock(mutex_);
    is_whole_ = true;
    changed_.NotifyAll();
    return OkStatus();
  }

  Status ReadSource(uint64_t at, std::string* bytes) {
    const MutexLock lock(source_mutex_);
    RETURN_IF_ERROR(failure());
    const auto want = static_cast<size_t>(std::min<uint64_t>(step_bytes_, size_bytes_ - at));
    Status read = source_->ReadAt(at, want, bytes);
    // Holds the state no longer than necessary.
    if (at + want == size_bytes_) CloseSource();
    return read;
  }

  // Pages are read whole.
  Status ReadAligned(uint64_t offset, size_t size, std::string* bytes)
      CAIRN_REQUIRES(source_mutex_) {
    const uint64_t page = source_->page_bytes();
    const uint64_t from = offset / page * page;
    const uint64_t to = std::min((offset + size + page - 1) / page * page, size_bytes_);
    RETURN_IF_ERROR(source_->ReadAt(from, static_cast<size_t>(to - from), bytes));
    bytes->erase(0, static_cast<size_t>(offset - from));
    bytes->resize(size);
    return OkStatus();
  }

  // The readers and the thread that makes the copy pass the bytes. Whoever comes first to the next
  // ones sums them up.
  void AddToSum(uint64_t offset, std::string_view bytes) CAIRN_REQUIRES(mutex_) {
    const uint64_t end = offset + bytes.size();
    if (offset > summed_ || summed_ >= end) return;
    crc_ = Crc32c(bytes.substr(static_cast<size_t>(summed_ - offset)), crc_);
    summed_ = end;
    if (summed_ == size_bytes_) changed_.NotifyAll();
  }

  FileSystem& fs_;
  const std::string path_;
  const raft::SnapshotMeta meta_;
  const uint64_t size_bytes_;
  const size_t step_bytes_;
  uint64_t id_ = 0;
  Mutex making_;        // held while the copy is made
  Mutex source_mutex_;  // held while the source is read, or closed
  const std::shared_ptr<std::atomic<uint64_t>> pinned_bytes_;  // of the store; 0: none is pinned
  std::unique_ptr<PinnedDatabase> source_ CAIRN_GUARDED_BY(source_mutex_);
  mutable Mutex mutex_;
  CondVar changed_;
  uint64_t made_ CAIRN_GUARDED_BY(mutex_) = 0;    // bytes that are in the file
  uint64_t read_ CAIRN_GUARDED_BY(mutex_) = 0;    // bytes that all readers together have read
  uint64_t summed_ CAIRN_GUARDED_BY(mutex_) = 0;  // bytes that are in crc_
  uint32_t crc_ CAIRN_GUARDED_BY(mutex_) = 0;
  int readers_ CAIRN_GUARDED_BY(mutex_) = 0;
  int reading_ CAIRN_GUARDED_BY(mutex_) = 0;  // readers that have begun to read
  int at_end_ CAIRN_GUARDED_BY(mutex_) = 0;   // of them, those that have all bytes
  bool began_ CAIRN_GUARDED_BY(mutex_) = false;
  bool hurry_ CAIRN_GUARDED_BY(mutex_) = false;
  bool dropped_ CAIRN_GUARDED_BY(mutex_) = false;
  bool is_whole_ CAIRN_GUARDED_BY(mutex_) = false;
  Status failure_ CAIRN_GUARDED_BY(mutex_);
};

namespace {

class CopyReader final : public SnapshotReader {
 public:
  explicit CopyReader(std::shared_ptr<SnapshotCopy> copy) : copy_(std::move(copy)) {
    copy_->OnReader();
  }
  ~CopyReader() override { copy_->OnReaderGone(has_read_, at_end_); }

  const raft::SnapshotMeta& meta() const override { return copy_->meta(); }
  uint64_t size_bytes() const override { return copy_->size_bytes(); }
  Status Complete(const std::function<bool()>& proceed) override {
    if (!copy_->AwaitNeed(proceed)) return OkStatus();
    Status made = copy_->Make(proceed);
    return copy_->dropped() ? OkStatus() : made;
  }
  uint64_t copy_id() const override { return copy_->id(); }
  Result<uint32_t> Crc() override { return copy_->AwaitCrc(); }
  Status ReadInto(uint64_t offset, size_t size, SummedBytes* piece) override {
    if (!std::exchange(has_read_, true)) copy_->OnFirstRead();
    const uint64_t left = size_bytes() - std::min(offset, size_bytes());
    size = static_cast<size_t>(std::min<uint64_t>({left, size, kSnapshotReadBytesMax}));
    if (size == 0) {
      *piece = {};
      return OkStatus();
    }
    ASSIGN_OR_RETURN(const bool pinned, copy_->ReadPinned(offset, size, &piece->bytes));
    if (!pinned) RETURN_IF_ERROR(ReadCopy(offset, size, &piece->bytes));
    piece->crc = Crc32c(piece->bytes);
    copy_->OnRead(offset, *piece);
    if (size == left && !std::exchange(at_end_, true)) copy_->OnReaderAtEnd();
    return OkStatus();
  }

 private:
  Status ReadCopy(uint64_t offset, size_t size, std::string* bytes) {
    RETURN_IF_ERROR(copy_->Await(offset + size));
    if (file_ == nullptr) {
      ASSIGN_OR_RETURN(file_, copy_->Open());
    }
    ASSIGN_OR_RETURN(*bytes, file_->ReadAt(offset, size));
    return OkStatus();
  }

  const std::shared_ptr<SnapshotCopy> copy_;
  std::unique_ptr<File> file_;
  bool has_read_ = false;
  bool at_end_ = false;
};

}  // namespace

SnapshotStore::SnapshotStore(FileSystem& fs, SnapshotStoreOptions options)
    : fs_(fs), options_(std::move(options)) {}

SnapshotStore::~SnapshotStore() { Stop(); }

Result<std::unique_ptr<SnapshotStore>> SnapshotStore::Open(FileSystem& fs,
                                                           SnapshotStoreOptions options) {
  RETURN_IF_ERROR(fs.CreateDirectories(options.directory));
  ASSIGN_OR_RETURN(const std::vector<std::string> names, fs.List(options.directory));
  for (const std::string& name : names) {
    if (!name.starts_with(options.name_prefix)) continue;
    RETURN_IF_ERROR(fs.Remove(options.directory + "/" + name));
  }
  return std::unique_ptr<SnapshotStore>(new SnapshotStore(fs, std::move(options)));
}

Result<std::shared_ptr<SnapshotReader>> SnapshotStore::Acquire(LogIndex index_min) {
  const MutexLock lock(mutex_);
  if (stopped_) return Cancelled("the copies of the database are stopped");
  if (kept_ == nullptr || kept_->failed() || kept_->meta().index < index_min) {
    const Status busy = Unavailable("another copy of the database is being made");
    // The state that is pinned serves those who ask for an earlier index.
    if (*pinned_bytes_ > 0 && kept_ != nullptr && !kept_->failed()) return busy;
    kept_.reset();  // first: its space may be needed for the new one
    if (*pinned_bytes_ > 0) return busy;
    Result<std::shared_ptr<SnapshotCopy>> begun = Begin(index_min);
    if (!begun.ok()) return Status(begun.status()).Prefixed("make a snapshot");
    kept_ = std::move(begun).value();
    last_ = kept_;
  }
  return std::shared_ptr<SnapshotReader>(std::make_shared<CopyReader>(kept_));
}

void SnapshotStore::DropKept() {
  std::shared_ptr<SnapshotCopy> dropped;  // removes the file after the lock is released
  {
    const MutexLock lock(mutex_);
    dropped.swap(kept_);
  }
  if (dropped != nullptr) dropped->Drop();
}

void SnapshotStore::Hurry() {
  std::shared_ptr<SnapshotCopy> last;
  {
    const MutexLock lock(mutex_);
    last = last_.lock();
  }
  if (last != nullptr) last->Hurry();
}

void SnapshotStore::Stop() {
  std::shared_ptr<SnapshotCopy> last;
  {
    const MutexLock lock(mutex_);
    stopped_ = true;
    last = last_.lock();
  }
  if (last != nullptr) last->End(Cancelled("the copies of the database are stopped"));
}

void SnapshotStore::Resume() {
  const MutexLock lock(mutex_);
  stopped_ = false;
}

void SnapshotStore::GiveUpCopy() {
  std::shared_ptr<SnapshotCopy> last;
  {
    const MutexLock lock(mutex_);
    last = last_.lock();
  }
  if (last == nullptr) return;
  last->EndSoon(
      Aborted("the copy for a snapshot was given up, because the write-ahead log grew too large "
              "meanwhile: clients wrote more than the database holds"));
}

Status SnapshotStore::CheckSpace(uint64_t needed) {
  ASSIGN_OR_RETURN(const uint64_t free, fs_.FreeBytes(options_.directory));
  if (free >= needed + options_.free_bytes_reserve) return OkStatus();
  return ResourceExhausted("a snapshot needs " + std::to_string(needed) + " bytes in " +
                           options_.directory + " beside a reserve of " +
                           std::to_string(options_.free_bytes_reserve) + "; only " +
                           std::to_string(free) + " are free");
}

Result<std::shared_ptr<SnapshotCopy>> SnapshotStore::Begin(LogIndex index_min) {
  ASSIGN_OR_RETURN(std::unique_ptr<PinnedDatabase> source,
                   PinnedDatabase::Open(options_.vfs, options_.db_path));
  ASSIGN_OR_RETURN(raft::SnapshotMeta meta, options_.read_meta(source->db()));
  if (meta.index < index_min) {
    return FailedPrecondition("the database is at index " + ToString(meta.index) + ", not yet at " +
                              ToString(index_min));
  }
  RETURN_IF_ERROR(CheckSpace(source->size_bytes()));
  std::string path =
      options_.directory + "/" + options_.name_prefix + std::to_string(++made_) + ".db";
  return std::make_shared<SnapshotCopy>(fs_, std::move(path), std::move(source), std::move(meta),
                                        options_.step_bytes, pinned_bytes_);
}

}  // namespace cairn::state_machine
