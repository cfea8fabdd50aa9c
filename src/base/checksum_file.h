// The checksum that lies beside a backup: FILE.sha256, as sha256sum writes and checks it. What Cairn
// knows of the backup comes before, in comments, which sha256sum skips:
//
//   # cairn backup: index=1042 term=3 cluster=5f1e...
//   9f86d081...  backup.db
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cairn {

struct ChecksumFile {
  std::string sha256;  // 64 hexadecimal digits
  std::string name;    // of the file beside, without its directory
  std::map<std::string, std::string> notes{};
};

std::string ChecksumPath(const std::string& path);
std::string EncodeChecksumFile(const ChecksumFile& file);
// DATA_LOSS if the text names no SHA-256. Takes the first one, and no note is needed.
Result<ChecksumFile> DecodeChecksumFile(std::string_view text);

}  // namespace cairn
