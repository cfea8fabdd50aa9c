#include "tools/audit.h"

#include <array>
#include <charconv>
#include <ctime>
#include <regex>
#include <set>
#include <utility>

#include "server/audit_convert.h"
#include "tools/cluster_view.h"

namespace cairn::tools {
namespace {

using state_machine::AuditCheck;
using state_machine::AuditRow;

constexpr int64_t kMinuteMs = 60'000;

std::string TimeText(int64_t wall_ms) {
  const time_t seconds = wall_ms / 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

// Checks one chain, with an anchor or without.
Result<state_machine::AuditHead> Verify(NodeClient* node, state_machine::AuditChain chain,
                                        const std::string& anchor,
                                        std::chrono::milliseconds timeout) {
  AuditCheck check;
  if (!anchor.empty()) RETURN_IF_ERROR(check.Seek(anchor));
  for (;;) {
    ASSIGN_OR_RETURN(const v1::ListAuditResponse message,
                     node->ListAudit(server::ToProto(chain), check.after(), timeout));
    RETURN_IF_ERROR(check.Add(server::PageOf(message)));
    if (message.rows().empty()) break;
  }
  RETURN_IF_ERROR(check.Finish());
  return check.head();
}

}  // namespace

Result<int64_t> ParseSince(const std::string& text, int64_t now_ms) {
  uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [last, error] = std::from_chars(text.data(), end, number);
  if (error == std::errc() && last + 1 == end && number <= 100'000) {
    for (const auto& [unit, minutes] :
         {std::pair('m', 1), std::pair('h', 60), std::pair('d', 1440)}) {
      if (*last == unit) return now_ms - static_cast<int64_t>(number) * minutes * kMinuteMs;
    }
  }
  for (const char* format : {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d"}) {
    std::tm parts{};
    const char* const rest = strptime(text.c_str(), format, &parts);
    if (rest == nullptr || (*rest != '\0' && std::string_view(rest) != "Z")) continue;
    return int64_t{timegm(&parts)} * 1000;
  }
  return InvalidArgument("'" + text +
                         "' is no time: give one such as 2026-12-01T14:30 (UTC), or 90m, 12h, 7d");
}

Status ListAudit(NodeClient* node, const AuditOptions& options, std::ostream* out) {
  const auto chain =
      options.denied ? state_machine::AuditChain::kDenied : state_machine::AuditChain::kChanges;
  std::vector<Row> rows;
  for (uint64_t after = 0;;) {
    ASSIGN_OR_RETURN(const v1::ListAuditResponse message,
                     node->ListAudit(server::ToProto(chain), after, options.timeout));
    for (const AuditRow& row : server::PageOf(message).rows) {
      after = row.number;
      if (row.wall_ms < options.since_ms) continue;
      rows.push_back({Value(static_cast<int64_t>(row.number)), Value(TimeText(row.wall_ms)),
                      Value(row.note.kind), Value(row.note.principal), Value(row.note.address),
                      Value(static_cast<int64_t>(row.note.count)), Value(row.note.text)});
    }
    if (message.rows().empty()) break;
  }
  PrintRows({options.mode, /*headers=*/true},
            {{"number", "INTEGER"},
             {"time", "TEXT"},
             {"kind", "TEXT"},
             {"principal", "TEXT"},
             {"address", "TEXT"},
             {"count", "INTEGER"},
             {"what", "TEXT"}},
            rows, out);
  return OkStatus();
}

Status VerifyAudit(NodeClient* node, const std::vector<std::string>& anchors,
                   std::chrono::milliseconds timeout, std::ostream* out) {
  for (const state_machine::AuditChain chain : state_machine::kAuditChains) {
    Result<state_machine::AuditHead> head = Verify(node, chain, "", timeout);
    const std::string name = state_machine::ChainName(chain);
    if (!head.ok()) return Status(head.status()).Prefixed(name);
    *out << name << ": " << head->rows << " rows, " << head->rows - head->cut
         << " of them kept, whole";
    if (head->rows != 0) *out << "; head " << HeadText(*head);
    *out << std::endl;
  }
  for (const std::string& anchor : anchors) {
    Result<state_machine::AuditHead> in =
        Verify(node, state_machine::AuditChain::kChanges, anchor, timeout);
    const char* name = "changes";
    if (!in.ok() && in.status().code() != StatusCode::kInvalidArgument) {
      const auto denied = Verify(node, state_machine::AuditChain::kDenied, anchor, timeout);
      name = "denied";
      if (denied.ok()) in = denied;
    }
    if (!in.ok()) return Status(in.status()).Prefixed("anchor " + anchor);
    *out << "anchor " << anchor << ": in the chain of " << name << std::endl;
  }
  return OkStatus();
}

std::vector<std::string> AnchorsIn(const std::string& text) {
  static const std::regex kAnchor("[0-9]{1,19}:[0-9a-f]{64}");
  std::set<std::string> found;
  for (std::sregex_iterator it(text.begin(), text.end(), kAnchor), end; it != end; ++it) {
    found.insert(it->str());
  }
  return {found.begin(), found.end()};
}

}  // namespace cairn::tools
