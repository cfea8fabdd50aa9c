#include "state_machine/sqlite/page_reads.h"

#include <utility>

namespace cairn::state_machine {
namespace {

// Some tens of microseconds from memory, some milliseconds from a slow disk.
constexpr unsigned kPagesBetweenLooks = 16;

}  // namespace

PageReads::PageReads(sqlite3* db, std::function<bool()> proceed)
    : db_(db), proceed_(std::move(proceed)) {}

PageReads::~PageReads() {
  for (const Hook* hook : {&database_, &wal_}) {
    const bool hooked = hook->file != nullptr && hook->file->pMethods == &hook->methods;
    if (hooked) hook->file->pMethods = hook->methods.base;
  }
}

void PageReads::Attach() {
  AttachTo(SQLITE_FCNTL_FILE_POINTER, &database_);
  AttachTo(SQLITE_FCNTL_JOURNAL_POINTER, &wal_);
}

void PageReads::AttachTo(int which_file, Hook* hook) {
  if (hook->file != nullptr) return;
  sqlite3_file* file = nullptr;
  sqlite3_file_control(db_, "main", which_file, &file);
  if (file == nullptr || file->pMethods == nullptr) return;
  static_cast<sqlite3_io_methods&>(hook->methods) = *file->pMethods;
  hook->methods.base = file->pMethods;
  hook->methods.owner = this;
  hook->methods.xRead = &Read;
  file->pMethods = &hook->methods;
  hook->file = file;
}

int PageReads::Read(sqlite3_file* file, void* out, int size, sqlite3_int64 offset) {
  const auto* const methods = static_cast<const Methods*>(file->pMethods);
  PageReads& self = *methods->owner;
  if (++self.pages_ % kPagesBetweenLooks == 0 && !self.proceed_()) sqlite3_interrupt(self.db_);
  return methods->base->xRead(file, out, size, offset);
}

}  // namespace cairn::state_machine
