// Rules of membership (thesis 4.3): what is legal, how a change goes in and out of the joint state,
// and which configurations the log holds.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/ids.h"
#include "raft/types.h"

namespace cairn::raft {

// Why `config` cannot be one, in words; none if it is well formed. A joint one is well formed too.
// An empty configuration (a node that waits to be admitted) is not.
std::optional<std::string> CheckConfiguration(const Configuration& config);

// Why the change from `current` to `target` is refused; none if it is legal. New voters must have
// been learners or voters before, so that a voter never counts before it has caught up; ids are
// never used twice, because an id stands for votes and acknowledgements that were given under it.
std::optional<std::string> CheckChange(const Configuration& current, const Configuration& target);

// The entry to append for a legal change: joint where the set of voters changes, else the target.
Configuration EnterChange(const Configuration& current, const Configuration& target);
// The configuration that follows a joint one.
Configuration LeaveJoint(const Configuration& joint);

// Configurations of the log: those in force at some index that may still be asked for, and those
// that are appended and not yet committed. The first is always there.
class ConfigurationLog {
 public:
  ConfigurationLog(LogIndex index, Configuration config) { Reset(index, std::move(config)); }

  void Append(LogIndex index, Configuration config);
  // Forgets those at and after `from`.
  void TruncateFrom(LogIndex from);
  // A snapshot took the place of the log.
  void Reset(LogIndex index, Configuration config);
  // Nobody will ask for what was in force before `index`.
  void Prune(LogIndex index);

  struct At {
    LogIndex index;
    const Configuration& config;
  };
  // In force once everything up to `index` is committed.
  At InForce(LogIndex index) const;
  // The first after `index`.
  std::optional<LogIndex> FirstAfter(LogIndex index) const;
  LogIndex last() const { return configs_.rbegin()->first; }
  // The last but one, if its place is known: an entry of a log in which a later configuration
  // follows it, and so surely committed.
  std::optional<LogIndex> last_but_one() const;

 private:
  std::map<LogIndex, Configuration> configs_;
};

}  // namespace cairn::raft
