// Strong integer types: a Term cannot be passed where a LogIndex is expected.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <string>

namespace cairn {

// A 64-bit number that mixes only with numbers of the same kind. Zero means "none" for every kind:
// terms, log indexes, member ids, group ids and read ids all start at 1.
template <class Tag>
class StrongId {
 public:
  constexpr StrongId() = default;
  constexpr explicit StrongId(uint64_t value) : value_(value) {}

  constexpr uint64_t value() const { return value_; }
  constexpr bool is_none() const { return value_ == 0; }

  constexpr auto operator<=>(const StrongId&) const = default;

  constexpr StrongId operator+(uint64_t n) const { return StrongId(value_ + n); }
  constexpr StrongId operator-(uint64_t n) const { return StrongId(value_ - n); }
  constexpr uint64_t operator-(StrongId other) const { return value_ - other.value_; }
  constexpr StrongId& operator++() {
    ++value_;
    return *this;
  }

 private:
  uint64_t value_ = 0;
};

template <class Tag>
std::string ToString(StrongId<Tag> id) {
  return std::to_string(id.value());
}

using Term = StrongId<struct TermTag>;
using LogIndex = StrongId<struct LogIndexTag>;
// The identity of a member of a Raft group. A member id is never reused: a node whose disk was
// wiped returns under a new member id, because the old member may have voted for and acknowledged
// what the disk no longer holds.
using MemberId = StrongId<struct MemberIdTag>;
// The identity of one replicated database (one Raft group). Every peer message and every stored
// record carries it.
using GroupId = StrongId<struct GroupIdTag>;
// A leader makes read ids; they increase within the leader's term. A read id identifies one round
// of ReadIndex.
using ReadId = StrongId<struct ReadIdTag>;

// A cluster id as people see it: 16 hexadecimal digits, in every message, log line and table.
std::string ClusterIdText(uint64_t cluster_id);

}  // namespace cairn

template <class Tag>
struct std::hash<cairn::StrongId<Tag>> {
  size_t operator()(cairn::StrongId<Tag> id) const { return std::hash<uint64_t>()(id.value()); }
};
