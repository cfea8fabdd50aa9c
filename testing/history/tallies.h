// Checkers that count: sets, bank totals and versions.
#pragma once

#include <cstdint>

#include "testing/history/event.h"
#include "testing/history/verdict.h"

namespace cairn::history {

// One set, or one for each key: add [k, x], read [k, [...]] in any order.
//   "lost"         acknowledged, or seen by a read, and missing from every read that began later
//   "stale"        missing from a read that began later, and seen again after that
//   "unexpected"   read, but never added, or by an add that surely failed or had not begun
//   "duplicated"   more than once in one read
Verdict CheckSets(const History& history);

// Accounts whose sum never changes: transfer {"from":a,"to":b,"amount":n}, read {"a":n,"b":m,...}.
//   "wrong total"       a read whose balances have another sum than `total`
//   "negative balance"  where they are not allowed
//   "wrong accounts"    a read that does not show the accounts that the first one showed
struct BankOptions {
  int64_t total = 0;
  bool negative_allowed = false;
};
Verdict CheckBank(const History& history, const BankOptions& options);

// Versions of tables, which grow with every write: version [table, n] reads, change [table, n]
// wrote and was told n.
//   "went back"   a version below one that was known before it was asked for; for a change, also
//                 one not above it
//   "repeated"    two changes were told the same version
Verdict CheckVersions(const History& history);

}  // namespace cairn::history
