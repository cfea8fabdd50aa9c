// RowSum: a sum over the rows of a table. It does not depend on their order, so it can be updated
// as rows come and go. docs/internals/state_digest.md specifies it.
#pragma once

#include <sqlite3.h>

#include <bit>
#include <cstdint>
#include <cstring>

namespace cairn::state_machine {

static_assert(std::endian::native == std::endian::little, "sums are kept in the file");

inline constexpr uint64_t kDigestSeed = 0x6361697264696765ULL;

// Folds the halves of the 128-bit product into one. That costs one multiplication for each word,
// which matters because the writer hashes every row that it changes. The hash detects damage and
// divergence, not malice: replicas differ only by a fault, and a fault does not choose its rows.
inline uint64_t Fold(uint64_t x, uint64_t y) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(x) * y;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

inline uint64_t MixWord(uint64_t state, uint64_t word) {
  return Fold(state ^ word, 0x9e3779b97f4a7c15ULL);
}

// The state is in both factors, so that no word makes one of them 0 for all states.
inline uint64_t MixPair(uint64_t state, uint64_t first, uint64_t second) {
  return Fold(state ^ first, (second ^ 0x9e3779b97f4a7c15ULL) + state);
}

template <typename Word>
uint64_t LoadWord(const char* at) {
  Word word;
  std::memcpy(&word, at, sizeof(word));
  return word;
}

// Mixes in the length, then 16 bytes at a time while more than 16 are left, then the rest. The
// words of the rest overlap, because copying a few bytes into a separate word would take longer.
inline uint64_t MixBytes(uint64_t state, const char* bytes, size_t size) {
  state += size * 0xd6e8feb86659fd93ULL;
  const bool is_long = size >= 16;
  for (; size > 16; bytes += 16, size -= 16) {
    state = MixPair(state, LoadWord<uint64_t>(bytes), LoadWord<uint64_t>(bytes + 8));
  }
  const char* const end = bytes + size;
  if (is_long) {
    return MixPair(state, LoadWord<uint64_t>(end - 16), LoadWord<uint64_t>(end - 8));
  }
  if (size >= 8) return MixPair(state, LoadWord<uint64_t>(bytes), LoadWord<uint64_t>(end - 8));
  if (size >= 4) return MixPair(state, LoadWord<uint32_t>(bytes), LoadWord<uint32_t>(end - 4));
  uint64_t word = 0;
  if (size > 0) {
    word = LoadWord<uint8_t>(bytes) | LoadWord<uint8_t>(bytes + size / 2) << 8 |
           LoadWord<uint8_t>(end - 1) << 16;
  }
  return MixPair(state, word, 0);
}

// The hash of one row. All of it is inline, because the hash is what sums add to the cost of each
// row of a large INSERT.
class RowHash {
 public:
  void Rowid(int64_t rowid) { state_ = MixWord(state_, static_cast<uint64_t>(rowid)); }
  // `place` is the place of the column among the columns that are hashed. With `as_real` an integer
  // counts as the nearest real number.
  void Value(size_t place, sqlite3_value* value, bool as_real) {
    const int type = sqlite3_value_type(value);
    switch (type) {
      // NULL is skipped: a column that is added and is NULL everywhere changes no row.
      case SQLITE_NULL: return;
      case SQLITE_INTEGER: {
        const int64_t number = sqlite3_value_int64(value);
        return as_real ? Real(place, static_cast<double>(number)) : Integer(place, number);
      }
      case SQLITE_FLOAT: return Real(place, sqlite3_value_double(value));
      default: {
        Tag(place, type == SQLITE_TEXT ? 3 : 4);
        // A text is read as a blob too. If SQLite is asked for a text, it may copy it to add a
        // zero.
        const auto* bytes = static_cast<const char*>(sqlite3_value_blob(value));
        const auto size = static_cast<size_t>(sqlite3_value_bytes(value));
        bytes_ += size;
        state_ = MixBytes(state_, bytes, size);
      }
    }
  }
  uint64_t hash() const { return state_; }
  // Bytes of the row's texts and blobs.
  size_t bytes() const { return bytes_; }

 private:
  void Tag(size_t place, uint64_t type) { state_ += (place * 8 + type) * 0xbf58476d1ce4e5b9ULL; }
  void Integer(size_t place, int64_t value) {
    Tag(place, 1);
    state_ = MixWord(state_, static_cast<uint64_t>(value));
  }
  void Real(size_t place, double value) {
    // A column of REAL affinity stores whole numbers as integers, and SQLite's hook shows them
    // sometimes as integers and sometimes as reals. -0.0 is stored as 0.
    constexpr double kLimit = 9223372036854775808.0;  // 2^63
    if (value >= -kLimit && value < kLimit) {
      const auto whole = static_cast<int64_t>(value);
      if (static_cast<double>(whole) == value) return Integer(place, whole);
    }
    Tag(place, 2);
    state_ = MixWord(state_, std::bit_cast<uint64_t>(value));
  }

  uint64_t state_ = kDigestSeed;
  size_t bytes_ = 0;
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
  // A second hash. If both sums used one hash, changes that cancel out in one sum would cancel out
  // in the other.
  static uint64_t Second(uint64_t hash) { return MixWord(hash, 0x94d049bb133111ebULL); }
};

}  // namespace cairn::state_machine
