#include "state_machine/access.h"

#include <algorithm>
#include <utility>

namespace cairn::state_machine {
namespace {

using namespace privilege;

struct Named {
  std::string_view name;
  Privileges privileges;
};

// Names and meanings are part of the replicated state: a build that gave a role more or less would
// judge otherwise than its peers.
constexpr Named kRoles[] = {
    {"admin", kAll},
    {"operator", kStatus | kMembership | kBackup},
    {"writer", kRead | kWrite | kWatch | kStatus},
    {"reader", kRead | kWatch | kStatus},
    {"monitor", kStatus},
    {"edge", kTelemetry | kCommands},
    {"hub", kTelemetry | kCommands | kPolicies | kModels},
};
constexpr Named kPrivileges[] = {
    {"read", kRead},
    {"write", kWrite},
    {"schema", kSchema},
    {"watch", kWatch},
    {"backup", kBackup},
    {"restore", kRestore},
    {"membership", kMembership},
    {"security", kSecurity},
    {"status", kStatus},
    {"telemetry", kTelemetry},
    {"commands", kCommands},
    {"policies", kPolicies},
    {"models", kModels},
};

}  // namespace

Privileges PrivilegesOf(std::string_view name) {
  for (const Named& role : kRoles) {
    if (role.name == name) return role.privileges;
  }
  for (const Named& one : kPrivileges) {
    if (one.name == name) return one.privileges;
  }
  return 0;
}

std::vector<std::string_view> NamesOf(Privileges privileges) {
  std::vector<std::string_view> names;
  for (const Named& one : kPrivileges) {
    if ((privileges & one.privileges) != 0) names.push_back(one.name);
  }
  return names;
}

std::string InWords(Privileges privileges) {
  std::string words;
  for (const std::string_view name : NamesOf(privileges)) {
    words += (words.empty() ? "" : ", ") + std::string(name);
  }
  return words.empty() ? "nothing" : words;
}

std::string KnownPrivileges() {
  std::string words;
  for (const Named& role : kRoles) words += std::string(role.name) + ", ";
  return words + InWords(kAll);
}

bool IsSamePrincipal(std::string_view owner, std::string_view asks) {
  if (owner.empty() || owner == asks) return true;
  return owner.starts_with(kHostPrefix) && asks.starts_with(kHostPrefix);
}

Privileges PrivilegesGiven(const Grant& grant) {
  const Privileges privileges = PrivilegesOf(grant.privilege);
  return grant.pattern.empty() ? privileges : privileges & (kRead | kWrite);
}

Status CheckPattern(std::string_view privilege, std::string_view pattern) {
  if (pattern.empty()) return OkStatus();
  if (privilege != "read" && privilege != "write") {
    return InvalidArgument("read and write alone can be granted on some tables, and not " +
                           std::string(privilege));
  }
  constexpr size_t kPatternBytesMax = 64;
  if (pattern.size() > kPatternBytesMax) {
    return InvalidArgument("a pattern has at most " + std::to_string(kPatternBytesMax) + " bytes");
  }
  if (std::count(pattern.begin(), pattern.end(), '*') <= static_cast<ptrdiff_t>(kPatternStarsMax)) {
    return OkStatus();
  }
  return InvalidArgument("a pattern has at most " + std::to_string(kPatternStarsMax) + " stars");
}

bool MatchesPattern(std::string_view pattern, std::string_view name) {
  size_t p = 0;
  size_t n = 0;
  size_t star = std::string_view::npos;  // the last one in the pattern so far
  size_t from = 0;                       // where the rest behind it was tried last
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      from = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++from;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

NamedPrincipal ParseNamed(std::string_view principal) {
  principal.remove_prefix(kNamedPrefix.size());
  const size_t mark = principal.find(kLimitMark);
  if (mark == std::string_view::npos) return {principal, {}};
  return {principal.substr(0, mark), principal.substr(mark + 1)};
}

AccessRights::AccessRights(uint64_t generation, std::vector<Grant> grants, TokenRules tokens)
    : generation_(generation), grants_(std::move(grants)), tokens_(std::move(tokens)) {
  for (const Grant& grant : grants_) {
    const Privileges privileges = PrivilegesGiven(grant);
    Granted& granted = by_name_[grant.principal];
    granted.somewhere |= privileges;
    if (grant.pattern.empty()) {
      granted.everywhere |= privileges;
    } else {
      granted.patterns.emplace_back(grant.pattern, privileges);
    }
  }
}

template <class Use>
Privileges AccessRights::ByName(std::string_view principal, Use use) const {
  return PrivilegesOfPrincipal(principal, [&](std::string_view name) {
    Privileges all = 0;
    for (const std::string_view who : {name, kEverybody}) {
      if (const auto found = by_name_.find(who); found != by_name_.end()) all |= use(found->second);
    }
    return all;
  });
}

Privileges AccessRights::Of(std::string_view principal) const {
  return ByName(principal, [](const Granted& granted) { return granted.everywhere; });
}

Privileges AccessRights::Somewhere(std::string_view principal) const {
  return ByName(principal, [](const Granted& granted) { return granted.somewhere; });
}

bool AccessRights::SameFor(std::string_view principal, const AccessRights& there) const {
  const auto of = [principal](const AccessRights& rights) {
    std::vector<Granted> found;
    rights.ByName(principal, [&found](const Granted& granted) {
      found.push_back(granted);
      return Privileges{0};
    });
    return found;
  };
  return of(*this) == of(there);
}

Privileges AccessRights::On(std::string_view principal, std::string_view table) const {
  return ByName(principal, [table](const Granted& granted) {
    Privileges all = granted.everywhere;
    for (const auto& [pattern, privileges] : granted.patterns) {
      if (MatchesPattern(pattern, table)) all |= privileges;
    }
    return all;
  });
}

}  // namespace cairn::state_machine
