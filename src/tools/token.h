// `cairn token`: tokens of clients, and the keys that sign them.
#pragma once

#include <chrono>
#include <cstdint>
#include <ostream>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "tools/node_client.h"
#include "tools/result_printer.h"

namespace cairn::tools {

// Makes `path` (0600) and `path`.pub. FAILED_PRECONDITION if one of them is there.
Status MakeTokenKey(const std::string& path, std::ostream* out);

struct TokenRequest {
  std::string key_file;
  std::string key;      // the name under which nodes trust the key; empty: the name of the file
  std::string cluster;  // its id
  std::string principal;
  std::string role;  // empty: no limit
  std::string ttl;   // "30d", "12h", "90m" or "60s"
  std::string out;   // a file (0600); empty: the token is printed
};
Status IssueToken(const TokenRequest& request, const Clock& clock, std::ostream* out);
// What the token in the file says; empty: on standard input. `key_file` not empty: and whether that
// key has signed it.
Status InspectToken(const std::string& path, const std::string& key_file, const Clock& clock,
                    std::ostream* out);

// Each goes to `node`, which passes it on to the leader.
Status TrustTokenKey(NodeClient* node, const std::string& key_file, const std::string& name,
                     std::chrono::milliseconds timeout, std::ostream* out);
// Of a kind that needs no more than a name.
Status ChangeTokens(NodeClient* node, v1::AccessChange::Kind kind, const std::string& name,
                    std::chrono::milliseconds timeout, std::ostream* out);
// The keys that are trusted, and the revocations.
Status ListTokenRules(NodeClient* node, OutputMode mode, std::chrono::milliseconds timeout,
                      std::ostream* out);

// INVALID_ARGUMENT unless the text is a whole number above 0 with d, h, m or s.
Result<int64_t> ParseTtl(const std::string& text);

}  // namespace cairn::tools
