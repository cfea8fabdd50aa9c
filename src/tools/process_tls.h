// How this program speaks TLS to nodes: --tls-dir, or CAIRN_TLS_DIR. A program speaks to one site.
#pragma once

#include <string>

#include "base/status.h"
#include "security/tls.h"

namespace cairn::tools {

// Called while flags are read, before there is any thread or any call. An error says what is wrong
// with the directory or with the file of a token (empty: none).
Status UseTls(const std::string& directory, const std::string& token_file);

// Null: without TLS.
const security::TlsPtr& ProcessTls();
// For ClientOptions; empty: without TLS.
const std::string& ProcessTlsDirectory();
const std::string& ProcessTokenFile();  // empty: no token

// gRPC writes every failed handshake to standard error. The calls say what failed, in words, and a
// stranger shall not fill a log.
void SilenceGrpc();

}  // namespace cairn::tools
