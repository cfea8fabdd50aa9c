#include "tools/member.h"

#include "tools/cluster_view.h"
#include "tools/wait_notice.h"

namespace cairn::tools {
namespace {

std::string WhatCtrlCDoes() { return "Ctrl-C stops waiting; the change goes on"; }

}  // namespace

Status ListMembers(NodeClient* node, OutputMode mode, std::chrono::milliseconds timeout,
                   std::ostream* out) {
  ASSIGN_OR_RETURN(const std::vector<Row> rows, MembersTable(node, timeout));
  PrintRows({mode, /*headers=*/true}, MembersColumns(), rows, out);
  return OkStatus();
}

Status ChangeMember(NodeClient* node, v1::ChangeMembershipRequest::Kind kind, uint64_t node_id,
                    const std::string& address, std::chrono::milliseconds timeout,
                    std::ostream* out, std::ostream* terminal) {
  v1::ChangeMembershipRequest request;
  request.set_kind(kind);
  request.set_node_id(node_id);
  request.set_address(address);
  request.set_timeout_ms(static_cast<uint32_t>(timeout.count()));
  WaitNotice notice(terminal, WhatCtrlCDoes);
  RETURN_IF_ERROR(
      node->ChangeMembership(request, [&](const std::string& line) { notice.Print(line, out); }));
  notice.Stop();
  *out << "done" << std::endl;
  return OkStatus();
}

Status UpgradeCluster(NodeClient* node, std::chrono::milliseconds timeout, std::ostream* out,
                      std::ostream* terminal) {
  WaitNotice notice(terminal, WhatCtrlCDoes);
  ASSIGN_OR_RETURN(const uint64_t level, node->RaiseLevel(timeout));
  notice.Stop();
  *out << "the cluster has feature level " << level << std::endl;
  return OkStatus();
}

Status TransferLeadership(NodeClient* node, uint64_t node_id, std::chrono::milliseconds timeout,
                          std::ostream* out, std::ostream* terminal) {
  WaitNotice notice(terminal, WhatCtrlCDoes);
  ASSIGN_OR_RETURN(const uint64_t leader, node->TransferLeadership(node_id, timeout));
  notice.Stop();
  // 0: the old leader has stepped down and has not heard from the new one yet.
  if (leader == 0) {
    *out << "leadership was handed over" << std::endl;
  } else {
    *out << "node " << leader << " leads" << std::endl;
  }
  return OkStatus();
}

}  // namespace cairn::tools
