// Paths of files, as text.
#pragma once

#include <string>

namespace cairn {

// The directory that holds the file. "." if the path names none.
inline std::string ParentOf(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace cairn
