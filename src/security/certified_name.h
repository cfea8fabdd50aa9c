// CertifiedName: whom a certificate names, in a URI among its subject alternative names.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cairn::security {

// A node of a cluster, or a principal (a person or a program) that a cluster serves.
struct CertifiedName {
  uint64_t cluster_id = 0;
  uint64_t node_id = 0;   // 0: a principal
  std::string principal;  // empty: a node
  // Of who comes with a token that says so: it may do no more than this role. No certificate has one.
  std::string role = {};

  bool is_node() const { return node_id != 0; }
  bool operator==(const CertifiedName&) const = default;
};

// The URI begins with this, in every certificate that names anybody.
inline constexpr std::string_view kNameScheme = "cairn://";

// "cairn://00000000000000ff/node/1", "cairn://00000000000000ff/principal/alice".
std::string ToUri(const CertifiedName& name);
// None for every other spelling: of two URIs that differ, no two name the same.
std::optional<CertifiedName> ParseUri(std::string_view uri);
// "node 1 of cluster 00000000000000ff"
std::string InWords(const CertifiedName& name);

// INVALID_ARGUMENT unless `name` has 1 to 64 letters, digits, dots, hyphens, underscores and @.
Status CheckPrincipal(std::string_view name);
// 16 hexadecimal digits, as ClusterIdText writes them; not 0.
Result<uint64_t> ParseClusterId(std::string_view text);

}  // namespace cairn::security
