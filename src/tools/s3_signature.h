// Signatures of requests to S3, version 4
// (https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace cairn::tools {

struct S3Credentials {
  std::string access_key;
  std::string secret_key;
  std::string session_token;  // of credentials that pass; empty: none
  std::string region;
};

struct S3Request {
  std::string method;
  std::string host;                          // with the port, unless that is the usual one
  std::string path;                          // from the first "/" on, not encoded
  std::map<std::string, std::string> query;  // not encoded
};

// As S3 wants it: all but letters, digits and "-._~" as %XX. A "/" stays if
// `is_path`.
std::string UriEncode(std::string_view text, bool is_path);
// "a=b&c=", encoded, in the order of the keys.
std::string EncodeQuery(const std::map<std::string, std::string>& query);

// The headers that a request with this body needs, besides Host: they sign it.
// `payload_sha256` in hexadecimal; `unix_ms` is the present time.
std::map<std::string, std::string> SignS3(const S3Request& request,
                                          const S3Credentials& credentials,
                                          const std::string& payload_sha256, int64_t unix_ms);

}  // namespace cairn::tools
