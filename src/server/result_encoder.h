// ResultEncoder: the bytes of a QueryResult, made row by row, without an object for each value.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/memory_budget.h"
#include "cairn/value.h"

namespace cairn::server {

// One thread at a time.
class ResultEncoder {
 public:
  // The memory of a result that is not small is charged to `share`. `free_bytes` is what is small.
  ResultEncoder(MemoryShare* share, size_t free_bytes) : free_bytes_(free_bytes), charge_(share) {}

  // Begins anew.
  void Begin(LogIndex index);
  // False: there is no memory for it. The result is void.
  bool AddColumns(const std::vector<Column>& columns);
  bool AddRow(Row row);

  size_t bytes() const { return bytes_.size(); }
  // About what the result takes in the memory of a client that has decoded it.
  size_t decoded_bytes() const { return bytes_.size() + decoded_objects_ * kObjectBytes; }

  std::string TakeBytes() { return std::move(bytes_); }
  MemoryCharge TakeCharge() { return std::move(charge_); }

 private:
  static constexpr size_t kObjectBytes = 64;

  bool Reserve(size_t bytes);

  const size_t free_bytes_;
  MemoryCharge charge_;  // of the capacity of bytes_
  std::string bytes_;
  std::string row_;
  size_t decoded_objects_ = 0;
};

}  // namespace cairn::server
