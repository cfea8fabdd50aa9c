// A parsed history of list-append transactions, the input of the checkers of transactions.h.
// Internal to this folder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "testing/history/event.h"
#include "testing/history/verdict.h"

namespace cairn::history {

// Indexes into the vectors of ListHistory.
using KeyId = uint32_t;
using ElementId = uint32_t;
using TxnId = uint32_t;
inline constexpr uint32_t kNobody = UINT32_MAX;

struct MicroOperation {
  bool is_append = false;
  KeyId key = 0;
  ElementId element = 0;        // for an append
  std::vector<ElementId> list;  // for a read that was answered
};

// What a transaction saw of a key from outside: its first read of the key, without its own appends.
struct View {
  KeyId key = 0;
  size_t length = 0;  // the length of the list
  ElementId last = kNobody;
  bool before_own_append = true;
};

struct Txn {
  Operation operation;
  std::vector<MicroOperation> steps;
  std::vector<View> views;  // filled by CheckReads
  bool ok() const { return operation.fate == Fate::kOk; }
};

struct Element {
  KeyId key = 0;
  Datum value;
  TxnId writer = kNobody;
  bool last_of_writer = false;
  // The position in the key's order; kNobody if no read has the element.
  uint32_t place = kNobody;
};

struct KeyOrder {
  Datum key;
  // The longest list that was read. It is the order of all versions of the key that anybody saw.
  std::vector<ElementId> order;
  TxnId longest_reader = kNobody;
  std::vector<ElementId> appended;  // by any transaction
  // False if the reads contradict each other. Then nothing is inferred from this key.
  bool sound = true;
};

struct ListHistory {
  std::vector<Txn> txns;
  std::vector<Element> elements;
  std::vector<KeyOrder> keys;

  std::string Name(ElementId element) const { return ToString(elements[element].value); }
  std::string KeyName(KeyId key) const { return "key " + ToString(keys[key].key); }
  // True if the transaction surely committed: it was acknowledged, or a committed transaction saw
  // it.
  bool Committed(TxnId txn) const { return txns[txn].ok() || seen_by_others[txn]; }
  std::vector<bool> seen_by_others;
};

// Returns INVALID_ARGUMENT if the history is malformed, for example if an element is appended
// twice.
Result<ListHistory> ParseLists(const History& history);

// Checks each read by itself, and the orders of keys: everything that CheckTransactions reports
// except cycles and lost updates. Fills the views.
void CheckReads(ListHistory* lists, Verdict* verdict);

}  // namespace cairn::history
