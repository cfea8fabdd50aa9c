// Access: the privileges that there are, the roles, and who was granted what.
//
// Grants are replicated rows (sqlite/access_tables.h). A node keeps them in memory as AccessRights,
// which apply replaces when they change, so a check costs a look-up.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "state_machine/token_trust.h"

namespace cairn::state_machine {

// A set of privileges.
using Privileges = uint32_t;

namespace privilege {
inline constexpr Privileges kRead = 1U << 0;        // queries, versions
inline constexpr Privileges kWrite = 1U << 1;       // rows
inline constexpr Privileges kSchema = 1U << 2;      // tables, indexes, views, triggers; retention
inline constexpr Privileges kWatch = 1U << 3;       // the change stream
inline constexpr Privileges kBackup = 1U << 4;      // a copy of everything
inline constexpr Privileges kRestore = 1U << 5;     // a backup in the place of everything
inline constexpr Privileges kMembership = 1U << 6;  // members, leadership, the feature level
inline constexpr Privileges kSecurity = 1U << 7;    // grants
inline constexpr Privileges kStatus = 1U << 8;      // how the cluster is
// Reserved for edges and hubs. No method asks for them yet.
inline constexpr Privileges kTelemetry = 1U << 9;
inline constexpr Privileges kCommands = 1U << 10;
inline constexpr Privileges kPolicies = 1U << 11;
inline constexpr Privileges kModels = 1U << 12;
inline constexpr Privileges kAll = (1U << 13) - 1;
}  // namespace privilege

// What the name of a role or of a privilege stands for. 0: there is none of this name.
Privileges PrivilegesOf(std::string_view name);
// The names of the privileges in the set.
std::vector<std::string_view> NamesOf(Privileges privileges);
// "read, write"; "nothing" for 0.
std::string InWords(Privileges privileges);
// The names that PrivilegesOf knows, roles first, with commas between them.
std::string KnownPrivileges();

// True if the name, in lower case, is that of the pattern. A * stands for any characters.
bool MatchesPattern(std::string_view pattern, std::string_view name);

// INVALID_ARGUMENT if a grant of this privilege may not have this pattern: reading and writing alone can
// be granted on tables. A star is long enough for all: at most kPatternStarsMax of them, so that no
// match takes long.
inline constexpr size_t kPatternStarsMax = 4;
Status CheckPattern(std::string_view privilege, std::string_view pattern);

// Everybody with a certificate of the cluster.
inline constexpr std::string_view kEverybody = "*";

struct Grant {
  std::string principal;  // a name, or kEverybody
  std::string privilege;  // a role or a privilege
  // Of names of tables (MatchesPattern), in lower case; empty: everything. Reading and writing alone
  // can be granted by a pattern.
  std::string pattern;
  auto operator<=>(const Grant&) const = default;
};

// What the grant gives, on the tables of its pattern.
Privileges PrivilegesGiven(const Grant& grant);

// Command::principal is one of these, with what is behind the colon.
inline constexpr std::string_view kNamedPrefix = "principal:";  // the name in a certificate
inline constexpr std::string_view kNodePrefix = "node:";        // a node of the cluster, by its id
inline constexpr std::string_view kHostPrefix = "host:";        // without TLS: an address
// The principal of this name has the role admin without a grant, and nobody can take it away. Whoever
// holds the site's authority can be anybody, so this gives nothing more away, and no cluster can lock
// its owner out.
inline constexpr std::string_view kAdminName = "admin";

// True unless the two principals are told apart. An empty owner is not known (data of version 0.1).
// Two addresses are not two identities: one client has several (the loopback and another, or a new
// one from DHCP), and its retry through another node must find its session. So hosts are not told
// apart from each other, only from nodes and from names.
bool IsSamePrincipal(std::string_view owner, std::string_view asks);

// A token may be limited to a role or a privilege, whose name is then behind a slash:
// `principal:alice/reader` may do what alice was granted and a reader may do. It is a principal of
// its own otherwise. No name has a slash.
inline constexpr char kLimitMark = '/';
struct NamedPrincipal {
  std::string_view name;
  std::string_view limit;  // empty: none
};
// Of a principal that begins with kNamedPrefix.
NamedPrincipal ParseNamed(std::string_view principal);

// What a principal may do. `of_name` tells what a name was granted. A node may do everything: it
// holds all data, and leads at times. A host has proved nothing, so it may do nothing.
template <class OfName>
Privileges PrivilegesOfPrincipal(std::string_view principal, OfName of_name) {
  if (principal.starts_with(kNodePrefix)) return privilege::kAll;
  if (!principal.starts_with(kNamedPrefix)) return 0;
  const NamedPrincipal named = ParseNamed(principal);
  const Privileges granted = named.name == kAdminName ? privilege::kAll : of_name(named.name);
  return named.limit.empty() ? granted : granted & PrivilegesOf(named.limit);
}

// Immutable, so thread-safe.
class AccessRights {
 public:
  AccessRights() = default;
  // `grants` in order.
  AccessRights(uint64_t generation, std::vector<Grant> grants, TokenRules tokens = {});

  // Rises with each change of grants and of what is believed of tokens; 0: there never was one.
  uint64_t generation() const { return generation_; }
  const TokenRules& tokens() const { return tokens_; }
  const std::vector<Grant>& grants() const { return grants_; }
  // What the principal may do everywhere.
  Privileges Of(std::string_view principal) const;
  // What it may do with this table, by its name in lower case.
  Privileges On(std::string_view principal, std::string_view table) const;
  // What it may do somewhere.
  Privileges Somewhere(std::string_view principal) const;
  // True if the principal has the same rights there.
  bool SameFor(std::string_view principal, const AccessRights& there) const;

 private:
  struct Granted {
    Privileges everywhere = 0;
    Privileges somewhere = 0;
    std::vector<std::pair<std::string, Privileges>> patterns;
    bool operator==(const Granted&) const = default;
  };
  template <class Use>
  Privileges ByName(std::string_view principal, Use use) const;

  uint64_t generation_ = 0;
  std::vector<Grant> grants_;
  TokenRules tokens_;
  std::map<std::string, Granted, std::less<>> by_name_;
};

using AccessRightsPtr = std::shared_ptr<const AccessRights>;

}  // namespace cairn::state_machine
