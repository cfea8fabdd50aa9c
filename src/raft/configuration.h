// Rules of membership (thesis 4.3): which configurations and changes are legal, how a change enters
// and leaves the joint state, and which configurations the log holds.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/ids.h"
#include "raft/types.h"

namespace cairn::raft {

// Why `config` is not well formed, in words; none if it is well formed. A joint configuration can
// be well formed. An empty configuration (of a node that waits to be admitted) is not well formed.
std::optional<std::string> CheckConfiguration(const Configuration& config);

// Why the change from `current` to `target` is refused; none if the change is legal. A new voter
// must already be a learner or a voter, so that a voter never counts before it has caught up. A
// member id is never used twice, because an id stands for the votes and acknowledgements that were
// given under it.
std::optional<std::string> CheckChange(const Configuration& current, const Configuration& target);

// The configuration to append for a legal change: a joint configuration if the set of voters
// changes, else the target.
Configuration EnterChange(const Configuration& current, const Configuration& target);
// The configuration that follows a joint configuration.
Configuration LeaveJoint(const Configuration& joint);

// The configurations of the log: those in force at an index that may still be asked for, and those
// that are appended and not yet committed. The first configuration is always present.
class ConfigurationLog {
 public:
  ConfigurationLog(LogIndex index, Configuration config) { Reset(index, std::move(config)); }

  void Append(LogIndex index, Configuration config);
  // Forgets the configurations at and after `from`.
  void TruncateFrom(LogIndex from);
  // A snapshot replaced the log.
  void Reset(LogIndex index, Configuration config);
  // Forgets the configurations that nobody will ask for: those that were superseded before `index`.
  void Prune(LogIndex index);

  struct At {
    LogIndex index;
    const Configuration& config;
  };
  // The configuration in force once everything up to `index` is committed.
  At InForce(LogIndex index) const;
  // The index of the first configuration after `index`.
  std::optional<LogIndex> FirstAfter(LogIndex index) const;
  LogIndex last() const { return configs_.rbegin()->first; }
  // The index of the last configuration but one, if known. A later configuration follows it in the
  // log, so it is certainly committed.
  std::optional<LogIndex> last_but_one() const;

 private:
  std::map<LogIndex, Configuration> configs_;
};

}  // namespace cairn::raft
