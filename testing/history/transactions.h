// Isolation of transactions over lists ("list-append"): each transaction appends unique elements to
// lists and reads whole lists, so that the reads tell the order of all writes of a key. From it
// come the dependencies of Adya's thesis (1999), and their cycles are the anomalies; the idea of
// the inference is Elle's (Kingsbury and Alvaro, 2020).
//
//   T1 -ww-> T2   T2's append comes right after T1's in a list
//   T1 -wr-> T2   T2 read a list that ended in T1's append
//   T1 -rw-> T2   T1 read a list that did not hold T2's append yet, which came next
//   T1 -rt-> T2   T1 had ended before T2 began
//
// An operation is {"f":"txn","value":[["append",key,x],["r",key,null], ...]}; the answer has the
// lists in the place of the nulls (null stays for an empty one).
#pragma once

#include <cstdint>

#include "testing/history/event.h"
#include "testing/history/verdict.h"

namespace cairn::history {

struct TransactionOptions {
  // True: strict serializability, where a transaction that ended precedes one that began later.
  // False: serializability.
  bool real_time = true;
};

// The anomalies of one transaction or one read:
//   "internal"              a transaction does not see its own appends, or two reads of it differ
//   "G1a"                   a read saw what an aborted transaction appended
//   "G1b"                   a read saw a list in the middle of a transaction's appends to it
//   "garbage"               a read saw what nobody appended
//   "duplicate"             an element is twice in a list
//   "incompatible order"    two reads of a key, and neither is a prefix of the other
//   "lost update"           two committed transactions read the same version and both appended
// The anomalies of cycles, by the edges they need. The first that applies names a knot (strongly
// connected component) of transactions:
//   "G0" ww; "G1c" ww and wr; "G-single" one rw; "G2" several rw
//   "G0-realtime", "G1c-realtime", "G-single-realtime", "G2-realtime": the same, with rt edges, in
//                           knots that have no cycle without them
Verdict CheckTransactions(const History& history, const TransactionOptions& options = {});

// Checks the session guarantees, on the same histories: what one client may rely on, whichever node
// it asks. A session is a process.
//   "read your writes"      a read lacks an acknowledged append of the same session before it
//   "monotonic reads"       a read lacks what an earlier read of the session saw
//   "monotonic writes"      a reader sees an append, but not an earlier append of that session
//   "writes follow reads"   a reader sees an append, but not what its session had read before
Verdict CheckSessions(const History& history);

}  // namespace cairn::history
