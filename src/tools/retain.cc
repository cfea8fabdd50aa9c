#include "tools/retain.h"

#include <array>
#include <charconv>
#include <utility>

#include "tools/result_printer.h"

namespace cairn::tools {
namespace {

constexpr std::array<std::pair<char, uint64_t>, 4> kUnits = {
    {{'d', 24 * 3'600'000}, {'h', 3'600'000}, {'m', 60'000}, {'s', 1'000}}};

std::string AgeText(uint64_t ms) {
  for (const auto& [unit, unit_ms] : kUnits) {
    if (ms % unit_ms == 0) return std::to_string(ms / unit_ms) + unit;
  }
  return std::to_string(ms) + "ms";
}

}  // namespace

Result<uint64_t> ParseAge(const std::string& text) {
  uint64_t number = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, number);
  if (error == std::errc() && last - end == 1) {
    for (const auto& [unit, unit_ms] : kUnits) {
      if (*end == unit && number <= UINT64_MAX / unit_ms) return number * unit_ms;
    }
  }
  return InvalidArgument("'" + text + "' is no time: write 90s, 15m, 24h or 7d, or off");
}

Status Retain(NodeClient* node, const std::string& table, const std::string& age,
              uint64_t bytes_max, std::chrono::milliseconds timeout, std::ostream* out) {
  uint64_t retain_ms = 0;
  if (age != "off") {
    ASSIGN_OR_RETURN(retain_ms, ParseAge(age));
    if (retain_ms == 0) return InvalidArgument("to retain no changes, write off");
  }
  RETURN_IF_ERROR(node->RetainChanges(table, retain_ms, bytes_max, timeout));
  *out << "changes of " << DisplayText(table) << " are "
       << (retain_ms == 0 ? "not retained any more" : "retained for " + AgeText(retain_ms))
       << std::endl;
  return OkStatus();
}

Status ListRetained(NodeClient* node, std::chrono::milliseconds timeout, std::ostream* out) {
  ASSIGN_OR_RETURN(const v1::ListRetainedResponse answer, node->ListRetained(timeout));
  for (const v1::RetainedTable& table : answer.tables()) {
    *out << DisplayText(table.table()) << "  for " << AgeText(table.retain_ms()) << "  "
         << table.bytes() << " of " << table.bytes_max() << " bytes  after "
         << table.since().index() << "." << table.since().ordinal() << std::endl;
  }
  if (answer.tables().empty()) *out << "no changes are retained" << std::endl;
  return OkStatus();
}

}  // namespace cairn::tools
