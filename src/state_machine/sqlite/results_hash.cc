#include "state_machine/sqlite/results_hash.h"

#include <bit>
#include <string_view>

#include "state_machine/sqlite/row_sum.h"

namespace cairn::state_machine {
namespace {

uint64_t MixText(uint64_t state, std::string_view text) {
  return MixBytes(state, text.data(), text.size());
}

uint64_t MixValue(uint64_t state, const Value& value) {
  state = MixWord(state, value.index());
  switch (value.index()) {
    case 1: return MixWord(state, static_cast<uint64_t>(*std::get_if<int64_t>(&value)));
    case 2: return MixWord(state, std::bit_cast<uint64_t>(*std::get_if<double>(&value)));
    case 3: return MixText(state, *std::get_if<std::string>(&value));
    case 4: return MixText(state, std::get_if<Blob>(&value)->bytes);
    default: return state;
  }
}

uint64_t MixStatement(uint64_t state, const StatementResult& result) {
  state = MixPair(state, static_cast<uint64_t>(result.rows_affected),
                  static_cast<uint64_t>(result.last_insert_id));
  state = MixPair(state, result.columns.size(), result.rows.size());
  for (const Column& column : result.columns) {
    state = MixText(MixText(state, column.name), column.decl_type);
  }
  for (const Row& row : result.rows) {
    for (const Value& value : row) state = MixValue(state, value);
  }
  return state;
}

}  // namespace

uint64_t HashEntry(uint64_t before, LogIndex index, size_t commands) {
  return commands == 0 ? before : MixPair(before, index.value(), commands);
}

uint64_t HashResult(uint64_t before, const CommandResult& result) {
  const uint64_t gone = result.result_gone ? 1 : 0;
  uint64_t state = MixPair(before, result.index.value(), result.statements.size() * 2 + gone);
  state = MixPair(state, static_cast<uint64_t>(result.status.code()),
                  static_cast<uint64_t>(result.status.outcome()));
  // The message is left out, because another build of SQLite or of Cairn may word the same failure
  // otherwise.
  if (!result.status.ok()) state = MixWord(state, static_cast<uint64_t>(result.status.reason()));
  for (const StatementResult& statement : result.statements) {
    state = MixStatement(state, statement);
  }
  return state;
}

uint64_t HashResults(uint64_t before, LogIndex index, const std::vector<CommandResult>& results) {
  uint64_t state = HashEntry(before, index, results.size());
  for (const CommandResult& result : results) state = HashResult(state, result);
  return state;
}

}  // namespace cairn::state_machine
