#include "state_machine/sqlite/read_ahead.h"

#include <algorithm>

namespace cairn::state_machine {
namespace {

// A piece stays in the cache of a core from its reading until its pages are used.
constexpr size_t kPieceBytes = 128 << 10;
// SQLite may look some bytes past the end of a page that is damaged.
constexpr size_t kMarginBytes = 64;

}  // namespace

ReadAhead::ReadAhead(sqlite3* db) : db_(db) {
  asked_.fill(~uint64_t{0});
  sqlite3_file_control(db_, "main", SQLITE_FCNTL_FILE_POINTER, &file_);
  sqlite3_int64 size = 0;
  if (file_ == nullptr || file_->pMethods == nullptr ||
      file_->pMethods->xFileSize(file_, &size) != SQLITE_OK) {
    file_ = nullptr;
    return;
  }
  file_bytes_ = static_cast<uint64_t>(size);
  static_cast<sqlite3_io_methods&>(methods_) = *file_->pMethods;
  methods_.base = file_->pMethods;
  methods_.owner = this;
  methods_.iVersion = 3;
  methods_.xFetch = &Fetch;
  methods_.xUnfetch = &Unfetch;
  methods_.xFileControl = &FileControl;
  file_->pMethods = &methods_;
  // From now on SQLite asks for pages by xFetch first. The number only has to be greater than 0.
  sqlite3_exec(db_, "PRAGMA mmap_size = 1073741824", nullptr, nullptr, nullptr);
}

ReadAhead::~ReadAhead() {
  if (file_ == nullptr) return;
  sqlite3_exec(db_, "PRAGMA mmap_size = 0", nullptr, nullptr, nullptr);
  file_->pMethods = methods_.base;
}

int ReadAhead::Fetch(sqlite3_file* file, sqlite3_int64 offset, int size, void** out) {
  ReadAhead& self = *static_cast<const Methods*>(file->pMethods)->owner;
  *out = self.Find(static_cast<uint64_t>(offset), static_cast<size_t>(size));
  return SQLITE_OK;
}

// Null stands for all mappings of a file, and nothing is mapped.
int ReadAhead::Unfetch(sqlite3_file* file, sqlite3_int64 /*offset*/, void* page) {
  const auto* const methods = static_cast<const Methods*>(file->pMethods);
  if (page != nullptr) methods->owner->Release(static_cast<const char*>(page));
  return SQLITE_OK;
}

int ReadAhead::FileControl(sqlite3_file* file, int op, void* arg) {
  if (op == SQLITE_FCNTL_MMAP_SIZE) return SQLITE_OK;  // the VFS below maps nothing
  return static_cast<const Methods*>(file->pMethods)->base->xFileControl(file, op, arg);
}

char* ReadAhead::Find(uint64_t offset, size_t size) {
  const uint64_t number = offset / kPieceBytes;
  const size_t at = offset % kPieceBytes;
  const auto found = std::find_if(pieces_.begin(), pieces_.end(),
                                  [&](const Piece& p) { return p.number == number; });
  Piece* piece = found == pieces_.end() ? nullptr : &*found;
  if (piece == nullptr && AskedBefore(number)) piece = Load(number);
  if (piece == nullptr || at + size > piece->size) return nullptr;
  ++piece->used;
  return piece->bytes.get() + at;
}

bool ReadAhead::AskedBefore(uint64_t number) {
  if (std::find(asked_.begin(), asked_.end(), number) != asked_.end()) return true;
  asked_[next_asked_] = number;
  next_asked_ = (next_asked_ + 1) % asked_.size();
  return false;
}

ReadAhead::Piece* ReadAhead::Load(uint64_t number) {
  for (size_t tried = 0; tried < pieces_.size(); ++tried) {
    Piece& piece = pieces_[next_];
    next_ = (next_ + 1) % pieces_.size();
    if (piece.used > 0) continue;
    if (piece.bytes == nullptr) piece.bytes = std::make_unique<char[]>(kPieceBytes + kMarginBytes);
    const uint64_t begin = number * kPieceBytes;
    piece.number = ~uint64_t{0};
    if (begin >= file_bytes_) return nullptr;
    piece.size = static_cast<size_t>(std::min<uint64_t>(kPieceBytes, file_bytes_ - begin));
    const int rc = methods_.base->xRead(file_, piece.bytes.get(), static_cast<int>(piece.size),
                                        static_cast<sqlite3_int64>(begin));
    if (rc != SQLITE_OK) return nullptr;  // SQLite meets the error at the page that has it
    piece.number = number;
    return &piece;
  }
  return nullptr;
}

void ReadAhead::Release(const char* page) {
  for (Piece& piece : pieces_) {
    if (piece.bytes == nullptr || page < piece.bytes.get() ||
        page >= piece.bytes.get() + kPieceBytes) {
      continue;
    }
    --piece.used;
    return;
  }
}

}  // namespace cairn::state_machine
