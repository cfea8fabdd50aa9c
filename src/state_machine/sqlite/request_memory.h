// What sessions and bare ids share: how a request is compared with an earlier one of its id, and how
// it is answered from what is kept.
#pragma once

#include <cstdint>
#include <string>

#include "base/ids.h"
#include "base/status.h"
#include "state_machine/command.h"

namespace cairn::state_machine {

// How many remembered requests, and how many transactions that have ended, one entry forgets at most;
// later entries forget the rest. Twice the commands of an entry, so that more goes than comes.
inline constexpr size_t kForgottenPerEntryMax = 8192;

// 64 bits over all that a command asks for, the same on every node and in every release.
uint64_t OperationHash(const Operation& operation);

// 128 bits over a text, the same on every node and in every release.
struct TextHash {
  uint64_t a = 0;
  uint64_t b = 0;
  bool operator==(const TextHash&) const = default;
};
TextHash HashOfText(const std::string& text);

// Orders all commands of the log: the index of the entry, and the command's place in it.
inline uint64_t CommandNumber(LogIndex index, size_t place) {
  static_assert(kCommandsPerBatchMax == 4096);
  return index.value() << 12 | place;
}
inline LogIndex IndexOfCommand(uint64_t number) { return LogIndex(number >> 12); }

// Whether what was used at `since_ms` is as old as `ttl_ms`, which a header may set to any number.
inline bool IsAsOldAs(uint64_t ttl_ms, uint64_t since_ms, uint64_t lease_ms) {
  return lease_ms >= since_ms && lease_ms - since_ms >= ttl_ms;
}

// What is kept of a first answer for as long as its request is remembered: its status code, or
// kCodeNotKept, of which nothing can be told (of data of version 0.1 alone).
inline constexpr uint8_t kCodeNotKept = 0x1f;

// Whether an id that `owner` was the first to use may be used by the command. Two addresses are not
// two identities: one client has several (the loopback and another, or a new one from DHCP), and its
// retry through another node must find its session. So hosts are told apart from nodes and from all
// that is authenticated, but not from each other. An empty owner is not known (data of version 0.1).
bool MayUseIdOf(const std::string& owner, const Command& command);

// Whether it is what every retry is answered with. What was refused, and what is not known, is
// looked at anew.
bool IsFinal(const Status& status);
// An answer that is never recorded.
CommandResult Refusal(Status status, Outcome outcome);
// The answer to a request of which only the code is kept.
CommandResult AnswerByCode(uint8_t code, LogIndex index);
// The id was used before; `known`: nothing of that is certain for who asks now.
CommandResult NotYours(bool known);
CommandResult OtherRequest();
CommandResult NoRoom(const std::string& of_what, const std::string& advice);
// `encoded`: a result that is held.
CommandResult HeldResult(const std::string& encoded);

}  // namespace cairn::state_machine
