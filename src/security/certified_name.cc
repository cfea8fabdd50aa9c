#include "security/certified_name.h"

#include <algorithm>
#include <charconv>

#include "base/ids.h"

namespace cairn::security {
namespace {

constexpr size_t kPrincipalBytesMax = 64;
constexpr uint64_t kNodeIdMax = 1'000'000;
constexpr std::string_view kNode = "/node/";
constexpr std::string_view kPrincipal = "/principal/";

bool MayStandInName(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '-' || c == '_' || c == '@';
}

// None unless the whole text is the number, as std::to_string writes it.
std::optional<uint64_t> ParseNodeId(std::string_view text) {
  uint64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (id == 0 || id > kNodeIdMax || std::to_string(id) != text) return std::nullopt;
  return id;
}

}  // namespace

Status CheckPrincipal(std::string_view name) {
  if (!name.empty() && name.size() <= kPrincipalBytesMax &&
      std::all_of(name.begin(), name.end(), MayStandInName)) {
    return OkStatus();
  }
  return InvalidArgument(
      "the name of a principal has 1 to 64 letters, digits, dots, hyphens, underscores and @");
}

Result<uint64_t> ParseClusterId(std::string_view text) {
  uint64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id, 16);
  if (error == std::errc() && end == text.data() + text.size() && id != 0 &&
      ClusterIdText(id) == text) {
    return id;
  }
  return InvalidArgument(
      "a cluster id has 16 hexadecimal digits, as .status of the shell shows it");
}

std::string ToUri(const CertifiedName& name) {
  const std::string cluster = std::string(kNameScheme) + ClusterIdText(name.cluster_id);
  if (name.is_node()) return cluster + std::string(kNode) + std::to_string(name.node_id);
  return cluster + std::string(kPrincipal) + name.principal;
}

std::optional<CertifiedName> ParseUri(std::string_view uri) {
  constexpr size_t kDigits = 16;
  if (!uri.starts_with(kNameScheme)) return std::nullopt;
  uri.remove_prefix(kNameScheme.size());
  const Result<uint64_t> cluster = ParseClusterId(uri.substr(0, kDigits));
  if (!cluster.ok()) return std::nullopt;
  uri.remove_prefix(kDigits);
  CertifiedName name;
  name.cluster_id = *cluster;
  if (uri.starts_with(kNode)) {
    const std::optional<uint64_t> id = ParseNodeId(uri.substr(kNode.size()));
    if (!id) return std::nullopt;
    name.node_id = *id;
    return name;
  }
  if (!uri.starts_with(kPrincipal)) return std::nullopt;
  name.principal = uri.substr(kPrincipal.size());
  if (!CheckPrincipal(name.principal).ok()) return std::nullopt;
  return name;
}

std::string InWords(const CertifiedName& name) {
  std::string who =
      name.is_node() ? "node " + std::to_string(name.node_id) : "principal " + name.principal;
  if (!name.role.empty()) who += " (as " + name.role + ")";
  return who + " of cluster " + ClusterIdText(name.cluster_id);
}

}  // namespace cairn::security
