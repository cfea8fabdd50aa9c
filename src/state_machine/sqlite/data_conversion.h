// Converts a file of an older version to the present format when the file is opened.
#pragma once

#include <string>

#include "base/status.h"
#include "state_machine/sqlite/storage.h"

namespace cairn::state_machine {

// The format of Cairn 0.1.
inline constexpr int kDataFormatOf01 = 2;

// Converts a file of the format before the present one. Each part of Cairn's tables that has
// changed has its own step (data_conversion.cc). All steps run in one transaction, which also sets
// the format, so a crash leaves the old file or the new one. The conversion syncs nothing: until
// the first checkpoint a power cut may bring the old file back, and the file is then converted
// again.
//
// A step leaves its tables, and the text of their schema, as a new file has them: the digest of the
// state covers both.
Status ConvertDataFile(const Storage& storage, const std::string& path);

}  // namespace cairn::state_machine
