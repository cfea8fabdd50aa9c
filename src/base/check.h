// Checks for broken invariants, always on. A CHECK that fails prints where and what, then aborts:
// state that is known to be wrong must not be acted upon and must not be written.
#pragma once

#include <sstream>
#include <string>

namespace cairn {

// Prints to standard error and aborts. The macros below call it.
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition,
                              const std::string& detail);

namespace check_internal {

class Message {
 public:
  template <class T>
  Message& operator<<(const T& value) {
    stream_ << value;
    return *this;
  }
  std::string str() const { return stream_.str(); }

 private:
  std::ostringstream stream_;
};

struct Failer {
  const char* file;
  int line;
  const char* condition;
  [[noreturn]] void operator&(const Message& message) const {
    CheckFailed(file, line, condition, message.str());
  }
};

}  // namespace check_internal
}  // namespace cairn

// CHECK(x) << "detail " << y;   The detail is built only if the check fails.
#define CHECK(condition)                                              \
  if (condition) [[likely]] {                                         \
  } else /* NOLINT */                                                 \
    ::cairn::check_internal::Failer{__FILE__, __LINE__, #condition} & \
        ::cairn::check_internal::Message()
