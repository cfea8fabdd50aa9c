// `cairn doctor`: asks every member of a cluster for its status, and says what is wrong and what to
// do, in the words of the runbook (docs/operations/runbook.md).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "base/result.h"
#include "cairn/v1/cluster.pb.h"
#include "tools/node_client.h"

namespace cairn::tools {

// What the members say of themselves.
struct ClusterLook {
  struct Node {
    uint64_t node_id = 0;
    std::string address;
    bool voter = true;
    std::optional<v1::StatusResponse> status;  // none: it does not answer
  };
  v1::StatusResponse asked;  // the view of the leader, or of the asked node if it names none
  std::vector<Node> nodes;   // in the order of their ids
};

enum class Severity : uint8_t {
  kNote,      // nothing need be done now
  kWarning,   // the cluster works, and needs somebody
  kCritical,  // clients are not served, or data are in danger
};

struct Finding {
  Severity severity = Severity::kNote;
  std::string what;
  std::string advice;  // what to do, with the part of the runbook
};

// The worst first. Nothing is asked; the same look gives the same findings.
std::vector<Finding> Diagnose(const ClusterLook& look);

// Asks `node` who the members are, and then each member. `timeout` holds for each question.
Result<ClusterLook> LookAt(NodeClient* node, std::chrono::milliseconds timeout);

// Prints the findings. True if none is more than a note.
Result<bool> RunDoctor(NodeClient* node, std::chrono::milliseconds timeout, std::ostream* out);

}  // namespace cairn::tools
