// RequestCounts: how many requests the Api was asked, how long they took, and how they ended.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

#include "base/clock.h"
#include "base/measures.h"
#include "base/result.h"

namespace cairn::server {

// What is asked. The values index arrays.
enum class Method : uint8_t {
  kWrite,           // of a client
  kForwardedWrite,  // that another node passed on
  kQuery,
  kVersion,
  kTransaction,
  kSources,   // what a live query reads
  kRetained,  // settings and pages of retained changes
};
inline constexpr size_t kMethods = 7;
const char* MethodName(Method method);
inline bool IsWrite(Method method) { return method <= Method::kForwardedWrite; }

// How a request ended. Reads end with one of the first two.
enum class Ending : uint8_t {
  kOk,
  kFailed,      // of a write: applied, with an error as its replicated result
  kNotApplied,  // surely never takes effect
  kUnknown,     // may or may not take effect
};
inline constexpr size_t kEndings = 4;
const char* EndingName(Ending ending);

// Thread-safe.
class RequestCounts {
 public:
  static constexpr size_t kCodes = 17;  // of StatusCode

  void Begin(Method method) { Of(method).begun.Add(); }
  void End(Method method, SteadyTime took, const Status& status);

  // `done`, counted.
  template <class T>
  std::function<void(Result<T>)> Count(Method method, Clock* clock,
                                       std::function<void(Result<T>)> done) {
    Begin(method);
    return [this, method, clock, began = clock->SteadyNow(),
            done = std::move(done)](Result<T> result) {
      End(method, clock->SteadyNow() - began, result.status());
      done(std::move(result));
    };
  }

  uint64_t ended(Method method, StatusCode code) const {
    return Of(method).codes[static_cast<size_t>(code)].value();
  }
  uint64_t in_flight(Method method) const;
  const Histogram& times(Method method, Ending ending) const {
    return Of(method).times[static_cast<size_t>(ending)];
  }

 private:
  struct OfMethod {
    Counter begun;
    std::array<Counter, kCodes> codes;
    std::array<Histogram, kEndings> times{Histogram(kTimeBounds), Histogram(kTimeBounds),
                                          Histogram(kTimeBounds), Histogram(kTimeBounds)};
  };
  OfMethod& Of(Method method) { return methods_[static_cast<size_t>(method)]; }
  const OfMethod& Of(Method method) const { return methods_[static_cast<size_t>(method)]; }

  std::array<OfMethod, kMethods> methods_;
};

}  // namespace cairn::server
