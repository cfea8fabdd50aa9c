#include "state_machine/sqlite/sqlite_memory.h"

#include <sqlite3.h>

#include <utility>

namespace cairn::state_machine {
namespace {

sqlite3_mem_methods plain_memory;
thread_local bool memory_ran_out = false;
thread_local MemoryGate* gate = nullptr;

void* Allocate(int bytes) {
  if (gate != nullptr && !gate->Allows(static_cast<size_t>(bytes))) return nullptr;
  void* const memory = plain_memory.xMalloc(bytes);
  if (memory == nullptr) memory_ran_out = true;
  return memory;
}

void* Reallocate(void* memory, int bytes) {
  if (gate != nullptr && !gate->Allows(static_cast<size_t>(bytes))) return nullptr;
  void* const moved = plain_memory.xRealloc(memory, bytes);
  if (moved == nullptr) memory_ran_out = true;
  return moved;
}

// Runs before main(), because it must precede every use of SQLite.
bool ConfigureMemory() {
  // SQLite counts its memory under one lock for all connections, which each allocation takes. For a
  // row of a large INSERT that would cost more than the row's digest, and readers would wait for
  // the writer. Nobody here needs the count.
  sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
  sqlite3_config(SQLITE_CONFIG_GETMALLOC, &plain_memory);
  sqlite3_mem_methods methods = plain_memory;
  methods.xMalloc = &Allocate;
  methods.xRealloc = &Reallocate;
  return sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) == SQLITE_OK;
}
[[maybe_unused]] const bool kMemoryConfigured = ConfigureMemory();

}  // namespace

bool MemoryRanOut() { return memory_ran_out; }
void ForgetThatMemoryRanOut() { memory_ran_out = false; }

MemoryGate::MemoryGate(Ask ask, void* owner) : ask_(ask), owner_(owner), outer_(gate) {
  gate = this;
}
MemoryGate::~MemoryGate() { gate = outer_; }

bool MemoryGate::Allows(size_t bytes) {
  bytes_since_asked_ += bytes;
  if (bytes_since_asked_ < kBytesBetweenAsks) return true;
  bytes_since_asked_ = 0;
  Status answer = ask_(owner_, bytes);
  if (answer.ok()) return true;
  if (refusal_.ok()) refusal_ = std::move(answer);
  return false;
}

}  // namespace cairn::state_machine
