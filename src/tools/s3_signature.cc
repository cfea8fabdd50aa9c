#include "tools/s3_signature.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <ctime>

#include "base/check.h"
#include "base/sha256.h"

namespace cairn::tools {
namespace {

constexpr char kAlgorithm[] = "AWS4-HMAC-SHA256";

std::string Hmac(std::string_view key, std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned int size = 0;
  const unsigned char* const made =
      HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(), out.data(), &size);
  CHECK(made != nullptr) << "HMAC-SHA256";
  return {reinterpret_cast<const char*>(out.data()), size};
}

std::string Hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += "0123456789abcdef"[byte >> 4];
    out += "0123456789abcdef"[byte & 15];
  }
  return out;
}

std::string HashOf(std::string_view text) {
  Sha256 sum;
  sum.Add(text);
  return sum.Hex();
}

// "20261130T183000Z".
std::string TimeText(int64_t unix_ms) {
  const auto seconds = static_cast<std::time_t>(unix_ms / 1000);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  std::array<char, 32> text{};
  const size_t size = std::strftime(text.data(), text.size(), "%Y%m%dT%H%M%SZ", &utc);
  return {text.data(), size};
}

bool StaysAsItIs(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

}  // namespace

std::string UriEncode(std::string_view text, bool is_path) {
  std::string out;
  for (const char c : text) {
    if (StaysAsItIs(c) || (is_path && c == '/')) {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += "0123456789ABCDEF"[byte >> 4];
    out += "0123456789ABCDEF"[byte & 15];
  }
  return out;
}

std::string EncodeQuery(const std::map<std::string, std::string>& query) {
  std::string out;
  for (const auto& [key, value] : query) {
    out += (out.empty() ? "" : "&") + UriEncode(key, false) + "=" + UriEncode(value, false);
  }
  return out;
}

std::map<std::string, std::string> SignS3(const S3Request& request,
                                          const S3Credentials& credentials,
                                          const std::string& payload_sha256, int64_t unix_ms) {
  const std::string time = TimeText(unix_ms);
  const std::string day = time.substr(0, 8);
  std::map<std::string, std::string> headers = {{"x-amz-content-sha256", payload_sha256},
                                                {"x-amz-date", time}};
  if (!credentials.session_token.empty()) {
    headers["x-amz-security-token"] = credentials.session_token;
  }
  std::string lines = "host:" + request.host + "\n";
  std::string names = "host";
  for (const auto& [name, value] : headers) {
    lines += name + ":" + value + "\n";
    names += ";" + name;
  }
  const std::string canonical = request.method + "\n" + UriEncode(request.path, true) + "\n" +
                                EncodeQuery(request.query) + "\n" + lines + "\n" + names + "\n" +
                                payload_sha256;
  const std::string scope = day + "/" + credentials.region + "/s3/aws4_request";
  const std::string to_sign =
      std::string(kAlgorithm) + "\n" + time + "\n" + scope + "\n" + HashOf(canonical);
  std::string key = Hmac("AWS4" + credentials.secret_key, day);
  for (const std::string& part :
       {credentials.region, std::string("s3"), std::string("aws4_request")}) {
    key = Hmac(key, part);
  }
  headers["authorization"] = std::string(kAlgorithm) + " Credential=" + credentials.access_key +
                             "/" + scope + ",SignedHeaders=" + names +
                             ",Signature=" + Hex(Hmac(key, to_sign));
  return headers;
}

}  // namespace cairn::tools
