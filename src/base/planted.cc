#include "base/planted.h"

#ifdef CAIRN_PLANTS

#include <cstdlib>
#include <string_view>

namespace cairn {

bool IsPlanted(const char* name) {
  const char* chosen = std::getenv("CAIRN_PLANT");
  return chosen != nullptr && std::string_view(chosen) == name;
}

}  // namespace cairn

#endif
