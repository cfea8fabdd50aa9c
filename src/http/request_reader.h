// RequestReader: turns the bytes of one connection into requests. It knows no socket, so tests and
// the fuzz target give it any bytes.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>
#include <variant>

#include "http/message.h"

namespace cairn::http {

struct RequestLimits {
  size_t header_bytes_max = 8 << 10;  // the request line and the header; past it 431
  size_t body_bytes_max = 64 << 10;   // past it 413
};

// Not thread-safe.
class RequestReader {
 public:
  explicit RequestReader(const RequestLimits& limits);
  ~RequestReader();
  RequestReader(const RequestReader&) = delete;
  RequestReader& operator=(const RequestReader&) = delete;

  // What the bytes so far give: a request; the refusal of what is no request, after which the
  // connection is to be closed; or nothing, until more bytes come.
  using Next = std::variant<std::monostate, Request, Response>;
  // Adds bytes and gives the first request. After a request, call Continue before more bytes are
  // added.
  Next Feed(std::string_view bytes);
  // The next of the requests that came together (pipelining).
  Next Continue() { return Feed({}); }

  // Whether a request has begun and is not whole. Otherwise the connection is idle.
  bool in_request() const;
  // Bytes that wait for more, or for Continue.
  size_t buffered() const;

 private:
  struct Parser;

  const RequestLimits limits_;
  std::unique_ptr<Parser> parser_;
};

}  // namespace cairn::http
