// Reading a backup back: what is stored, and not what this machine still has in memory.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"

namespace cairn::tools {

// The SHA-256 of a file, as 64 hexadecimal digits. The file is stored; what the system holds of it in
// memory is given up first, so that the disk is asked. CANCELLED once `goes_on` is false.
Result<std::string> Sha256OfStored(const std::string& path, const std::function<bool()>& goes_on);

}  // namespace cairn::tools
