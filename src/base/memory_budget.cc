#include "base/memory_budget.h"

#include "base/check.h"
#include "base/status.h"

namespace cairn {

Result<MemoryCharge> MemoryCharge::Take(MemoryShare* share, size_t bytes) {
  MemoryCharge charge(share);
  if (charge.TryResize(bytes)) return charge;
  if (bytes > share->bytes_max()) {
    return ResourceExhausted("this takes " + std::to_string(bytes) + " bytes of memory; " +
                             share->name() + " may take " + std::to_string(share->bytes_max()) +
                             " on this node: send less at a time, or raise memory-bytes-max");
  }
  return ResourceExhausted("the memory for " + share->name() + " (" +
                           std::to_string(share->bytes_max()) +
                           " bytes) is in use on this node: try again later");
}

MemoryShare* MemoryBudget::Share(std::string name, size_t parts) {
  parts_given_ += parts;
  CHECK(parts_given_ <= kParts) << "more is divided than there is";
  return &shares_.emplace_back(std::move(name), bytes_max_ / kParts * parts);
}

}  // namespace cairn
