// `cairn watch retain`: which tables' changes are kept in the database.
#pragma once

#include <chrono>
#include <cstdint>
#include <ostream>
#include <string>

#include "base/result.h"
#include "base/status.h"
#include "tools/node_client.h"

namespace cairn::tools {

// Milliseconds from "90s", "15m", "24h" or "7d".
Result<uint64_t> ParseAge(const std::string& text);

// `age`: as ParseAge takes it, or "off". `bytes_max` 0: the default.
Status Retain(NodeClient* node, const std::string& table, const std::string& age,
              uint64_t bytes_max, std::chrono::milliseconds timeout, std::ostream* out);
Status ListRetained(NodeClient* node, std::chrono::milliseconds timeout, std::ostream* out);

}  // namespace cairn::tools
