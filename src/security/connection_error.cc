#include "security/connection_error.h"

#include <string_view>

namespace cairn::security {

std::string ConnectionErrorInWords(const std::string& grpc_message) {
  const auto has = [&](std::string_view part) {
    return grpc_message.find(part) != std::string::npos;
  };
  // ServerVerifier's own words follow.
  constexpr std::string_view kVerdict = "verification check failed with error: UNAUTHENTICATED: ";
  if (const size_t at = grpc_message.find(kVerdict); at != std::string::npos) {
    return grpc_message.substr(at + kVerdict.size());
  }
  // A server without TLS answers the first bytes of TLS with bytes of HTTP/2.
  if (has("wrong version number") || has("packet length too long") || has("http request")) {
    return "the server does not speak TLS: leave out --tls-dir, or give the server one";
  }
  if (has("handshake failed") || has("Handshake read failed")) {
    const size_t at = grpc_message.find("SSL routines::");
    return "the TLS handshake failed" +
           (at == std::string::npos ? "" : ": " + grpc_message.substr(at + 14));
  }
  // What gRPC makes of the answer of server/hello_gate.cc to a client without TLS.
  if (has("failed to connect") && has("Failed parsing HTTP/2")) {
    return "the server speaks TLS (or no gRPC at all): name the directory of this client's "
           "certificate by --tls-dir";
  }
  // A server of TLS ends a connection that begins with other bytes, without a word.
  if (has("failed to connect") && (has("Socket closed") || has("Connection reset"))) {
    return "the server ended the connection at once: if it speaks TLS, name the directory of the "
           "certificate by --tls-dir";
  }
  return grpc_message;
}

}  // namespace cairn::security
