#include "base/fault_file_system.h"

#include <algorithm>

#include "base/check.h"
#include "base/path.h"

namespace cairn {

struct FaultFileSystem::Inode {
  std::string cache;
  std::string durable;
  std::set<uint64_t> dirty;  // numbers of the cached sectors that a Sync would store
  bool size_is_dirty = false;

  void Store(uint64_t sector) {
    const uint64_t start = sector * kSectorBytes;
    if (start >= cache.size()) return;
    const uint64_t size = std::min<uint64_t>(kSectorBytes, cache.size() - start);
    if (durable.size() < start + size) durable.resize(start + size, '\0');
    durable.replace(start, size, cache, start, size);
  }
};

class FaultFileSystem::FaultFile final : public File {
 public:
  FaultFile(FaultFileSystem& fs, std::shared_ptr<Inode> inode, std::string path)
      : fs_(fs), inode_(std::move(inode)), path_(std::move(path)), epoch_(fs.epoch_) {}

  Result<std::string> ReadAt(uint64_t offset, size_t size) const override {
    MutexLock lock(fs_.mutex_);
    RETURN_IF_ERROR(Check());
    if (++fs_.reads_ == fs_.read_fault_at_) {
      ++fs_.failed_reads_;
      return Internal("read " + path_ + ": injected input/output error");
    }
    if (offset >= inode_->cache.size()) return std::string();
    return inode_->cache.substr(offset, size);
  }

  Status WriteAt(uint64_t offset, std::string_view data) override {
    MutexLock lock(fs_.mutex_);
    RETURN_IF_ERROR(Check());
    const bool cut = fs_.power_is_off_;
    Status status = fs_.CountLocked("write " + path_);
    // A write during which the power fails may still reach the disk, in part.
    if (!status.ok() && (cut || !fs_.power_is_off_)) return status;
    const uint64_t end = offset + data.size();
    if (end > inode_->cache.size()) {
      RETURN_IF_ERROR(fs_.CheckRoomLocked(end - inode_->cache.size()));
      MarkDirty(inode_->cache.size(), end);
      inode_->cache.resize(end, '\0');
      inode_->size_is_dirty = true;
    }
    inode_->cache.replace(offset, data.size(), data);
    MarkDirty(offset, end);
    return status;
  }

  Status Sync() override {
    MutexLock lock(fs_.mutex_);
    RETURN_IF_ERROR(Check());
    ++fs_.syncs_;
    bool drops_dirty = false;
    Status status = fs_.CountLocked("sync " + path_, &drops_dirty);
    if (drops_dirty) {
      inode_->dirty.clear();
      inode_->size_is_dirty = false;
    }
    RETURN_IF_ERROR(status);
    if (fs_.sync_lies_) return OkStatus();
    inode_->durable.resize(inode_->cache.size(), '\0');
    for (const uint64_t sector : inode_->dirty) inode_->Store(sector);
    inode_->dirty.clear();
    inode_->size_is_dirty = false;
    return OkStatus();
  }

  Status Truncate(uint64_t size) override {
    MutexLock lock(fs_.mutex_);
    RETURN_IF_ERROR(Check());
    RETURN_IF_ERROR(fs_.CountLocked("truncate " + path_));
    std::string& cache = inode_->cache;
    if (size > cache.size()) {
      RETURN_IF_ERROR(fs_.CheckRoomLocked(size - cache.size()));
      MarkDirty(cache.size(), size);
    }
    cache.resize(size, '\0');
    inode_->size_is_dirty = true;
    return OkStatus();
  }

  Result<uint64_t> Size() const override {
    MutexLock lock(fs_.mutex_);
    RETURN_IF_ERROR(Check());
    return static_cast<uint64_t>(inode_->cache.size());
  }

 private:
  Status Check() const CAIRN_REQUIRES(fs_.mutex_) {
    if (epoch_ != fs_.epoch_) return Internal(path_ + " was opened before the power cut");
    return OkStatus();
  }

  void MarkDirty(uint64_t from, uint64_t to) {
    for (uint64_t at = from / kSectorBytes * kSectorBytes; at < to; at += kSectorBytes) {
      inode_->dirty.insert(at / kSectorBytes);
    }
  }

  FaultFileSystem& fs_;
  const std::shared_ptr<Inode> inode_;
  const std::string path_;
  const uint64_t epoch_;
};

FaultFileSystem::FaultFileSystem(uint64_t seed) : rng_(seed) {}
FaultFileSystem::~FaultFileSystem() = default;

void FaultFileSystem::Inject(uint64_t k, Fault fault) {
  MutexLock lock(mutex_);
  CHECK(k > 0);
  fault_at_ = operations_ + k;
  fault_ = fault;
}

void FaultFileSystem::InjectRead(uint64_t k) {
  MutexLock lock(mutex_);
  CHECK(k > 0);
  read_fault_at_ = reads_ + k;
}

void FaultFileSystem::ClearFaults() {
  MutexLock lock(mutex_);
  fault_at_ = 0;
  read_fault_at_ = 0;
  power_is_off_ = false;
}

bool FaultFileSystem::power_is_off() const {
  MutexLock lock(mutex_);
  return power_is_off_;
}

void FaultFileSystem::PowerOff() {
  MutexLock lock(mutex_);
  power_is_off_ = true;
}

uint64_t FaultFileSystem::operations() const {
  MutexLock lock(mutex_);
  return operations_;
}

uint64_t FaultFileSystem::reads() const {
  MutexLock lock(mutex_);
  return reads_;
}

uint64_t FaultFileSystem::failed_reads() const {
  MutexLock lock(mutex_);
  return failed_reads_;
}

uint64_t FaultFileSystem::syncs() const {
  MutexLock lock(mutex_);
  return syncs_;
}

// Counts an operation. Returns an error if the operation is to fail; sets `*fails_as_sync` if the
// failure makes dirty data clean.
Status FaultFileSystem::CountLocked(const std::string& what, bool* fails_as_sync) {
  if (power_is_off_) return Internal(what + ": the power is off");
  ++operations_;
  if (fault_at_ == 0 || operations_ < fault_at_) return OkStatus();
  if (fault_ == Fault::kPowerCut) {
    power_is_off_ = true;
    return Internal(what + ": the power went off");
  }
  if (fault_ == Fault::kFailOnce) fault_at_ = 0;
  if (fails_as_sync != nullptr) *fails_as_sync = true;
  return Internal(what + ": injected input/output error");
}

uint64_t FaultFileSystem::UsedLocked() const {
  uint64_t used = 0;
  for (const auto& [path, inode] : names_) used += inode->cache.size();
  return used;
}

Status FaultFileSystem::CheckRoomLocked(uint64_t more) const {
  if (UsedLocked() + more > capacity_bytes_) return ResourceExhausted("no space left on device");
  return OkStatus();
}

void FaultFileSystem::CrashInodeLocked(Inode& inode, Unsynced unsynced) {
  const bool keep_all = unsynced == Unsynced::kKeepAll;
  const bool keep_some = unsynced != Unsynced::kDrop;
  const uint64_t old_size = inode.durable.size();
  size_t prefix = inode.dirty.size();
  if (unsynced == Unsynced::kTorn) prefix = rng_.Below(inode.dirty.size() + 1);
  for (const uint64_t sector : inode.dirty) {
    if (!keep_some || prefix == 0) break;
    if (unsynced == Unsynced::kTorn) --prefix;
    if (unsynced == Unsynced::kKeepRandom && rng_.Below(2) == 0) continue;
    inode.Store(sector);
  }
  const bool keep_size = inode.size_is_dirty && (keep_all || (keep_some && rng_.Below(2) == 0));
  inode.durable.resize(keep_size ? inode.cache.size() : old_size, '\0');
  inode.cache = inode.durable;
  inode.dirty.clear();
  inode.size_is_dirty = false;
}

void FaultFileSystem::ApplyChange(const NameChange& change, Names* names) {
  if (!change.removed.empty()) names->erase(change.removed);
  if (change.inode != nullptr) (*names)[change.path] = change.inode;
}

void FaultFileSystem::Crash(Unsynced unsynced) {
  MutexLock lock(mutex_);
  size_t prefix = unsynced == Unsynced::kDrop ? 0 : unsynced_names_.size();
  if (unsynced == Unsynced::kTorn) prefix = rng_.Below(unsynced_names_.size() + 1);
  for (size_t i = 0; i < prefix; ++i) {
    if (unsynced == Unsynced::kKeepRandom && rng_.Below(2) == 0) continue;
    ApplyChange(unsynced_names_[i], &durable_names_);
  }
  unsynced_names_.clear();
  names_ = durable_names_;
  for (const auto& [path, inode] : names_) CrashInodeLocked(*inode, unsynced);
  ++epoch_;
  fault_at_ = 0;
  read_fault_at_ = 0;
  power_is_off_ = false;
}

void FaultFileSystem::KillProcess() {
  MutexLock lock(mutex_);
  ++epoch_;
  fault_at_ = 0;
  read_fault_at_ = 0;
  power_is_off_ = false;
}

void FaultFileSystem::SetCapacity(uint64_t bytes) {
  MutexLock lock(mutex_);
  capacity_bytes_ = bytes;
}

void FaultFileSystem::SetSyncLies(bool lies) {
  MutexLock lock(mutex_);
  sync_lies_ = lies;
}

void FaultFileSystem::FlipByte(const std::string& path, uint64_t offset, uint8_t mask) {
  MutexLock lock(mutex_);
  Inode& inode = *names_.at(path);
  CHECK(offset < inode.cache.size()) << path << " offset " << offset;
  inode.cache[offset] = static_cast<char>(inode.cache[offset] ^ mask);
  if (offset < inode.durable.size()) {
    inode.durable[offset] = static_cast<char>(inode.durable[offset] ^ mask);
  }
}

bool FaultFileSystem::Holds(const std::string& path) const {
  MutexLock lock(mutex_);
  return names_.contains(path);
}

std::string FaultFileSystem::Contents(const std::string& path) const {
  MutexLock lock(mutex_);
  return names_.at(path)->cache;
}

std::unique_ptr<FaultFileSystem> FaultFileSystem::Copy(uint64_t seed) const {
  auto copy = std::make_unique<FaultFileSystem>(seed);
  MutexLock lock(mutex_);
  {
    MutexLock lock_copy(copy->mutex_);
    copy->directories_ = directories_;
  }
  for (const auto& [path, inode] : names_) copy->SetContents(path, inode->cache);
  return copy;
}

void FaultFileSystem::SetContents(const std::string& path, const std::string& contents) {
  MutexLock lock(mutex_);
  auto inode = std::make_shared<Inode>();
  inode->cache = inode->durable = contents;
  names_[path] = durable_names_[path] = inode;
  directories_.insert(ParentOf(path));
}

Result<std::unique_ptr<File>> FaultFileSystem::Open(const std::string& path, bool create) {
  MutexLock lock(mutex_);
  if (power_is_off_) return Internal("open " + path + ": the power is off");
  auto it = names_.find(path);
  if (it == names_.end()) {
    if (!create) return NotFound("open " + path + ": no such file");
    RETURN_IF_ERROR(CountLocked("create " + path));
    if (!directories_.contains(ParentOf(path))) {
      return NotFound("create " + path + ": no such directory");
    }
    it = names_.emplace(path, std::make_shared<Inode>()).first;
    unsynced_names_.push_back({path, it->second, ""});
  }
  return std::unique_ptr<File>(std::make_unique<FaultFile>(*this, it->second, path));
}

Result<bool> FaultFileSystem::Exists(const std::string& path) {
  MutexLock lock(mutex_);
  return names_.contains(path) || directories_.contains(path);
}

Result<std::vector<std::string>> FaultFileSystem::List(const std::string& directory) {
  MutexLock lock(mutex_);
  if (!directories_.contains(directory))
    return NotFound("list " + directory + ": no such directory");
  std::vector<std::string> out;
  const auto add = [&](const std::string& path) {
    if (ParentOf(path) == directory) out.push_back(path.substr(directory.size() + 1));
  };
  for (const auto& [path, inode] : names_) add(path);
  for (const std::string& path : directories_) {
    if (path != directory) add(path);
  }
  std::sort(out.begin(), out.end());
  return out;
}

Status FaultFileSystem::CreateDirectories(const std::string& path) {
  MutexLock lock(mutex_);
  if (power_is_off_) return Internal("mkdir " + path + ": the power is off");
  for (std::string at = path; at != "." && at != "/"; at = ParentOf(at)) {
    directories_.insert(at);
    if (at.find('/') == std::string::npos) break;
  }
  return OkStatus();
}

Status FaultFileSystem::Rename(const std::string& from, const std::string& to) {
  MutexLock lock(mutex_);
  RETURN_IF_ERROR(CountLocked("rename " + from));
  const auto it = names_.find(from);
  if (it == names_.end()) return NotFound("rename " + from + ": no such file");
  const NameChange change{to, it->second, from};
  ApplyChange(change, &names_);
  unsynced_names_.push_back(change);
  return OkStatus();
}

Status FaultFileSystem::Remove(const std::string& path) {
  MutexLock lock(mutex_);
  RETURN_IF_ERROR(CountLocked("remove " + path));
  const NameChange change{"", nullptr, path};
  ApplyChange(change, &names_);
  unsynced_names_.push_back(change);
  return OkStatus();
}

Status FaultFileSystem::SyncDirectory(const std::string& directory) {
  MutexLock lock(mutex_);
  RETURN_IF_ERROR(CountLocked("sync directory " + directory));
  std::vector<NameChange> left;
  for (NameChange& change : unsynced_names_) {
    const bool here = ParentOf(change.inode != nullptr ? change.path : change.removed) == directory;
    if (here) {
      ApplyChange(change, &durable_names_);
    } else {
      left.push_back(std::move(change));
    }
  }
  unsynced_names_ = std::move(left);
  return OkStatus();
}

Result<uint64_t> FaultFileSystem::FreeBytes(const std::string&) {
  MutexLock lock(mutex_);
  const uint64_t used = UsedLocked();
  return used >= capacity_bytes_ ? uint64_t{0} : capacity_bytes_ - used;
}

}  // namespace cairn
