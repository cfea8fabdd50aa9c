#include "tools/tar_file.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace cairn::tools {
namespace {

constexpr size_t kBlock = 512;

// The header of a file. Numbers are octal texts.
struct Header {
  char name[100];
  char mode[8];
  char user[8];
  char group[8];
  char size[12];
  char time[12];
  char checksum[8];
  char type;
  char link[100];
  char magic[6];
  char version[2];
  char user_name[32];
  char group_name[32];
  char device_major[8];
  char device_minor[8];
  char prefix[155];
  char padding[12];
};
static_assert(sizeof(Header) == kBlock);

// Digits up to the last place of the field, which stays zero.
void SetOctal(char* field, size_t size, uint64_t number) {
  for (size_t at = size - 1; at-- > 0; number >>= 3) {
    field[at] = static_cast<char>('0' + (number & 7));
  }
  CHECK(number == 0);
}

template <size_t N>
void SetOctal(char (&field)[N], uint64_t number) {
  SetOctal(field, N, number);
}

}  // namespace

void TarFile::Add(std::string_view name, std::string_view contents, int64_t time_s) {
  Header header{};
  CHECK(name.size() <= sizeof(header.name));
  std::memcpy(header.name, name.data(), name.size());
  SetOctal(header.mode, 0600);
  SetOctal(header.user, 0);
  SetOctal(header.group, 0);
  SetOctal(header.size, contents.size());
  SetOctal(header.time, static_cast<uint64_t>(std::max<int64_t>(0, time_s)));
  header.type = '0';
  std::memcpy(header.magic, "ustar", 6);
  std::memcpy(header.version, "00", 2);
  // The sum is made with spaces in its place.
  std::memset(header.checksum, ' ', sizeof(header.checksum));
  char block[kBlock];
  std::memcpy(block, &header, kBlock);
  uint64_t sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  // Six digits, a zero and a space.
  char* const checksum = block + offsetof(Header, checksum);
  SetOctal(checksum, sizeof(header.checksum) - 1, sum);
  checksum[sizeof(header.checksum) - 2] = '\0';
  bytes_.append(block, kBlock);
  bytes_.append(contents);
  bytes_.resize((bytes_.size() + kBlock - 1) / kBlock * kBlock);
}

std::string TarFile::Finish() {
  bytes_.resize(bytes_.size() + 2 * kBlock);
  return std::move(bytes_);
}

}  // namespace cairn::tools
