// Changes as bytes: how they are retained in the database.
//
// The bytes are part of the replicated state. Equal changes have equal bytes on every node and in
// every build. docs/internals/change_stream.md specifies them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/status.h"
#include "state_machine/change.h"

namespace cairn::state_machine {

std::string EncodeChangedTable(const ChangedTable& table);
Result<ChangedTable> DecodeChangedTable(std::string_view bytes);

// Appends a change of a row or of the schema. `ordinal_before`: that of the change appended before it,
// or 0. The table of a row is not part of the bytes.
void AppendChange(const Change& change, uint64_t ordinal_before, std::string* out);
// Decodes changes of the entry `index` that were appended to one string. `table` is that of the rows;
// null if there are none. DATA_LOSS for bytes that AppendChange does not make.
Result<std::vector<Change>> DecodeChanges(std::string_view bytes, LogIndex index,
                                          const std::shared_ptr<const ChangedTable>& table);

}  // namespace cairn::state_machine
