// `cairn audit` and `cairn audit verify`: who changed what, who was refused, and whether the rows are
// those that were written.
#pragma once

#include <chrono>
#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "base/status.h"
#include "tools/node_client.h"
#include "tools/result_printer.h"

namespace cairn::tools {

struct AuditOptions {
  std::string chain = "changes";  // or "denied", who was refused, or "asked", who asked for changes
  int64_t since_ms = 0;           // of the Unix epoch: rows from this time on
  OutputMode mode = OutputMode::kAuto;
  std::chrono::milliseconds timeout{10'000};  // of each request
};

// A time, such as 2026-12-01 or 2026-12-01T14:30, in UTC; or how long ago, such as 90m, 12h or 7d.
// Milliseconds of the Unix epoch.
Result<int64_t> ParseSince(const std::string& text, int64_t now_ms);

Status ListAudit(NodeClient* node, const AuditOptions& options, std::ostream* out);

// An old head, ROWS:HASH.
struct AuditAnchor {
  std::string chain = "changes";
  std::string head;
  auto operator<=>(const AuditAnchor&) const = default;
};

// Reads all chains whole, and checks them. The anchors must be in them; those that are older than what is
// kept are counted. Prints the heads. DATA_LOSS if something was changed, added or taken out,
// FAILED_PRECONDITION if all anchors are too old.
Status VerifyAudit(NodeClient* node, const std::vector<AuditAnchor>& anchors,
                   std::chrono::milliseconds timeout, std::ostream* out);

// The anchors in a text: what looks like one, as in the lines "audit head" of a node's log, which name
// the chain before it ("denied=12:..."). Otherwise it is of the changes.
std::vector<AuditAnchor> AnchorsIn(const std::string& text);

}  // namespace cairn::tools
