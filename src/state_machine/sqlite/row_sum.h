// RowSum: a number for the rows of a table that does not depend on their order, so that it can be
// kept while rows come and go. docs/internals/state_digest.md specifies it.
#pragma once

#include <sqlite3.h>

#include <bit>
#include <cstdint>
#include <cstring>

namespace cairn::state_machine {

static_assert(std::endian::native == std::endian::little, "sums are kept in the file");

inline constexpr uint64_t kDigestSeed = 0x6361697264696765ULL;

// One multiplication for a word: the writer does it for every row that it changes. It tells damage
// and divergence, not malice: replicas differ only by a fault, which does not choose its rows.
inline uint64_t MixWord(uint64_t state, uint64_t word) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(state ^ word) * 0x9e3779b97f4a7c15ULL;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

// Length, then 8 bytes to a word, the last one filled with zeros.
inline uint64_t MixBytes(uint64_t state, const char* bytes, size_t size) {
  state = MixWord(state, size);
  for (; size >= 8; bytes += 8, size -= 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes, 8);
    state = MixWord(state, word);
  }
  if (size == 0) return state;
  uint64_t word = 0;
  std::memcpy(&word, bytes, size);
  return MixWord(state, word);
}

// Of one row. All of it is inline: it is what a row of a large INSERT costs more than without sums.
class RowHash {
 public:
  void Rowid(int64_t rowid) { state_ = MixWord(state_, static_cast<uint64_t>(rowid)); }
  // `place`: of the column among those that are hashed. With `as_real` an integer counts as the
  // real number next to it.
  void Value(size_t place, sqlite3_value* value, bool as_real) {
    const int type = sqlite3_value_type(value);
    switch (type) {
      // Not even counted: a column that is added and is NULL everywhere changes no row.
      case SQLITE_NULL: return;
      case SQLITE_INTEGER: {
        const int64_t number = sqlite3_value_int64(value);
        return as_real ? Real(place, static_cast<double>(number)) : Integer(place, number);
      }
      case SQLITE_FLOAT: return Real(place, sqlite3_value_double(value));
      default: {
        Tag(place, type == SQLITE_TEXT ? 3 : 4);
        // Of a text, too: asked for as text SQLite may copy it, to put a zero at its end.
        const auto* bytes = static_cast<const char*>(sqlite3_value_blob(value));
        const int size = sqlite3_value_bytes(value);
        state_ = MixBytes(state_, bytes, static_cast<size_t>(size));
      }
    }
  }
  uint64_t hash() const { return state_; }

 private:
  void Tag(size_t place, uint64_t type) { state_ += (place * 8 + type) * 0xbf58476d1ce4e5b9ULL; }
  void Integer(size_t place, int64_t value) {
    Tag(place, 1);
    state_ = MixWord(state_, static_cast<uint64_t>(value));
  }
  void Real(size_t place, double value) {
    // A column of REAL affinity stores whole numbers as integers, and SQLite's hook shows them now
    // as the one and now as the other. -0.0 is stored as 0.
    constexpr double kLimit = 9223372036854775808.0;  // 2^63
    if (value >= -kLimit && value < kLimit) {
      const auto whole = static_cast<int64_t>(value);
      if (static_cast<double>(whole) == value) return Integer(place, whole);
    }
    Tag(place, 2);
    state_ = MixWord(state_, std::bit_cast<uint64_t>(value));
  }

  uint64_t state_ = kDigestSeed;
};

struct RowSum {
  uint64_t a = 0;
  uint64_t b = 0;

  void Add(uint64_t hash) {
    a += hash;
    b += Second(hash);
  }
  void Remove(uint64_t hash) {
    a -= hash;
    b -= Second(hash);
  }
  bool is_zero() const { return a == 0 && b == 0; }
  bool operator==(const RowSum&) const = default;

 private:
  // Else two changes that cancel out in one sum would in the other.
  static uint64_t Second(uint64_t hash) { return MixWord(hash, 0x94d049bb133111ebULL); }
};

}  // namespace cairn::state_machine
