#include "tools/audit.h"

#include <charconv>
#include <ctime>
#include <regex>
#include <set>
#include <utility>

#include "server/audit_convert.h"
#include "tools/cluster_view.h"
#include "tools/utc_time.h"

namespace cairn::tools {
namespace {

using state_machine::AuditCheck;
using state_machine::AuditRow;

constexpr int64_t kMinuteMs = 60'000;

state_machine::AuditChain ChainOf(const std::string& name) {
  for (const state_machine::AuditChain chain : state_machine::kAuditChains) {
    if (name == state_machine::ChainName(chain)) return chain;
  }
  return state_machine::AuditChain::kChanges;
}

Status CheckChain(NodeClient* node, state_machine::AuditChain chain,
                  std::chrono::milliseconds timeout, AuditCheck* check) {
  for (;;) {
    ASSIGN_OR_RETURN(const v1::ListAuditResponse message,
                     node->ListAudit(server::ToProto(chain), check->after(), timeout));
    RETURN_IF_ERROR(check->Add(server::PageOf(message)));
    if (message.rows().empty()) return check->Finish();
  }
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
  std::vector<Row> rows;
  for (uint64_t after = 0;;) {
    ASSIGN_OR_RETURN(
        const v1::ListAuditResponse message,
        node->ListAudit(server::ToProto(ChainOf(options.chain)), after, options.timeout));
    for (const AuditRow& row : server::PageOf(message).rows) {
      after = row.number;
      if (row.wall_ms < options.since_ms) continue;
      rows.push_back({Value(static_cast<int64_t>(row.number)), Value(UtcText(row.wall_ms)),
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

Status VerifyAudit(NodeClient* node, const std::vector<AuditAnchor>& anchors,
                   std::chrono::milliseconds timeout, std::ostream* out) {
  size_t found = 0;
  for (const state_machine::AuditChain chain : state_machine::kAuditChains) {
    AuditCheck check;
    for (const AuditAnchor& anchor : anchors) {
      if (ChainOf(anchor.chain) == chain) RETURN_IF_ERROR(check.Seek(anchor.head));
    }
    const std::string name = state_machine::ChainName(chain);
    RETURN_IF_ERROR(CheckChain(node, chain, timeout, &check).Prefixed(name));
    const state_machine::AuditHead& head = check.head();
    *out << name << ": " << head.rows << " rows, " << head.rows - head.cut
         << " of them kept, whole";
    if (head.rows != 0) *out << "; head " << HeadText(head);
    if (check.found() > 0) *out << "; anchors found: " << check.found();
    if (check.too_old() > 0) *out << "; anchors older than what is kept: " << check.too_old();
    *out << std::endl;
    found += check.found();
  }
  if (anchors.empty() || found > 0) return OkStatus();
  return FailedPrecondition("all anchors are older than what the audit keeps: give a later one");
}

std::vector<AuditAnchor> AnchorsIn(const std::string& text) {
  static const std::regex kAnchor("(?:([a-z]+)=)?([0-9]{1,19}:[0-9a-f]{64})");
  std::set<AuditAnchor> found;
  for (std::sregex_iterator it(text.begin(), text.end(), kAnchor), end; it != end; ++it) {
    const state_machine::AuditChain chain = ChainOf((*it)[1].str());
    found.insert({state_machine::ChainName(chain), (*it)[2].str()});
  }
  return {found.begin(), found.end()};
}

}  // namespace cairn::tools
