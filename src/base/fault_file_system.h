// FaultFileSystem: files in memory that lose, tear and refuse writes as disks do. For tests and the
// simulator. It is deterministic: one seed and one order of calls give one behaviour.
//
// The model. A file has a cache, which reads see, and a durable image, which is left after a crash.
// Sync moves written data to the durable image in sectors of 512 bytes, and the file's size with
// it. Names are separate from files: a creation, rename or removal is durable only after
// SyncDirectory of its directory. A sector is written whole or not at all, and no write harms
// adjacent bytes.
//
// Faults count operations: Open that creates, WriteAt, Sync, Truncate, Rename, Remove,
// SyncDirectory. Reads are counted separately, and still work while the power is off.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "base/mutex.h"
#include "base/rng.h"

namespace cairn {

class FaultFileSystem final : public FileSystem {
 public:
  static constexpr uint64_t kSectorBytes = 512;

  enum class Fault {
    kFailOnce,     // the operation fails with INTERNAL; later operations work. After a failed Sync
                   // the data that it should have stored is clean: reads see it, but it is never
                   // stored (fsyncgate)
    kFailForever,  // this operation and every later operation fail
    kPowerCut,  // nothing that this operation does is sure to last, and nothing works until Crash
  };

  // What a crash leaves of the writes and name changes that were not synced.
  enum class Unsynced {
    kDrop,        // nothing
    kKeepRandom,  // any subset of the sectors, and of the name changes
    kTorn,        // a random prefix of each file's dirty sectors in file order, and of the name
                  // changes
    kKeepAll,     // everything: as if the process is killed and the machine is not
  };

  explicit FaultFileSystem(uint64_t seed);
  ~FaultFileSystem() override;

  // The k-th operation from now on (1: the next) meets `fault`. Only one fault is set at a time; a
  // new fault replaces the earlier one.
  void Inject(uint64_t k, Fault fault);
  // The k-th ReadAt from now on (1: the next) fails with INTERNAL; later reads work.
  void InjectRead(uint64_t k);
  void ClearFaults();
  // True if an operation met kPowerCut, or PowerOff was called, and no Crash or KillProcess has
  // followed.
  bool power_is_off() const;
  // From now on nothing works until Crash or KillProcess. For a process that is being taken down:
  // what the process still does meanwhile must not reach the disk.
  void PowerOff();
  // The number of operations so far.
  uint64_t operations() const;
  uint64_t reads() const;
  // The number of reads that failed by InjectRead.
  uint64_t failed_reads() const;
  // The number of operations that are calls of Sync; tests measure group commit by it.
  uint64_t syncs() const;

  // Power cut and restart. Every open File fails from now on, the files contain what `unsynced`
  // leaves, and faults are cleared.
  void Crash(Unsynced unsynced);
  // The process dies and restarts, and the machine does not. Every open File fails from now on, and
  // faults are cleared, but the cache survives, including data that is not yet stored.
  void KillProcess();

  // Limits the total size of all files, in bytes: past the limit operations fail with
  // RESOURCE_EXHAUSTED.
  void SetCapacity(uint64_t bytes);
  // With `lies`, the disk answers Sync at once and stores nothing until the next honest Sync.
  void SetSyncLies(bool lies);

  // Rot: changes a byte in the cache and in the durable image. The file must be longer than
  // `offset`.
  void FlipByte(const std::string& path, uint64_t offset, uint8_t mask = 0xff);
  bool Holds(const std::string& path) const;
  // Another disk with the same files, all durable, as if copied file by file.
  std::unique_ptr<FaultFileSystem> Copy(uint64_t seed) const;
  // The whole content of the file, as readers see it.
  std::string Contents(const std::string& path) const;
  // Makes the file hold `contents`, durably; creates the file if there is none.
  void SetContents(const std::string& path, const std::string& contents);

  Result<std::unique_ptr<File>> Open(const std::string& path, bool create) override;
  Result<bool> Exists(const std::string& path) override;
  Result<std::vector<std::string>> List(const std::string& directory) override;
  Status CreateDirectories(const std::string& path) override;  // durable at once
  Status Rename(const std::string& from, const std::string& to) override;
  Status Remove(const std::string& path) override;
  Status SyncDirectory(const std::string& directory) override;
  Result<uint64_t> FreeBytes(const std::string& path) override;

 private:
  class FaultFile;
  struct Inode;
  using Names = std::map<std::string, std::shared_ptr<Inode>>;
  // A name change that is not durable: `path` then names `inode` (or, if `inode` is null, nothing
  // new), and the name `removed` (if not empty) is gone.
  struct NameChange {
    std::string path;
    std::shared_ptr<Inode> inode;
    std::string removed;
  };

  Status CountLocked(const std::string& what, bool* fails_as_sync) CAIRN_REQUIRES(mutex_);
  Status CountLocked(const std::string& what) CAIRN_REQUIRES(mutex_) {
    return CountLocked(what, nullptr);
  }
  Status CheckRoomLocked(uint64_t more) const CAIRN_REQUIRES(mutex_);
  uint64_t UsedLocked() const CAIRN_REQUIRES(mutex_);
  static void ApplyChange(const NameChange& change, Names* names);
  void CrashInodeLocked(Inode& inode, Unsynced unsynced) CAIRN_REQUIRES(mutex_);

  mutable Mutex mutex_;
  Rng rng_ CAIRN_GUARDED_BY(mutex_);
  Names names_ CAIRN_GUARDED_BY(mutex_);
  Names durable_names_ CAIRN_GUARDED_BY(mutex_);
  std::vector<NameChange> unsynced_names_ CAIRN_GUARDED_BY(mutex_);
  std::set<std::string> directories_ CAIRN_GUARDED_BY(mutex_);
  // Files opened before a crash have an earlier epoch.
  uint64_t epoch_ CAIRN_GUARDED_BY(mutex_) = 0;
  uint64_t operations_ CAIRN_GUARDED_BY(mutex_) = 0;
  uint64_t syncs_ CAIRN_GUARDED_BY(mutex_) = 0;
  // Number of the operation that meets the fault; 0: none.
  uint64_t fault_at_ CAIRN_GUARDED_BY(mutex_) = 0;
  Fault fault_ CAIRN_GUARDED_BY(mutex_) = Fault::kFailOnce;
  uint64_t reads_ CAIRN_GUARDED_BY(mutex_) = 0;
  uint64_t read_fault_at_ CAIRN_GUARDED_BY(mutex_) = 0;  // number of the read that fails; 0: none
  uint64_t failed_reads_ CAIRN_GUARDED_BY(mutex_) = 0;
  bool power_is_off_ CAIRN_GUARDED_BY(mutex_) = false;
  uint64_t capacity_bytes_ CAIRN_GUARDED_BY(mutex_) = 1ULL << 40;
  bool sync_lies_ CAIRN_GUARDED_BY(mutex_) = false;
};

}  // namespace cairn
