// FaultFileSystem: files in memory that lose, tear and refuse writes as disks do. For tests and the
// simulator; deterministic: one seed and one order of calls give one behaviour.
//
// The model. A file has a cache, which reads see, and a durable image, which a crash leaves. Sync
// moves what was written to the durable image in sectors of 512 bytes, and the size with it. Names
// are apart from files: a creation, rename or removal is durable only after SyncDirectory of its
// directory. A sector is written whole or not at all, and no write harms the bytes beside it.
//
// Faults count operations: Open that creates, WriteAt, Sync, Truncate, Rename, Remove,
// SyncDirectory. Reads are counted apart, and do not see that the power is off.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "base/rng.h"

namespace cairn {

class FaultFileSystem final : public FileSystem {
 public:
  static constexpr uint64_t kSectorBytes = 512;

  enum class Fault {
    kFailOnce,     // the operation fails with INTERNAL; later ones work. What a failed Sync should
                   // have stored is clean from then on: seen by reads, but never stored (fsyncgate)
    kFailForever,  // this operation and every later one fail
    kPowerCut,  // this operation has no effect that is sure to last, and nothing works before Crash
  };

  // What a crash leaves of writes, and of changes of names, that were not synced.
  enum class Unsynced {
    kDrop,        // nothing
    kKeepRandom,  // any subset of the sectors, and of the changes of names
    kTorn,        // of each file a random prefix of the dirty sectors in file order, and of the
                  // changes of names
    kKeepAll,     // all: what killing the process, not the machine, leaves
  };

  explicit FaultFileSystem(uint64_t seed);
  ~FaultFileSystem() override;

  // The k-th operation from now on (1: the next) meets `fault`. One at a time; replaces an earlier
  // one.
  void Inject(uint64_t k, Fault fault);
  // The k-th ReadAt from now on (1: the next) fails with INTERNAL; later ones work.
  void InjectRead(uint64_t k);
  void ClearFaults();
  // A kPowerCut was met, and no Crash has followed.
  bool power_is_off() const;
  // Nothing works from now on, before Crash or KillProcess. For a process that is being taken down:
  // what it still does on its way must not reach the disk.
  void PowerOff();
  // Operations so far.
  uint64_t operations() const;
  uint64_t reads() const;
  // Of the reads, those that failed by InjectRead.
  uint64_t failed_reads() const;
  // Of the operations, calls of Sync: what group commit is measured by.
  uint64_t syncs() const;

  // Power cut and restart: every File that is open fails from now on, the files are what `unsynced`
  // leaves, faults are cleared.
  void Crash(Unsynced unsynced);
  // The process dies and starts again, the machine does not: every File that is open fails from now
  // on, faults are cleared, but the cache lives on, with what it holds and has not stored.
  void KillProcess();

  // The sizes of all files together may not pass this: RESOURCE_EXHAUSTED.
  void SetCapacity(uint64_t bytes);
  // A disk that answers Sync at once and stores nothing until the next honest one.
  void SetSyncLies(bool lies);

  // Rot: changes a byte, in cache and durable image. The file must be that long.
  void FlipByte(const std::string& path, uint64_t offset, uint8_t mask = 0xff);
  bool Holds(const std::string& path) const;
  // Another disk with the same files, all durable: what copying them file by file makes.
  std::unique_ptr<FaultFileSystem> Copy(uint64_t seed) const;
  // The whole content as readers see it.
  std::string Contents(const std::string& path) const;
  // Makes the file hold this, durably, or makes the file.
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
  // A change of names that is not durable: `inode` comes under `path` (or, if null, nothing does),
  // and `removed` (if not empty) goes.
  struct NameChange {
    std::string path;
    std::shared_ptr<Inode> inode;
    std::string removed;
  };

  Status CountLocked(const std::string& what, bool* fails_as_sync);
  Status CountLocked(const std::string& what) { return CountLocked(what, nullptr); }
  Status CheckRoomLocked(uint64_t more) const;
  uint64_t UsedLocked() const;
  static void ApplyChange(const NameChange& change, Names* names);
  void CrashInodeLocked(Inode& inode, Unsynced unsynced);

  mutable std::mutex mutex_;
  Rng rng_;
  Names names_;
  Names durable_names_;
  std::vector<NameChange> unsynced_names_;
  std::set<std::string> directories_;
  uint64_t epoch_ = 0;  // files opened before a crash belong to an earlier one
  uint64_t operations_ = 0;
  uint64_t syncs_ = 0;
  uint64_t fault_at_ = 0;  // operation that meets the fault; 0: none
  Fault fault_ = Fault::kFailOnce;
  uint64_t reads_ = 0;
  uint64_t read_fault_at_ = 0;  // read that fails; 0: none
  uint64_t failed_reads_ = 0;
  bool power_is_off_ = false;
  uint64_t capacity_bytes_ = 1ULL << 40;
  bool sync_lies_ = false;
};

}  // namespace cairn
