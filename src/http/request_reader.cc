#include "http/request_reader.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <optional>
#include <string>
#include <utility>

namespace cairn::http {

namespace beast = boost::beast;

namespace {

// "/status" of "/status", and of "http://node1:9090/status", which proxies are sent.
std::string_view PathOf(std::string_view target) {
  const size_t scheme = target.find("://");
  if (scheme == std::string_view::npos || target.front() == '/') return target;
  const size_t path = target.find('/', scheme + 3);
  return path == std::string_view::npos ? std::string_view("/") : target.substr(path);
}

Request ToRequest(beast::http::request<beast::http::string_body>&& message) {
  Request request;
  request.method = std::string(message.method_string());
  const std::string_view target =
      PathOf(std::string_view(message.target().data(), message.target().size()));
  const size_t question = target.find('?');
  request.path = std::string(target.substr(0, question));
  if (question != std::string_view::npos) request.query = std::string(target.substr(question + 1));
  request.keep_alive = message.keep_alive();
  request.body = std::move(message.body());
  return request;
}

Response RefusalOf(const beast::error_code& error, const RequestLimits& limits) {
  if (error == beast::http::error::header_limit) {
    return TextResponse(431, "the request line and the header are larger than " +
                                 std::to_string(limits.header_bytes_max) + " bytes");
  }
  if (error == beast::http::error::body_limit) {
    return TextResponse(
        413, "the body is larger than " + std::to_string(limits.body_bytes_max) + " bytes");
  }
  return TextResponse(400, "this is no request of HTTP/1.1");
}

}  // namespace

struct RequestReader::Parser {
  std::string buffer;
  std::optional<beast::http::request_parser<beast::http::string_body>> message;
  bool begun = false;

  void Begin(const RequestLimits& limits) {
    message.emplace();
    message->header_limit(static_cast<uint32_t>(limits.header_bytes_max));
    message->body_limit(limits.body_bytes_max);
    message->eager(false);  // it stops behind the header, which is looked at first
    begun = false;
  }
};

RequestReader::RequestReader(const RequestLimits& limits)
    : limits_(limits), parser_(std::make_unique<Parser>()) {
  parser_->Begin(limits_);
}

RequestReader::~RequestReader() = default;

bool RequestReader::in_request() const { return parser_->begun || !parser_->buffer.empty(); }

size_t RequestReader::buffered() const { return parser_->buffer.size(); }

RequestReader::Next RequestReader::Feed(std::string_view bytes) {
  Parser& parser = *parser_;
  parser.buffer.append(bytes);
  while (!parser.buffer.empty()) {
    beast::error_code error;
    const size_t used = parser.message->put(boost::asio::buffer(parser.buffer), error);
    parser.begun = parser.begun || used > 0;
    parser.buffer.erase(0, used);
    if (!error && parser.message->is_done()) {
      Request request = ToRequest(parser.message->release());
      parser.Begin(limits_);
      return request;
    }
    if (!error && parser.message->is_header_done() && parser.message->chunked()) {
      // Beast 1.74 bounds neither a chunk's extension nor a trailer, and a trailer that comes in
      // pieces makes it abort the process.
      parser.buffer.clear();
      return TextResponse(411, "a body comes with its Content-Length here, and not in chunks");
    }
    if (error && error != beast::http::error::need_more) {
      parser.buffer.clear();
      return RefusalOf(error, limits_);
    }
    if (error || used == 0) break;
  }
  return std::monostate();
}

}  // namespace cairn::http
