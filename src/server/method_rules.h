// MethodRules: what each method of each service of a server asks of its caller.
//
// A method that is not in the table is refused. A test makes sure that every method of every service
// is in it.
#pragma once

#include <optional>
#include <string_view>

#include "state_machine/command_access.h"

namespace cairn::server {

struct MethodRule {
  enum class Who : uint8_t {
    kNode,      // a node of the cluster alone
    kAnyone,    // whoever has a certificate of the cluster
    kSomebody,  // who has any privilege: what the request asks for is judged when it is read
    kHolder,    // who has what `needs` says
  };
  Who who = Who::kNode;
  state_machine::Needs needs{};
};

// `method`: "/cairn.v1.Database/Query". None: there is no such method.
std::optional<MethodRule> RuleOf(std::string_view method);

}  // namespace cairn::server
