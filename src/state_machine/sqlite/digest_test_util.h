// For tests: the digest of a state machine's present state.
#pragma once

#include <gtest/gtest.h>

#include "state_machine/state_machine.h"

namespace cairn::state_machine {

inline StateDigest DigestOf(StateMachine& machine) {
  auto scan = machine.BeginScan();
  EXPECT_TRUE(scan.ok()) << scan.status();
  auto digest = (*scan)->Digest();
  EXPECT_TRUE(digest.ok()) << digest.status();
  return *digest;
}

}  // namespace cairn::state_machine
