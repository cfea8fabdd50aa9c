// The part that Sessions and BareIds share: how a request is compared with an earlier request of
// the same id, and which answer a kept request gets.
#pragma once

#include <cstdint>
#include <string>

#include "base/ids.h"
#include "base/status.h"
#include "state_machine/access.h"
#include "state_machine/command.h"

namespace cairn::state_machine {

// How many remembered requests, and how many ended transactions, one entry forgets at most. Later
// entries forget the rest. The number is twice the commands of an entry, so entries forget faster
// than they add.
inline constexpr size_t kForgottenPerEntryMax = 8192;

// A hash over all that a command asks for, the same on every node and in every release.
uint64_t OperationHash(const Operation& operation);

// A hash over a text, the same on every node and in every release.
struct TextHash {
  uint64_t a = 0;
  uint64_t b = 0;
  bool operator==(const TextHash&) const = default;
};
TextHash HashOfText(const std::string& text);

// Orders all commands of the log: the index of the entry, then the command's place in the entry.
inline uint64_t CommandNumber(LogIndex index, size_t place) {
  static_assert(kCommandsPerBatchMax == 4096);
  return index.value() << 12 | place;
}
inline LogIndex IndexOfCommand(uint64_t number) { return LogIndex(number >> 12); }

// True if something that was last used at `since_ms` is as old as `ttl_ms`. A header may set
// `ttl_ms` to any number.
inline bool IsAsOldAs(uint64_t ttl_ms, uint64_t since_ms, uint64_t lease_ms) {
  return lease_ms >= since_ms && lease_ms - since_ms >= ttl_ms;
}

// As long as a request is remembered, the status code of its first answer is kept. kCodeNotKept
// stands for a code that is not known: in data of version 0.1, and of requests before a restore.
inline constexpr uint8_t kCodeNotKept = 0x1f;

// True if the command may use an id that `owner` used first.
bool MayUseIdOf(const std::string& owner, const Command& command);

// True if every retry gets this status. A refusal or an unknown outcome is judged anew.
bool IsFinal(const Status& status);
// Builds an answer that is never recorded.
CommandResult Refusal(Status status, Outcome outcome);
// The answer to a request whose code alone is kept.
CommandResult AnswerByCode(uint8_t code, LogIndex index);
// The answer to a client that may not use the id. `known`: a request under this id was remembered
// or forgotten, so the outcome is unknown to the client.
CommandResult NotYours(bool known);
CommandResult OtherRequest();
// The refusal of who asks for a two-phase transaction of another principal.
Status NotYourTransaction(const std::string& tx_id);
// The answer to a client whose session is not known any more, so that it begins another one.
CommandResult SessionExpired(const std::string& why);
CommandResult NoRoom(const std::string& of_what, const std::string& advice);
// `encoded`: the result that is held.
CommandResult HeldResult(const std::string& encoded);

}  // namespace cairn::state_machine
