// WriteLink: the way on which a Router sends writes to one other node.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "base/status.h"
#include "state_machine/command.h"

namespace cairn::server {

// Where a write comes from, which decides how far it goes.
enum class Origin : uint8_t {
  kClient,     // a client: tried until there is an answer
  kForwarder,  // a node that takes this node for the leader: proposed here, or refused
  kRelay,      // a node without the leader: proposed here, or forwarded once
};

// Thread-safe.
class WriteLink {
 public:
  virtual ~WriteLink() = default;

  // Called once. If `reached` is OK, `answer` is the other node's, which may be an error. Otherwise
  // there is no answer, and both say why: not applied if the write was never sent, else unknown.
  // Must not block.
  using Done = std::function<void(const Status& reached, Result<state_machine::CommandResult>)>;
  // The deadline bounds the wait for the answer.
  virtual void Send(const state_machine::Command& command, SteadyTime deadline, Done done) = 0;

  // Ends the link. Unanswered writes fail.
  virtual void Close() = 0;
  virtual const std::string& address() const = 0;
  // True if the link takes no more writes.
  virtual bool broken() const = 0;
  // True if the other node has answered at least once.
  virtual bool ready() const = 0;
  // True if no more callback will come.
  virtual bool ended() const = 0;
  // Waits until no more callback will come. Not from a callback.
  virtual void AwaitEnd() = 0;
};

// Opens a link to the node at `address`, which takes the writes as coming from `origin`, and only
// if it is of that cluster.
using OpenWriteLink = std::function<std::shared_ptr<WriteLink>(const std::string& address,
                                                               Origin origin, uint64_t cluster_id)>;

}  // namespace cairn::server
