// The HTTP door: any bytes are requests or are refused, in whatever pieces they come, and what waits
// is bounded.
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "fuzz_input.h"
#include "http/request_reader.h"

namespace cairn::http {
namespace {

constexpr RequestLimits kLimits{.header_bytes_max = 512, .body_bytes_max = 1024};
// More than a refusal ends the connection with: nothing of a connection is read after it.
constexpr size_t kRequestsMax = 64;

struct Read {
  std::vector<Request> requests;
  bool refused = false;
  bool waits = false;  // for more of a request that has begun
};

Read ReadInPieces(std::string_view bytes, size_t piece) {
  RequestReader reader(kLimits);
  Read read;
  while (!bytes.empty()) {
    const std::string_view now = bytes.substr(0, piece);
    bytes.remove_prefix(now.size());
    for (RequestReader::Next next = reader.Feed(now);; next = reader.Continue()) {
      if (std::holds_alternative<std::monostate>(next)) break;
      if (const auto* refusal = std::get_if<Response>(&next)) {
        CHECK(refusal->status == 400 || refusal->status == 411 || refusal->status == 413 ||
              refusal->status == 431);
        CHECK(HeadOf(*refusal, false).ends_with("\r\n\r\n"));
        read.refused = true;
        return read;
      }
      const Request& request = std::get<Request>(next);
      CHECK(request.body.size() <= kLimits.body_bytes_max);
      CHECK(request.path.size() + request.query.size() <= kLimits.header_bytes_max);
      CHECK(request.path.find('?') == std::string::npos);
      read.requests.push_back(request);
      if (read.requests.size() == kRequestsMax) return read;
    }
    CHECK(reader.buffered() <= kLimits.header_bytes_max + piece);
  }
  read.waits = reader.in_request();
  return read;
}

void TryBytes(std::string_view bytes) {
  const Read whole = ReadInPieces(bytes, std::max<size_t>(1, bytes.size()));
  for (const size_t piece : {size_t{1}, size_t{7}, size_t{100}}) {
    const Read pieces = ReadInPieces(bytes, piece);
    // The parser may find out later, or never, that what comes in pieces will be no request.
    CHECK(pieces.refused == whole.refused || pieces.waits || whole.waits) << piece;
    CHECK(pieces.requests.size() == whole.requests.size()) << piece;
    for (size_t i = 0; i < whole.requests.size(); ++i) {
      const Request& a = whole.requests[i];
      const Request& b = pieces.requests[i];
      CHECK(a.method == b.method && a.path == b.path && a.query == b.query && a.body == b.body &&
            a.keep_alive == b.keep_alive);
    }
  }
}

}  // namespace
}  // namespace cairn::http

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cairn::http::TryBytes({reinterpret_cast<const char*>(data), size});
  return 0;
}
