// The cluster as one table: the members as one node knows them, each with what it says of itself.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/result.h"
#include "tools/node_client.h"
#include "tools/result_printer.h"

namespace cairn::tools {

// Asks `node` who the members are, then asks each member for its status. `timeout` holds for each
// question.
Result<std::vector<Row>> MembersTable(NodeClient* node, std::chrono::milliseconds timeout);
const std::vector<Column>& MembersColumns();

// The addresses of all members except the asked one, as the asked one knows them. UNAVAILABLE if it
// does not answer within `timeout` or belongs to no cluster yet.
Result<std::vector<std::string>> OtherMembers(const std::string& address,
                                              std::chrono::milliseconds timeout);

// One node's status as one row.
Row StatusRow(const v1::StatusResponse& status);
const std::vector<Column>& StatusColumns();

void PrintRows(const PrintStyle& style, const std::vector<Column>& columns,
               const std::vector<Row>& rows, std::ostream* out);

// "UNAVAILABLE: no leader (not applied: safe to try again); the leader is node 2 at host:port".
std::string ErrorInWords(const Status& status);

// "leader", "follower", "candidate", "learner", "none".
const char* RoleName(v1::Role role);

}  // namespace cairn::tools
