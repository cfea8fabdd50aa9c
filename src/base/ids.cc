#include "base/ids.h"

namespace cairn {

std::string ClusterIdText(uint64_t cluster_id) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text(16, '0');
  for (size_t at = text.size(); at-- > 0; cluster_id >>= 4) text[at] = kDigits[cluster_id & 15];
  return text;
}

}  // namespace cairn
