// AccessControl: the one function that every door asks whether somebody may do something.
//
// It is asked twice. When a call begins, before any service sees it, it is judged by its method
// (method_rules.h). When a request has been read, the Api asks for what is in it: an Execute may
// hold rows, a change of the schema or a grant. A write is judged once more by apply
// (Command::restricted), in the state that it meets.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "state_machine/access.h"
#include "state_machine/command_access.h"
#include "state_machine/state_machine.h"

namespace cairn::server {

// Thread-safe.
class AccessControl {
 public:
  // `state` outlives this. `enforced` false: everybody may do everything.
  AccessControl(const state_machine::StateMachine* state, bool enforced)
      : state_(state), enforced_(enforced) {}

  bool enforced() const { return enforced_; }
  // Rises when the rights change.
  uint64_t generation() const { return state_->access()->generation(); }

  // May the principal call the method? PERMISSION_DENIED, not applied, in words.
  Status CheckCall(std::string_view principal, std::string_view method) const;
  // May it do what needs these privileges?
  Status Check(std::string_view principal, const state_machine::Needs& needs) const;
  // May it read the table, by its name? Empty: all tables.
  Status CheckRead(std::string_view principal, const std::string& table) const;
  // True if it may not read all tables, so that the tables of a query are to be judged.
  bool ReadsSomeAlone(std::string_view principal) const;
  // Whether the query may be run on the view.
  Status CheckQuery(std::string_view principal, state_machine::ReadView* view,
                    const std::string& sql) const;
  state_machine::AccessRightsPtr rights() const { return state_->access(); }
  // True if commands of this principal are to be judged by apply.
  bool Restricts(std::string_view principal) const;
  // What it may do everywhere.
  state_machine::Privileges Of(std::string_view principal) const;

 private:
  const state_machine::StateMachine* const state_;
  const bool enforced_;
};

}  // namespace cairn::server
