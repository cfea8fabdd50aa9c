#include "server/method_rules.h"

#include <iterator>

namespace cairn::server {
namespace {

namespace privilege = state_machine::privilege;
using Who = MethodRule::Who;

struct Row {
  std::string_view method;
  MethodRule rule;
};

constexpr MethodRule Holder(state_machine::Privileges everywhere,
                            state_machine::Privileges somewhere = 0) {
  return {Who::kHolder, {everywhere, somewhere}};
}
constexpr MethodRule kNode{Who::kNode};
constexpr MethodRule kAnyone{Who::kAnyone};
constexpr MethodRule kSomebody{Who::kSomebody};
// The tables are judged when the request has been read.
constexpr MethodRule kReads = Holder(0, privilege::kRead);
constexpr MethodRule kWrites = Holder(0, privilege::kWrite);
constexpr MethodRule kMembership = Holder(privilege::kMembership);

// Execute also retains changes, restores, and grants: the Api judges what is in a request.
constexpr Row kRows[] = {
    {"/cairn.v1.Database/Execute", kSomebody},
    {"/cairn.v1.Database/Query", kReads},
    {"/cairn.v1.Database/Prepare", kWrites},
    {"/cairn.v1.Database/Commit", kWrites},
    {"/cairn.v1.Database/Rollback", kWrites},
    {"/cairn.v1.Database/GetVersion", kReads},
    {"/cairn.v1.Database/GetTransaction", kWrites},
    {"/cairn.v1.Database/Session", kSomebody},
    {"/cairn.v1.Database/Watch", Holder(privilege::kRead | privilege::kWatch)},
    {"/cairn.v1.Database/WatchQuery", Holder(privilege::kWatch, privilege::kRead)},
    {"/cairn.v1.Database/ListRetained", Holder(privilege::kRead)},
    {"/cairn.v1.Database/ListAccess", kAnyone},
    {"/cairn.v1.Database/ListAudit", Holder(privilege::kSecurity)},
    {"/cairn.v1.Database/Backup", Holder(privilege::kBackup)},
    {"/cairn.v1.Cluster/Status", Holder(privilege::kStatus)},
    {"/cairn.v1.Cluster/ChangeMembership", kMembership},
    {"/cairn.v1.Cluster/TransferLeadership", kMembership},
    {"/cairn.v1.Cluster/RaiseLevel", kMembership},
    {"/cairn.v1.Operations/ListEvents", Holder(privilege::kStatus)},
    {"/cairn.v1.Operations/SetLogLevel", kMembership},
    {"/cairn.v1.Operations/Diagnose", kMembership},
    {"/cairn.v1.Operations/NoteBackup", Holder(privilege::kBackup)},
    {"/transaction.DatabaseService/Execute", kWrites},
    {"/transaction.DatabaseService/ExecuteBatch", kWrites},
    {"/transaction.DatabaseService/Prepare", kWrites},
    {"/transaction.DatabaseService/Commit", kWrites},
    {"/transaction.DatabaseService/Rollback", kWrites},
    {"/transaction.DatabaseService/GetVersion", kReads},
    {"/transaction.DatabaseService/CheckHealth", kAnyone},
    {"/cairn.internal.Peer/Messages", kNode},
    {"/cairn.internal.Peer/Snapshot", kNode},
    {"/cairn.internal.Peer/Probe", kNode},
    {"/cairn.internal.Peer/Join", kNode},
    // What load balancers and tools ask. It tells nothing of the data.
    {"/grpc.health.v1.Health/Check", kAnyone},
    {"/grpc.health.v1.Health/Watch", kAnyone},
    {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", kAnyone},
};

}  // namespace

std::optional<MethodRule> RuleOf(std::string_view method) {
  for (const Row& row : kRows) {
    if (row.method == method) return row.rule;
  }
  return std::nullopt;
}

}  // namespace cairn::server
