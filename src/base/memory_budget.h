// MemoryBudget: how many bytes the parts of a server may hold at most, and how many bytes they
// hold.
#pragma once

#include <atomic>
#include <cstddef>
#include <deque>
#include <string>
#include <utility>

#include "base/result.h"

namespace cairn {

// The part of the budget that one kind of data may take. Thread-safe.
class MemoryShare {
 public:
  MemoryShare(std::string name, size_t bytes_max) : name_(std::move(name)), bytes_max_(bytes_max) {}
  MemoryShare(const MemoryShare&) = delete;
  MemoryShare& operator=(const MemoryShare&) = delete;

  // False if the bytes would exceed the bound; then nothing is taken.
  bool TryTake(size_t bytes) {
    size_t held = bytes_.load(std::memory_order_relaxed);
    do {
      if (bytes > bytes_max_ || held > bytes_max_ - bytes) return false;
    } while (!bytes_.compare_exchange_weak(held, held + bytes, std::memory_order_relaxed));
    return true;
  }
  void Give(size_t bytes) { bytes_.fetch_sub(bytes, std::memory_order_relaxed); }

  const std::string& name() const { return name_; }
  size_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  size_t bytes_max() const { return bytes_max_; }

 private:
  const std::string name_;
  const size_t bytes_max_;
  std::atomic<size_t> bytes_{0};
};

// Bytes taken from a share. The destructor gives the bytes back. Not thread-safe.
class MemoryCharge {
 public:
  MemoryCharge() = default;
  explicit MemoryCharge(MemoryShare* share) : share_(share) {}
  MemoryCharge(MemoryCharge&& other) noexcept
      : share_(other.share_), bytes_(std::exchange(other.bytes_, 0)) {}
  MemoryCharge& operator=(MemoryCharge&& other) noexcept {
    if (this == &other) return *this;
    Release();
    share_ = other.share_;
    bytes_ = std::exchange(other.bytes_, 0);
    return *this;
  }
  ~MemoryCharge() { Release(); }

  // RESOURCE_EXHAUSTED, with what an operator can do, if the share has no room for `bytes`.
  static Result<MemoryCharge> Take(MemoryShare* share, size_t bytes);

  // False if the share has no room to grow to `bytes`; then nothing changes.
  bool TryResize(size_t bytes) {
    if (bytes == bytes_) return true;
    if (bytes > bytes_ && !share_->TryTake(bytes - bytes_)) return false;
    if (bytes < bytes_) share_->Give(bytes_ - bytes);
    bytes_ = bytes;
    return true;
  }
  // Takes over what `other` holds, which is of the same share or nothing.
  void Add(MemoryCharge&& other) {
    if (share_ == nullptr) share_ = other.share_;
    bytes_ += std::exchange(other.bytes_, 0);
  }
  size_t bytes() const { return bytes_; }

 private:
  void Release() {
    if (bytes_ != 0) share_->Give(bytes_);
    bytes_ = 0;
  }

  MemoryShare* share_ = nullptr;
  size_t bytes_ = 0;
};

// Divides all the bytes into shares. The shares do not borrow from each other, so what one kind of
// client takes is never missing elsewhere.
class MemoryBudget {
 public:
  static constexpr size_t kParts = 16;

  explicit MemoryBudget(size_t bytes_max) : bytes_max_(bytes_max) {}

  // A share of `parts` of the kParts parts. All shares together have at most kParts parts. The
  // budget must outlive the share's users.
  MemoryShare* Share(std::string name, size_t parts);
  size_t bytes_max() const { return bytes_max_; }
  const std::deque<MemoryShare>& shares() const { return shares_; }

 private:
  const size_t bytes_max_;
  size_t parts_given_ = 0;
  std::deque<MemoryShare> shares_;
};

}  // namespace cairn
