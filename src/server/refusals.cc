#include "server/refusals.h"

#include <utility>

namespace cairn::server {
namespace {

constexpr char kOthers[] = "others: more principals, addresses and reasons than are told apart";

}  // namespace

void Refusals::Count(std::string_view principal, std::string_view address, std::string_view reason,
                     uint64_t count) {
  Key key(principal.substr(0, state_machine::kPrincipalBytesMax),
          address.substr(0, state_machine::kAddressBytesMax),
          reason.substr(0, state_machine::kAuditTextBytesMax));
  const MutexLock lock(mutex_);
  const auto found = counts_.find(key);
  if (found != counts_.end()) {
    found->second += count;
  } else if (counts_.size() < kRowsMax) {
    counts_.emplace(std::move(key), count);
  } else {
    others_ += count;
  }
}

std::vector<state_machine::AuditNote> Refusals::Take() {
  const std::string kind(state_machine::audit_kind::kDenied);
  std::vector<state_machine::AuditNote> notes;
  const MutexLock lock(mutex_);
  for (const auto& [key, count] : counts_) {
    notes.push_back({kind, std::get<0>(key), std::get<1>(key), std::get<2>(key), count});
  }
  if (others_ != 0) notes.push_back({kind, "", "", kOthers, others_});
  counts_.clear();
  others_ = 0;
  return notes;
}

void Refusals::PutBack(const std::vector<state_machine::AuditNote>& notes) {
  for (const state_machine::AuditNote& note : notes) {
    if (note.text != kOthers) {
      Count(note.principal, note.address, note.text, note.count);
      continue;
    }
    const MutexLock lock(mutex_);
    others_ += note.count;
  }
}

}  // namespace cairn::server
