// A history of list-append transactions, taken apart: what transactions.h's checkers look at. Inner
// to this folder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "testing/history/event.h"
#include "testing/history/verdict.h"

namespace cairn::history {

// Numbers into the vectors of ListHistory.
using KeyId = uint32_t;
using ElementId = uint32_t;
using TxnId = uint32_t;
inline constexpr uint32_t kNobody = UINT32_MAX;

struct MicroOperation {
  bool is_append = false;
  KeyId key = 0;
  ElementId element = 0;        // of an append
  std::vector<ElementId> list;  // of a read that was answered
};

// What a transaction saw of a key from outside: its first read of it, without its own appends.
struct View {
  KeyId key = 0;
  size_t length = 0;  // of the list
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
  // In the key's order; kNobody: no read has it.
  uint32_t place = kNobody;
};

struct KeyOrder {
  Datum key;
  // The longest list that was read: the order of all versions of the key that anybody saw.
  std::vector<ElementId> order;
  TxnId longest_reader = kNobody;
  std::vector<ElementId> appended;  // by anybody
  // False if the reads contradict each other: nothing is inferred from this key.
  bool sound = true;
};

struct ListHistory {
  std::vector<Txn> txns;
  std::vector<Element> elements;
  std::vector<KeyOrder> keys;

  std::string Name(ElementId element) const { return ToString(elements[element].value); }
  std::string KeyName(KeyId key) const { return "key " + ToString(keys[key].key); }
  // Committed for sure: acknowledged, or seen by a committed transaction.
  bool Committed(TxnId txn) const { return txns[txn].ok() || seen_by_others[txn]; }
  std::vector<bool> seen_by_others;
};

// INVALID_ARGUMENT if it is no such history; an element that is appended twice is one reason.
Result<ListHistory> ParseLists(const History& history);

// Looks at each read by itself and at the orders of keys: everything CheckTransactions reports but
// cycles and lost updates. Fills the views.
void CheckReads(ListHistory* lists, Verdict* verdict);

}  // namespace cairn::history
