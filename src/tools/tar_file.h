// TarFile: an archive in the format ustar, in memory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cairn::tools {

class TarFile {
 public:
  // `name` has at most 100 bytes. `time_s` is of the Unix epoch.
  void Add(std::string_view name, std::string_view contents, int64_t time_s);
  // The archive with its end. Call once.
  std::string Finish();

 private:
  std::string bytes_;
};

}  // namespace cairn::tools
