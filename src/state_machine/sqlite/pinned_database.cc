#include "state_machine/sqlite/pinned_database.h"

#include <cstring>
#include <utility>

#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/statement.h"

namespace cairn::state_machine {
namespace {

constexpr int kBusyTimeoutMs = 1000;
// A commit during an attempt to pin makes another attempt necessary.
constexpr int kPinAttemptsMax = 1000;

// The index of the WAL, in shared memory, begins with two copies of this header, in the byte order
// of the machine. The number of frames that are in the file follows (section 2.1 of SQLite's page).
constexpr int kIndexBytes = 32768;
constexpr size_t kHeaderBytes = 48;
constexpr size_t kFramesAt = 16;
constexpr size_t kSaltAt = 32;
constexpr size_t kMovedAt = 2 * kHeaderBytes;

// The WAL has a header and then frames, each with its own header, in big-endian order.
constexpr uint64_t kWalHeaderBytes = 32;
constexpr uint64_t kFrameHeaderBytes = 24;
constexpr size_t kFrameSaltAt = 8;

template <class T>
T Native(const std::string& bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

uint32_t BigEndian(const char* bytes) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

// At the end of a file, zeros follow if there are fewer bytes than asked for.
Status ReadFile(sqlite3_file* file, uint64_t offset, char* out, size_t size) {
  const int rc =
      file->pMethods->xRead(file, out, static_cast<int>(size), static_cast<sqlite3_int64>(offset));
  if (rc == SQLITE_OK || rc == SQLITE_IOERR_SHORT_READ) return OkStatus();
  return Internal("the database cannot be read (SQLite code " + std::to_string(rc) + ")");
}

Result<uint64_t> QueryNumber(sqlite3* db, const char* sql) {
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(db, sql));
  ASSIGN_OR_RETURN(const bool row, read.Next());
  if (!row) return Internal(std::string("no answer to ") + sql);
  return read.Uint(0);
}

// Both copies of the header, and the count of frames that are in the file.
Result<std::string> ReadIndex(sqlite3_file* file) {
  void volatile* region = nullptr;
  const int rc = file->pMethods->xShmMap(file, 0, kIndexBytes, /*extend=*/0, &region);
  if (rc != SQLITE_OK || region == nullptr) return Internal("the index of the WAL is not there");
  std::string bytes(kMovedAt + sizeof(uint32_t), '\0');
  file->pMethods->xShmBarrier(file);
  std::memcpy(bytes.data(), const_cast<const void*>(region), bytes.size());
  file->pMethods->xShmBarrier(file);
  return bytes;
}

// True if both copies are of the same moment: nobody was writing the header.
bool IsWhole(const std::string& index) {
  return std::memcmp(index.data(), index.data() + kHeaderBytes, kHeaderBytes) == 0;
}
bool SameHeader(const std::string& a, const std::string& b) {
  return std::memcmp(a.data(), b.data(), kHeaderBytes) == 0;
}

}  // namespace

PinnedDatabase::~PinnedDatabase() { sqlite3_close(db_); }

Result<std::unique_ptr<PinnedDatabase>> PinnedDatabase::Open(const char* vfs,
                                                             const std::string& path) {
  std::unique_ptr<PinnedDatabase> pinned(new PinnedDatabase);
  const int rc =
      sqlite3_open_v2(path.c_str(), &pinned->db_, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, vfs);
  if (rc != SQLITE_OK) return StatusFromSqlite(pinned->db_, rc).Prefixed("open " + path);
  sqlite3_extended_result_codes(pinned->db_, 1);
  sqlite3_busy_timeout(pinned->db_, kBusyTimeoutMs);
  RETURN_IF_ERROR(pinned->Pin());
  return pinned;
}

Status PinnedDatabase::Pin() {
  // The first read opens the WAL.
  ASSIGN_OR_RETURN(page_bytes_, QueryNumber(db_, "PRAGMA page_size"));
  RETURN_IF_ERROR(ExecInternal(db_, "SELECT 1 FROM sqlite_schema"));
  sqlite3_file_control(db_, "main", SQLITE_FCNTL_FILE_POINTER, &file_);
  sqlite3_file_control(db_, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal_);
  if (file_ == nullptr || file_->pMethods == nullptr || file_->pMethods->iVersion < 2 ||
      wal_ == nullptr || wal_->pMethods == nullptr) {
    return Internal("the database is not in WAL mode");
  }
  for (int attempt = 0; attempt < kPinAttemptsMax; ++attempt) {
    ASSIGN_OR_RETURN(const bool pinned, TryPin());
    if (!pinned) continue;
    ASSIGN_OR_RETURN(pages_, QueryNumber(db_, "PRAGMA page_count"));
    return FindFrames();
  }
  return Unavailable("the database changes too fast to be copied");
}

Result<bool> PinnedDatabase::TryPin() {
  if (sqlite3_get_autocommit(db_) == 0) RETURN_IF_ERROR(ExecInternal(db_, "COMMIT"));
  ASSIGN_OR_RETURN(const std::string before, ReadIndex(file_));
  // BEGIN alone is deferred: the read fixes the state.
  RETURN_IF_ERROR(ExecInternal(db_, "BEGIN; SELECT 1 FROM sqlite_schema"));
  ASSIGN_OR_RETURN(const std::string moved, ReadIndex(file_));
  ASSIGN_OR_RETURN(const std::string after, ReadIndex(file_));
  // No commit came in between. So the transaction has exactly this state, and no writer had
  // restarted the WAL before the number of moved frames was read.
  if (!IsWhole(before) || !SameHeader(before, moved) || !IsWhole(after) ||
      !SameHeader(before, after)) {
    return false;
  }
  frames_ = Native<uint32_t>(before, kFramesAt);
  salt_ = Native<uint64_t>(before, kSaltAt);
  // The whole WAL is in the file and stays there, because a checkpoint adds no page of this state.
  // The transaction may not use the WAL, so the next writer may restart it.
  if (Native<uint32_t>(moved, kMovedAt) == frames_) frames_ = 0;
  return true;
}

Status PinnedDatabase::FindFrames() {
  const uint64_t frame_bytes = kFrameHeaderBytes + page_bytes_;
  for (uint32_t frame = 0; frame < frames_; ++frame) {
    const uint64_t at = kWalHeaderBytes + frame * frame_bytes;
    char header[kFrameHeaderBytes];
    RETURN_IF_ERROR(ReadFile(wal_, at, header, sizeof header));
    if (std::memcmp(header + kFrameSaltAt, &salt_, sizeof salt_) != 0) {
      return Internal("the WAL is not what its index says");
    }
    in_wal_[BigEndian(header) - uint64_t{1}] = at + kFrameHeaderBytes;
  }
  return OkStatus();
}

Status PinnedDatabase::ReadAt(uint64_t offset, size_t size, std::string* bytes) {
  bytes->resize(size);
  RETURN_IF_ERROR(ReadFile(file_, offset, bytes->data(), size));
  const uint64_t end = offset + size;
  auto page = in_wal_.lower_bound(offset / page_bytes_);
  for (; page != in_wal_.end() && page->first * page_bytes_ < end; ++page) {
    char* const out = bytes->data() + (page->first * page_bytes_ - offset);
    RETURN_IF_ERROR(ReadFile(wal_, page->second, out, page_bytes_));
  }
  return OkStatus();
}

}  // namespace cairn::state_machine
