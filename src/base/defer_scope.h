// DeferScope: what a thread would rather do once for many than anew for each.
#pragma once

#include <functional>
#include <utility>
#include <vector>

namespace cairn {

// While a scope lives on a thread, what is given to Defer on that thread is kept, and run in order
// when the scope ends; without one it is run at once. So who finishes many requests in a row need
// not know who would like to hear of their end: the stream that carries the answers, say, which
// then sends one message. Scopes of one thread nest: the outermost runs all.
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
