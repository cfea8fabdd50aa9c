#include "base/checksum_file.h"

#include <algorithm>
#include <sstream>

namespace cairn {
namespace {

constexpr std::string_view kNotesBegin = "# cairn backup:";
constexpr size_t kDigits = 64;

bool IsDigest(std::string_view text) {
  return text.size() == kDigits &&
         text.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
}

void ReadNotes(const std::string& text, std::map<std::string, std::string>* notes) {
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    const size_t equals = word.find('=');
    if (equals != std::string::npos) (*notes)[word.substr(0, equals)] = word.substr(equals + 1);
  }
}

}  // namespace

std::string ChecksumPath(const std::string& path) { return path + ".sha256"; }

std::string EncodeChecksumFile(const ChecksumFile& file) {
  std::string out(kNotesBegin);
  for (const auto& [key, value] : file.notes) out.append(" ").append(key).append("=").append(value);
  return out + "\n" + file.sha256 + "  " + file.name + "\n";
}

Result<ChecksumFile> DecodeChecksumFile(std::string_view text) {
  ChecksumFile file;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(kNotesBegin)) ReadNotes(line.substr(kNotesBegin.size()), &file.notes);
    if (line.starts_with("#") || !IsDigest(std::string_view(line).substr(0, kDigits))) continue;
    file.sha256 = line.substr(0, kDigits);
    std::transform(file.sha256.begin(), file.sha256.end(), file.sha256.begin(),
                   [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c; });
    if (line.size() > kDigits + 2) file.name = line.substr(kDigits + 2);
    return file;
  }
  return DataLoss("it holds no SHA-256");
}

}  // namespace cairn
