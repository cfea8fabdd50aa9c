// Request and Response: what the HTTP door takes and gives.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace cairn::http {

struct Request {
  std::string method;  // "GET", in capitals
  std::string path;    // "/metrics", without what follows a '?'; as sent, nothing is decoded
  std::string query;   // what follows the '?'
  std::string body;
  bool keep_alive = true;  // the client can take another response on the connection
};

struct Response {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  std::string allow;  // the methods that there are, for 405
};

// A response whose body is one line for a person. The line end is added.
Response TextResponse(int status, const std::string& line);

// "OK", "Not Found"; "Error" for a status that this door does not give.
const char* ReasonOf(int status);

// The response as it is sent, up to its body. A response to HEAD is the head alone.
std::string HeadOf(const Response& response, bool keep_alive);

// Answers a request, on the thread of the door: it must return soon, and not wait for a disk or
// another node.
using Handler = std::function<Response(const Request&)>;

}  // namespace cairn::http
