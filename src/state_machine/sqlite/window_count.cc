#include "state_machine/sqlite/window_count.h"

#include "state_machine/sqlite/sql_scan.h"
#include "state_machine/sqlite/sql_tokens.h"

namespace cairn::state_machine {

uint64_t CountWindows(std::string_view sql) {
  if (!HoldsWord(sql, "over")) return 0;
  uint64_t windows = 0;
  Tokenizer tokens(sql);
  for (Token token = tokens.Next(); token.type != TokenType::kEnd; token = tokens.Next()) {
    if (IsWord(token, "OVER")) ++windows;
  }
  return windows;
}

}  // namespace cairn::state_machine
