#include "tools/access.h"

#include <vector>

#include "tools/cluster_view.h"

namespace cairn::tools {

Status ChangeAccess(NodeClient* node, v1::AccessChange::Kind kind, const std::string& principal,
                    const std::string& privilege, const std::string& pattern,
                    std::chrono::milliseconds timeout, std::ostream* out) {
  v1::AccessChange change;
  change.set_kind(kind);
  change.mutable_grant()->set_principal(principal);
  change.mutable_grant()->set_privilege(privilege);
  change.mutable_grant()->set_pattern(pattern);
  RETURN_IF_ERROR(node->ChangeAccess(change, timeout));
  *out << "done" << std::endl;
  return OkStatus();
}

Status ListAccess(NodeClient* node, OutputMode mode, std::chrono::milliseconds timeout,
                  std::ostream* out) {
  ASSIGN_OR_RETURN(const v1::ListAccessResponse access, node->ListAccess(timeout));
  std::vector<Row> rows;
  for (const v1::Grant& grant : access.grants()) {
    rows.push_back({Value(grant.principal()), Value(grant.privilege()), Value(grant.pattern())});
  }
  PrintRows({mode, /*headers=*/true},
            {{"principal", "TEXT"}, {"privilege", "TEXT"}, {"tables", "TEXT"}}, rows, out);
  if (mode != OutputMode::kAuto) return OkStatus();
  std::string privileges;
  for (const std::string& name : access.privileges()) {
    privileges += (privileges.empty() ? "" : ", ") + name;
  }
  *out << "you are " << access.principal()
       << " and may: " << (privileges.empty() ? "nothing" : privileges) << std::endl;
  if (!access.enforced()) {
    *out << "this node asks for no privileges (--auth off): everybody may do everything"
         << std::endl;
  }
  return OkStatus();
}

}  // namespace cairn::tools
