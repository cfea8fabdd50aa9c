// DeferScope: lets a thread run work once for many requests rather than once for each.
#pragma once

#include <functional>
#include <utility>
#include <vector>

namespace cairn {

// While a scope is alive on a thread, work given to Defer on that thread is kept, and runs in order
// when the scope ends. Without a scope the work runs at once. So code that finishes many requests
// in a row need not know who wants to hear that they are finished: a stream that carries the
// replies, for example, then sends one message for all of them. Scopes on one thread nest: the
// outermost scope runs all the work.
class DeferScope {
 public:
  DeferScope() : outer_(std::exchange(current_, this)) {}
  ~DeferScope() {
    current_ = outer_;
    for (std::function<void()>& work : kept_) Defer(std::move(work));
  }
  DeferScope(const DeferScope&) = delete;
  DeferScope& operator=(const DeferScope&) = delete;

  static void Defer(std::function<void()> work) {
    if (current_ == nullptr) {
      work();
    } else {
      current_->kept_.push_back(std::move(work));
    }
  }

 private:
  inline static thread_local DeferScope* current_ = nullptr;

  DeferScope* const outer_;
  std::vector<std::function<void()>> kept_;
};

}  // namespace cairn
